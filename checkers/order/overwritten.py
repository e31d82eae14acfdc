"""Finds, for every read, the writes of its key in its past that its own source does not follow.

Of each chain the last such write is enough: those before it in the chain come before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.order.accesses import Accesses
from splitbrain.checkers.order.clocks import Clocks
from splitbrain.core.columns import Integers

_CHUNK = 2**15
"""How many reads are looked at at once: what they know should fit into the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwriters:
    """Pairs: an entry that read, and a write of its key in its past but not in its source's.

    stale: pairs whose write comes after the source, or whose source is the initial value.
    """

    read: Integers
    write: Integers
    stale: Integers

    @property
    def concurrent(self) -> tuple[Integers, Integers]:
        """The pairs (read, write) whose write and source do not know each other."""
        keep = np.ones(len(self.read), np.bool_)
        keep[self.stale] = False
        return self.read[keep], self.write[keep]


def overwriters(accesses: Accesses, clocks: Clocks, reads: Integers) -> Overwriters:
    """Give the pairs for these entries, all of which have a source."""
    blocks = _Blocks(accesses, clocks)
    by_key = reads[np.argsort(accesses.key[reads], kind="stable")]
    found = [pair for part in _chunks(by_key) for pair in blocks.pairs(part)]
    read = np.concatenate([pair[0] for pair in found] or [np.zeros(0, np.int64)])
    write = np.concatenate([pair[1] for pair in found] or [np.zeros(0, np.int64)])
    source = accesses.source[read]
    stale = source < 0
    known = np.flatnonzero(~stale)
    stale[known] = clocks.knows(write[known], source[known])
    return Overwriters(read=read, write=write, stale=np.flatnonzero(stale))


class _Blocks:
    """The writes by key, chain and position."""

    def __init__(self, accesses: Accesses, clocks: Clocks) -> None:
        self._accesses, self._clocks = accesses, clocks
        self._length = int(clocks.position.max()) + 2 if len(accesses) else 1
        writes = np.flatnonzero(accesses.writes)
        place = self._place(accesses.key[writes], clocks.chain[writes], clocks.position[writes])
        order = np.argsort(place, kind="stable")
        self._writes, self._places = writes[order], place[order]

    def _place(self, key: Integers, chain: Integers | int, position: Integers | int) -> Integers:
        return (key * self._clocks.chain_count + chain) * self._length + position

    def pairs(self, reads: Integers) -> Iterator[tuple[Integers, Integers]]:
        """Give pairs (reads, writes), chain by chain."""
        if not len(self._writes):
            return
        clocks = self._clocks
        known = clocks.of(reads)
        source = self._accesses.source[reads]
        behind = np.flatnonzero(source >= 0)
        floor = np.zeros_like(known)
        floor[behind] = clocks.of(source[behind])
        floor[behind, clocks.chain[source[behind]]] += 1
        key = self._accesses.key[reads]
        by_chain = zip(np.ascontiguousarray(known.T), np.ascontiguousarray(floor.T), strict=True)
        for chain, (knows, low) in enumerate(by_chain):
            news = np.flatnonzero(knows > low)
            start = self._place(key[news], chain, 0)
            at = np.searchsorted(self._places, start + knows[news]) - 1
            hit = self._places[at] >= start + low[news]
            hit &= at >= 0
            yield reads[news[hit]], self._writes[at[hit]]


def _chunks(entries: Integers) -> Iterator[Integers]:
    for start in range(0, len(entries), _CHUNK):
        yield entries[start : start + _CHUNK]
