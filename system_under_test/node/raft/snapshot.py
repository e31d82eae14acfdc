"""Snapshots of the state that the log led to, and their way to other nodes in pieces (paper 7)."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..canonical import Json, canonical_text, parse
from .log import Base


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a snapshot holds. members: the configuration in force at its index (paper 7)."""

    members: tuple[str, ...]
    sessions: Sequence[Json]
    store: Sequence[Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state at an index of the log, as text. base: that entry, with the hash of the prefix."""

    base: Base
    text: str

    @classmethod
    def of(cls, base: Base, state: State) -> Snapshot:
        """Make a snapshot of a state."""
        content: dict[str, Json] = {
            "members": list(state.members),
            "sessions": state.sessions,
            "store": state.store,
        }
        return cls(base=base, text=canonical_text(content))

    @property
    def digest(self) -> str:
        """The checksum of the text: equal for nodes that came to one state."""
        return digest_of(self.text)

    def state(self) -> State:
        """Read the text back. Raises: ValueError when it is no state."""
        content = parse(self.text)
        match content:
            case {"members": list(members), "sessions": list(sessions), "store": list(store)}:
                names = tuple(str(member) for member in members)
                return State(members=names, sessions=sessions, store=store)
        message = "a snapshot holds members, sessions and a store"
        raise ValueError(message)


def digest_of(text: str) -> str:
    """Give the checksum of a snapshot's text, 16 hex digits."""
    return hashlib.blake2b(text.encode("ascii"), digest_size=8).hexdigest()


@dataclass(slots=True)
class Transfer:
    """A snapshot on its way to a follower. offset: of the piece that it is to have next.

    asked: that piece is on its way. A new snapshot of the leader does not end the transfer.
    """

    snapshot: Snapshot
    offset: int = 0
    asked: bool = False


@dataclass(slots=True)
class Arriving:
    """A snapshot that comes in. base, digest, size: as each piece tells."""

    base: Base
    digest: str
    size: int
    pieces: list[str] = field(default_factory=list)
    offset: int = 0

    def is_of(self, base: Base, digest: str, size: int) -> bool:
        """Tell whether a piece belongs to this snapshot."""
        return (self.base, self.digest, self.size) == (base, digest, size)

    def take(self, offset: int, piece: str) -> None:
        """Take the piece that is due; others are passed over."""
        if offset == self.offset:
            self.pieces.append(piece)
            self.offset += len(piece)

    def finished(self) -> Snapshot | None:
        """Give the snapshot once it is whole, None before that; begin anew when it is damaged."""
        if self.offset < self.size:
            return None
        text = "".join(self.pieces)
        if len(text) == self.size and digest_of(text) == self.digest:
            return Snapshot(base=self.base, text=text)
        self.pieces.clear()
        self.offset = 0
        return None


def snapshot_from(record: Mapping[str, Json]) -> Snapshot:
    """Read a snapshot as the disk has it. Raises: ValueError when it is damaged or none."""
    match record:
        case {
            "index": int(index), "term": int(term), "hash": str(prefix), "digest": str(digest),
            "text": str(text),
        } if digest_of(text) == digest:  # fmt: skip
            return Snapshot(base=Base(index, term, bytes.fromhex(prefix)), text=text)
    message = "the snapshot is damaged"
    raise ValueError(message)


def snapshot_to(snapshot: Snapshot) -> dict[str, Json]:
    """Give a snapshot as the disk has it."""
    base = snapshot.base
    return {
        "index": base.index,
        "term": base.term,
        "hash": base.hash.hex(),
        "digest": snapshot.digest,
        "text": snapshot.text,
    }
