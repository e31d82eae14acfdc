"""What Raft keeps on the disk, as records of the durable log, and how it is read back.

Four records: `["state", term, vote]`, `["truncate", from]`, `["append", first, entries]` with
entries as `[term, command text]`, and `["snapshot", {...}]`, behind which the log begins anew. The
last state counts; the others are carried out in order.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..canonical import Json
from ..errors import NodeError
from .log import Base, Entry
from .snapshot import Snapshot, snapshot_from, snapshot_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The persistent state of a node (paper, figure 2). snapshot: what the entries stand behind."""

    term: int = 0
    vote: str | None = None
    entries: tuple[Entry, ...] = ()
    snapshot: Snapshot | None = None

    @property
    def base(self) -> Base:
        """What the entries stand behind."""
        return Base() if self.snapshot is None else self.snapshot.base


def state_record(term: int, vote: str | None) -> Json:
    """Make the record of a term and a vote."""
    return ["state", term, vote]


def truncate_record(first: int) -> Json:
    """Make the record of entries dropped from an index on."""
    return ["truncate", first]


def append_record(first: int, entries: Sequence[Entry]) -> Json:
    """Make the record of entries added from an index on."""
    return ["append", first, [list(entry) for entry in entries]]


def snapshot_record(snapshot: Snapshot) -> Json:
    """Make the record of a snapshot; the entries that stay are appended behind it anew."""
    return ["snapshot", snapshot_to(snapshot)]


def replay(records: Iterable[Json]) -> Stored:
    """Read the records back.

    Raises: NodeError for a record that is none, or does not fit behind the others.
    """
    term, vote = 0, None
    entries: list[Entry] = []
    snapshot: Snapshot | None = None
    base = 0
    for record in records:
        match record:
            case ["append", int(first), list(items)] if first == base + len(entries) + 1:
                entries.extend([_entry(item) for item in items])
            case ["state", int(term_read), str() | None as vote_read]:
                term, vote = term_read, vote_read
            case ["truncate", int(first)] if base < first <= base + len(entries):
                del entries[first - base - 1 :]
            case ["snapshot", dict(content)]:
                snapshot = _snapshot(content)
                base = snapshot.base.index
                entries.clear()
            case _:
                raise _misfit(record)
    return Stored(term=term, vote=vote, entries=tuple(entries), snapshot=snapshot)


def _snapshot(content: Mapping[str, Json]) -> Snapshot:
    try:
        snapshot = snapshot_from(content)
        snapshot.state()
    except ValueError as error:
        message = f"the log holds a snapshot that cannot be used: {error}"
        raise NodeError(message) from error
    return snapshot


def _entry(item: Json) -> Entry:
    if type(item) is list and len(item) == 2:
        term, text = item
        if type(term) is int and type(text) is str:
            return Entry(term, text)
    raise _misfit(item)


def _misfit(record: Json) -> NodeError:
    return NodeError(f"the log holds a record that does not fit: {str(record)[:100]}")
