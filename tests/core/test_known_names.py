"""Of a name that is not known, the near ones are said, and never a page of all there are."""

from __future__ import annotations

from splitbrain.core.known_names import LONG, SHORT, instead

MANY = [f"name-{number}" for number in range(SHORT)]
LISTING = "splitbrain list things"


def test_a_near_name_is_offered_first_and_then_where_all_stand() -> None:
    known = ["stale-read", "lost-vote"]
    assert instead("stale-raed", known) == "did you mean stale-read?"
    said = instead("stale-raed", known, listing=LISTING)
    assert said == "did you mean stale-read? (`splitbrain list things` lists all)"


def test_of_several_near_names_the_nearest_comes_first() -> None:
    assert instead("red", ["reed", "bed", "read"]) == "did you mean reed or read or bed?"


def test_a_few_names_are_all_named() -> None:
    said = instead("x", ["a", "b"], listing=LISTING, beside=", or file.py:Name")
    assert said == "there are a, b, or file.py:Name"
    assert instead("x", []) == "there are none"


def test_many_names_are_left_to_the_command_that_lists_them() -> None:
    said = instead("x", MANY, listing=LISTING, beside=", or file.py:Name")
    assert said == "`splitbrain list things` lists all, or file.py:Name"


def test_where_no_command_lists_them_a_line_holds_what_it_can() -> None:
    said = instead("x", MANY)
    shown = said.removeprefix("there are ").partition(" and ")[0].split(", ")
    assert shown == MANY[: len(shown)]
    assert said.endswith(f" and {len(MANY) - len(shown)} more")
    assert LONG - 20 < len(said) < LONG + 40
