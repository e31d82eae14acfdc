"""Values keep their type and size, whatever they travel through."""

from __future__ import annotations

import enum
import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.core.operation import Outcome
from splitbrain.core.value import (
    DEPTH_LIMIT,
    Value,
    canonical,
    from_canonical,
    require_value,
    same,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=10)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def exact(value: object) -> object:
    """Give what equals only a value of the same types."""
    if isinstance(value, list):
        return "list", [exact(item) for item in value]
    if isinstance(value, dict):
        return "object", sorted((key, exact(item)) for key, item in value.items())
    return type(value).__name__, repr(value)


@given(VALUES)
def test_a_value_survives_its_canonical_text_and_json(value: Value):
    assert exact(from_canonical(canonical(value))) == exact(value)
    assert exact(msgspec.json.decode(msgspec.json.encode(value))) == exact(value)
    assert exact(require_value(value)) == exact(value)


@given(VALUES, VALUES)
def test_canonical_texts_are_equal_for_equal_values_alone(left: Value, right: Value):
    assert (canonical(left) == canonical(right)) == same(left, right)
    if exact(left) == exact(right):
        assert same(left, right)


@given(st.dictionaries(TEXTS, st.integers(), min_size=2, max_size=6))
def test_the_order_of_keys_makes_no_difference(value: dict[str, Value]):
    turned = dict(reversed(list(value.items())))
    assert canonical(value) == canonical(turned)
    assert same(value, turned)


def test_1_true_and_1_0_are_three_values():
    values: list[Value] = [1, True, 1.0, "1", [1], None, 0, False]
    for i, left in enumerate(values):
        for j, right in enumerate(values):
            assert same(left, right) == (i == j)
    assert len({canonical(value) for value in values}) == len(values)


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, 2**63, 2**64 + 1, 2**70, -(2**70) - 1])
def test_integers_of_any_size_are_exact(number: int):
    assert from_canonical(canonical(number)) == number
    assert from_canonical(canonical([number])) == [number]
    assert json.loads(canonical(number)) == number


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, [math.nan], {"a": [math.inf]}])
def test_nan_and_infinity_are_no_values(bad: object):
    with pytest.raises(ValueError, match="not a JSON number"):
        require_value(bad)


@pytest.mark.parametrize("bad", [b"x", object(), {1, 2}, 1j, [b"x"], Exception])
def test_other_types_are_no_values(bad: object):
    with pytest.raises(ValueError, match="is not null, a boolean"):
        require_value(bad)


class Colour(str, enum.Enum):  # noqa: UP042 - whose str() is not its value
    RED = "red"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(0.1), 0.1),
        (np.str_("x"), "x"),
        (Outcome.OK, "ok"),
        (Colour.RED, "red"),
        (enum.IntEnum("Level", ["LOW"])(1), 1),
        ([np.float64(1)], [1.0]),
    ],
)
def test_instances_of_subclasses_become_what_they_are_at_heart(value, plain):
    found = require_value(value)
    assert type(found) is type(plain)
    assert canonical(found) == canonical(plain)


def test_keys_of_objects_are_strings():
    with pytest.raises(ValueError, match="not a string"):
        require_value({1: 2})


def test_tuples_become_lists_and_depth_is_bounded():
    assert require_value((1, (2, [3]))) == [1, [2, [3]]]
    deep: list[object] = []
    for _ in range(DEPTH_LIMIT + 1):
        deep = [deep]
    with pytest.raises(ValueError, match="nested deeper"):
        require_value(deep)
