"""What a replica holds of one key: versions, and exactly which writes it knows of.

Cells of one kind form a lattice: `joined` is commutative, associative and idempotent, so replicas
that exchange cells in whatever order and however often come to the same.

**Siblings.** A version is dropped when the other cell has seen its dot and does not hold it: then
some write that the other cell knows of has overwritten it. That is exact as long as a cell has seen
nothing but what it holds and what was overwritten. It holds of a new cell, of a write (its context
is what was read: overwritten by it), and of a join of two such cells.

**Newest.** One version stays, the greatest by stamp and dot; what was seen is kept for the record.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..canonical import Json, compact_text, parse
from .clocks import NOTHING, Dot, Seen, is_natural

NULL = "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One write. text: its value as canonical JSON. context: what the writer had seen."""

    dot: Dot
    stamp: int
    context: Seen = NOTHING
    text: str = NULL
    deleted: bool = False

    @property
    def rank(self) -> tuple[int, str, int]:
        """The place in the order of stamps; dots make it a total order."""
        return (self.stamp, *self.dot)


@dataclass(frozen=True, slots=True)
class Cell:
    """Versions in the order of their dots, and what its holder has seen of the key."""

    versions: tuple[Version, ...] = ()
    seen: Seen = NOTHING

    @property
    def stamp(self) -> int:
        """The greatest stamp of its versions, 0 when it has none."""
        return max((version.stamp for version in self.versions), default=0)

    @property
    def newest(self) -> Version | None:
        """The version with the greatest rank."""
        return max(self.versions, key=lambda version: version.rank, default=None)

    @property
    def is_buried(self) -> bool:
        """Whether there is nothing in it but tombstones."""
        return bool(self.versions) and all(version.deleted for version in self.versions)

    def holds(self, dot: Dot) -> bool:
        """Tell whether it has the version with this dot."""
        return any(version.dot == dot for version in self.versions)


EMPTY = Cell()


def in_order(versions: Sequence[Version]) -> tuple[Version, ...]:
    """Give versions in the order of their dots."""
    return tuple(sorted(versions, key=lambda version: version.dot))


def joined_siblings(one: Cell, other: Cell) -> Cell:
    """Join two cells whose versions stand side by side."""
    if one == other:
        return one
    kept = {v.dot: v for v in one.versions if other.holds(v.dot) or not other.seen.covers(v.dot)}
    kept |= {v.dot: v for v in other.versions if one.holds(v.dot) or not one.seen.covers(v.dot)}
    return Cell(in_order(list(kept.values())), one.seen.merged(other.seen))


def joined_newest(one: Cell, other: Cell) -> Cell:
    """Join two cells of which one version stays."""
    if one == other:
        return one
    newest = Cell((*one.versions, *other.versions)).newest
    return Cell((newest,) if newest else (), one.seen.merged(other.seen))


def cell_to_json(cell: Cell) -> dict[str, Json]:
    """Give a cell as people and other nodes read it."""
    return {
        "seen": cell.seen.to_json(),
        "versions": [version_to_json(version) for version in cell.versions],
    }


def version_to_json(version: Version) -> Json:
    """Give a version as people and other nodes read it."""
    return {
        "dot": list(version.dot),
        "stamp": version.stamp,
        "context": version.context.to_json(),
        "value": parse(version.text),
        "deleted": version.deleted,
    }


def packed(cell: Cell) -> Json:
    """Give a cell as it goes over the wire and onto the disk: values stay texts."""
    versions: list[Json] = [
        [*v.dot, v.stamp, v.context.to_json(), v.text, v.deleted] for v in cell.versions
    ]
    return [cell.seen.to_json(), versions]


def unpacked(value: Json) -> Cell:
    """Read a packed cell. Raises: ValueError when it is something else."""
    match value:
        case [seen, list(versions)]:
            return Cell(in_order([version_from(item) for item in versions]), Seen.from_json(seen))
        case _:
            message = "a cell is a pair of what was seen and versions"
            raise ValueError(message)


def version_from(value: Json) -> Version:
    """Read a packed version. Raises: ValueError when it is something else."""
    match value:
        case [str(actor), number, stamp, context, str(text), bool(deleted)] if is_natural(
            number
        ) and is_natural(stamp):
            return Version(
                dot=(actor, number),  # type: ignore[arg-type]
                stamp=stamp,  # type: ignore[arg-type]
                context=Seen.from_json(context),
                text=text,
                deleted=deleted,
            )
        case _:
            message = "a version is a list of six"
            raise ValueError(message)


@lru_cache(maxsize=65536)
def digest_of(key: str, cell_text: str) -> int:
    """Give 64 bits that stand for a key and its packed cell as text."""
    content = f"{key}\n{cell_text}".encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def digest(key: str, cell: Cell) -> int:
    """Give 64 bits that stand for a key and its cell, the same on every node."""
    return digest_of(key, compact_text(packed(cell)))
