"""Generators that depend on who asks: a share of the workers, each worker, each process."""

from __future__ import annotations

from itertools import accumulate

import msgspec

from splitbrain.core.errors import UsageError
from splitbrain.core.generator import (
    NEMESIS,
    PENDING,
    Context,
    Event,
    Generator,
    Invocation,
    Pending,
)
from splitbrain.generators.sequence import DONE, Step


class Reserve(msgspec.Struct, frozen=True):
    """Shares of the workers with a generator each; whoever is left over has the last.

    A share counts its workers from 0, as if there were no others; only in_flight is of all.
    counts: how many workers each share has, the last without a count. None: exhausted.
    """

    counts: tuple[int, ...]
    generators: tuple[Generator | None, ...]

    def step(self, context: Context) -> Step:
        """Ask the share of the worker that asks."""
        place, first = self._share(context.worker)
        generator = self.generators[place]
        step: Invocation | Pending | None = None
        after = self
        if generator is not None:
            step, changed = generator.step(self._inside(context, place, first))
            after = self._with(place, None if step is None else changed)
        if step is not None:
            return step, after
        return (PENDING, after) if self._goes_on(after.generators, context) else (None, DONE)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the share of the worker that it is about."""
        place, first = self._share(event.worker)
        generator = self.generators[place]
        if generator is None:
            return self
        inside = self._inside(context, place, first)
        theirs = msgspec.structs.replace(event, worker=event.worker - first)
        changed = generator.update(inside, theirs)
        return self if changed is generator else self._with(place, changed)

    def _share(self, worker: int) -> tuple[int, int]:
        first = 0
        for place, count in enumerate(self.counts):
            if worker < first + count:
                return place, first
            first += count
        return len(self.counts), first

    def _inside(self, context: Context, place: int, first: int) -> Context:
        left = max(0, context.workers - first)
        workers = min(left, self.counts[place]) if place < len(self.counts) else left
        return msgspec.structs.replace(context, worker=context.worker - first, workers=workers)

    def _goes_on(self, generators: tuple[Generator | None, ...], context: Context) -> bool:
        """Tell whether a share that has workers has anything left."""
        firsts = accumulate(self.counts, initial=0)
        return any(
            generator is not None and first < context.workers
            for first, generator in zip(firsts, generators, strict=True)
        )

    def _with(self, place: int, generator: Generator | None) -> Reserve:
        generators = (*self.generators[:place], generator, *self.generators[place + 1 :])
        return Reserve(self.counts, generators)


class EachWorker(msgspec.Struct, frozen=True):
    """The same generator for each worker, or for each process, from its beginning.

    copies: by worker, the process that it was, and what is left of its copy (None: nothing).
    """

    original: Generator
    by_process: bool
    copies: tuple[tuple[int, Generator | None] | None, ...] = ()

    def step(self, context: Context) -> Step:
        """Ask the copy of the worker that asks."""
        worker = context.worker
        copies = self.copies + (None,) * (context.workers - len(self.copies))
        copy = self._copy(copies[worker], context.process)
        step: Invocation | Pending | None = None
        if copy is not None:
            step, copy = copy.step(context)
            if step is None:
                copy = None
        copies = (*copies[:worker], (context.process, copy), *copies[worker + 1 :])
        if step is None and self._exhausted(copies, context):
            return None, DONE
        return step or PENDING, EachWorker(self.original, self.by_process, copies)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the copy of the worker that it is about."""
        worker = event.worker
        entry = self.copies[worker] if 0 <= worker < len(self.copies) else None
        if entry is None or entry[1] is None or (self.by_process and entry[0] != event.process):
            return self
        copy = entry[1].update(context, event)
        if copy is entry[1]:
            return self
        copies = (*self.copies[:worker], (entry[0], copy), *self.copies[worker + 1 :])
        return EachWorker(self.original, self.by_process, copies)

    def _copy(self, entry: tuple[int, Generator | None] | None, process: int) -> Generator | None:
        if entry is None or (self.by_process and entry[0] != process):
            return self.original
        return entry[1]

    def _exhausted(
        self, copies: tuple[tuple[int, Generator | None] | None, ...], context: Context
    ) -> bool:
        # An operation in flight may yet retire its process, whose successor has a copy to begin.
        if self.by_process and context.in_flight:
            return False
        return all(entry is not None and entry[1] is None for entry in copies)


class Side(msgspec.Struct, frozen=True):
    """A generator for the clients alone, or for the nemesis alone."""

    generator: Generator
    nemesis: bool

    def step(self, context: Context) -> Step:
        """Ask, if the right side asks."""
        if (context.worker == NEMESIS) is not self.nemesis:
            return PENDING, self
        step, generator = self.generator.step(context)
        return (None, DONE) if step is None else (step, Side(generator, self.nemesis))

    def update(self, context: Context, event: Event) -> Generator:
        """Tell it what its own side did."""
        if (event.worker == NEMESIS) is not self.nemesis:
            return self
        generator = self.generator.update(context, event)
        return self if generator is self.generator else Side(generator, self.nemesis)


def reserve(*shares: tuple[int, Generator], rest: Generator) -> Generator:
    """Make a generator that gives so many workers to each of `shares`, and all others to `rest`.

    Raises: UsageError when a share has no worker.
    """
    if any(count < 1 for count, _ in shares):
        message = "a share of the workers must have at least one"
        raise UsageError(message)
    counts = tuple(count for count, _ in shares)
    return Reserve(counts, (*(generator for _, generator in shares), rest))


def each_worker(generator: Generator) -> Generator:
    """Make a generator that every worker has a copy of."""
    return EachWorker(generator, by_process=False)


def each_process(generator: Generator) -> Generator:
    """Make a generator that every process has a copy of; it begins anew for a worker's next."""
    return EachWorker(generator, by_process=True)


def clients(generator: Generator) -> Generator:
    """Make a generator that only clients are given operations of."""
    return Side(generator, nemesis=False)


def nemesis(generator: Generator) -> Generator:
    """Make a generator that only the nemesis side is given operations of."""
    return Side(generator, nemesis=True)
