"""Tells which of two writes of a key is newer: by version where there are any, else by causality.

Without versions a write counts as newer than another when its session knew of the other: it had
made it, seen it, or seen what came of it. Writes that did not know each other are not compared.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from splitbrain.checkers.order.past import Past
from splitbrain.checkers.order.versions import Versions
from splitbrain.core.columns import Booleans, Integers

Whole = TypeVar("Whole", np.int32, np.int64)


class Newer:
    """Compares writes of one key."""

    def __init__(self, past: Past, versions: Versions) -> None:
        self.past = past
        self.versions = versions

    def than(self, write: int, other: int) -> bool:
        """Tell whether `write` is newer than `other`."""
        if self.versions.trusted[self.past.accesses.key[write]]:
            return bool(self.versions.rank[write] > self.versions.rank[other])
        return self.past.clocks.comes_after(write, other)


class Prefixes:
    """Writes in blocks and in an order within each: whether one up to a place is newer.

    writes: the entries; block: a number for each; position: its place in the block.
    """

    def __init__(self, newer: Newer, writes: Integers, block: Integers, position: Integers) -> None:
        self._newer = newer
        self._length = newer.past.program.length
        places = block * self._length + position
        order = np.argsort(places, kind="stable")
        self.writes, self._places = writes[order], places[order]
        blocks = block[order]
        lead = np.cumsum(np.concatenate([[0], blocks[1:] != blocks[:-1]])) if len(order) else blocks
        clock = newer.past.clocks.of(self.writes)
        self._known = highest(clock, lead)
        self._rank = highest(newer.versions.rank[self.writes][:, None], lead)[:, 0]

    def last(self, block: Integers, limit: Integers) -> Integers:
        """Give the last item of each block whose position is below the limit, -1 for none."""
        start = block * self._length
        at = np.searchsorted(self._places, start + limit) - 1
        if not len(self._places):
            return at
        inside = (at >= 0) & (self._places[np.maximum(at, 0)] >= start)
        return np.where(inside, at, -1)

    def has_newer(self, item: Integers, read: Integers) -> Booleans:
        """Tell whether one up to this item is newer than what was read; pair by pair."""
        past, versions = self._newer.past, self._newer.versions
        source = past.accesses.source[read]
        trusted = versions.trusted[past.accesses.key[read]]
        known = self._known[item, past.clocks.chain[source]] > past.clocks.position[source]
        later = self._rank[item] > versions.rank[source]
        told: Booleans = (source < 0) | np.where(trusted, later, known)
        return told

    def newest(self, item: int, read: int) -> tuple[int, int]:
        """Give (item, write): the last one up to this item that is newer than what was read."""
        source = int(self._newer.past.accesses.source[read])
        while source >= 0 and not self._newer.than(int(self.writes[item]), source):
            item -= 1
        return item, int(self.writes[item])


def highest(table: NDArray[Whole], lead: Integers) -> NDArray[Whole]:
    """Give the running maximum of each column, begun anew where `lead` grows.

    One column at a time: tables are as large as memory allows, and this makes one like it.
    """
    shift = lead * (int(table.max(initial=0)) + 2)
    found = np.empty_like(table)
    for column in range(table.shape[1]):
        lifted = table[:, column] + shift
        np.maximum.accumulate(lifted, out=lifted)
        found[:, column] = lifted - shift
    return found
