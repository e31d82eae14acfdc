"""Who belongs to the cluster: configurations in the log, changed one node at a time (thesis 4).

A configuration is in force as soon as it stands in a node's log, committed or not (thesis 4.1).
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ..canonical import canonical_text, parse

_START = '{"members":'

ROUNDS = 10
"""After so many rounds of catching up a new node is given up (thesis 4.2.1)."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members from an entry on; index 0: those that the cluster began with."""

    index: int
    members: tuple[str, ...]


def configuration_text(members: Iterable[str]) -> str:
    """Make the command of an entry that says who belongs to the cluster."""
    return canonical_text({"members": sorted(members)})


def members_in(text: str) -> tuple[str, ...] | None:
    """Give the members that an entry names, None when it is no configuration."""
    if not text.startswith(_START):
        return None
    match parse(text):
        case {"members": list(members)}:
            return tuple(str(member) for member in members)
    return None


class Membership:
    """The configurations of a node's log, the one below it first."""

    def __init__(self, first: Configuration) -> None:
        self._known = [first]

    @property
    def latest(self) -> Configuration:
        """The configuration in force."""
        return self._known[-1]

    @property
    def members(self) -> tuple[str, ...]:
        """The members in force."""
        return self._known[-1].members

    def at(self, index: int) -> Configuration:
        """Give the configuration that stood at an index that is not below the log's base."""
        return next((one for one in reversed(self._known) if one.index <= index), self._known[0])

    def add(self, configuration: Configuration) -> None:
        """Note one more entry."""
        self._known.append(configuration)

    def truncate(self, index: int) -> bool:
        """Forget the entries from an index on, and tell whether there were any."""
        known = [one for one in self._known if one.index < index] or self._known[:1]
        changed = len(known) != len(self._known)
        self._known = known
        return changed

    def compact(self, index: int) -> None:
        """Forget what was in force only before an index."""
        stands = self.at(index)
        self._known = [stands, *(one for one in self._known if one.index > index)]


class Kind(StrEnum):
    """What operators may ask of a leader, by the words they use."""

    ADD = "add"
    REMOVE = "remove"
    TRANSFER = "transfer"


@dataclass(slots=True, kw_only=True)
class Change:
    """What a leader is about. node: whom it concerns.

    begun_ns: when the work began, or this round of it. target: up to where the node is to have the
    log in this round. rounds: how many were begun. given_up_ns: when to give up.
    """

    kind: Kind
    node: str
    begun_ns: int
    given_up_ns: int
    target: int = 0
    rounds: int = 1
    told: bool = False
