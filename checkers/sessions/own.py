"""What a session must not forget: what it wrote itself, and what it has seen itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.order.accesses import Accesses
from splitbrain.checkers.sessions.newer import Newer, Prefixes
from splitbrain.core.columns import Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A read, and a newer write of its key that it should have seen. by: how that is known."""

    read: int
    write: int
    by: tuple[int, ...] = ()


def missed_own_writes(newer: Newer) -> list[Missed]:
    """Give the reads of what is older than what their session wrote before."""
    accesses = newer.past.accesses
    mine = np.flatnonzero(accesses.writes & ~newer.past.program.aside)
    found = _missed(newer, mine, mine)
    return [Missed(read=read, write=write) for read, write, _ in found]


def missed_seen_writes(newer: Newer) -> list[Missed]:
    """Give the reads of what is older than what their session read before."""
    accesses = newer.past.accesses
    mine = np.flatnonzero((accesses.source >= 0) & ~newer.past.program.aside)
    found = _missed(newer, mine, accesses.source[mine])
    return [Missed(read=read, write=write, by=(by,)) for read, write, by in found]


def _missed(newer: Newer, mine: Integers, writes: Integers) -> list[tuple[int, int, int]]:
    """Give (read, write, by): `by` is the entry among `mine` that tells of the write."""
    accesses, program = newer.past.accesses, newer.past.program
    block = block_of(accesses, accesses.session[mine], accesses.key[mine])
    prefixes = Prefixes(newer, writes, block, program.position[mine])
    order = np.argsort(block * program.length + program.position[mine], kind="stable")
    reads = np.flatnonzero(accesses.reads)
    item = prefixes.last(
        block_of(accesses, accesses.session[reads], accesses.key[reads]), program.position[reads]
    )
    reads, item = reads[item >= 0], item[item >= 0]
    stale = prefixes.has_newer(item, reads)
    result = []
    for read, at in zip(reads[stale].tolist(), item[stale].tolist(), strict=True):
        place, write = prefixes.newest(at, read)
        result.append((read, write, int(mine[order[place]])))
    return result


def block_of(accesses: Accesses, session: Integers | int, key: Integers) -> Integers:
    """Give one number for a session and a key."""
    found: Integers = key * accesses.session_count + session
    return found
