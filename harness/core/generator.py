"""What a generator is: a value that says which operation comes next.

A worker that is free asks the generator for an operation of its own and gets the generator that
follows. Nothing is changed in place, so a generator can be simulated, stored and replayed.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from splitbrain.core.operation import Outcome
from splitbrain.core.value import Value

NEMESIS = -1
"""The worker number of the nemesis side."""


class Invocation(msgspec.Struct, frozen=True, gc=False):
    """An operation to perform. at_ns: not before this time on the context's clock; 0 is at once.

    A worker that takes an invocation of the future keeps it, and waits for its time.
    """

    f: str
    key: Value = None
    argument: Value = None
    at_ns: int = 0


class Pending(msgspec.Struct, frozen=True, gc=False):
    """Nothing for this worker now: ask again after an event, or at until_ns if that is given.

    is_fixed: no event brings anything before until_ns, though one may bring the end, so that it is
    enough to ask again a little after an event.
    """

    until_ns: int | None = None
    is_fixed: bool = False


PENDING = Pending()


class Context(msgspec.Struct, frozen=True, gc=False):
    """What a generator may know when it is asked.

    time_ns: since the phase began. worker: who asks, 0 to workers - 1, or `NEMESIS`. process: the
    logical process that this worker is now. workers: how many client workers there are. in_flight:
    how many other workers hold an operation that has not completed.
    """

    time_ns: int
    worker: int
    process: int
    workers: int
    in_flight: int


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that a generator may want to know. outcome: None for an invocation."""

    worker: int
    process: int
    f: str
    key: Value
    argument: Value
    outcome: Outcome | None = None
    result: Value = None
    applied: bool = True


class Generator(Protocol):
    """A value that yields operations; the methods give new values and change nothing.

    Randomness comes from `core.randomness`, keyed by seed, path in the generator and number.
    """

    def step(self, context: Context) -> tuple[Invocation | Pending | None, Generator]:
        """Give the next operation for the worker that asks, and the generator that follows.

        Pending: nothing for it now. None: never anything again, for any worker; once exhausted, a
        generator stays so.
        """

    def update(self, context: Context, event: Event) -> Generator:
        """Give the generator that follows an invocation or a completion."""
