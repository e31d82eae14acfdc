"""The messages between the store's nodes, and how they look on the wire."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import cast

from ..canonical import Json
from ..value import named_value, value
from ..wire import WireError
from .cell import Cell, packed, unpacked
from .clocks import Clock, clock_from, is_natural
from .config import Level
from .write import CausalWrite


@value
class Beat:
    """I am there."""


@named_value
class Get:
    """What do you hold of this key? id: handed back."""

    id: int
    level: Level
    key: str


@named_value
class Got:
    """The answer; an empty cell where there is none."""

    id: int
    cell: Cell


@named_value
class Put:
    """Join this cell into yours. owner: the node for which you hold it; None: for yourself."""

    id: int
    level: Level
    key: str
    cell: Cell
    owner: str | None


@named_value
class PutAck:
    """It is joined and durable."""

    id: int


@named_value
class Forward:
    """A client of mine asks this; you are a replica of its key."""

    id: int
    request: Mapping[str, Json]


@named_value
class Forwarded:
    """What to tell the client."""

    id: int
    body: Mapping[str, Json]


@named_value
class Root:
    """The hash of all that you and I both replicate."""

    root: int


@named_value
class Leaves:
    """The same in parts, since the roots differ."""

    leaves: tuple[int, ...]


@named_value
class Cells:
    """All I hold in the parts that differ. answer: send me yours."""

    leaves: tuple[int, ...]
    cells: tuple[tuple[Level, str, Cell], ...]
    answer: bool


@named_value
class CausalWrites:
    """Writes at CAUSAL, in the order of each origin."""

    writes: tuple[CausalWrite, ...]


@named_value
class CausalHave:
    """Up to where I applied each origin's writes. ask: send me what I lack."""

    applied: Clock
    ask: bool


@named_value
class Order:
    """A message of the Raft beneath SEQUENTIAL, as that encodes it."""

    body: Mapping[str, Json]


Message = (
    Beat
    | Get
    | Got
    | Put
    | PutAck
    | Forward
    | Forwarded
    | Root
    | Leaves
    | Cells
    | CausalWrites
    | CausalHave
    | Order
)

_TYPES: Mapping[str, type[Message]] = {
    "beat": Beat,
    "get": Get,
    "got": Got,
    "put": Put,
    "put-ack": PutAck,
    "forward": Forward,
    "forwarded": Forwarded,
    "root": Root,
    "leaves": Leaves,
    "cells": Cells,
    "causal-writes": CausalWrites,
    "causal-have": CausalHave,
    "order": Order,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _NAMES}


def encode_message(message: Message) -> dict[str, Json]:
    """Give a message as a JSON object."""
    kind = type(message)
    encoded: dict[str, Json] = {"type": _NAMES[kind]}
    for name in _FIELDS[kind]:
        value = getattr(message, name)
        encoded[name] = _ENCODERS[name](value) if name in _ENCODERS else value
    return encoded


def decode_message(value: Mapping[str, Json]) -> Message:
    """Read a message.

    Raises: WireError when it is none.
    """
    kind = _TYPES.get(str(value.get("type")))
    if kind is None:
        message = f"there is no message {value.get('type')!r}"
        raise WireError(message)
    names = _FIELDS[kind]
    if len(value) != len(names) + 1:
        message = f"a message {value['type']!r} has other fields: {sorted(value)}"
        raise WireError(message)
    arguments = {}
    for name in names:
        try:
            arguments[name] = _DECODERS[name](value.get(name))
        except ValueError as error:
            message = f"the field {name!r}: {error}"
            raise WireError(message) from error
    return cast("Callable[..., Message]", kind)(**arguments)


def _natural(value: Json) -> int:
    if not is_natural(value):
        message = "no natural number"
        raise ValueError(message)
    return cast("int", value)


def _hash(value: Json) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        message = "no hash"
        raise ValueError(message)
    return value


def _truth(value: Json) -> bool:
    if not isinstance(value, bool):
        message = "neither true nor false"
        raise ValueError(message)  # noqa: TRY004 - one error for all that does not fit
    return value


def _text(value: Json) -> str:
    if not isinstance(value, str):
        message = "no text"
        raise ValueError(message)  # noqa: TRY004
    return value


def _text_or_none(value: Json) -> str | None:
    return None if value is None else _text(value)


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        message = "no object"
        raise ValueError(message)  # noqa: TRY004
    return value


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        message = "no list"
        raise ValueError(message)  # noqa: TRY004
    return value


def _hashes(value: Json) -> tuple[int, ...]:
    return tuple(_hash(item) for item in _list(value))


def _writes(value: Json) -> tuple[CausalWrite, ...]:
    return tuple(CausalWrite.from_json(item) for item in _list(value))


def _cells(value: Json) -> tuple[tuple[Level, str, Cell], ...]:
    return tuple(_cell(item) for item in _list(value))


def _cell(value: Json) -> tuple[Level, str, Cell]:
    match value:
        case [str(level), str(key), cell]:
            return Level(level), key, unpacked(cell)
        case _:
            message = "no cell"
            raise ValueError(message)


_ENCODERS: Mapping[str, Callable[..., Json]] = {
    "cell": packed,
    "cells": lambda cells: [[str(level), key, packed(cell)] for level, key, cell in cells],
    "writes": lambda writes: [write.to_json() for write in writes],
    "level": str,
    "leaves": list,
}

_DECODERS: Mapping[str, Callable[[Json], object]] = {
    "id": _natural,
    "level": lambda value: Level(_text(value)),
    "key": _text,
    "cell": unpacked,
    "owner": _text_or_none,
    "request": _object,
    "body": _object,
    "root": _hash,
    "leaves": _hashes,
    "cells": _cells,
    "answer": _truth,
    "writes": _writes,
    "applied": clock_from,
    "ask": _truth,
}
