"""Operations and generators one after the other: once, in order, again, and with barriers.

Generators are msgspec structs: values like frozen dataclasses, but made in a tenth of a
microsecond. The interpreter makes several for each operation, under a lock.
"""

from __future__ import annotations

import msgspec

from splitbrain.core.generator import PENDING, Context, Event, Generator, Invocation, Pending
from splitbrain.core.value import Value

Step = tuple[Invocation | Pending | None, Generator]
"""What `Generator.step` gives."""


class Done(msgspec.Struct, frozen=True):
    """Nothing, ever."""

    def step(self, context: Context) -> Step:  # noqa: ARG002 - the same for everybody
        """Give None."""
        return None, self

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Stay as it is."""
        return self


DONE = Done()


class Once(msgspec.Struct, frozen=True):
    """One operation, a single time."""

    invocation: Invocation

    def step(self, context: Context) -> Step:  # noqa: ARG002 - whoever asks first gets it
        """Give the operation."""
        return self.invocation, DONE

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Stay as it is."""
        return self


class Sequence(msgspec.Struct, frozen=True):
    """Generators one after the other; with a barrier, each waits until all workers are idle."""

    generators: tuple[Generator, ...]
    barrier: bool = False
    waiting: bool = False

    def step(self, context: Context) -> Step:
        """Ask the first that is not exhausted."""
        rest, waiting = self.generators, self.waiting
        while rest:
            if waiting and context.in_flight:
                return PENDING, Sequence(rest, self.barrier, waiting)
            step, first = rest[0].step(context)
            if step is not None:
                return step, Sequence((first, *rest[1:]), self.barrier)
            rest, waiting = rest[1:], self.barrier
        return None, DONE

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the first."""
        if not self.generators or self.waiting:
            return self
        first = self.generators[0].update(context, event)
        if first is self.generators[0]:
            return self
        return Sequence((first, *self.generators[1:]), self.barrier)


class Repeat(msgspec.Struct, frozen=True):
    """A generator again and again from its beginning, `times` in all or for ever (None)."""

    original: Generator
    current: Generator
    times: int | None = None

    def step(self, context: Context) -> Step:
        """Ask the current one, and begin again when it is exhausted."""
        step, current = self.current.step(context)
        if step is not None:
            return step, Repeat(self.original, current, self.times)
        times = None if self.times is None else self.times - 1
        if times is not None and times <= 0:
            return None, DONE
        step, current = self.original.step(context)
        if step is None:
            return None, DONE  # it never has anything to give
        return step, Repeat(self.original, current, times)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the current one."""
        current = self.current.update(context, event)
        return self if current is self.current else Repeat(self.original, current, self.times)


def once(f: str, key: Value = None, argument: Value = None) -> Generator:
    """Make a generator of one operation."""
    return Once(Invocation(f, key, argument))


def sequence(*generators: Generator) -> Generator:
    """Make a generator of several, each begun as soon as the one before is exhausted."""
    return Sequence(generators)


def phases(*generators: Generator) -> Generator:
    """Make a generator of several, each begun once every operation before it has completed."""
    return Sequence(generators, barrier=True)


def repeat(generator: Generator, times: int | None = None) -> Generator:
    """Make a generator that begins again when it is exhausted: `times` in all, None for ever."""
    if times is not None and times <= 0:
        return DONE
    return Repeat(generator, generator, times)
