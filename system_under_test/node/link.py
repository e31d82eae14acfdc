"""The way to one other node: a TCP connection that is dialled when needed, and again when lost.

Messages may be lost, never pile up: what cannot be sent soon is dropped, for the protocols send
anew what matters.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import struct
import termios
from collections import deque
from collections.abc import Mapping

from .canonical import Json
from .wire import encode_frame

_LOG = logging.getLogger(__name__)

CONNECT_S = 0.5
"""How long a connection may take to come up."""

RETRY_S = (0.02, 0.2)
"""The first and the longest pause before the next try."""

MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""How much may wait in an open connection."""

MAX_WAITING = 64
"""How many messages wait for a connection that is coming up."""


class Link:
    """The connection to one node, whether it stands or not."""

    def __init__(
        self, name: str, address: tuple[str, int], hello: Mapping[str, Json], stall_s: float
    ) -> None:
        """Make a link that is not dialled yet.

        stall_s: a connection on which the other side acknowledged nothing for so long, while
        something was on its way, is given up: after a partition TCP itself would wait much longer.
        """
        self._name = name
        self._address = address
        self._hello = encode_frame(hello)
        self._stall_s = stall_s
        self._transport: asyncio.Transport | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._sent_bytes = 0
        self._acked_bytes = 0
        self._acked_at = 0.0
        self._closed = False

    def send(self, data: bytes) -> None:
        """Send whole frames, soon or never."""
        if self._closed:
            return
        transport = self._transport
        if transport is None:
            self._waiting.append(data)
            if self._dialling is None:
                self._dialling = asyncio.get_running_loop().create_task(self._dial())
        elif transport.get_write_buffer_size() < MAX_UNSENT_BYTES:
            self._write(transport, data)

    def check(self) -> None:
        """Give the connection up when nothing was acknowledged for too long."""
        transport = self._transport
        if transport is None:
            return
        now = asyncio.get_running_loop().time()
        acked = self._sent_bytes - _unacknowledged(transport)
        if acked > self._acked_bytes or acked == self._sent_bytes:
            self._acked_bytes, self._acked_at = acked, now
        elif now - self._acked_at > self._stall_s:
            _LOG.info("peer=%s connection stalled, dialling anew", self._name)
            self._transport = None
            transport.abort()

    def close(self) -> None:
        """Let go of the connection for good."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
        if self._transport is not None:
            self._transport.close()

    def lost(self, transport: asyncio.BaseTransport | None, reason: Exception | None) -> None:
        """Take note that a connection of ours is gone; the next message dials again."""
        if transport is self._transport:
            _LOG.info("peer=%s connection lost reason=%s", self._name, reason or "closed by peer")
            self._transport = None

    async def _dial(self) -> None:
        pause_s, longest_s = RETRY_S
        try:
            while not self._closed:
                try:
                    await self._connect()
                except OSError:  # TimeoutError is one
                    self._waiting.clear()
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, longest_s)
                else:
                    return
        finally:
            self._dialling = None

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        host, port = self._address
        # A protocol of its own for each try: a late loss of an old connection is not ours.
        transport, _ = await asyncio.wait_for(
            loop.create_connection(lambda: _Outgoing(self), host, port), CONNECT_S
        )
        connected = transport.get_extra_info("socket")
        patience_ms = int(self._stall_s * 1000)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
        if self._closed:
            transport.abort()
            return
        self._transport = transport
        self._sent_bytes = self._acked_bytes = 0
        self._acked_at = loop.time()
        self._write(transport, self._hello + b"".join(self._waiting))
        self._waiting.clear()

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        self._sent_bytes += len(data)
        transport.write(data)


class _Outgoing(asyncio.Protocol):
    """One connection of a link; nothing comes back on it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.lost(self._transport, exc)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Give how many bytes the other side's kernel has not acknowledged."""
    connected = transport.get_extra_info("socket")
    answer = fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    (queued,) = struct.unpack("i", answer)
    return int(queued) + transport.get_write_buffer_size()
