"""Vector clocks, and vector clocks with single dots beside them.

A dot (actor, number) names one write. A vector clock {actor: number} covers all writes of an actor
up to a number. What a session or a replica has seen is not always so: a session that wrote at n1
knows that write, and not the others that n1 made before it. `Seen` is exact: a clock, and dots.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ..canonical import Json

Dot: TypeAlias = "tuple[str, int]"
"""The name of a write: who made it, and a number that rises along the actor's writes."""

Clock: TypeAlias = "Mapping[str, int]"
"""Covers an actor's writes up to a number; an actor that is absent counts as 0."""

ACTORS_LIMIT = 10_000
"""The most actors and dots that are taken from outside."""


def merged(one: Clock, other: Clock) -> dict[str, int]:
    """Give the least clock that covers what either covers."""
    both = dict(one)
    for actor, number in other.items():
        if number > both.get(actor, 0):
            both[actor] = number
    return both


def covered(one: Clock, other: Clock) -> bool:
    """Tell whether `other` covers all that `one` covers."""
    return all(number <= other.get(actor, 0) for actor, number in one.items())


@dataclass(frozen=True, slots=True)
class Seen:
    """Exactly the writes that somebody has seen. dots: those that the clock does not cover."""

    clock: Clock = field(default_factory=dict)
    dots: frozenset[Dot] = frozenset()

    def covers(self, dot: Dot) -> bool:
        """Tell whether this write was seen."""
        return dot[1] <= self.clock.get(dot[0], 0) or dot in self.dots

    def merged(self, other: Seen) -> Seen:
        """Give what either has seen."""
        clock = merged(self.clock, other.clock)
        dots = self.dots | other.dots
        return Seen(clock, frozenset(d for d in dots if d[1] > clock.get(d[0], 0)))

    def with_dot(self, dot: Dot) -> Seen:
        """Give what was seen, and this write too."""
        return self if self.covers(dot) else Seen(self.clock, self.dots | {dot})

    def up_to(self, dot: Dot) -> Seen:
        """Give what was seen, and this write and all that its actor made before it."""
        return self.merged(Seen({dot[0]: dot[1]}))

    def to_json(self) -> Json:
        """Give it as JSON, one form for equal values."""
        return {
            "clock": dict(sorted(self.clock.items())),
            "dots": [list(dot) for dot in sorted(self.dots)],
        }

    @classmethod
    def from_json(cls, value: Json) -> Seen:
        """Read it. Raises: ValueError when it is something else."""
        match value:
            case {"clock": dict() as clock, "dots": list() as dots} if (
                len(clock) + len(dots) <= ACTORS_LIMIT
            ):
                return cls(clock_from(clock), frozenset(dot_from(dot) for dot in dots))
            case _:
                message = "what was seen is an object of a clock and dots"
                raise ValueError(message)


NOTHING = Seen()


def clock_from(value: Json) -> dict[str, int]:
    """Read a vector clock. Raises: ValueError when it is something else."""
    if isinstance(value, Mapping) and len(value) <= ACTORS_LIMIT:
        clock = {str(actor): number for actor, number in value.items() if is_natural(number)}
        if len(clock) == len(value):
            return clock  # type: ignore[return-value]
    message = "a vector clock is an object of natural numbers"
    raise ValueError(message)


def dot_from(value: Json) -> Dot:
    """Read a dot. Raises: ValueError when it is something else."""
    match value:
        case [str(actor), number] if is_natural(number):
            return actor, number  # type: ignore[return-value]
        case _:
            message = "a dot is a name and a natural number"
            raise ValueError(message)


def is_natural(value: object) -> bool:
    """Tell whether a value is a whole number from 0 on that fits 64 bits."""
    return type(value) is int and 0 <= value < 1 << 63
