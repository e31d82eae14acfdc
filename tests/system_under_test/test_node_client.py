"""Conversations over TCP: what is definite, what is not, and who is asked."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from splitbrain.core.client import Fail, Info, Ok
from splitbrain.system_under_test.node.wire import FrameDecoder, encode_frame
from splitbrain.system_under_test.systems.conversation import LeaderClient
from splitbrain.system_under_test.systems.node_client import NodeClient

Respond = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


@contextlib.contextmanager
def node(respond: Respond, address: str, port: int) -> Iterator[list[Mapping[str, Any]]]:
    """Serve connections; None closes the one that asked. Gives the requests as they come."""
    asked: list[Mapping[str, Any]] = []
    listener = socket.create_server((address, port))

    def serve(connection: socket.socket) -> None:
        decoder = FrameDecoder()
        with connection:
            while data := connection.recv(65536):
                for request in decoder.feed(data):
                    if "hello" in request:
                        continue
                    asked.append(request)
                    body = respond(request)
                    if body is None:
                        return
                    connection.sendall(encode_frame({"id": request["id"], **body}))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


ADDRESSES = {"n1": "127.0.0.1", "n2": "127.0.0.2"}


def client(port: int, name: str = "n1") -> NodeClient:
    made = NodeClient(core=LeaderClient(known=ADDRESSES), addresses=ADDRESSES, port=port)
    made.open(name, 0)
    return made


def test_an_answer_becomes_a_reply(port: int) -> None:
    body = {"ok": True, "value": 3, "index": 9, "node": "n1"}
    with node(lambda _: body, "127.0.0.1", port) as asked:
        assert client(port).invoke("read", "x", None, 5.0) == Ok(3, version=9, served_by="n1")
    assert [(item["f"], item["key"], item["argument"]) for item in asked] == [("read", "x", None)]


def test_the_leader_that_a_node_names_is_asked_once(port: int) -> None:
    refusal = {"ok": False, "error": "not-leader", "definite": True, "leader": "n2"}
    with (
        node(lambda _: refusal, "127.0.0.1", port) as first,
        node(lambda _: refusal, "127.0.0.2", port) as second,
    ):
        assert client(port).invoke("write", "x", 1, 5.0) == Fail("not-leader")
    assert (len(first), len(second)) == (1, 1)


def test_a_leader_that_nobody_knows_is_not_asked(port: int) -> None:
    refusal = {"ok": False, "error": "not-leader", "definite": True, "leader": "elsewhere"}
    with node(lambda _: refusal, "127.0.0.1", port) as asked:
        assert client(port).invoke("write", "x", 1, 5.0) == Fail("not-leader")
    assert len(asked) == 1


def test_a_connection_that_was_never_made_is_definite(port: int) -> None:
    reply = client(port).invoke("write", "x", 1, 5.0)
    assert isinstance(reply, Fail)
    assert "cannot connect to n1" in reply.error


def test_a_connection_that_ends_while_waiting_is_not_definite(port: int) -> None:
    with node(lambda _: None, "127.0.0.1", port):
        reply = client(port).invoke("write", "x", 1, 5.0)
    assert isinstance(reply, Info)


def test_no_answer_in_time_is_not_definite(port: int) -> None:
    silent = threading.Event()

    def wait(_: Mapping[str, Any]) -> None:
        silent.wait(10.0)

    with node(wait, "127.0.0.1", port):
        reply = client(port).invoke("write", "x", 1, 0.05)
        silent.set()
    assert isinstance(reply, Info)


def test_an_indefinite_error_is_info(port: int) -> None:
    with node(
        lambda _: {"ok": False, "error": "lost-leadership", "definite": False}, "127.0.0.1", port
    ):
        assert client(port).invoke("write", "x", 1, 5.0) == Info("lost-leadership")
