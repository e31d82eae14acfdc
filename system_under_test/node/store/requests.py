"""What clients ask of the store, read from JSON."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..canonical import Json, canonical_text, compact_text, parse
from ..errors import RequestError
from .cell import NULL
from .clocks import NOTHING, Seen, is_natural
from .config import Level

MAX_VALUE_BYTES = 1024 * 1024
"""The longest key and the longest value, as canonical text."""

OPERATIONS = ("read", "write", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks for.

    key, text: canonical JSON; text is the value to write. seen: what the session had seen, at
    EVENTUAL of this key, at CAUSAL of all keys. least: at EVENTUAL the greatest stamp that the
    session saw under this key; at SEQUENTIAL the place in the log up to where it saw.
    """

    f: str
    level: Level
    key: str
    text: str = NULL
    seen: Seen = NOTHING
    least: int = 0

    @property
    def place(self) -> tuple[Level, str]:
        """The level and the key."""
        return self.level, self.key

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.f == "read"

    @property
    def deletes(self) -> bool:
        """Whether it leaves a tombstone."""
        return self.f == "delete"

    def to_json(self) -> dict[str, Json]:
        """Give it as a client would send it."""
        body: dict[str, Json] = {
            "f": self.f,
            "level": str(self.level),
            "key": parse(self.key),
            "context": context_to_json(self.seen, self.least),
        }
        return body | {"argument": parse(self.text)} if self.f == "write" else body


def request_of(value: Mapping[str, Json]) -> Request:
    """Read a request.

    Raises: RequestError for an unknown operation and for fields that do not fit.
    """
    f, level = value.get("f"), value.get("level")
    if not isinstance(f, str) or f not in OPERATIONS:
        code = "unknown-operation"
        raise RequestError(code, f"f is one of {', '.join(OPERATIONS)}")
    if level not in list(Level):
        raise _bad(detail=f"level is one of {', '.join(Level)}")
    if "key" not in value:
        raise _bad(detail="there is no key")
    if f == "write" and "argument" not in value:
        raise _bad(detail="there is no argument to write")
    if f != "write" and value.get("argument") is not None:
        raise _bad(detail=f"{f} takes no argument")
    seen, least = _context_from(value.get("context"))
    return Request(
        f=f,
        level=Level(level),
        key=_text(value["key"]),
        text=_text(value["argument"]) if f == "write" else NULL,
        seen=seen,
        least=least,
    )


def context_to_json(seen: Seen, least: int) -> Json:
    """Give a session's context as it travels."""
    return {"seen": seen.to_json(), "least": least}


def _context_from(value: Json) -> tuple[Seen, int]:
    if value is None:
        return NOTHING, 0
    try:
        match value:
            case {"seen": seen, "least": int(least)} if is_natural(least):
                return Seen.from_json(seen), least
    except ValueError as error:
        raise _bad(detail=str(error)) from error
    raise _bad(detail=f"the context is none that a node gave: {compact_text(value)[:80]}")


def _text(value: Json) -> str:
    try:
        text = canonical_text(value)
    except ValueError as error:
        raise _bad(detail=str(error)) from error
    if len(text) > MAX_VALUE_BYTES:
        raise _bad(detail=f"longer than {MAX_VALUE_BYTES} bytes")
    return text


def _bad(detail: str) -> RequestError:
    return RequestError("bad-request", detail)
