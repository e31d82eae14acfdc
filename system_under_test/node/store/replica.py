"""The cells that a node holds: those of its own keys, and hints for other nodes."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Sequence

from ..canonical import Json, parse
from .cell import EMPTY, Cell, cell_to_json, digest
from .clocks import Dot
from .config import Level
from .outbox import Outbox
from .policy import Policy
from .storage import Place, Stored, bury_record, cell_record, hint_record, unhint_record


class Replica:
    """What this node holds, in memory and on the disk."""

    def __init__(self, outbox: Outbox, policy: Policy, stored: Stored) -> None:
        self._outbox = outbox
        self._policy = policy
        self._placement = policy.placement()
        self._count = policy.replica_count()
        self._me = outbox.options.node
        self.cells: dict[Place, Cell] = dict(stored.cells)
        self.hints: dict[tuple[str, Level, str], Cell] = dict(stored.hints)
        self.digests = {place: digest(place[1], cell) for place, cell in self.cells.items()}
        self._buried: dict[Place, int] = {}
        self._confirmed: dict[Place, set[str]] = {}
        self._actors: dict[tuple[str, Level, str], str] = {}
        for place, cell in self.cells.items():
            if cell.is_buried:
                self._buried[place] = outbox.now_ns

    def restate(self) -> None:
        """Say in the trace what the disk holds."""
        for (level, key), cell in sorted(self.cells.items()):
            self._trace(level, key, cell, None)
        for (owner, level, key), cell in sorted(self.hints.items()):
            self._trace(level, key, cell, owner)

    # -- where keys lie

    def order(self, key: str) -> tuple[str, ...]:
        """Give all nodes in the order in which they are asked to hold a key."""
        return self._placement.order(key)

    def replicas(self, key: str) -> tuple[str, ...]:
        """Give the preference list of a key: the primary first."""
        return self._placement.order(key)[: self._count]

    def holds(self, key: str) -> bool:
        """Tell whether this node is a replica of a key."""
        return self._me in self.replicas(key)

    # -- cells

    def cell(self, level: Level, key: str) -> Cell:
        """Give the cell of a key, an empty one where there is none."""
        return self.cells.get((level, key), EMPTY)

    def store(self, level: Level, key: str, cell: Cell) -> Cell:
        """Join a cell into the own one, durably, and give what they come to."""
        place = level, key
        before = self.cells.get(place, EMPTY)
        joined = self._policy.joined(place, before, cell)
        if joined == before:
            return before
        self.cells[place] = joined
        self.digests[place] = digest(key, joined)
        if self._policy.persists():
            self._outbox.persist(cell_record(level, key, joined))
        self._trace(level, key, joined, None)
        self._confirmed.pop(place, None)
        if joined.is_buried:
            self._buried[place] = self._outbox.now_ns
        else:
            self._buried.pop(place, None)
        return joined

    def holding(self, level: Level, key: str) -> Cell:
        """Give all that this node knows of a key: its own cell, and what it holds for others."""
        cell = self.cell(level, key)
        for owner in self.replicas(key):
            hint = self.hints.get((owner, level, key))
            if hint is not None:
                cell = self._policy.joined((level, key), cell, hint)
        return cell

    # -- hints

    def hold(self, owner: str, level: Level, key: str, cell: Cell) -> Cell:
        """Join a cell into what is held for another node, durably."""
        place = owner, level, key
        before = self.hints.get(place, EMPTY)
        joined = self._policy.joined((level, key), before, cell)
        if joined == before:
            return before
        self.hints[place] = joined
        self._outbox.persist(hint_record(owner, level, key, joined))
        self._trace(level, key, joined, owner)
        return joined

    def actor_for(self, owner: str, level: Level, key: str) -> str:
        """Give the name under which this node makes versions of a hint.

        A new hint has a new name: what this node made under the old one it knows no more.
        """
        place = owner, level, key
        if place not in self.hints or place not in self._actors:
            self._actors[place] = f"{self._me}~{self._outbox.next_number()}"
        return self._actors[place]

    def drop_hint(self, owner: str, level: Level, key: str) -> None:
        """Forget a hint that was handed off."""
        del self.hints[owner, level, key]
        self._actors.pop((owner, level, key), None)
        self._outbox.persist(unhint_record(owner, level, key))
        self._outbox.trace("handed-off", level=str(level), key=parse(key), **{"for": owner})

    # -- tombstones

    def is_leaving(self, place: Place) -> bool:
        """Tell whether a cell is a tombstone, and no replica has anything else of the key.

        Such a one is no longer compared: some replicas have dropped it already, or never had it.
        """
        return place in self._buried and self._all_confirmed(place)

    def confirm(self, place: Place, node: str) -> None:
        """Take note that another replica has the same tombstone, or nothing at all."""
        if place in self._buried:
            self._confirmed.setdefault(place, set()).add(node)

    def bury(self) -> None:
        """Drop the tombstones whose time has come."""
        for place, since_ns in list(self._buried.items()):
            age_ns = self._outbox.now_ns - since_ns
            if not self._policy.may_bury(age_ns, confirmed=self._all_confirmed(place)):
                continue
            level, key = place
            for table in (self.cells, self.digests, self._buried, self._confirmed):
                table.pop(place, None)
            self._outbox.persist(bury_record(level, key))
            self._outbox.trace("buried", level=str(level), key=parse(key))

    def _all_confirmed(self, place: Place) -> bool:
        confirmed = self._confirmed.get(place, set())
        return all(node in confirmed or node == self._me for node in self.replicas(place[1]))

    # -- what operators and the trace see

    def dump(self) -> dict[str, Json]:
        """Give cells, hints and ring."""
        options = self._outbox.options
        return {
            "cells": [
                self._shown(level, key, cell) for (level, key), cell in sorted(self.cells.items())
            ],
            "hints": [
                {"for": owner} | self._shown(level, key, cell)
                for (owner, level, key), cell in sorted(self.hints.items())
            ],
            "ring": {
                "bits": options.ring_bits,
                "vnodes": options.vnodes,
                "n": options.replicas,
                "points": [list(point) for point in self._placement.points()],
            },
        }

    def _shown(self, level: Level, key: str, cell: Cell) -> dict[str, Json]:
        replicas: Sequence[str] = self.replicas(key)
        conflict = str(self._policy.conflict(key)) if level is Level.EVENTUAL else None
        head: dict[str, Json] = {
            "level": str(level),
            "key": parse(key),
            "conflict": conflict,
            "replicas": list(replicas),
        }
        return head | cell_to_json(cell)

    def _trace(self, level: Level, key: str, cell: Cell, owner: str | None) -> None:
        self._outbox.trace(
            "stored",
            level=str(level),
            key=parse(key),
            seen=cell.seen.to_json(),
            versions=[[*v.dot, v.stamp] for v in cell.versions],
            **{"for": owner},
        )


def dots_of(cell: Cell) -> list[Json]:
    """Give the dots of a cell's versions."""
    dots: list[Dot] = [version.dot for version in cell.versions]
    return [list(dot) for dot in dots]
