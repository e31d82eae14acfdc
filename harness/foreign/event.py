"""One event of a foreign history, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.quoted import quoted_value
from splitbrain.core.value import Value

_INT64 = range(-(2**63), 2**63)

NEMESIS = "nemesis"


class EventType(StrEnum):
    """What happens to an operation."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of a history.

    is_told: whether it says its value; null may be one. time_ns, index: None where there is none.
    applied: as in `Operation`. session: None where it is that of the process.
    """

    line: int
    process: int
    type: EventType
    f: str
    key: Value = None
    value: Value = None
    is_told: bool = True
    index: int | None = None
    time_ns: int | None = None
    node: str | None = None
    error: str | None = None
    version: int | None = None
    session: int | None = None
    applied: bool = True


def event_type(text: Value, path: Path, line: int) -> EventType:
    """Give the type of an event.

    Raises: MalformedHistoryError for any but the four.
    """
    try:
        return EventType(str(text))
    except ValueError as error:
        message = f"an event of type {quoted_value(text)}: it is invoke, ok, fail or info"
        raise MalformedHistoryError(message, path=path, line=line) from error


def small_integer(value: Value, what: str, path: Path, line: int) -> int:
    """Give an integer that fits into 64 bits.

    Raises: MalformedHistoryError for anything else.
    """
    if type(value) is int and value in _INT64:
        return value
    message = f"{what} is {quoted_value(value)}: it must be an integer of at most 64 bits"
    raise MalformedHistoryError(message, path=path, line=line)


def optional_text(value: Value) -> str | None:
    """Give a value as text, None as None."""
    return value if value is None or isinstance(value, str) else str(value)
