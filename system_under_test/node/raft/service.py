"""Raft as the shell runs it: the core, and its messages and requests as JSON objects."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..canonical import Json
from ..errors import RequestError
from .bugs import core_class
from .config import Options
from .core import RaftCore
from .membership import Kind
from .messages import decode_message, encode_message
from .storage import replay
from .store import command_of


class RaftService:
    """One node of Raft behind a shell."""

    def __init__(self, options: Options, records: Iterable[Json], now_ns: int) -> None:
        """Build the node from what its disk holds.

        Raises: NodeError when the records do not fit together.
        """
        self.core: RaftCore = core_class(options.bugs)(options, replay(records), now_ns)

    def decode_message(self, value: Mapping[str, Json]) -> object:
        """Read a message of another node. Raises: WireError."""
        return decode_message(value)

    def encode_message(self, message: object) -> Mapping[str, Json]:
        """Give a message as a JSON object."""
        return encode_message(message)  # type: ignore[arg-type] # a core sends nothing else

    def decode_request(self, value: Mapping[str, Json]) -> object:
        """Read a client's request. Raises: RequestError."""
        return command_of(value)

    def admin(self, name: str) -> Mapping[str, Json]:
        """Answer an operator. Raises: RequestError for a question that there is not."""
        match name.split():
            case ["status"]:
                return self.core.status()
            case ["dump"]:
                return self.core.dump()
            case ["members"]:
                return self.core.members()
            case [word, node] if word in tuple(Kind):
                return self.core.ask_change(Kind(word), node)
        code = "unknown-operation"
        raise RequestError(
            code, "admin is one of status, dump, members, add NODE, remove NODE, transfer NODE"
        )
