"""What a session must see of others: with a write, what its writer had written and read before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from splitbrain.checkers.sessions.newer import Newer, Prefixes, highest
from splitbrain.checkers.sessions.own import Missed, block_of
from splitbrain.core.columns import Integers

_CHUNK = 2**16


def missed_earlier_writes(newer: Newer) -> list[Missed]:
    """Give the reads that miss what the writer of something seen before had written before it."""
    accesses = newer.past.accesses
    made = np.flatnonzero(accesses.writes & ~newer.past.program.aside)
    return [
        Missed(read=read, write=write, by=(told, through))
        for read, write, _, told, through in _missed(newer, made, made)
    ]


def missed_causes(newer: Newer) -> list[Missed]:
    """Give the reads that miss what the writer of something seen before had read before it."""
    accesses = newer.past.accesses
    made = np.flatnonzero((accesses.source >= 0) & ~newer.past.program.aside)
    return [
        Missed(read=read, write=write, by=(by, told, through))
        for read, write, by, told, through in _missed(newer, made, accesses.source[made])
    ]


def _missed(
    newer: Newer, made: Integers, writes: Integers
) -> Iterator[tuple[int, int, int, int, int]]:
    """Give (read, write, by, told, through).

    `by`, an entry among `made`, tells of the write; its session wrote `told` after it, and the
    session of the read saw that in `through`.
    """
    accesses, program = newer.past.accesses, newer.past.program
    block = block_of(accesses, accesses.session[made], accesses.key[made])
    prefixes = Prefixes(newer, writes, block, program.position[made])
    order = np.argsort(block * program.length + program.position[made], kind="stable")
    seen = _Seen(newer)
    reads = np.flatnonzero(accesses.reads)
    reads = reads[np.argsort(accesses.key[reads], kind="stable")]
    done: set[int] = set()
    for start in range(0, len(reads), _CHUNK):
        part = reads[start : start + _CHUNK]
        reach = seen.before(part)
        for session in range(accesses.session_count):
            some = np.flatnonzero(reach[:, session] > 0)
            item = prefixes.last(
                block_of(accesses, session, accesses.key[part[some]]), reach[some, session]
            )
            read, item = part[some[item >= 0]], item[item >= 0]
            stale = prefixes.has_newer(item, read)
            for entry, at in zip(read[stale].tolist(), item[stale].tolist(), strict=True):
                if entry in done:
                    continue
                done.add(entry)
                place, write = prefixes.newest(at, entry)
                by = int(made[order[place]])
                yield (entry, write, by, *seen.told(entry, by))


class _Seen:
    """How much of each session another one must have seen, by what it read directly.

    Who saw a write may be told of all that its session did before it.
    """

    def __init__(self, newer: Newer) -> None:
        accesses, program = newer.past.accesses, newer.past.program
        self._accesses, self._program = accesses, program
        order = program.order
        readers = order[accesses.source[order] >= 0]
        source = accesses.source[readers]
        table = np.zeros((len(readers), accesses.session_count), np.int32)
        table[np.arange(len(readers)), accesses.session[source]] = program.position[source]
        session = accesses.session[readers]
        self._readers = readers
        self._places = session * program.length + program.position[readers]
        self._reach = highest(table, session)

    def before(self, reads: Integers) -> Integers:
        """Give, for each read and session, how many of its operations come before what was seen."""
        start = self._accesses.session[reads] * self._program.length
        at = np.searchsorted(self._places, start + self._program.position[reads]) - 1
        found = np.zeros((len(reads), self._accesses.session_count), np.int64)
        if len(self._places):
            inside = np.flatnonzero((at >= 0) & (self._places[np.maximum(at, 0)] >= start))
            found[inside] = self._reach[at[inside]]
        return found

    def told(self, read: int, by: int) -> tuple[int, int]:
        """Give (write, reader): what was seen before `read` of the session of `by`, after `by`."""
        accesses, program = self._accesses, self._program
        start = int(accesses.session[read]) * program.length
        low = int(np.searchsorted(self._places, start))
        high = int(np.searchsorted(self._places, start + int(program.position[read])))
        readers = self._readers[low:high]
        source = accesses.source[readers]
        fits = accesses.session[source] == accesses.session[by]
        fits &= program.position[source] > program.position[by]
        reader = int(readers[np.flatnonzero(fits)[-1]])
        return int(accesses.source[reader]), reader
