"""The keyed store that the log drives: read, write, compare-and-set, append.

Keys and values are held as canonical JSON text, so that they compare by type and content: 1, 1.0
and true are three values. A key that was never written holds null.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from ..canonical import Json, canonical_text, parse
from ..errors import RequestError
from ..value import value
from .log import NO_OP
from .membership import members_in

MAX_COMMAND_BYTES = 1024 * 1024
"""The longest command, as canonical text."""

MAX_DEPTH = 64
"""How deep keys and arguments may be nested."""

KNOWN_LENGTH = 256
"""Commands up to this length are read once; how many are known is bounded too."""

NULL = "null"
OPEN_SESSION = "open-session"


@value
class Command:
    """What a client asks for. key: canonical text. text: the whole, as it goes into the log.

    opens: it opens a session.
    """

    f: str
    key: str
    text: str
    opens: bool = False

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing, and goes past the log."""
        return self.f == "read"


def command_of(request: Mapping[str, Json]) -> Command:
    """Make a command of the fields `f`, `key` and `argument`, and of `session` and `sequence`.

    Raises: RequestError for an unknown operation and for fields that do not fit.
    """
    f, argument = request.get("f"), request.get("argument")
    if f == OPEN_SESSION:
        return Command(OPEN_SESSION, NULL, "", opens=True)
    if not isinstance(f, str) or f not in _OPERATIONS:
        code = "unknown-operation"
        raise RequestError(code, f"f is one of {', '.join(_OPERATIONS)}")
    _require_fields(request, f)
    content: dict[str, Json] = {"argument": argument, "f": f, "key": request["key"]}
    if "session" in request and f != "read":
        content["session"] = _session(request)
    try:
        key = canonical_text(request["key"])
        text = canonical_text(content)
    except ValueError as error:
        raise _bad(detail=str(error)) from error
    if len(text) > MAX_COMMAND_BYTES:
        raise _bad(detail=f"the command is longer than {MAX_COMMAND_BYTES} bytes")
    return Command(f, key, text)


def _require_fields(request: Mapping[str, Json], f: str) -> None:
    argument = request.get("argument")
    if "key" not in request:
        raise _bad(detail="there is no key")
    if f == "cas" and not (isinstance(argument, list) and len(argument) == 2):
        raise _bad(detail="the argument of cas is [old, new]")
    if f != "read" and "argument" not in request:
        raise _bad(detail=f"there is no argument to {f}")
    if f == "read" and argument is not None:
        raise _bad(detail="read takes no argument")
    if _depth(request) > MAX_DEPTH:
        raise _bad(detail=f"nested deeper than {MAX_DEPTH}")


def session_text(limit: int) -> str:
    """Make the command that opens a session where there may be so many."""
    return canonical_text({"f": OPEN_SESSION, "limit": limit})


def _session(request: Mapping[str, Json]) -> list[Json]:
    name, number = request.get("session"), request.get("sequence")
    if type(name) is not int or type(number) is not int or not 0 < number < 1 << 63:
        raise _bad(detail="session and sequence are whole numbers, the latter from 1")
    return [name, number]


def _bad(detail: str) -> RequestError:
    return RequestError("bad-request", detail)


def _depth(value: Json) -> int:
    """Give how deep a value is nested; stops counting a little above the limit."""
    level: list[Json] = [value]
    depth = 0
    while level and depth <= MAX_DEPTH + 2:
        depth += 1
        inner: list[Json] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                inner.extend(item.values())  # type: ignore[union-attr]
            elif kind is list:
                inner.extend(item)  # type: ignore[arg-type]
        level = inner
    return depth - 2  # the request itself, and the level of scalars


def command_in(text: str) -> Mapping[str, Json] | None:
    """Read a client's command out of the log; None for a no-op and for a configuration.

    Where many nodes live in one process, as in the simulator, one reads it for the others.
    """
    return _known_command(text) if len(text) <= KNOWN_LENGTH else _read_command(text)


def _read_command(text: str) -> Mapping[str, Json] | None:
    if text == NO_OP or members_in(text) is not None:
        return None
    command = parse(text)
    if not isinstance(command, dict):
        message = f"a command is an object, not {text[:80]}"
        raise TypeError(message)
    return command


_known_command = lru_cache(maxsize=4096)(_read_command)


class Store:
    """The values by key, both as canonical text."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def apply(self, text: str) -> bool:
        """Carry out a command of the log and tell whether it took effect."""
        command = command_in(text)
        return command is not None and "key" in command and self.carry_out(command)

    def carry_out(self, command: Mapping[str, Json]) -> bool:
        """Carry out a command on a key and tell whether it took effect."""
        key, argument = canonical_text(command["key"]), command["argument"]
        old = self._values.get(key, NULL)
        new = _new_value(str(command["f"]), old, argument)
        if new is None:
            return False
        self._values[key] = new
        return True

    def read(self, key: str) -> Json:
        """Give the value under a key that is canonical text."""
        return parse(self._values.get(key, NULL))

    def restore(self, content: Iterable[Json]) -> None:
        """Hold what another store's `content` gave. Raises: ValueError when it is none."""
        self._values.clear()
        for pair in content:
            if not isinstance(pair, list) or len(pair) != 2:
                message = f"no key and value: {str(pair)[:80]}"
                raise ValueError(message)
            self._values[canonical_text(pair[0])] = canonical_text(pair[1])

    def content(self) -> list[Json]:
        """Give all [key, value], sorted by the text of the key."""
        return [[parse(key), parse(value)] for key, value in sorted(self._values.items())]


def _new_value(f: str, old: str, argument: Json) -> str | None:
    """Give what a key holds after a command; None: the command does not apply."""
    if f == "write":
        return canonical_text(argument)
    if f == "cas":
        expected, new = argument if isinstance(argument, list) else (None, None)
        return canonical_text(new) if canonical_text(expected) == old else None
    item = canonical_text(argument)
    if old == NULL:
        return f"[{item}]"
    if old.startswith("["):
        return f"[{item}]" if old == "[]" else f"{old[:-1]},{item}]"
    if old.startswith('"') and item.startswith('"'):
        return old[:-1] + item[1:]
    return None


_OPERATIONS = ("read", "write", "cas", "append")
