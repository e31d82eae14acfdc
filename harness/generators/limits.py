"""Generators that end before their parts do: after a number, a time, or a success."""

from __future__ import annotations

import msgspec

from splitbrain.core.generator import Context, Event, Generator, Invocation, Pending
from splitbrain.core.operation import Outcome
from splitbrain.generators.sequence import DONE, Step


class Limit(msgspec.Struct, frozen=True):
    """The first `count` operations of a generator."""

    generator: Generator
    count: int

    def step(self, context: Context) -> Step:
        """Give the next, until the count is reached."""
        if self.count <= 0:
            return None, DONE
        step, generator = self.generator.step(context)
        if step is None:
            return None, DONE
        count = self.count - 1 if type(step) is Invocation else self.count
        return step, Limit(generator, count)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the generator."""
        generator = self.generator.update(context, event)
        return self if generator is self.generator else Limit(generator, self.count)


class TimeLimit(msgspec.Struct, frozen=True):
    """What a generator gives within a time that begins when it is first asked."""

    generator: Generator
    limit_ns: int
    ends_ns: int | None = None

    def step(self, context: Context) -> Step:
        """Give the next, if its time lies within the limit."""
        ends_ns = self.ends_ns
        if ends_ns is None:
            ends_ns = context.time_ns + self.limit_ns
        if context.time_ns >= ends_ns:
            return None, DONE
        step, generator = self.generator.step(context)
        if step is None:
            return None, DONE
        after = TimeLimit(generator, self.limit_ns, ends_ns)
        if type(step) is Invocation:
            return (None, DONE) if step.at_ns >= ends_ns else (step, after)
        assert isinstance(step, Pending)
        until = ends_ns if step.until_ns is None else min(ends_ns, step.until_ns)
        return Pending(until, step.is_fixed), after

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the generator."""
        generator = self.generator.update(context, event)
        if generator is self.generator:
            return self
        return TimeLimit(generator, self.limit_ns, self.ends_ns)


class UntilOk(msgspec.Struct, frozen=True):
    """What a generator gives until one of its operations is OK.

    holders: the workers that hold an operation of it.
    """

    generator: Generator
    holders: frozenset[int] = frozenset()

    def step(self, context: Context) -> Step:
        """Give the next."""
        step, generator = self.generator.step(context)
        if step is None:
            return None, DONE
        holders = self.holders
        if type(step) is Invocation:
            holders |= {context.worker}
        return step, UntilOk(generator, holders)

    def update(self, context: Context, event: Event) -> Generator:
        """End at the first OK of an operation that came from here."""
        holders = self.holders
        if event.outcome is not None and event.worker in holders:
            if event.outcome is Outcome.OK:
                return DONE
            holders -= {event.worker}
        return UntilOk(self.generator.update(context, event), holders)


def limit(generator: Generator, count: int) -> Generator:
    """Make a generator of the first `count` operations of another."""
    return Limit(generator, count)


def time_limit(generator: Generator, seconds: float) -> Generator:
    """Make a generator that ends so many seconds after it was first asked."""
    return TimeLimit(generator, int(seconds * 1e9))


def until_ok(generator: Generator) -> Generator:
    """Make a generator that ends once an operation of it has succeeded.

    Until then every worker that is free is given one: what should be alone needs a rate.
    """
    return UntilOk(generator)
