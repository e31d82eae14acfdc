"""What speaks to the system under test on behalf of one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from splitbrain.core.value import Value


@dataclass(frozen=True, slots=True)
class Ok:
    """The operation happened. See `Operation` for version and applied.

    context: what the session must hand to its next operation (a causal context, say).
    served_by: the node that answered, when it is not the one that was asked.
    """

    value: Value = None
    version: int | None = None
    applied: bool = True
    context: Value = None
    served_by: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The operation certainly did not happen and never will."""

    error: str


@dataclass(frozen=True, slots=True)
class Info:
    """Nobody can say whether the operation happened. When in doubt, this is always safe."""

    error: str


Reply = Ok | Fail | Info


class Client(Protocol):
    """The connection of one process to the system; used by one thread at a time.

    An exception that escapes `invoke` counts as Info: only errors that the client itself knows to
    be definite become Fail. No hidden retries: what is invoked twice may happen twice.
    """

    def open(self, node: str, session: int) -> None:
        """Get ready to talk to `node`; may connect lazily. An exception is retried later."""

    def invoke(self, f: str, key: Value, argument: Value, timeout_s: float) -> Reply:
        """Perform one operation and say what became of it within `timeout_s` seconds."""

    def close(self) -> None:
        """Let go of every connection; never raises."""


ClientFactory = Callable[[], Client]
"""Makes a fresh client for each process."""

Sink = Callable[[str, Value, Value], None]
"""Takes a pushed message: f, key, value."""


@runtime_checkable
class Streaming(Protocol):
    """The optional power of a client to receive pushes."""

    def listen(self, sink: Sink) -> None:
        """Hand each push to `sink`, from any thread, until `close`."""
