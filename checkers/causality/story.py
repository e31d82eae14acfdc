"""Puts causal order into words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from splitbrain.checkers.order.case import Case


def story(case: Case, entries: Sequence[int]) -> str:
    """Tell how the last of these entries comes after the first, step by step."""
    text = case.named(entries[0])
    for number, (before, after) in enumerate(pairwise(entries)):
        which = ", which" if number else ""
        if int(case.accesses.source[after]) == before:
            text += f"{which} was seen by {case.named(after)}"
        else:
            text += f"{which} was followed in its session by {case.named(after)}"
    return text
