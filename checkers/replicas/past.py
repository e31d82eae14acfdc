"""Which writes the versions of a cell hold or replaced, in one step or over several."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from splitbrain.checkers.replicas.trace import Acked
from splitbrain.checkers.replicas.version import Cell, Dot, Seen


@dataclass(frozen=True, slots=True)
class Contexts:
    """What the writers of one key had seen. by_actor: numbers in their order, each with it."""

    by_actor: Mapping[str, tuple[Sequence[int], Sequence[Seen]]]

    @classmethod
    def of(cls, writes: Iterable[Acked]) -> Contexts:
        """Sort the writes of a key."""
        found: dict[str, tuple[list[int], list[Seen]]] = {}
        for write in sorted(writes, key=lambda write: write.dot):
            numbers, contexts = found.setdefault(write.dot[0], ([], []))
            numbers.append(write.dot[1])
            contexts.append(write.context)
        return cls(found)

    def between(self, actor: str, above: int, last: int) -> Sequence[Seen]:
        """Give the contexts of an actor's writes above one number, up to another."""
        numbers, contexts = self.by_actor.get(actor, ((), ()))
        return contexts[bisect_right(numbers, above) : bisect_right(numbers, last)]


@dataclass(slots=True)
class Past:
    """The writes that are held, or that the writer of one in here had seen."""

    clock: dict[str, int] = field(default_factory=dict)
    dots: set[Dot] = field(default_factory=set)

    @classmethod
    def of(cls, cell: Cell, contexts: Contexts) -> Past:
        """Follow the versions of a cell back, through the contexts of acknowledged writes."""
        past = cls()
        due = [Seen({}, frozenset(version.dot for version in cell.versions))]
        due += [version.context for version in cell.versions]
        while due:
            due += past._take(due.pop(), contexts)
        return past

    def covers(self, dot: Dot) -> bool:
        """Tell whether a write is in here."""
        return dot in self.dots or self.clock.get(dot[0], 0) >= dot[1]

    def _take(self, seen: Seen, contexts: Contexts) -> list[Seen]:
        """Add what was seen, and give what the writers of that had seen."""
        found: list[Seen] = []
        for actor, number in seen.clock.items():
            before = self.clock.get(actor, 0)
            if number > before:
                self.clock[actor] = number
                found += contexts.between(actor, before, number)
        for dot in seen.dots - self.dots:
            self.dots.add(dot)
            found += contexts.between(dot[0], dot[1] - 1, dot[1])
        return found
