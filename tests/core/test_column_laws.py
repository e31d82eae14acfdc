"""Columns give back exactly the values that went in, missing ones among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.core.columns import (
    CodedColumn,
    IntegerColumn,
    RaggedColumn,
    build,
    coded,
    integers,
    iterate,
)
from splitbrain.core.value import Value, canonical

INT64 = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text("ab1", max_size=2)
ROWS = st.one_of(
    st.lists(st.none() | INT64),
    st.lists(st.none() | st.lists(INT64, max_size=4)),
    st.lists(SCALARS | st.floats(-2, 2) | st.lists(SCALARS, max_size=3)),
)


def texts(values: object) -> list[str]:
    return [canonical(value) for value in values]  # type: ignore[attr-defined]


@given(ROWS)
def test_a_column_gives_back_what_went_in(rows: list[Value]):
    column = build(rows)
    assert len(column) == len(rows)
    assert texts(iterate(column)) == texts(rows)
    assert texts(iterate(column.codes())) == texts(rows)


@given(ROWS, st.data())
def test_taking_rows_takes_their_values(rows: list[Value], data: st.DataObject):
    picked = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    taken = build(rows).take(np.array(picked, np.int64))
    assert texts(iterate(taken)) == texts(rows[at] for at in picked)


@given(ROWS)
def test_codes_are_equal_for_equal_values_alone(rows: list[Value]):
    codes = build(rows).codes().items.tolist()
    for left, left_code in zip(rows, codes, strict=True):
        for right, right_code in zip(rows, codes, strict=True):
            assert (left_code == right_code) == (canonical(left) == canonical(right))


def test_a_large_integer_beside_a_missing_one_stays_exact():
    column = build([2**53 + 1, None, 2**63 - 1])
    assert isinstance(column, IntegerColumn)
    assert column.items.dtype == np.int64
    assert list(iterate(column)) == [2**53 + 1, None, 2**63 - 1]


def test_integers_beyond_64_bits_are_kept_as_texts():
    column = build([2**70, None, 1])
    assert isinstance(column, CodedColumn)
    assert list(iterate(column)) == [2**70, None, 1]
    with pytest.raises(OverflowError):
        integers([2**70])


def test_true_and_1_0_are_not_taken_for_integers():
    assert isinstance(build([1, True]), CodedColumn)
    assert isinstance(build([1, 1.0]), CodedColumn)
    assert [type(item) for item in iterate(build([1, True, 1.0]))] == [int, bool, float]


def test_lists_of_integers_are_ragged_and_an_empty_list_is_not_missing():
    column = build([[1, 2], None, [], [2**63 - 1]])
    assert isinstance(column, RaggedColumn)
    assert list(iterate(column)) == [[1, 2], None, [], [2**63 - 1]]
    assert isinstance(build([[1], [True]]), CodedColumn)


def test_the_dictionary_holds_each_value_once():
    column = coded(["a", "b", "a", None, "a"])
    assert column.items.tolist() == [0, 1, 0, -1, 0]
    assert column.dictionary == ('"a"', '"b"')
