"""JSON lines: one event a line, an object with process, type, f, and what else is known.

`{"process":0,"type":"invoke|ok|fail|info","f":"read|write|cas|...","key":null,"value":...,
"time":ns}`; a cas has the value [old, new]. Optional: session, node, error, version, index, and
"applied": false with an ok event for a precondition that was refused. A first line of another form
says how to judge the rest (`header`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import compress
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.quoted import quoted, quoted_value
from splitbrain.core.value import Value, require_value
from splitbrain.foreign.event import NEMESIS, Event, event_type, optional_text, small_integer
from splitbrain.foreign.header import START as HEADER
from splitbrain.foreign.lines import blocks, lines, require_shallow, text_of
from splitbrain.foreign.table import OPTIONAL, EventTable

_REASON_SHOWN = 120
_REQUIRED = ("process", "type", "f")


def json_events(path: Path) -> Iterator[Event | None]:
    """Give the events of a file, None for each of the nemesis.

    Raises: MalformedHistoryError naming the line.
    """
    for line, text in lines(path):
        if text.strip() and not (line == 1 and text.startswith(HEADER)):
            yield _event(_object(text, path, line), path, line)


def json_table(path: Path) -> EventTable:
    """Give the same events side by side, several times as fast.

    A block of lines is decoded in one go where nothing in it is out of the ordinary, and line by
    line where something is.

    Raises: MalformedHistoryError as `json_events`, though not always for the first line at fault.
    """
    table = EventTable()
    for number, block in blocks(path):
        found = _ordinary(block)
        if found is not None:
            _add(table, found)
            continue
        for line, text in enumerate(block.split(b"\n"), start=number):
            decoded = text_of(text, path, line)
            if decoded.strip() and not (line == 1 and decoded.startswith(HEADER)):
                table.add([_event(_object(decoded, path, line), path, line)])
    return table


class _Line(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An ordinary event."""

    process: int | Literal["nemesis"]
    type: Literal["invoke", "ok", "fail", "info"]
    f: str
    key: Any = msgspec.UNSET
    value: Any = msgspec.UNSET
    time: int | msgspec.UnsetType | None = msgspec.UNSET
    index: int | msgspec.UnsetType | None = msgspec.UNSET
    node: str | msgspec.UnsetType | None = msgspec.UNSET
    error: str | msgspec.UnsetType | None = msgspec.UNSET
    version: int | msgspec.UnsetType | None = msgspec.UNSET
    session: int | msgspec.UnsetType | None = msgspec.UNSET
    applied: bool | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Line)
_ODD = (b"\\", b" :", b"\t:", b"\r:")
"""Where one of these stands, colons may not tell how many fields there are."""

_SAMPLE = 100
_FIELDS = {"time": "time_ns"}
"""What fields of a line are called in a table, where that differs."""


Columns = dict[str, list[Any]]


def _ordinary(block: bytes) -> Columns | None:
    """Decode a block of lines into its fields; None where one has to be looked at closely.

    A parser takes the last of two fields of one name without a word, so fields are counted.
    """
    try:
        block.decode()
        found = _decoded(block.strip(b"\r\n"))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    # A single byte is looked for many times as fast, and mostly there is none.
    if any(odd[:1] in block and odd in block for odd in _ODD):
        return None
    for names in (_fields_of(found[:_SAMPLE]), _Line.__struct_fields__):
        columns = {name: list(map(attrgetter(name), found)) for name in names}
        told = sum(len(items) - items.count(msgspec.UNSET) for items in columns.values())
        # Each field that is told has its colon: as many colons as fields, and none is told twice.
        if told == block.count(b'":'):
            return columns if _is_plain(columns) else None
    return None


def _decoded(block: bytes) -> list[_Line]:
    """Decode lines all at once where that sees what is amiss, else one by one.

    `decode_lines` takes two objects on a line, and one over two. Where all ends of lines stand
    between two objects, and there are as many objects as lines, neither is there.
    """
    ends = block.count(b"\n")
    if ends == block.count(b"}\n{"):
        found = _decoder.decode_lines(block)
        if len(found) == ends + 1:
            return found
    return [_decoder.decode(line) for line in block.split(b"\n")]


def _fields_of(found: list[_Line]) -> list[str]:
    return [
        name
        for name in _Line.__struct_fields__
        if any(getattr(line, name) is not msgspec.UNSET for line in found)
    ]


def _is_plain(columns: Columns) -> bool:
    """Tell whether keys and values are scalars and lists of scalars, without overflowing floats."""
    items = [*columns.get("value", ()), *columns.get("key", ())]
    kinds = set(map(type, items))
    if list in kinds:
        inner = [item for value in items if type(value) is list for item in value]
        kinds = (kinds - {list}) | set(map(type, inner))
        items += inner
    if float in kinds and not all(math.isfinite(i) for i in items if type(i) is float):
        return False
    return not kinds & {list, dict}


def _add(table: EventTable, columns: Columns) -> None:
    count = len(columns["process"])
    told = columns.setdefault("value", [msgspec.UNSET] * count)
    if msgspec.UNSET in told:
        columns["is_told"] = [value is not msgspec.UNSET for value in told]
    if NEMESIS in columns["process"]:
        stays = [process != NEMESIS for process in columns["process"]]
        columns = {name: list(compress(items, stays)) for name, items in columns.items()}
        table.nemesis += count - sum(stays)
        count = sum(stays)
    for name in [*columns]:
        items = columns.pop(name)
        if msgspec.UNSET in items:
            usual = OPTIONAL.get(_FIELDS.get(name, name))
            items = [usual if item is msgspec.UNSET else item for item in items]
        columns[_FIELDS.get(name, name)] = items
    table.extend(columns, count)


def _object(text: str, path: Path, line: int) -> dict[str, Value]:
    require_shallow(text, path, line)
    if text.lstrip().startswith("["):
        _refuse_other(path, line)
    try:
        found: Value = msgspec.json.decode(text)
        if isinstance(found, dict):
            # An overflowing number is infinite here, and has no place in a history.
            require_value(found.get("key"))
            require_value(found.get("value"))
            _require_single(text, found)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        message = f"this is no JSON: {quoted(str(error), _REASON_SHOWN)}"
        raise MalformedHistoryError(message, path=path, line=line) from error
    if not isinstance(found, dict):
        _refuse_other(path, line)
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        message = f"the event has no {' and no '.join(missing)}"
        raise MalformedHistoryError(message, path=path, line=line)
    return found


def _refuse_other(path: Path, line: int) -> NoReturn:
    message = "an event is a JSON object, one a line"
    raise MalformedHistoryError(message, path=path, line=line)


def _require_single(text: str, found: dict[str, Value]) -> None:
    """Refuse an object that says one thing twice: the parser takes the last without a word.

    Raises: ValueError naming the field.
    """
    if any(text.count(f'"{name}"') > 1 for name in found) or "\\u" in text:
        json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"the field {quoted_value(twice)} stands there twice"
        raise ValueError(message)


def _event(found: dict[str, Value], path: Path, line: int) -> Event | None:
    if found["process"] == NEMESIS:
        return None
    f, applied = found["f"], found.get("applied", True)
    if not isinstance(f, str):
        message = f"f is {quoted_value(f)}: it must be a text"
        raise MalformedHistoryError(message, path=path, line=line)
    if not isinstance(applied, bool):
        message = f"applied is {quoted_value(applied)}: it must be true or false"
        raise MalformedHistoryError(message, path=path, line=line)
    return Event(
        line=line,
        process=small_integer(found["process"], "process", path, line),
        type=event_type(found["type"], path, line),
        f=f,
        key=found.get("key"),
        value=found.get("value"),
        is_told="value" in found,
        index=_optional_integer(found, "index", path, line),
        time_ns=_optional_integer(found, "time", path, line),
        node=optional_text(found.get("node")),
        error=optional_text(found.get("error")),
        version=_optional_integer(found, "version", path, line),
        session=_optional_integer(found, "session", path, line),
        applied=applied,
    )


def _optional_integer(found: dict[str, Value], name: str, path: Path, line: int) -> int | None:
    value = found.get(name)
    return None if value is None else small_integer(value, name, path, line)
