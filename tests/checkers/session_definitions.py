"""The session guarantees, regularity and staleness by their definitions, as slow as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from math import inf
from typing import Any

from splitbrain.core.operation import Operation, Outcome


class World:
    """Who read from whom, who came before whom; nothing is assumed to be fast."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        usable = [
            o
            for o in operations
            if (o.outcome is Outcome.OK and o.applied)
            or (o.outcome is Outcome.INFO and o.f != "read")
        ]
        # What is unknown happened if somebody who counts saw it.
        counted = [o for o in usable if o.outcome is Outcome.OK]
        while True:
            more = [
                o
                for o in usable
                if o not in counted
                and any(reads(r) and r.key == o.key and read(r) == written(o) for r in counted)
            ]
            if not more:
                break
            counted += more
        self.rows = sorted(counted, key=lambda o: o.invoke_index)
        n = len(self.rows)
        self.thin = False
        self.source: dict[int, int | None] = {}
        for i, o in enumerate(self.rows):
            if reads(o):
                found = [
                    j
                    for j, w in enumerate(self.rows)
                    if writes(w) and w.key == o.key and written(w) == read(o)
                ]
                assert len(found) <= 1
                self.thin |= not found and read(o) is not None
                self.source[i] = found[0] if found else None
        self.before = [
            [self.po(i, j) or self.source.get(j) == i for j in range(n)] for i in range(n)
        ]
        for k in range(n):
            for i in range(n):
                for j in range(n):
                    self.before[i][j] |= self.before[i][k] and self.before[k][j]
        self.cyclic = any(self.before[i][i] for i in range(n))

    def po(self, i: int, j: int) -> bool:
        a, b = self.rows[i], self.rows[j]
        known = a.outcome is Outcome.OK
        return known and a.session == b.session and a.invoke_index < b.invoke_index

    def versioned(self, key: Any) -> bool:
        """Whether the versions of this key tell the truth."""
        setters = [(w.version, j) for j, w in enumerate(self.rows) if writes(w) and w.key == key]
        if any(version is None for version, _ in setters):
            return False
        if len({version for version, _ in setters}) < len(setters):
            return False
        for i, source in self.source.items():
            o = self.rows[i]
            if o.key != key or o.version is None:
                continue
            up_to = [
                (v, j) for v, j in setters if v < o.version or (v == o.version and not writes(o))
            ]
            if (max(up_to)[1] if up_to else None) != source:
                return False
        return True

    def newer(self, write: int, other: int | None) -> bool:
        """Whether one write is newer than another, or than the initial value."""
        if other is None:
            return True
        if self.versioned(self.rows[write].key):
            return self.rows[write].version > self.rows[other].version
        return self.before[other][write]

    def pairs(self) -> list[tuple[int, int]]:
        """Reads, each with a write of its key that is newer than what it returned."""
        return [
            (r, w)
            for r, source in self.source.items()
            for w, o in enumerate(self.rows)
            if writes(o) and o.key == self.rows[r].key and w != r and self.newer(w, source)
        ]


def reads(o: Operation) -> bool:
    return o.f in ("read", "cas")


def writes(o: Operation) -> bool:
    return o.f in ("write", "cas")


def read(o: Operation) -> Any:
    return o.result if o.f == "read" else o.argument[0]


def written(o: Operation) -> Any:
    return None if o.f == "read" else o.argument if o.f == "write" else o.argument[1]


def read_your_writes(world: World) -> bool:
    return not any(world.po(w, r) for r, w in world.pairs())


def monotonic_reads(world: World) -> bool:
    return not any(
        world.po(earlier, r)
        for r, w in world.pairs()
        for earlier, s in world.source.items()
        if s == w
    )


def monotonic_writes(world: World) -> bool:
    return not any(
        world.po(through, r) and w3 is not None and world.po(w, w3)
        for r, w in world.pairs()
        for through, w3 in world.source.items()
    )


def writes_follow_reads(world: World) -> bool:
    return not any(
        world.po(through, r) and w3 is not None and s == w and world.po(by, w3)
        for r, w in world.pairs()
        for through, w3 in world.source.items()
        for by, s in world.source.items()
    )


def regular(world: World) -> bool:
    """Each read returns what was last there before it began, or what was written at its time."""
    for r, source in world.source.items():
        reader = world.rows[r]
        if source is not None and _precedes(reader, world.rows[source]):
            return False
        for w in world.rows:
            if not writes(w) or w.key != reader.key or not _precedes(w, reader):
                continue
            if source is None or _precedes(world.rows[source], w):
                return False
    return True


def _precedes(a: Operation, b: Operation) -> bool:
    known = a.outcome is Outcome.OK and a.complete_index is not None
    return known and a.complete_index < b.invoke_index


def orders(world: World, key: Any, spans: dict[int, tuple[float, float]]) -> Iterator[list[int]]:
    """Give every order of the operations of a key that agrees with when they were."""
    inside = [
        i for i, o in enumerate(world.rows) if o.key == key and o.f in ("read", "write", "cas")
    ]
    for order in permutations(inside):
        if not any(spans[b][1] < spans[a][0] for n, a in enumerate(order) for b in order[n + 1 :]):
            yield list(order)


def places(world: World) -> dict[int, tuple[float, float]]:
    return {
        i: (o.invoke_index, o.complete_index if o.outcome is Outcome.OK else inf)
        for i, o in enumerate(world.rows)
    }


def times(world: World, delta_ns: int) -> dict[int, tuple[float, float]]:
    """When operations were, had each read begun earlier."""
    return {
        i: (
            o.start_ns - (delta_ns if o.f == "read" else 0),
            o.end_ns if o.outcome is Outcome.OK else inf,
        )
        for i, o in enumerate(world.rows)
    }


def worst_rank(world: World, order: list[int]) -> float:
    """Of how many last writes the reads of an order return one; infinite if it is none at all."""
    worst = 1.0
    for place, r in enumerate(order):
        if world.rows[r].f != "read":
            continue
        before = [w for w in order[:place] if writes(world.rows[w])]
        source = world.source[r]
        if source is not None and source not in before:
            return inf
        newer = len(before) if source is None else len(before) - 1 - before.index(source)
        worst = max(worst, 1 + newer)
    return worst


def smallest_k(world: World, spans: dict[int, tuple[float, float]]) -> float:
    keys = {o.key for o in world.rows}
    return max(min(worst_rank(world, order) for order in orders(world, key, spans)) for key in keys)
