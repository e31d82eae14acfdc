"""What goes into a core and what comes out: a core itself touches nothing of the world.

A shell hands events to `Core.handle_batch` and performs the effects. The order is a promise: what
stands behind a `Persist` must not leave the node before that is durable. A shell may make all the
`Persist` of a list durable first, then write all the `Trace`, then send and reply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .canonical import Json
from .value import value


@value
class Tick:
    """It is now this late on the node's monotonic clock, in nanoseconds.

    wall_ns: what its wall clock shows, since 1970: clock faults bend it, so only what asks for it
    by promise goes by it (last-write-wins does).
    """

    now_ns: int
    wall_ns: int = 0


@value
class Received:
    """A message came from another node. message: a value of the protocol."""

    sender: str
    message: object


@value
class Requested:
    """A client asks for something. token: names the request in its Reply."""

    token: int
    request: object


@value
class Persisted:
    """The Persist with this mark, and all before it, are on the disk."""

    mark: object


@value
class Stop:
    """The node is about to stop: answer whoever waits."""


Event = Tick | Received | Requested | Persisted | Stop


@value
class Persist:
    """Make these records durable, in order. mark: handed back by a Persisted, if not None.

    replaces: they say all that those before them said, which may go then: as one, or not at all.
    """

    records: tuple[Json, ...]
    mark: object = None
    replaces: bool = False


@value
class Trace:
    """Write a record to the node's trace."""

    event: str
    fields: Mapping[str, Json]


@value
class Send:
    """Send a message to another node; it may be lost."""

    to: str
    message: object


@value
class Reply:
    """Answer a client's request."""

    token: int
    body: Mapping[str, Json]


@value
class SetTimer:
    """Hand in a Tick at this time at the latest; replaces the timer set before. None: no timer."""

    at_ns: int | None


Effect = Persist | Trace | Send | Reply | SetTimer


class Core(Protocol):
    """A protocol's node without any I/O."""

    def start(self) -> list[Effect]:
        """Begin; called once, before any event."""

    def handle_batch(self, events: Sequence[Event]) -> list[Effect]:
        """Take events in order and say what is to be done."""
