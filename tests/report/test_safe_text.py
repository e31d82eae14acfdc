"""Text from nodes is shown as what it is, and never obeyed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from splitbrain.report.alphabet import ASCII, UNICODE
from splitbrain.report.safe_text import key_text, safe, shorten, value_text

texts = st.text(st.characters(codec=None), max_size=80)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("two\nlines\r\tand more", "two\\nlines\\r\\tand more"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("\x00\x07\x7f", "\\x00\\x07\\x7f"),
        ("a\u202eb\u2066c\u200bd", "a\\u202eb\\u2066c\\u200bd"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("grüße 日本 שלום", "grüße 日本 שלום"),
        (b"\xff\xfe".decode(errors="surrogateescape"), "\\xff\\xfe"),
        ("\ud800", "\\ud800"),
        ("[red]x[/red] :smile:", "[red]x[/red] :smile:"),
    ],
)
def test_hidden_characters_are_escaped(text, shown):
    assert safe(text) == shown


def test_marks_that_pile_up_are_escaped():
    assert safe("e\u0301") == "e\u0301"
    assert safe("e" + "\u0301" * 5) == "e\u0301\u0301" + "\\u0301" * 3
    assert safe("\u0301x") == "\\u0301x"


def test_ascii_alone_when_asked():
    assert safe("grüße", ascii_only=True) == "gr\\xfc\\xdfe"
    assert UNICODE.text("grüße") == "grüße"
    assert ASCII.text("日本") == "\\u65e5\\u672c"


@given(texts)
def test_nothing_hidden_is_left(text):
    shown = safe(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn"}
    assert safe(text, ascii_only=True).isascii()


@given(texts, st.integers(0, 30))
def test_shortened_text_fits(text, cells):
    shown = safe(text)
    short = shorten(shown, cells)
    assert cell_len(short) <= cells
    if cell_len(shown) <= cells:
        assert short == shown


@given(texts, st.integers(4, 40))
def test_alphabets_keep_to_their_cells(text, cells):
    for alphabet in (UNICODE, ASCII):
        assert cell_len(alphabet.text(text, cells)) <= cells
        assert cell_len(alphabet.value({text: [text]}, cells)) <= cells


def test_values_are_shown_as_json_that_tells_types_apart():
    shown = [value_text(value) for value in (1, True, 1.0, "1", None, [1, "a"], {"k": [2]})]
    assert shown == ["1", "true", "1.0", '"1"', "null", '[1, "a"]', '{"k": [2]}']
    assert value_text("a\x1b\n\u202e") == '"a\\u001b\\n\\u202e"'
    assert value_text(2**70) == "1180591620717411303424"


def test_keys_are_bare_words_where_that_is_clear():
    assert [key_text(key) for key in ("x", "true", "1", "a b", 1)] == [
        "x",
        '"true"',
        '"1"',
        '"a b"',
        "1",
    ]


def test_huge_values_are_cut_without_being_read_through():
    endless = ["x" * 10_000_000] * 1000
    assert value_text(endless, 10) == '["xxxxxxx…'
    assert value_text(10**6000, 10).startswith("0x")
    assert value_text(list(range(10**6)), 12) == "[0, 1, 2, 3…"
    nested: object = 1
    for _ in range(60):
        nested = [nested]
    assert value_text(nested) == "[[[[[[[...]]]]]]]"
