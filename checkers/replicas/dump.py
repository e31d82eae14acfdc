"""The dumps of all replicas, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from splitbrain.checkers.replicas.version import Cell, NoEvidenceError, seen_of, version_of
from splitbrain.core.value import Value

Place = tuple[str, str]

_APPLIED: Mapping[str, type] = {"sequential": int, "causal": dict}
"""What a dump says of the writes that its node applied, by level."""


@dataclass(frozen=True, slots=True)
class Dumps:
    """What replicas hold at the end.

    cells: by level and key, then by node. hints: as objects, by the node that holds them. rings,
    applied, members: by node. stores: what the log of `sequential` came to, by node, as far as that
    is shown. missing: a line for each thing that cannot be read.
    """

    cells: dict[Place, dict[str, Cell]] = field(default_factory=dict)
    hints: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    rings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    applied: dict[str, dict[str, Value]] = field(default_factory=dict)
    stores: dict[str, Value] = field(default_factory=dict)
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, dumps: Mapping[str, Value], nodes: Iterable[str] = ()) -> Dumps:
        """Read the dumps by node. nodes: that are known otherwise, and must have left one."""
        result = cls()
        for node, dump in sorted(dumps.items()):
            if not isinstance(dump, dict):
                result.missing.append(f"{node} left no dump")
                continue
            try:
                result._take(node, dump)
            except NoEvidenceError as error:
                result.missing.append(f"the dump of {node}: {error}")
        named = {name for names in result.members.values() for name in names} | set(nodes)
        silent = sorted(named - set(dumps))
        result.missing.extend(f"{node} left no dump" for node in silent)
        if not named and not dumps:
            result.missing.append("no node left a dump")
        return result

    def _take(self, node: str, dump: Mapping[str, Any]) -> None:
        cells, hints = _list(dump, "cells"), _list(dump, "hints")
        members = tuple(_list(dump, "members"))
        if not all(isinstance(name, str) for name in members):
            message = "its members are no names"
            raise NoEvidenceError(message)
        states = {level: dump[level] for level in _APPLIED if isinstance(dump.get(level), dict)}
        for level, state in states.items():
            if not isinstance(state.get("applied"), _APPLIED[level]):
                message = f"it does not say what it applied of {level!r}"
                raise NoEvidenceError(message)
        found: dict[Place, Cell] = {}
        for cell in (_cell(node, item) for item in cells):
            if found.setdefault(cell.place, cell) is not cell:
                message = f"the key {cell.place[1][:60]} stands there twice"
                raise NoEvidenceError(message)
        self.members[node] = members
        for place, cell in found.items():
            self.cells.setdefault(place, {})[node] = cell
        self.hints[node] = [item if isinstance(item, dict) else {} for item in hints]
        ring = dump.get("ring")
        if isinstance(ring, dict):
            self.rings[node] = ring
        for level, state in states.items():
            self.applied.setdefault(level, {})[node] = state["applied"]
        if "store" in states.get("sequential", {}):
            self.stores[node] = states["sequential"]["store"]

    def all_cells(self) -> Iterator[Cell]:
        """Give every cell of every node."""
        return (cell for own in self.cells.values() for cell in own.values())

    def keeps_one(self, place: Place) -> bool | None:
        """Tell whether cells of a place keep one version alone; None where none is there to say."""
        cells = self.cells.get(place)
        return all(cell.keeps_one for cell in cells.values()) if cells else None

    def is_leaving(self, place: Place) -> bool:
        """Tell whether nothing is there of a key but tombstones, which are to be buried.

        Some replicas may have dropped theirs, and who never had any takes none any more. At
        `causal` tombstones stay.
        """
        cells = self.cells.get(place, {}).values()
        if place[0] == "causal" or not cells:
            return False
        return all(cell.versions and all(v.deleted for v in cell.versions) for cell in cells)

    def replicas(self, place: Place) -> tuple[str, ...]:
        """Give the nodes that must hold a key, as most of its holders find them; () if unknown."""
        lists = [cell.replicas for cell in self.cells.get(place, {}).values()]
        return max(sorted(set(lists)), key=lists.count, default=())


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    found = fields.get(name)
    if not isinstance(found, list):
        message = f"it has no list of {name}"
        raise NoEvidenceError(message)
    return found


def _cell(node: str, item: object) -> Cell:
    fields: Mapping[str, Any] = item if isinstance(item, dict) else {}
    level, conflict = fields.get("level"), fields.get("conflict")
    if not isinstance(level, str) or not (conflict is None or isinstance(conflict, str)):
        message = "a cell does not say its level"
        raise NoEvidenceError(message)
    return Cell(
        node=node,
        level=level,
        key=fields.get("key"),
        conflict=conflict,
        replicas=tuple(map(str, _list(fields, "replicas"))),
        seen=seen_of(fields.get("seen")),
        versions=tuple(map(version_of, _list(fields, "versions"))),
    )
