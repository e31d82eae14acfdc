"""Talking to reference nodes over TCP: frames of JSON, a request and its answer at a time."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from splitbrain.core.client import Reply
from splitbrain.core.cluster import Topology
from splitbrain.core.conversation import Answer, Ask, ClientCore, Heard, Lost, Unreachable
from splitbrain.core.simulated import AskAll
from splitbrain.core.value import Value

ADMIN_TIMEOUT_S = 1.0
REPLY_LIMIT_BYTES = 16 * 1024 * 1024

_LENGTH = struct.Struct(">I")


@dataclass(slots=True, kw_only=True)
class NodeClient:
    """Carries the conversations of one client core over TCP; connections are made when needed."""

    core: ClientCore
    addresses: Mapping[str, str]
    port: int
    _connections: dict[str, Connection] = field(default_factory=dict)

    def open(self, node: str, session: int) -> None:
        """Get ready to talk to `node`; the connection is made by the first operation."""
        self.core.open(node, session)

    def invoke(self, f: str, key: Value, argument: Value, timeout_s: float) -> Reply:
        """Perform one operation."""
        deadline_s = time.monotonic() + timeout_s
        conversation = self.core.converse(f, key, argument)
        try:
            ask = next(conversation)
            while True:
                ask = conversation.send(self._ask(ask, deadline_s))
        except StopIteration as done:
            reply: Reply = done.value
            return reply

    def close(self) -> None:
        """Let go of every connection."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _ask(self, ask: Ask, deadline_s: float) -> Heard:
        node = ask.node
        connection = self._connections.get(node)
        if connection is None:
            try:
                connection = Connection.to(self.addresses[node], self.port, deadline_s)
            except OSError as error:
                return Unreachable(f"cannot connect to {node}: {_line(error)}")
            self._connections[node] = connection
        try:
            return Answer(connection.ask(ask.request, deadline_s))
        except (OSError, ValueError) as error:
            connection.close()
            del self._connections[node]
            return Lost(f"{node}: {_line(error)}")


@dataclass(slots=True)
class Connection:
    """A client's connection to a node."""

    socket: socket.socket
    number: int = 0
    buffer: bytearray = field(default_factory=bytearray)

    @classmethod
    def to(cls, address: str, port: int, deadline_s: float) -> Connection:
        """Connect. Raises: OSError, also when time is up."""
        made = socket.create_connection((address, port), timeout=_left_s(deadline_s))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = cls(made)
        try:
            made.sendall(_frame({"hello": "client"}))
        except OSError:
            connection.close()
            raise
        return connection

    def ask(self, request: Mapping[str, Value], deadline_s: float) -> Mapping[str, Value]:
        """Send a request and wait for its answer.

        Raises: OSError (also when time is up), ValueError for an answer that is none.
        """
        self.number += 1
        self.socket.settimeout(_left_s(deadline_s))
        self.socket.sendall(_frame({"id": self.number, **request}))
        while True:
            answer = json.loads(self._read(deadline_s))
            if not isinstance(answer, dict):
                message = "the answer is no object"
                raise ValueError(message)  # noqa: TRY004 - one error for all that is no answer
            if answer.get("id") == self.number:
                return answer

    def close(self) -> None:
        """Let go of the connection."""
        with contextlib.suppress(OSError):
            self.socket.close()

    def _read(self, deadline_s: float) -> bytes:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size, deadline_s))
        if length > REPLY_LIMIT_BYTES:
            message = f"an answer of {length} bytes is too long"
            raise ValueError(message)
        return self._take(length, deadline_s)

    def _take(self, count: int, deadline_s: float) -> bytes:
        while len(self.buffer) < count:
            self.socket.settimeout(_left_s(deadline_s))
            data = self.socket.recv(65536)
            if not data:
                message = "the connection was closed"
                raise ConnectionError(message)
            self.buffer += data
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken


class AsksNodes:
    """The part of a system that puts an operator's questions to its nodes.

    They go over TCP to the port of its nodes, unless `ask_by` hands in another way, as the
    simulator does. What a system makes of the answers is so written once.
    """

    port: int
    _asker: AskAll | None = None

    def ask_by(self, ask: AskAll) -> None:
        """From now on put questions this way."""
        self._asker = ask

    def ask_all(self, topology: Topology, question: str) -> Mapping[str, Mapping[str, Value]]:
        """Ask every node the same; those that do not answer are left out."""
        if self._asker is not None:
            return self._asker(question)
        return ask_over_sockets(topology, self.port, question)


def ask_over_sockets(
    topology: Topology, port: int, question: str
) -> Mapping[str, Mapping[str, Value]]:
    """Ask every node the same over TCP, side by side; those that do not answer are left out."""

    def ask(node: str) -> Mapping[str, Value] | None:
        deadline_s = time.monotonic() + ADMIN_TIMEOUT_S * topology.pace
        try:
            connection = Connection.to(topology.addresses[node], port, deadline_s)
        except OSError:
            return None
        try:
            return connection.ask({"admin": question}, deadline_s)
        except (OSError, ValueError):
            return None
        finally:
            connection.close()

    nodes = topology.nodes
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(nodes)))) as pool:
        answers = dict(zip(nodes, pool.map(ask, nodes), strict=True))
    return {node: answer for node, answer in answers.items() if answer is not None}


def _frame(value: Mapping[str, Value]) -> bytes:
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return _LENGTH.pack(len(data)) + data


def _left_s(deadline_s: float) -> float:
    left = deadline_s - time.monotonic()
    if left <= 0:
        message = "timed out"
        raise TimeoutError(message)
    return left


def _line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
