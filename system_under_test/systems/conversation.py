"""What the clients of reference systems have in common: how a node's answer becomes a reply.

The types of a conversation are those of the core, under their names here as well.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Mapping
from dataclasses import dataclass

from splitbrain.core.client import Fail, Info, Ok, Reply
from splitbrain.core.conversation import (
    Answer,
    Ask,
    ClientCore,
    ClientCoreFactory,
    Conversation,
    Heard,
    Lost,
    Unreachable,
)
from splitbrain.core.value import Value

__all__ = [
    "Answer",
    "Ask",
    "ClientCore",
    "ClientCoreFactory",
    "Conversation",
    "Heard",
    "LeaderClient",
    "Lost",
    "Unreachable",
    "ask_leader",
    "reply_of",
]


def reply_of(heard: Heard) -> Reply:
    """Make a reply of what was heard; only what a node calls definite is Fail."""
    if isinstance(heard, Unreachable):
        return Fail(heard.reason)
    if isinstance(heard, Lost):
        return Info(heard.reason)
    body = heard.body
    if body.get("ok") is True:
        index, node = body.get("index"), body.get("node")
        return Ok(
            value=body.get("value"),
            version=index if isinstance(index, int) else None,
            applied=body.get("applied") is not False,
            served_by=node if isinstance(node, str) else None,
        )
    error = str(body.get("error"))
    return Fail(error) if body.get("definite") is True else Info(error)


def ask_leader(
    node: str, request: Mapping[str, Value], known: Container[str]
) -> Generator[Ask, Heard, Heard]:
    """Ask a node, and once more the leader that it names; give what was heard in the end.

    A node that does not lead refuses before anything happens, so asking the leader instead is no
    retry of something that may have been done. known: the nodes that there are.
    """
    heard = yield Ask(node, request)
    if isinstance(heard, Answer) and heard.body.get("error") == "not-leader":
        leader = heard.body.get("leader")
        if isinstance(leader, str) and leader in known:
            heard = yield Ask(leader, request)
    return heard


@dataclass(slots=True, kw_only=True)
class LeaderClient:
    """Talks to one node, and to the leader that it names; sessions carry nothing.

    `served_by` says who answered in the end.
    """

    known: Container[str]
    _node: str = ""

    def open(self, node: str, session: int) -> None:  # noqa: ARG002 - sessions carry nothing here
        """Choose the node to talk to."""
        self._node = node

    def converse(self, f: str, key: Value, argument: Value) -> Conversation:
        """Perform one operation."""
        request: dict[str, Value] = {"f": f, "key": key, "argument": argument}
        return reply_of((yield from ask_leader(self._node, request, self.known)))
