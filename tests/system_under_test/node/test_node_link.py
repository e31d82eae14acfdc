"""The link to another node: dialled when needed, again when lost, and never a heap of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from splitbrain.system_under_test.node import link as link_module
from splitbrain.system_under_test.node.link import MAX_WAITING, Link
from splitbrain.system_under_test.node.wire import FrameDecoder, encode_frame

HELLO = {"hello": "peer", "node": "n1"}


class Listener:
    """Another node: notes every frame, connection by connection."""

    def __init__(self) -> None:
        self.connections: list[list[Any]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames: list[Any] = []
        self.connections.append(frames)
        self.writers.append(writer)
        decoder = FrameDecoder()
        try:
            while data := await reader.read(65536):
                frames += decoder.feed(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


def linked(test: Callable[[Listener, Link], Awaitable[None]], stall_s: float = 1.0) -> None:
    """Run a test with a listener and a link to it."""

    async def run() -> None:
        listener = Listener()
        await listener.start()
        link = Link("n2", ("127.0.0.1", listener.port), HELLO, stall_s)
        try:
            await test(listener, link)
        finally:
            link.close()
            await listener.stop()
            await asyncio.sleep(0)

    asyncio.run(run())


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


def message(number: int) -> bytes:
    return encode_frame({"number": number})


def test_it_says_hello_and_keeps_the_order() -> None:
    async def test(listener: Listener, link: Link) -> None:
        assert listener.connections == []  # nobody dials before there is something to send
        for i in range(10):
            link.send(message(i))
        await until(lambda: listener.connections and len(listener.connections[0]) == 11)
        link.send(message(10))
        await until(lambda: len(listener.connections[0]) == 12)
        assert listener.connections == [[HELLO, *({"number": i} for i in range(11))]]

    linked(test)


def test_it_comes_back_when_the_other_side_does() -> None:
    async def test(listener: Listener, link: Link) -> None:
        link.send(message(0))
        await until(lambda: listener.connections)
        await listener.stop()
        for i in range(20):
            link.send(message(i))
            await asyncio.sleep(0.005)
        await listener.start()

        def arrived() -> bool:
            link.send(message(99))
            return len(listener.connections) > 1 and {"number": 99} in listener.connections[-1]

        await until(arrived)
        assert listener.connections[-1][0] == HELLO

    linked(test)


def test_messages_for_a_node_that_is_down_do_not_pile_up() -> None:
    async def test(listener: Listener, link: Link) -> None:
        await listener.stop()
        for i in range(10 * MAX_WAITING):
            link.send(message(i))
        assert len(link._waiting) == MAX_WAITING
        await until(lambda: not link._waiting)

    linked(test)


def test_messages_are_dropped_while_a_connection_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(listener: Listener, link: Link) -> None:
        link.send(message(0))
        await until(lambda: listener.connections and len(listener.connections[0]) == 2)
        monkeypatch.setattr(link_module, "MAX_UNSENT_BYTES", 0)
        link.send(message(1))
        monkeypatch.setattr(link_module, "MAX_UNSENT_BYTES", 100)
        link.send(message(2))
        await until(lambda: len(listener.connections[0]) == 3)
        assert listener.connections[0][2] == {"number": 2}

    linked(test)


def test_a_connection_on_which_nothing_is_acknowledged_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(listener: Listener, link: Link) -> None:
        link.send(message(0))
        await until(lambda: listener.connections and len(listener.connections[0]) == 2)
        link.check()
        assert link._transport is not None
        monkeypatch.setattr(link_module, "_unacknowledged", lambda _transport: link._sent_bytes)
        link.send(message(1))

        def given_up() -> bool:
            link.check()
            return link._transport is None

        await until(given_up)
        monkeypatch.undo()
        link.send(message(2))
        await until(lambda: len(listener.connections) == 2)
        await until(lambda: listener.connections[1] == [HELLO, {"number": 2}])

    linked(test, stall_s=0.05)


def test_a_connection_that_moves_on_or_rests_is_kept() -> None:
    async def test(listener: Listener, link: Link) -> None:
        for i in range(30):
            link.send(message(i))
            await asyncio.sleep(0.01)
            link.check()
        await until(lambda: len(listener.connections[0]) == 31)
        assert len(listener.connections) == 1

    linked(test, stall_s=0.05)
