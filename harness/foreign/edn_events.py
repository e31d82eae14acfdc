"""Histories of Jepsen and Knossos in EDN; Porcupine's key-value histories are EDN too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.quoted import quoted_value
from splitbrain.core.value import Value
from splitbrain.foreign.edn import edn_maps
from splitbrain.foreign.event import NEMESIS, Event, event_type, optional_text, small_integer

_REQUIRED = ("process", "type", "f")


def edn_events(path: Path) -> Iterator[Event | None]:
    """Give the events of a file, None for each of the nemesis.

    Raises: MalformedHistoryError naming the line.
    """
    for line, found in edn_maps(path):
        yield event_of(found, path, line)


def event_of(found: Mapping[str, Value], path: Path, line: int) -> Event | None:
    """Give the event that a map tells of, None for one of the nemesis.

    Raises: MalformedHistoryError naming the line.
    """
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        message = f"the event has no :{' and no :'.join(missing)}"
        raise MalformedHistoryError(message, path=path, line=line)
    if found["process"] in (f":{NEMESIS}", NEMESIS):
        return None
    f = _name(found["f"])
    if not isinstance(f, str):
        message = f":f is {quoted_value(f)}: it must be a keyword or a text"
        raise MalformedHistoryError(message, path=path, line=line)
    return Event(
        line=line,
        process=small_integer(found["process"], ":process", path, line),
        type=event_type(_name(found["type"]), path, line),
        f=f,
        key=found.get("key"),
        value=found.get("value"),
        is_told="value" in found,
        index=_integer(found, "index", path, line),
        time_ns=_integer(found, "time", path, line),
        node=optional_text(_name(found.get("node"))),
        error=optional_text(_name(found.get("error"))),
        version=_integer(found, "version", path, line),
        session=_integer(found, "session", path, line),
        applied=found.get("applied") is not False,
    )


def _name(value: Value) -> Value:
    """Give the text of a keyword without its colon."""
    return value.removeprefix(":") if isinstance(value, str) else value


def _integer(found: Mapping[str, Value], name: str, path: Path, line: int) -> int | None:
    value = found.get(name)
    return None if value is None else small_integer(value, f":{name}", path, line)
