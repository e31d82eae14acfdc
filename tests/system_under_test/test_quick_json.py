"""JSON by msgspec on the controller: what nodes make of it by the standard library, and no more."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from splitbrain.system_under_test.node import canonical, trace
from splitbrain.system_under_test.systems import quick_json

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner)
)


@given(values)
def test_values_have_the_same_text_both_ways(value: object) -> None:
    text = canonical.compact_text(value).encode()
    assert quick_json.parse(text) == value
    assert quick_json.compact(value) == text


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b"\xff", b"[" * 100_000, b"{} {}"])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        quick_json.parse(text)


PIECES = (b"{}", b'{"a":1}', b"{} {}", b"1 2", b"{", b"}", b"", b" ", b'{"a":', b"1}", b"[", b"]")


@given(st.lists(st.sampled_from(PIECES)))
@example([b"1", b"", b"2 3"])
@example([b'{"a":', b"1}", b"{} {}"])
@example([b'{"a":{"b":1}', b'{"c":2}}', b"{} {}"])
def test_each_line_is_read_for_itself(lines: list[bytes]) -> None:
    assert list(quick_json.parse_lines(lines)) == trace.parse_lines(lines)


@given(st.lists(st.sampled_from([b'{"a":"x"}', b'{"a":"\xff"}', b'{"a":1}'])))
@example([b'{"a":"x"}', b'{"a":"\xff"}'])
def test_a_line_that_is_no_text_is_none_and_the_others_are_read(lines: list[bytes]) -> None:
    assert list(quick_json.parse_lines(lines)) == trace.parse_lines(lines)
