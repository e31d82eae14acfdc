"""Delta debugging: leaves out of a list what its failure does not need.

Zeller & Hildebrandt 2002, by complements alone: whoever asks says what is left after a run of
neighbours was taken out, which may be less than the rest where some things cannot stand alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

Without = Callable[[tuple[T, ...], range], tuple[T, ...] | None]
"""Given what is kept and the places to leave out: what is left and fails still, None if it does
not."""


def reduced(
    items: Sequence[T], without: Without[T], may_go_on: Callable[[], bool]
) -> tuple[T, ...]:
    """Give as few of the items as fail still, in their order.

    Runs of neighbours are tried in turn, the earliest first, by halves: all, then one half, down to
    single items, until none of them can go. Nothing more can be left out alone of the answer,
    unless `may_go_on` said no on the way.
    """
    kept = tuple(items)
    size = len(kept)
    while size >= 1 and may_go_on():
        kept, shrunk = _pass(kept, size, without, may_go_on)
        size = min(size, len(kept)) if shrunk and size == 1 else size // 2
    return kept


def _pass(
    kept: tuple[T, ...], size: int, without: Without[T], may_go_on: Callable[[], bool]
) -> tuple[tuple[T, ...], bool]:
    """Try to leave out each run of `size` neighbours in turn."""
    shrunk = False
    start = 0
    while start < len(kept) and may_go_on():
        rest = without(kept, range(start, min(start + size, len(kept))))
        if rest is None:
            start += size
        else:
            kept, shrunk = rest, True
    return kept, shrunk
