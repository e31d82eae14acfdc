"""The store as the shell runs it: the core, and its messages and requests as JSON objects."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from ..canonical import Json
from ..errors import RequestError
from .config import Options
from .core import StoreCore
from .messages import Message, decode_message, encode_message
from .requests import request_of
from .storage import replay


class StoreService:
    """One node of the store behind a shell."""

    def __init__(self, options: Options, records: Iterable[Json], now_ns: int) -> None:
        """Build the node from what its disk holds.

        Raises: NodeError when the records do not fit together.
        """
        self.core: StoreCore = StoreCore(options, replay(records), now_ns)

    def decode_message(self, value: Mapping[str, Json]) -> object:
        """Read a message of another node. Raises: WireError."""
        return decode_message(value)

    def encode_message(self, message: object) -> Mapping[str, Json]:
        """Give a message as a JSON object."""
        return encode_message(cast("Message", message))

    def decode_request(self, value: Mapping[str, Json]) -> object:
        """Read a client's request. Raises: RequestError."""
        return request_of(value)

    def admin(self, name: str) -> Mapping[str, Json]:
        """Answer an operator. Raises: RequestError for a question that there is not."""
        if name == "status":
            return self.core.status()
        if name == "dump":
            return self.core.dump()
        code = "unknown-operation"
        raise RequestError(code, "admin is one of status, dump")
