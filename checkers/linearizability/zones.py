"""Blocks of operations that must stand together, and which two of them cannot be put in order.

Gibbons & Korach, "Testing Shared Memories", 1997. A block is everything that happened to one value,
or to a chain of values. With f the earliest end and s the latest start within a block, A must come
before B when f(A) < s(B). Blocks can be put in order exactly when no two must come before each
other: a longer cycle always has such a pair in it. A block is forward when f < s; then two of them
conflict when they overlap. One that is not conflicts with a forward one that it lies inside of, and
never with another of its kind.
"""

from __future__ import annotations

import numpy as np

from splitbrain.core.columns import Integers


def conflicts(first_end: Integers, last_start: Integers) -> tuple[Integers, Integers]:
    """Give pairs of blocks that must each come before the other, as two arrays of indices.

    There is none exactly when all can be put in order, and the same holds for any blocks that lie
    in a window of time of their own, apart from all others: each has a pair if there is one in it.
    """
    forward = np.flatnonzero(first_end < last_start)
    forward = forward[np.argsort(first_end[forward], kind="stable")]
    ends, starts = first_end[forward], last_start[forward]
    touching = np.flatnonzero(ends[1:] < starts[:-1])
    backward = np.flatnonzero(first_end >= last_start)
    if not len(forward) or not len(backward):
        return forward[touching], forward[touching + 1]
    before = np.searchsorted(ends, last_start[backward]) - 1
    inside = np.flatnonzero((before >= 0) & (first_end[backward] < starts[before]))
    return (
        np.concatenate([forward[touching], forward[before[inside]]]),
        np.concatenate([forward[touching + 1], backward[inside]]),
    )
