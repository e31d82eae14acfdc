"""Versions, cells, and who has seen what: as they stand in dumps and traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splitbrain.core.value import Value, canonical

Dot = tuple[str, int]
"""The name of one write: who made it, and its number there."""


class NoEvidenceError(Exception):
    """A piece of evidence is not in its format; the message says how, on one line."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Which writes somebody has seen: all of an actor's up to a number, and single ones."""

    clock: Mapping[str, int]
    dots: frozenset[Dot]

    def covers(self, dot: Dot) -> bool:
        """Tell whether a write was seen."""
        return self.clock.get(dot[0], 0) >= dot[1] or dot in self.dots

    def same(self, other: Seen) -> bool:
        """Tell whether two saw the same, however that is written down."""
        names = set(self.clock) | set(other.clock)
        equal = all(self.clock.get(name, 0) == other.clock.get(name, 0) for name in names)
        return equal and self.beyond() == other.beyond()

    def beyond(self) -> frozenset[Dot]:
        """Give the single writes that the clock does not cover."""
        return frozenset(dot for dot in self.dots if self.clock.get(dot[0], 0) < dot[1])


@dataclass(frozen=True, slots=True)
class Version:
    """One write, as a replica holds it."""

    dot: Dot
    stamp: int
    context: Seen
    value: Value
    deleted: bool

    @property
    def rank(self) -> tuple[int, str, int]:
        """Give what the greatest version is chosen by, where a cell holds one."""
        return (self.stamp, *self.dot)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one replica holds of one key. keeps_one: only the version of the highest rank."""

    node: str
    level: str
    key: Value
    conflict: str | None
    replicas: tuple[str, ...]
    seen: Seen
    versions: tuple[Version, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Give level and key: the name of a cell in the whole cluster."""
        return self.level, canonical(self.key)

    @property
    def keeps_one(self) -> bool:
        """Tell whether a cell of its kind keeps one version alone."""
        return self.conflict not in ("siblings", "merge")


def dot_of(value: object) -> Dot:
    """Read the name of a write.

    Raises: NoEvidenceError.
    """
    if isinstance(value, list) and len(value) == 2:
        actor, number = value
        if isinstance(actor, str) and _is_natural(number):
            return actor, number
    message = f"{_shown(value)} is no dot"
    raise NoEvidenceError(message)


def seen_of(value: object) -> Seen:
    """Read what was seen.

    Raises: NoEvidenceError.
    """
    fields = value if isinstance(value, dict) else {}
    clock, dots = fields.get("clock"), fields.get("dots", [])
    if not isinstance(clock, dict) or not isinstance(dots, list):
        message = f"{_shown(value)} does not say what was seen"
        raise NoEvidenceError(message)
    if not all(_is_natural(number) for number in clock.values()):
        message = f"{_shown(clock)} is no vector clock"
        raise NoEvidenceError(message)
    return Seen(clock, frozenset(map(dot_of, dots)))


def version_of(value: object) -> Version:
    """Read a version.

    Raises: NoEvidenceError.
    """
    fields: Mapping[str, Any] = value if isinstance(value, dict) else {}
    stamp, deleted = fields.get("stamp"), fields.get("deleted")
    if type(stamp) is not int or not isinstance(deleted, bool):
        message = f"{_shown(value)} is no version"
        raise NoEvidenceError(message)
    seen = seen_of(fields.get("context"))
    return Version(dot_of(fields.get("dot")), stamp, seen, fields.get("value"), deleted)


def named(dot: Dot) -> str:
    """Give the name of a write for people."""
    return f"{dot[0]}:{dot[1]}"


def _is_natural(value: object) -> bool:
    return type(value) is int and value >= 0


def _shown(value: object) -> str:
    return repr(value)[:60]
