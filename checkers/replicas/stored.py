"""What a node made durable of one place, along its trace, so that questions are answered fast.

A question is whether a write was kept before a record: held, or seen and overwritten, or outranked.
Of each of the three the first record that says so is known, or found among those where a maximum
rose.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from splitbrain.checkers.replicas.version import Dot, Seen

Rank = tuple[int, str, int]
T = TypeVar("T", int, Rank)


@dataclass(frozen=True, slots=True)
class Stored:
    """A cell became durable. at: its place in the node's trace."""

    at: int
    seen: Seen
    ranks: tuple[Rank, ...]

    def keeps(self, dot: Dot, stamp: int, keeps_one: bool | None) -> bool:
        """Tell whether a write is in it: held, or seen and overwritten, or outranked.

        keeps_one: None where nobody says of which kind the cell is; then either may be.
        """
        if any(rank[1:] == dot for rank in self.ranks):
            return True
        if keeps_one is not False and any(rank > (stamp, *dot) for rank in self.ranks):
            return True
        return keeps_one is not True and self.seen.covers(dot)


@dataclass(slots=True)
class Rising(Generic[T]):
    """A maximum along a trace: where it rose, and to what."""

    at: list[int] = field(default_factory=list)
    values: list[T] = field(default_factory=list)

    def add(self, at: int, value: T) -> None:
        """Take the value of a record; records come in their order."""
        if not self.values or value > self.values[-1]:
            self.at.append(at)
            self.values.append(value)

    def before(self, at: int | None) -> T | None:
        """Give the maximum before a record, or at the end; None where there was none yet."""
        count = len(self.at) if at is None else bisect_left(self.at, at)
        return self.values[count - 1] if count else None


@dataclass(slots=True)
class Kept:
    """All cells of one place that a node made durable.

    first, last: where a version was first and last held. dots: where a single write was first seen.
    """

    cells: list[Stored] = field(default_factory=list)
    first: dict[Dot, int] = field(default_factory=dict)
    last: dict[Dot, int] = field(default_factory=dict)
    dots: dict[Dot, int] = field(default_factory=dict)
    ranks: Rising[Rank] = field(default_factory=Rising)
    clock: dict[str, Rising[int]] = field(default_factory=dict)

    def add(self, stored: Stored) -> None:
        """Take the next cell."""
        at = stored.at
        self.cells.append(stored)
        for rank in stored.ranks:
            dot = rank[1:]
            self.first.setdefault(dot, at)
            self.last[dot] = at
            self.ranks.add(at, rank)
        for actor, number in stored.seen.clock.items():
            if actor not in self.clock:
                self.clock[actor] = Rising()
            self.clock[actor].add(at, number)
        for dot in stored.seen.dots:
            self.dots.setdefault(dot, at)

    def keeps(self, dot: Dot, stamp: int, before: int | None, keeps_one: bool | None) -> bool:
        """Tell whether a cell kept a write before a record, or ever."""
        if _is_before(self.first.get(dot), before):
            return True
        if keeps_one is not False:
            rank = self.ranks.before(before)
            if rank is not None and rank > (stamp, *dot):
                return True
        if keeps_one is True:
            return False
        return self._covers(dot, before)

    def _covers(self, dot: Dot, before: int | None) -> bool:
        if _is_before(self.dots.get(dot), before):
            return True
        rising = self.clock.get(dot[0])
        number = None if rising is None else rising.before(before)
        return number is not None and number >= dot[1]

    def buried(self, dot: Dot, stamp: int, burials: Iterable[int], keeps_one: bool | None) -> bool:
        """Tell whether a burial dropped a cell that kept a write, which never came back."""
        last = self.last.get(dot, -1)
        for at in burials:
            count = bisect_left(self.cells, at, key=lambda stored: stored.at)
            if count and last < at and self.cells[count - 1].keeps(dot, stamp, keeps_one):
                return True
        return False


def _is_before(at: int | None, before: int | None) -> bool:
    return at is not None and (before is None or at < before)
