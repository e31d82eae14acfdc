"""Performs planned operations again: each worker its own, at their times."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from splitbrain.core.generator import PENDING, Context, Event, Generator, Invocation
from splitbrain.core.planned import PlannedOperation
from splitbrain.generators.sequence import DONE, Step

Queue = tuple[int, tuple[Invocation, ...]]


class Replay(msgspec.Struct, frozen=True):
    """What each worker has still to do. lasting: once all is done, wait instead of ending."""

    queues: tuple[Queue, ...]
    lasting: bool

    def step(self, context: Context) -> Step:
        """Give the next operation of this worker."""
        for place, (worker, ahead) in enumerate(self.queues):
            if worker == context.worker:
                left: tuple[Queue, ...] = ((worker, ahead[1:]),) if ahead[1:] else ()
                queues = (*self.queues[:place], *left, *self.queues[place + 1 :])
                return ahead[0], Replay(queues, self.lasting)
        if self.queues or self.lasting:
            return PENDING, self
        return None, DONE

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Learn nothing: what is to be done is known."""
        return self


def replay(operations: Iterable[PlannedOperation], *, lasting: bool = False) -> Generator:
    """Give what performs these operations, those of a worker in the order of their times."""
    queues: dict[int, list[Invocation]] = {}
    for item in sorted(operations, key=lambda item: item.at_ns):
        invocation = Invocation(item.f, item.key, item.argument, item.at_ns)
        queues.setdefault(item.worker, []).append(invocation)
    return Replay(tuple((worker, tuple(ahead)) for worker, ahead in queues.items()), lasting)
