"""The client that asks again: one effect at most, and doubt stays doubt."""

from __future__ import annotations

from splitbrain.core.client import Fail, Info, Ok
from splitbrain.core.conversation import Answer, Lost, Unreachable
from splitbrain.system_under_test.systems.session_client import SessionClient

NODES = ("n1", "n2", "n3")
OPENED = Answer({"ok": True, "index": 5, "node": "n1"})


def talk(client, f, argument, *heard):
    """Carry a conversation with these answers, the last again and again; give asks and reply."""
    asks, answers = [], list(heard)
    conversation = client.converse(f, "x", argument)
    try:
        ask = next(conversation)
        for _ in range(100):
            asks.append((ask.node, dict(ask.request)))
            ask = conversation.send(answers.pop(0) if len(answers) > 1 else answers[0])
    except StopIteration as done:
        return asks, done.value
    raise AssertionError("it never ends")


def fresh():
    client = SessionClient(known=NODES)
    client.open("n1", 0)
    return client


def refused(error, definite):
    return Answer({"ok": False, "error": error, "definite": definite, "leader": None})


def test_a_write_is_asked_for_again_under_one_number():
    client = fresh()
    done = Answer({"ok": True, "index": 9, "applied": True, "node": "n2"})
    asks, reply = talk(client, "write", 1, OPENED, Lost("gone"), done)
    assert isinstance(reply, Ok)
    assert [node for node, _ in asks] == ["n1", "n1", "n2"]
    assert [(a["session"], a["sequence"]) for _, a in asks[1:]] == [(5, 1), (5, 1)]
    asks, _ = talk(client, "write", 2, done)
    assert asks[0][1]["sequence"] == 2


def test_doubt_stays_whatever_is_heard_later():
    for later in (refused("not-leader", True), refused("session-expired", True), Unreachable("x")):
        _, reply = talk(fresh(), "write", 1, OPENED, Lost("gone"), later)
        assert isinstance(reply, Info), later


def test_what_was_never_taken_up_failed_for_certain():
    for heard in (refused("not-leader", True), Unreachable("nobody"), refused("stopping", True)):
        asks, reply = talk(fresh(), "write", 1, OPENED, heard)
        assert isinstance(reply, Fail), heard
        assert len(asks) <= 1 + 2 * len(NODES)
    _, reply = talk(fresh(), "write", 1, Lost("gone"))
    assert isinstance(reply, Fail), "without a session the command was never sent"


def test_a_session_that_expired_is_opened_anew_by_the_next_operation():
    client = fresh()
    _, reply = talk(client, "write", 1, OPENED, refused("session-expired", True))
    assert isinstance(reply, Fail)
    asks, _ = talk(client, "write", 2, OPENED, Answer({"ok": True, "index": 7}))
    assert asks[0][1] == {"f": "open-session"}
    assert asks[1][1]["sequence"] == 1


def test_reads_need_no_session():
    asks, reply = talk(fresh(), "read", None, Answer({"ok": True, "value": 3, "index": 4}))
    assert asks == [("n1", {"f": "read", "key": "x", "argument": None})]
    assert isinstance(reply, Ok)
