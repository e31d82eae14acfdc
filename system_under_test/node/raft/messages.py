"""The messages between nodes, and how they look on the wire."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields

from ..canonical import Json
from ..value import named_value
from ..wire import WireError
from .log import Entry


@named_value
class PreVote:
    """Would you vote for me in this term? (thesis 9.6). term: the one it would campaign in."""

    term: int
    last_index: int
    last_term: int


@named_value
class PreVoteReply:
    """The answer. term: of the voter. proposed: the term that was asked about."""

    term: int
    proposed: int
    granted: bool


@named_value
class Vote:
    """RequestVote (paper, figure 2). transfer: the leader itself asked for it (thesis 4.2.3)."""

    term: int
    last_index: int
    last_term: int
    transfer: bool = False


@named_value
class VoteReply:
    """The answer to RequestVote."""

    term: int
    granted: bool


@named_value
class Append:
    """AppendEntries (paper, figure 2). round: the leader's latest round of read confirmation."""

    term: int
    previous_index: int
    previous_term: int
    commit: int
    round: int
    entries: tuple[Entry, ...]


@named_value
class AppendReply:
    """The answer to AppendEntries.

    round, previous_index: as asked. matched: up to where the log is known to equal the leader's;
    None: refused. conflict_term: of the entry that stands at previous_index, None when the log is
    too short. conflict_index: the first index of that term, or the one behind the log's end.
    """

    term: int
    round: int
    previous_index: int
    matched: int | None
    conflict_term: int | None = None
    conflict_index: int = 0


@named_value
class Install:
    """InstallSnapshot (paper, figure 13), a piece at a time.

    index, entry_term, hash: of the last entry that the snapshot covers; hash speaks for all of them
    (16 hex digits). digest, size: of the whole text. offset, piece: where this part of it stands.
    """

    term: int
    round: int
    index: int
    entry_term: int
    hash: str
    digest: str
    size: int
    offset: int
    piece: str


@named_value
class InstallReply:
    """The answer to a piece that was not the last: which one is wanted next, of which snapshot."""

    term: int
    round: int
    index: int
    offset: int


@named_value
class TimeoutNow:
    """Stand for election at once: the leader hands over to you (thesis 3.10)."""

    term: int


Message = (
    PreVote
    | PreVoteReply
    | Vote
    | VoteReply
    | Append
    | AppendReply
    | Install
    | InstallReply
    | TimeoutNow
)

_TYPES: Mapping[str, type[Message]] = {
    "pre-vote": PreVote,
    "pre-vote-reply": PreVoteReply,
    "vote": Vote,
    "vote-reply": VoteReply,
    "append": Append,
    "append-reply": AppendReply,
    "install": Install,
    "install-reply": InstallReply,
    "timeout-now": TimeoutNow,
}
_HASH = re.compile("[0-9a-f]{16}")
_NAMES = {kind: name for name, kind in _TYPES.items()}
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _NAMES}


def encode_message(message: Message) -> dict[str, Json]:
    """Give a message as a JSON object."""
    kind = type(message)
    return {"type": _NAMES[kind], **{name: getattr(message, name) for name in _FIELDS[kind]}}


def decode_message(value: Mapping[str, Json]) -> Message:
    """Read a message.

    Raises: WireError when it is none.
    """
    kind = _TYPES.get(str(value.get("type")))
    if kind is None:
        message = f"there is no message {value.get('type')!r}"
        raise WireError(message)
    readers = _READERS[kind]
    if len(value) != len(readers) + 1:
        message = f"a message {value['type']!r} has other fields: {sorted(value)}"
        raise WireError(message)
    get = value.get
    arguments = {name: read(name, get(name)) for name, read in readers}
    return kind(**arguments)  # type: ignore[arg-type] # each was read as its name asks


def _natural(name: str, value: Json) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        message = f"the field {name!r} is no natural number"
        raise WireError(message)
    return value


def _natural_or_none(name: str, value: Json) -> int | None:
    return None if value is None else _natural(name, value)


def _truth(name: str, value: Json) -> bool:
    if not isinstance(value, bool):
        message = f"the field {name!r} is neither true nor false"
        raise WireError(message)
    return value


def _ascii(name: str, value: Json) -> str:
    if not isinstance(value, str) or not value.isascii():
        message = f"the field {name!r} is no ASCII text"
        raise WireError(message)
    return value


def _hash(name: str, value: Json) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        message = f"the field {name!r} is no hash"
        raise WireError(message)
    return value


def _entries(name: str, value: Json) -> tuple[Entry, ...]:
    if not isinstance(value, list):
        message = f"the field {name!r} is no list"
        raise WireError(message)
    return tuple(_entry(name, item) for item in value)


def _entry(name: str, item: Json) -> Entry:
    if isinstance(item, list) and len(item) == 2 and type(item[0]) is int:
        term, text = item
        if term > 0 and isinstance(text, str) and text.isascii():
            return Entry(term, text)
    message = f"the field {name!r} holds something that is no entry"
    raise WireError(message)


_DECODERS: Mapping[str, Callable[[str, Json], object]] = {
    "term": _natural,
    "proposed": _natural,
    "last_index": _natural,
    "last_term": _natural,
    "previous_index": _natural,
    "previous_term": _natural,
    "commit": _natural,
    "round": _natural,
    "conflict_index": _natural,
    "matched": _natural_or_none,
    "conflict_term": _natural_or_none,
    "granted": _truth,
    "transfer": _truth,
    "index": _natural,
    "entry_term": _natural,
    "hash": _hash,
    "digest": _hash,
    "size": _natural,
    "offset": _natural,
    "piece": _ascii,
    "entries": _entries,
}
_READERS = {
    kind: tuple((name, _DECODERS[name]) for name in names) for kind, names in _FIELDS.items()
}
