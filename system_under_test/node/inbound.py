"""A connection that somebody else opened: a client's, or another node's messages to us."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import Protocol, cast

from .canonical import Json
from .wire import FrameDecoder, WireError

_LOG = logging.getLogger(__name__)

MAX_UNREAD_BYTES = 64 * 1024 * 1024
"""How much a client may leave unread before its connection is closed."""


class Receiver(Protocol):
    """Who takes what comes in."""

    def on_client(self, connection: Inbound, value: Mapping[str, Json]) -> None:
        """Take a frame of a client. Raises: WireError."""

    def on_peer(self, node: str, value: Mapping[str, Json]) -> None:
        """Take a frame of another node. Raises: WireError."""

    def on_hello(self, connection: Inbound, node: str) -> None:
        """Learn which node is at the other end. Raises: WireError when it is none of ours."""

    def on_closed(self, connection: Inbound) -> None:
        """Learn that a connection is gone."""


class Inbound(asyncio.Protocol):
    """One such connection. The first frame says who is at the other end."""

    def __init__(self, receiver: Receiver) -> None:
        self.node: str | None = None
        self._receiver = receiver
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection; make the kernel find out when the other side is gone."""
        self._transport = cast("asyncio.Transport", transport)
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

    def data_received(self, data: bytes) -> None:
        """Take bytes; close the connection when they make no sense."""
        try:
            for value in self._decoder.feed(data):
                self._take(value)
        except WireError as error:
            _LOG.warning("connection=%s closed: %s", self.node or "client", error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that the connection is gone."""
        if exc is not None:
            _LOG.info("connection=%s lost reason=%s", self.node or "client", exc)
        self._transport = None
        self._receiver.on_closed(self)

    def send(self, data: bytes) -> None:
        """Send whole frames, unless the other side is gone or does not read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            _LOG.warning("connection=%s closed: it does not read", self.node or "client")
            transport.abort()

    @property
    def unsent_bytes(self) -> int:
        """How much waits to be sent."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Close the connection once everything was sent."""
        if self._transport is not None:
            self._transport.close()

    def _take(self, value: Mapping[str, Json]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not self._greeted:
            self._greet(value)
        elif self.node is not None:
            self._receiver.on_peer(self.node, value)
        else:
            self._receiver.on_client(self, value)

    def _greet(self, value: Mapping[str, Json]) -> None:
        match value:
            case {"hello": "client"}:
                pass
            case {"hello": "peer", "node": str(node)}:
                self._receiver.on_hello(self, node)
                self.node = node
            case _:
                message = "the first frame is no hello"
                raise WireError(message)
        self._greeted = True
