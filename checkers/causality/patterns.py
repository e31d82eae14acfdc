"""What must not be in a causally consistent history, pattern by pattern.

Bouajjani, Enea, Guerraoui and Hamza, "On verifying causal consistency", POPL 2017: a history of
unique values is causally consistent (CC), convergent (CCv) or causal memory (CM) if and only if it
has none of the bad patterns of that model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from splitbrain.checkers.causality.story import story
from splitbrain.checkers.linearizability.phrases import shown
from splitbrain.checkers.order.case import SHOWN_OF_EACH, Case, Found
from splitbrain.checkers.order.cycles import Edges, knots, shortest_cycle, suspicious
from splitbrain.checkers.order.overwritten import Overwriters
from splitbrain.checkers.order.past import Past, hints
from splitbrain.core.columns import Integers
from splitbrain.core.verdict import Anomaly

_TRIED = 100
"""Of how many anomalies of a name the shortest are shown."""


def cyclic_order(case: Case, past: Past) -> list[Anomaly]:
    """CyclicCO: operations that come after each other."""
    rank = _rank(case)
    edges = _causal_edges(case, past)
    anomalies = []
    for knot in knots(suspicious(edges, rank))[:SHOWN_OF_EACH]:
        circle = _turned(case, corners(past, shortest_cycle(knot)))
        told = story(case, [*circle, circle[0]])
        anomalies.append(
            Anomaly(
                name="cyclic-co",
                explanation=f"operations come before themselves: {told}",
                operations=case.operations(circle),
            )
        )
    return anomalies


def overwritten_reads(case: Case, past: Past, found: Overwriters) -> list[Anomaly]:
    """WriteCOInitRead and WriteCORead: reads of what was overwritten in their own past."""
    pairs = found.stale
    _, first = np.unique(found.read[pairs], return_index=True)
    shortest = sorted(
        (_overwritten(case, past, int(found.read[row]), int(found.write[row])))
        for row in pairs[np.sort(first)[:_TRIED]].tolist()
    )
    return [item.anomaly(case) for item in shortest]


def add_overwritten(case: Case, past: Past, seen: Overwriters, found: Found) -> None:
    """Add these reads by name, and count them."""
    every = overwritten_reads(case, past, seen)
    readers = seen.read[seen.stale]
    initial = case.accesses.source[readers] < 0
    for name, mask in (("write-co-init-read", initial), ("write-co-read", ~initial)):
        own = [item for item in every if item.name == name]
        found.add(own, len(np.unique(readers[mask])))


class _Overwritten:
    """A read, what it should have seen, and how that came before it."""

    __slots__ = ("before", "read", "since", "write")

    def __init__(self, read: int, write: int, since: list[int], before: list[int]) -> None:
        self.read, self.write, self.since, self.before = read, write, since, before

    def __lt__(self, other: _Overwritten) -> bool:
        return self._size() < other._size()

    def _size(self) -> tuple[int, int]:
        return len({*self.since, *self.before}), self.read

    def anomaly(self, case: Case) -> Anomaly:
        entries = [*self.since, *self.before]
        how = story(case, self.before)
        if not self.since:
            return Anomaly(
                name="write-co-init-read",
                explanation=f"{case.told(self.read)}{saw(case, self.read)}, the initial value, "
                f"although it comes after {case.named(self.write)}: {how}",
                operations=case.operations(entries),
            )
        return Anomaly(
            name="write-co-read",
            explanation=f"{case.told(self.read)}{saw(case, self.read)}, although that had been "
            f"overwritten by {case.named(self.write)}, of which it knew: "
            f"{story(case, self.since)}; and {how}",
            operations=case.operations(entries),
        )


def _overwritten(case: Case, past: Past, read: int, write: int) -> _Overwritten:
    source = int(case.accesses.source[read])
    since = past.path(source, write) if source >= 0 else []
    return _Overwritten(read, write, since, past.path(write, read))


def saw(case: Case, entry: int) -> str:
    """Add what a compare-and-set saw; of a read it is told already."""
    operation = case.accesses.operation(entry)
    if operation.f == "cas" and operation.applied and isinstance(operation.argument, list):
        return f", and so found {shown(operation.argument[0])}"
    return ""


def conflicting_orders(case: Case, past: Past, found: Overwriters) -> list[Anomaly]:
    """CyclicCF: no single order of the writes of all keys agrees with what was read.

    A write that a read knew, and did not return, must be ordered before the one it returned.
    """
    read, write = found.concurrent
    if not len(read):
        return []
    edges = _causal_edges(case, past, (write, case.accesses.source[read]))
    anomalies = []
    for knot in knots(suspicious(edges, _rank(case)))[:SHOWN_OF_EACH]:
        circle = shortest_cycle(knot)
        anomalies.append(_told_conflict(case, past, circle, (read, write)))
    return anomalies


def _told_conflict(
    case: Case, past: Past, circle: Sequence[int], pairs: tuple[Integers, Integers]
) -> Anomaly:
    entries: set[int] = set()
    sentences = []
    turning = corners(past, circle)
    for before, after in zip(turning, [*turning[1:], turning[0]], strict=True):
        if past.clocks.comes_after(after, before):
            path = past.path(before, after)
            sentences.append(story(case, path))
        else:
            reader = witness(case, past, before, after, pairs)
            path = past.path(before, reader)
            sentences.append(
                f"{case.named(before)} must stand before {case.named(after)}, since "
                f"{case.told(reader)}{saw(case, reader)} and yet knew of the former: "
                f"{story(case, path)}"
            )
        entries |= {before, after, *path}
    return Anomaly(
        name="cyclic-cf",
        explanation="no order of all writes agrees with what was read: " + "; ".join(sentences),
        operations=case.operations(entries),
    )


def witness(
    case: Case, past: Past, before: int, after: int, pairs: tuple[Integers, Integers]
) -> int:
    """Give a read of `after` that knew `before`: the one that is told in the fewest steps."""
    read, write = pairs
    rows = np.flatnonzero((write == before) & (case.accesses.source[read] == after))
    readers: list[int] = read[rows[:_TRIED]].tolist()
    return min(readers, key=lambda reader: (len(past.path(before, reader)), reader))


def corners(past: Past, circle: Sequence[int]) -> list[int]:
    """Leave out of a circle what only passes program order on."""
    previous = past.program.previous
    source = past.accesses.source
    size = len(circle)
    kept = []
    for number, entry in enumerate(circle):
        before, after = circle[number - 1], circle[(number + 1) % size]
        passes = int(previous[entry]) == before and int(previous[after]) == entry
        if not passes or int(source[entry]) == before or int(source[after]) == entry:
            kept.append(entry)
    return kept or list(circle)


def _turned(case: Case, circle: list[int]) -> list[int]:
    """Begin a circle with the operation that was invoked first."""
    start = circle.index(min(circle, key=lambda entry: int(case.accesses.row[entry])))
    return circle[start:] + circle[:start]


def _causal_edges(case: Case, past: Past, more: tuple[Integers, Integers] | None = None) -> Edges:
    """Give the edges of causal order, and more (tails, heads)."""
    previous = past.program.previous
    follows = np.flatnonzero(previous >= 0)
    target = np.flatnonzero(case.accesses.source >= 0)
    parts = [(previous[follows], follows, 0), (case.accesses.source[target], target, 1)]
    if more is not None:
        parts.append((more[0], more[1], 2))
    return Edges.joined(*parts)


def _rank(case: Case) -> Integers:
    """Number the entries so that most edges of causal order go up."""
    rank = np.empty(len(case.accesses), np.int64)
    rank[np.argsort(hints(case.accesses), kind="stable")] = np.arange(len(rank))
    return rank
