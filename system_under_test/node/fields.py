"""Takes a node's configuration apart: typed fields of one JSON object, and no field left over."""

from __future__ import annotations

from collections.abc import Mapping

from .canonical import Json, parse
from .errors import NodeError


def read_fields(text: str | bytes) -> Fields:
    """Read a configuration's object.

    Raises: NodeError when it is no JSON object.
    """
    try:
        value = parse(text)
    except ValueError as error:
        message = f"the configuration is not JSON: {error}"
        raise NodeError(message) from error
    if not isinstance(value, dict):
        message = "the configuration is no JSON object"
        raise NodeError(message)
    return Fields(value)


class Fields:
    """Takes typed fields out of an object, and remembers which were taken."""

    def __init__(self, value: Mapping[str, Json]) -> None:
        self._value = value
        self._taken: set[str] = set()

    def take(self, name: str, default: Json = None) -> Json:
        """Take a field as it is."""
        self._taken.add(name)
        return self._value.get(name, default)

    def text(self, name: str) -> str:
        """Take a text that must be there."""
        value = self.take(name)
        if not isinstance(value, str) or not value:
            raise wrong(field=name, expected="a text")
        return value

    def integer(self, name: str, default: int, *, least: int) -> int:
        """Take an integer."""
        value = self.take(name, default)
        if type(value) is not int or value < least:
            raise wrong(field=name, expected=f"an integer, {least} or more")
        return value

    def truth(self, name: str, *, default: bool = True) -> bool:
        """Take true or false."""
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise wrong(field=name, expected="true or false")
        return value

    def refuse_unknown(self) -> None:
        """Refuse fields that nobody took. Raises: NodeError."""
        unknown = sorted(set(self._value) - self._taken)
        if unknown:
            message = f"configuration: there is no field {', '.join(unknown)}"
            raise NodeError(message)


def wrong(*, field: str, expected: str) -> NodeError:
    """Make the error for a field that does not fit."""
    return NodeError(f"configuration: {field} must be {expected}")


def take_addresses(fields: Fields) -> Mapping[str, tuple[str, int]]:
    """Take the addresses of all members. Raises: NodeError."""
    peers = fields.take("peers")
    if not isinstance(peers, dict) or not peers:
        raise wrong(field="peers", expected='an object of "node": ["host", port]')
    addresses = {}
    for node, address in peers.items():
        if not (isinstance(address, list) and len(address) == 2):
            raise wrong(field=f"peers.{node}", expected='["host", port]')
        host, port = address
        if not isinstance(host, str) or type(port) is not int or not 0 < port < 1 << 16:
            raise wrong(field=f"peers.{node}", expected='["host", port]')
        addresses[node] = (host, port)
    return addresses


def take_bugs(fields: Fields, known: frozenset[str]) -> tuple[str, ...]:
    """Take the names of planted bugs. Raises: NodeError for one that there is not."""
    value = fields.take("bugs", [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong(field="bugs", expected="a list of names")
    names = tuple(str(item) for item in value)
    for name in names:
        if name not in known:
            message = f"configuration: there is no bug {name!r}; there are {sorted(known)}"
            raise NodeError(message)
    return names
