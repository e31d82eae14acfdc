"""Each key by itself: whether one order of its operations explains what all sessions saw of it.

In such an order a write and all that read it stand together (Gibbons and Korach 1997), and so do
all writes that compare-and-sets chain to each other. What stands together is a block; the sessions
order the blocks, and each key is in order if and only if no circle comes of that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.order.accesses import Accesses
from splitbrain.checkers.order.case import SHOWN_OF_EACH, Case, Found
from splitbrain.checkers.order.cycles import Edges, knots, shortest_cycle
from splitbrain.checkers.order.past import Past
from splitbrain.core.columns import Integers
from splitbrain.core.verdict import Anomaly


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """What stands together. A value is named by the entry that wrote it; initial ones come behind.

    block: of each value, the value its chain of compare-and-sets begins with; depth: how far behind
    that it stands. seen, left: of each entry, the value it found and the value it left.
    """

    block: Integers
    depth: Integers
    seen: Integers
    left: Integers


def blocks(accesses: Accesses) -> Blocks:
    """Put values into blocks; compare-and-sets must not take each other's in a circle."""
    count = len(accesses)
    keys = int(accesses.key.max()) + 1 if count else 0
    entries = np.arange(count)
    source = np.where(accesses.source == -1, count + accesses.key, accesses.source)
    seen = np.where(accesses.source >= -1, source, entries)
    left = np.where(accesses.writes, entries, seen)
    before = np.arange(count + keys)
    chained = accesses.writes & accesses.reads
    before[:count][chained] = seen[chained]
    depth = (before != np.arange(count + keys)).astype(np.int64)
    while True:
        further = before[before]
        if (further == before).all():
            return Blocks(block=before, depth=depth, seen=seen, left=left)
        depth += depth[before]
        before = further


def incoherent(case: Case, past: Past, found: Found) -> None:
    """Add what no order of a single key explains."""
    accesses = case.accesses
    _double(case, found)
    if found:
        return
    joined = blocks(accesses)
    first, second = _steps(past)
    out, into = joined.left[first], joined.seen[second]
    same = joined.block[out] == joined.block[into]
    wrong = np.flatnonzero(same & (joined.depth[out] > joined.depth[into]))
    told = [
        _told(case, joined, [(int(first[row]), int(second[row]))])
        for row in wrong[:SHOWN_OF_EACH].tolist()
    ]
    found.add(told, len(wrong))
    if found:
        return
    apart = np.flatnonzero(~same)
    tail, head = joined.block[out[apart]], joined.block[into[apart]]
    initial = len(accesses) + accesses.key[second[apart]]
    late = np.flatnonzero(head == initial)
    edges = Edges.joined((tail, head, 1), (initial[late], tail[late], 1))
    for knot in knots(edges)[:SHOWN_OF_EACH]:
        circle = shortest_cycle(knot)
        steps = []
        for before, after in zip(circle, [*circle[1:], circle[0]], strict=True):
            rows = apart[np.flatnonzero((tail == before) & (head == after))]
            if len(rows):  # that what was there first comes first needs no telling
                steps.append((int(first[rows[0]]), int(second[rows[0]])))
        found.add([_told(case, joined, steps)])


def _steps(past: Past) -> tuple[Integers, Integers]:
    """Give pairs of entries of one key that follow each other in a session."""
    accesses, program = past.accesses, past.program
    block = accesses.key * accesses.session_count + accesses.session
    rank = program.position * 2 + ~program.aside
    order = np.lexsort((rank, block))
    main = np.flatnonzero(~program.aside[order])
    at = np.searchsorted(main, np.arange(len(order))) - 1
    place = np.flatnonzero(at >= 0)
    first, second = order[main[at[place]]], order[place]
    same = block[first] == block[second]
    return first[same], second[same]


def _double(case: Case, found: Found) -> None:
    """Two compare-and-sets that took the same value, which was there only once."""
    accesses = case.accesses
    takers = np.flatnonzero(accesses.writes & accesses.reads)
    taken = np.where(
        accesses.source[takers] >= 0, accesses.source[takers], -1 - accesses.key[takers]
    )
    order = np.argsort(taken, kind="stable")
    twice = np.flatnonzero(taken[order][1:] == taken[order][:-1])
    anomalies = []
    for row in twice[:SHOWN_OF_EACH].tolist():
        pair = [int(takers[order[row]]), int(takers[order[row + 1]])]
        source = [int(accesses.source[pair[0]])] if accesses.source[pair[0]] >= 0 else []
        anomalies.append(
            Anomaly(
                name="double-cas",
                explanation=f"{case.told(pair[0])} and {case.told(pair[1])}: both found the same "
                "value, which was there only once",
                operations=case.operations([*source, *pair]),
            )
        )
    found.add(anomalies, len(twice))


def _told(case: Case, joined: Blocks, steps: list[tuple[int, int]]) -> Anomaly:
    """Tell of steps, each of which a session took, that cannot all be in one order."""
    values = {int(joined.left[a]) for a, _ in steps} | {int(joined.seen[b]) for _, b in steps}
    entries = {entry for step in steps for entry in step}
    for value in values:
        entries |= _chain(case.accesses, joined, value)
    sentences = [f"{case.told(a)} before {case.told(b)} in one session" for a, b in steps]
    chained = case.accesses.writes[sorted(entries)] & case.accesses.reads[sorted(entries)]
    because = ", and nothing can come between a value and the compare-and-set that took it"
    return Anomaly(
        name="cyclic-coherence",
        explanation="no order of the operations of this key explains that "
        + "; and that ".join(sentences)
        + because * bool(chained.any()),
        operations=case.operations(entries),
    )


def _chain(accesses: Accesses, joined: Blocks, value: int) -> set[int]:
    """Give the writes that lead to a value from the beginning of its block."""
    found = set()
    while value < len(accesses):
        found.add(value)
        if not accesses.reads[value]:
            break
        value = int(joined.seen[value])
    return found
