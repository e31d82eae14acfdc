"""Clients without I/O: what a client asks of nodes, what it hears, and what it makes of that.

A driver carries a conversation: over sockets on real clusters, through virtual time in the
simulator. The same client code runs on both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Protocol, TypeAlias

import msgspec

from splitbrain.core.client import Reply
from splitbrain.core.value import Value


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Send this request to this node, and wait for its answer."""

    node: str
    request: Mapping[str, Value]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The node answered."""

    body: Mapping[str, Value]


class Unreachable(msgspec.Struct, frozen=True, gc=False):
    """Nothing was sent: the node certainly did nothing and never will."""

    reason: str


class Lost(msgspec.Struct, frozen=True, gc=False):
    """The request was sent and no answer came: nobody can say what became of it."""

    reason: str


Heard: TypeAlias = Answer | Unreachable | Lost

Conversation: TypeAlias = Generator[Ask, Heard, Reply]
"""One operation: yields what to ask, is sent what was heard, returns the reply."""


class ClientCore(Protocol):
    """A client of one process, without I/O. All its waiting is between an Ask and what is heard."""

    def open(self, node: str, session: int) -> None:
        """Get ready to talk to `node`."""

    def converse(self, f: str, key: Value, argument: Value) -> Conversation:
        """Perform one operation."""


ClientCoreFactory = Callable[[], ClientCore]
"""Makes a fresh client core for each process."""
