"""The keyed store: by type and content, and what a request may look like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.system_under_test.node.canonical import canonical_text, parse
from splitbrain.system_under_test.node.errors import RequestError
from splitbrain.system_under_test.node.raft.log import NO_OP
from splitbrain.system_under_test.node.raft.store import (
    MAX_COMMAND_BYTES,
    MAX_DEPTH,
    Store,
    command_of,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def do(store: Store, f: str, argument: Any, key: Any = "x") -> bool:
    return store.apply(command_of({"f": f, "key": key, "argument": argument}).text)


def get(store: Store, key: Any = "x") -> Any:
    return store.read(canonical_text(key))


def test_a_key_never_written_holds_null() -> None:
    assert get(Store()) is None
    assert do(Store(), "cas", [None, 1])


@given(JSON, JSON)
def test_what_is_written_is_read(key: Any, value: Any) -> None:
    store = Store()
    assert do(store, "write", value, key)
    assert canonical_text(get(store, key)) == canonical_text(value)
    assert store.content() == [[parse(canonical_text(key)), parse(canonical_text(value))]]


@pytest.mark.parametrize("old", [1, True, 1.0, "1", [1], {"a": 1}, None, 0, False, "", []])
def test_values_compare_by_type_and_content(old: Any) -> None:
    others = [1, True, 1.0, "1", [1], {"a": 1}, None, 0, False, "", []]
    for other in others:
        store = Store()
        do(store, "write", old)
        same = type(old) is type(other) and old == other
        assert do(store, "cas", [other, "new"]) is same
        assert get(store) == ("new" if same else old)


def test_keys_compare_by_type_and_content() -> None:
    store = Store()
    for i, key in enumerate((1, True, 1.0, "1", None)):
        do(store, "write", i, key)
    assert [get(store, key) for key in (1, True, 1.0, "1", None)] == [0, 1, 2, 3, 4]


def test_objects_are_equal_in_any_order_of_their_keys() -> None:
    store = Store()
    do(store, "write", {"a": 1, "b": [2]})
    assert do(store, "cas", [{"b": [2], "a": 1}, 2])


@given(st.lists(JSON, min_size=1, max_size=6))
def test_append_builds_a_list(items: list[Any]) -> None:
    store = Store()
    for item in items:
        assert do(store, "append", item)
    assert canonical_text(get(store)) == canonical_text(items)


@given(st.text(), st.text())
def test_append_joins_strings(one: str, other: str) -> None:
    store = Store()
    do(store, "write", one)
    assert do(store, "append", other)
    assert get(store) == one + other


def test_append_to_an_empty_list_and_to_what_is_no_list() -> None:
    store = Store()
    do(store, "write", [])
    assert do(store, "append", 1)
    assert get(store) == [1]
    for value in (5, True, {"a": 1}):
        do(store, "write", value)
        assert not do(store, "append", 1)
        assert get(store) == value
    do(store, "write", "text")
    assert not do(store, "append", 1)


def test_the_no_op_changes_nothing() -> None:
    store = Store()
    assert not store.apply(NO_OP)
    assert store.content() == []


def test_integers_of_any_size_are_kept_exactly() -> None:
    store = Store()
    do(store, "write", 2**53 + 1)
    assert get(store) == 2**53 + 1
    do(store, "write", 10**400)
    assert get(store) == 10**400


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("request_", "code", "detail"),
    [
        ({"f": "delete", "key": "x"}, "unknown-operation", "read, write, cas, append"),
        ({"key": "x"}, "unknown-operation", ""),
        ({"f": ["read"], "key": "x"}, "unknown-operation", ""),
        ({"f": "read"}, "bad-request", "no key"),
        ({"f": "write", "key": "x"}, "bad-request", "no argument"),
        ({"f": "read", "key": "x", "argument": 1}, "bad-request", "takes no argument"),
        ({"f": "cas", "key": "x", "argument": [1]}, "bad-request", "[old, new]"),
        ({"f": "cas", "key": "x", "argument": 5}, "bad-request", "[old, new]"),
        ({"f": "cas", "key": "x"}, "bad-request", "[old, new]"),
        ({"f": "write", "key": "x", "argument": nested(MAX_DEPTH + 1)}, "bad-request", "deeper"),
        ({"f": "write", "key": nested(5000), "argument": 1}, "bad-request", "deeper"),
        ({"f": "write", "key": "x", "argument": float("inf")}, "bad-request", "not JSON"),
        ({"f": "write", "key": "x", "argument": "y" * MAX_COMMAND_BYTES}, "bad-request", "longer"),
    ],
)
def test_requests_that_do_not_fit_are_refused(
    request_: dict[str, Any], code: str, detail: str
) -> None:
    with pytest.raises(RequestError) as caught:
        command_of(request_)
    assert caught.value.code == code
    assert detail in caught.value.detail


def test_nesting_up_to_the_limit_is_taken() -> None:
    assert do(Store(), "write", nested(MAX_DEPTH))
