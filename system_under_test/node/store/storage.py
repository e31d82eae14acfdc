"""What the store keeps on the disk, as records of the durable log, and how it is read back.

| record | meaning |
|---|---|
| `["number", N]` | numbers up to N may have been given out |
| `["cell", level, key, cell]` | the cell of a key, in place of the one before |
| `["bury", level, key]` | the cell is gone |
| `["hint", owner, level, key, cell]` | a cell held for another node, in place of the one before |
| `["unhint", owner, level, key]` | it is gone |
| `["causal", write]` | a write at CAUSAL was applied |
| `["order", record]` | a record of the Raft beneath SEQUENTIAL |
| `["order-anew", records]` | records of that Raft in place of all before them |

The log would only grow. Once it is twice as long as what of it still counts, that is written into a
new log, which takes the place of the old one: as a whole, or not at all.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..canonical import Json
from ..errors import NodeError
from .cell import Cell, packed, unpacked
from .config import Level
from .write import CausalWrite

Place: TypeAlias = "tuple[Level, str]"
"""A level and a key: where a cell lies."""

GROWTH = 2
"""How many times as long as what still counts a log may become."""


class Kept:
    """Those records of a log that still count: replaying them gives what replaying all gives."""

    def __init__(self) -> None:
        self.written = 0
        self._latest: dict[tuple[Json, ...], Json] = {}
        self._writes: list[Json] = []
        self._order: list[Json] = []

    def __len__(self) -> int:
        return len(self._latest) + len(self._writes) + len(self._order)

    def take(self, record: Json) -> None:
        """Take a record that is added to the log.

        Raises: ValueError for one that is none of the store.
        """
        self.written += 1
        match record:
            case ["number", _]:
                self._latest["number",] = record
            case ["cell", level, key, _]:
                self._latest["cell", level, key] = record
            case ["bury", level, key]:
                self._latest.pop(("cell", level, key), None)
            case ["hint", owner, level, key, _]:
                self._latest["hint", owner, level, key] = record
            case ["unhint", owner, level, key]:
                self._latest.pop(("hint", owner, level, key), None)
            case ["causal", _]:
                self._writes.append(record)
            case ["order", _]:
                self._order.append(record)
            case ["order-anew", _]:
                self._order[:] = [record]
            case _:
                message = "no record of the store"
                raise ValueError(message)

    def is_outgrown(self, least: int) -> bool:
        """Tell whether the log has so many records, and most of them count no more."""
        return self.written >= max(least, GROWTH * len(self))

    def compacted(self) -> tuple[Json, ...]:
        """Give the records that count, which are all that the log holds from now on."""
        self.written = len(self)
        return (*self._latest.values(), *self._writes, *self._order)


@dataclass(slots=True)
class Stored:
    """What the disk of a node holds. kept: the records that say so."""

    number: int = 0
    cells: dict[Place, Cell] = field(default_factory=dict)
    hints: dict[tuple[str, Level, str], Cell] = field(default_factory=dict)
    writes: list[CausalWrite] = field(default_factory=list)
    order: list[Json] = field(default_factory=list)
    kept: Kept = field(default_factory=Kept, compare=False)


def number_record(number: int) -> Json:
    """Make the record of numbers given out."""
    return ["number", number]


def cell_record(level: Level, key: str, cell: Cell) -> Json:
    """Make the record of a cell."""
    return ["cell", str(level), key, packed(cell)]


def bury_record(level: Level, key: str) -> Json:
    """Make the record of a cell that is gone."""
    return ["bury", str(level), key]


def hint_record(owner: str, level: Level, key: str, cell: Cell) -> Json:
    """Make the record of a cell held for another node."""
    return ["hint", owner, str(level), key, packed(cell)]


def unhint_record(owner: str, level: Level, key: str) -> Json:
    """Make the record of a hint that is gone."""
    return ["unhint", owner, str(level), key]


def causal_record(write: CausalWrite) -> Json:
    """Make the record of a write applied at CAUSAL."""
    return ["causal", write.to_json()]


def order_record(record: Json) -> Json:
    """Make the record of what the Raft beneath SEQUENTIAL keeps."""
    return ["order", record]


def order_anew_record(records: Sequence[Json]) -> Json:
    """Make the record of what the Raft beneath keeps in place of all that it kept before."""
    return ["order-anew", list(records)]


def replay(records: Iterable[Json]) -> Stored:
    """Read the records back.

    Raises: NodeError for a record that is none.
    """
    stored = Stored()
    for record in records:
        try:
            _take(stored, record)
            stored.kept.take(record)
        except (ValueError, KeyError) as error:
            message = f"the log holds a record that does not fit: {str(record)[:100]}"
            raise NodeError(message) from error
    return stored


def _take(stored: Stored, record: Json) -> None:
    match record:
        case ["number", int(number)]:
            stored.number = max(stored.number, number)
        case ["cell", str(level), str(key), cell]:
            stored.cells[Level(level), key] = unpacked(cell)
        case ["bury", str(level), str(key)]:
            del stored.cells[Level(level), key]
        case ["hint", str(owner), str(level), str(key), cell]:
            stored.hints[owner, Level(level), key] = unpacked(cell)
        case ["unhint", str(owner), str(level), str(key)]:
            del stored.hints[owner, Level(level), key]
        case ["causal", write]:
            stored.writes.append(CausalWrite.from_json(write))
        case ["order", inner]:
            stored.order.append(inner)
        case ["order-anew", list(inner)]:
            stored.order[:] = inner
        case _:
            message = "no record of the store"
            raise ValueError(message)
