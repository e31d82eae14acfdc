"""The shell of a node: performs a core's effects over TCP, on a disk and by real clocks.

One thread. What has arrived by the time the loop comes round is one batch: one call of the core,
one fsync, one write of the trace; only then do messages and replies leave.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .canonical import Json
from .durable import DurableLog
from .effects import (
    Core,
    Effect,
    Event,
    Persist,
    Persisted,
    Received,
    Reply,
    Requested,
    Send,
    SetTimer,
    Stop,
    Tick,
    Trace,
)
from .errors import NodeError, RequestError, refusal
from .inbound import Inbound
from .link import Link
from .trace import TraceFile
from .wire import WireError, encode_frame

_LOG = logging.getLogger(__name__)

CHECK_S = 0.2
"""How often links are looked after."""

CLOCK_S = 1.0
"""How often the trace notes the clocks."""

FLUSH_S = 0.5
"""How long a node that stops waits until its last replies have left."""


class Service(Protocol):
    """A protocol as the shell runs it."""

    @property
    def core(self) -> Core:
        """The node without I/O."""

    def decode_message(self, value: Mapping[str, Json]) -> object:
        """Read a message of another node. Raises: WireError."""

    def encode_message(self, message: object) -> Mapping[str, Json]:
        """Give a message as a JSON object."""

    def decode_request(self, value: Mapping[str, Json]) -> object:
        """Read a client's request. Raises: RequestError."""

    def admin(self, name: str) -> Mapping[str, Json]:
        """Answer an operator. Raises: RequestError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a shell needs of the world. stall_s: as of `Link`."""

    node: str
    addresses: Mapping[str, tuple[str, int]]
    log: DurableLog
    trace: TraceFile
    stall_s: float


class Shell:
    """Runs one service until a signal stops it or the disk fails it."""

    def __init__(self, service: Service, surroundings: Surroundings) -> None:
        self._service = service
        self._node = surroundings.node
        self._addresses = surroundings.addresses
        self._log = surroundings.log
        self._trace = surroundings.trace
        hello = {"hello": "peer", "node": self._node}
        self._links = {
            name: Link(name, address, hello, surroundings.stall_s)
            for name, address in self._addresses.items()
            if name != self._node
        }
        self._clients: set[Inbound] = set()
        self._peers: dict[str, Inbound] = {}
        self._events: list[Event] = []
        self._askers: dict[int, tuple[Inbound, Json]] = {}
        self._token = 0
        self._drain_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ns: int | None = None
        self._status: asyncio.Future[int] | None = None

    async def run(self) -> int:
        """Serve until the end, and give the exit status: 0 stopped by a signal, 1 failed.

        Raises: NodeError when the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        self._status = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._perform_all(self._service.core.start())
        server = await self._listen(loop)
        loop.call_later(CHECK_S, self._check_links)
        loop.call_later(CLOCK_S, self._note_clocks)
        print("ready", flush=True)
        status = await self._status
        server.close()
        await self._flush()
        for link in self._links.values():
            link.close()
        return status

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        host, port = self._addresses[self._node]
        try:
            return await loop.create_server(lambda: Inbound(self), host, port, backlog=512)
        except OSError as error:
            message = f"cannot listen on {host} port {port}: {error.strerror or error}"
            raise NodeError(message) from error

    # -- what comes in

    def on_client(self, connection: Inbound, value: Mapping[str, Json]) -> None:
        """Take a client's request, or an operator's question. Raises: WireError."""
        self._clients.add(connection)
        identity = value.get("id")
        if not isinstance(identity, int | str | None):
            message = "the id of a request is neither a number nor a text"
            raise WireError(message)
        try:
            if "admin" in value:
                self._reply(connection, identity, {"ok": True, **self._answer_admin(value)})
                return
            request = self._service.decode_request(value)
        except RequestError as error:
            self._reply(connection, identity, refusal(error))
            return
        if self._ended:
            self._reply(connection, identity, refusal(RequestError("stopping")))
            return
        self._token += 1
        self._askers[self._token] = (connection, identity)
        self._enqueue(Requested(self._token, request))

    def on_peer(self, node: str, value: Mapping[str, Json]) -> None:
        """Take a message of another node. Raises: WireError."""
        self._enqueue(Received(node, self._service.decode_message(value)))

    def on_hello(self, connection: Inbound, node: str) -> None:
        """Take a new connection of another node; it replaces an older one, which may be dead."""
        if node not in self._links:
            message = f"the node {node!r} is none of our peers"
            raise WireError(message)
        older = self._peers.get(node)
        self._peers[node] = connection
        if older is not None:
            older.close()

    def on_closed(self, connection: Inbound) -> None:
        """Forget a connection."""
        self._clients.discard(connection)
        if connection.node is not None and self._peers.get(connection.node) is connection:
            del self._peers[connection.node]

    def _answer_admin(self, value: Mapping[str, Json]) -> Mapping[str, Json]:
        return self._service.admin(str(value["admin"]))

    # -- batches

    def _enqueue(self, event: Event) -> None:
        self._events.append(event)
        if not self._drain_due:
            self._drain_due = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        """Hand the core all that arrived, and perform what it says."""
        self._drain_due = False
        events, self._events = [Tick(time.monotonic_ns(), time.time_ns()), *self._events], []
        if self._ended:
            return
        try:
            self._perform_all(self._service.core.handle_batch(events))
        except NodeError as error:
            self._end(1, str(error))
        except Exception:  # noqa: BLE001
            # A core that failed half-way may hold anything: it must not say another word.
            self._end(1, traceback.format_exc())

    def _perform_all(self, effects: list[Effect]) -> None:
        while effects:
            done = self._perform(effects)
            effects = self._service.core.handle_batch(done) if done else []

    def _perform(self, effects: Sequence[Effect]) -> list[Event]:
        """Perform effects, the disk first; give the events that say that the disk is done."""
        persists = [effect for effect in effects if isinstance(effect, Persist)]
        for persist in persists:
            if persist.replaces:
                self._log.replace(*persist.records)
            else:
                self._log.append(*persist.records)
        self._log.sync()
        traces = [effect for effect in effects if isinstance(effect, Trace)]
        if traces:
            self._trace.write(traces)
        self._let_out(effects)
        return [Persisted(item.mark) for item in persists if item.mark is not None]

    def _let_out(self, effects: Sequence[Effect]) -> None:
        """Send and reply; whatever that tells is durable and traced by now."""
        messages: dict[str, list[bytes]] = {}
        for effect in effects:
            if isinstance(effect, Send):
                frame = encode_frame(self._service.encode_message(effect.message))
                messages.setdefault(effect.to, []).append(frame)
            elif isinstance(effect, Reply):
                asker, identity = self._askers.pop(effect.token)
                self._reply(asker, identity, effect.body)
            elif isinstance(effect, SetTimer):
                self._set_timer(effect.at_ns)
        for name, frames in messages.items():
            self._links[name].send(b"".join(frames))

    def _reply(self, connection: Inbound, identity: Json, body: Mapping[str, Json]) -> None:
        answer = {"id": identity, **body, "node": self._node}
        try:
            frame = encode_frame(answer)
        except WireError as error:
            too_large = refusal(RequestError("too-large", str(error)))
            frame = encode_frame({"id": identity, **too_large, "node": self._node})
        connection.send(frame)

    # -- time

    def _set_timer(self, at_ns: int | None) -> None:
        """Set when the core wants the time; a timer that rings too early costs less than many."""
        self._timer_at_ns = at_ns
        if at_ns is None:
            return
        at_s = at_ns / 1e9
        if self._timer is not None:
            if self._timer.when() <= at_s:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._timer_at_ns is None or self._ended:
            return
        if time.monotonic_ns() >= self._timer_at_ns:
            self._drain()
        if self._timer is None:
            self._set_timer(self._timer_at_ns)

    def _check_links(self) -> None:
        for link in self._links.values():
            link.check()
        asyncio.get_running_loop().call_later(CHECK_S, self._check_links)

    def _note_clocks(self) -> None:
        if self._ended:
            return
        try:
            self._trace.write([Trace("clock", {})])
        except NodeError as error:
            self._end(1, str(error))
        asyncio.get_running_loop().call_later(CLOCK_S, self._note_clocks)

    # -- the end

    @property
    def _ended(self) -> bool:
        return self._status is not None and self._status.done()

    def _stop(self) -> None:
        """Answer whoever waits, and stop."""
        if self._ended:
            return
        self._events.append(Stop())
        self._drain()
        self._end(0, "stopping")

    def _end(self, status: int, reason: str) -> None:
        if self._status is not None and not self._status.done():
            _LOG.log(logging.ERROR if status else logging.INFO, "%s", reason)
            self._status.set_result(status)

    async def _flush(self) -> None:
        """Wait a little until the last replies have left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FLUSH_S
        while any(client.unsent_bytes for client in self._clients) and loop.time() < deadline:
            await asyncio.sleep(0.01)
