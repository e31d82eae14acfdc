"""Generators that spread operations over time."""

from __future__ import annotations

import msgspec

from splitbrain.core.errors import UsageError
from splitbrain.core.generator import Context, Event, Generator, Invocation, Pending
from splitbrain.core.randomness import Keyed
from splitbrain.generators.sequence import DONE, Step


class Spaced(msgspec.Struct, frozen=True):
    """A generator's operations, one each `interval_ns` over all workers together.

    With `rng` the intervals are random, of this mean and up to twice it. A worker that is free
    ahead of time claims the next moment and comes back then, so that its operation is chosen when
    it is sent and no sooner. When all come late, all that follows is shifted: after a stall there
    is no burst. next_ns: the next moment that nobody has claimed. claims: by worker (the nemesis
    first), its moment, or -1. number: how many moments were given.
    """

    generator: Generator
    interval_ns: int
    rng: Keyed | None = None
    next_ns: int = 0
    number: int = 0
    claims: tuple[int, ...] = ()

    def step(self, context: Context) -> Step:
        """Give the next when its moment has come, or pending until then."""
        now, place = context.time_ns, context.worker + 1
        due = self.claims[place] if place < len(self.claims) else -1
        claimed = due >= 0
        if not claimed:
            due = self.next_ns
        step, generator = self.generator.step(context)
        if step is None:
            return None, DONE
        if due > now:  # what was asked is forgotten: only that there was something counts
            after = self if claimed else self._after(self.generator, due, place)
            return Pending(due, is_fixed=True), after
        if claimed:
            claims = (*self.claims[:place], -1, *self.claims[place + 1 :])
            return step, Spaced(
                generator, self.interval_ns, self.rng, self.next_ns, self.number, claims
            )
        if type(step) is not Invocation:
            return step, self._with(generator)
        return step, self._after(generator, now)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the generator."""
        generator = self.generator.update(context, event)
        return self if generator is self.generator else self._with(generator)

    def _after(self, generator: Generator, moment: int, claimant: int | None = None) -> Spaced:
        """Give what follows once `moment` is taken, or claimed by whoever has that place."""
        gap, claims = self.interval_ns, self.claims
        if self.rng is not None:
            gap = self.rng.integer(2 * gap + 1, self.number)
        if claimant is not None:
            claims += (-1,) * (claimant + 1 - len(claims))
            claims = (*claims[:claimant], moment, *claims[claimant + 1 :])
        number = self.number + 1
        return Spaced(generator, self.interval_ns, self.rng, moment + gap, number, claims)

    def _with(self, generator: Generator) -> Spaced:
        return Spaced(generator, self.interval_ns, self.rng, self.next_ns, self.number, self.claims)


class Sleep(msgspec.Struct, frozen=True):
    """No operations for a time that begins when it is first asked."""

    length_ns: int
    ends_ns: int | None = None

    def step(self, context: Context) -> Step:
        """Give pending until time is up, then None."""
        ends_ns = self.ends_ns
        if ends_ns is None:
            ends_ns = context.time_ns + self.length_ns
        if context.time_ns >= ends_ns:
            return None, DONE
        return Pending(ends_ns, is_fixed=True), Sleep(self.length_ns, ends_ns)

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Stay as it is."""
        return self


def delay(generator: Generator, seconds: float) -> Generator:
    """Make a generator whose operations begin at least so many seconds apart."""
    return Spaced(generator, int(seconds * 1e9))


def stagger(generator: Generator, mean_s: float, rng: Keyed) -> Generator:
    """Make a generator whose operations begin at random intervals of this mean, in seconds."""
    return Spaced(generator, int(mean_s * 1e9), rng)


def rate(generator: Generator, hz: float, rng: Keyed) -> Generator:
    """Make a generator of about `hz` operations a second, at random intervals.

    Raises: UsageError unless hz is more than 0.
    """
    if not hz > 0:
        message = f"a rate must be more than 0 operations a second, not {hz:g}"
        raise UsageError(message)
    return stagger(generator, 1 / hz, rng)


def sleep(seconds: float) -> Generator:
    """Make a generator that gives nothing for so many seconds, and then ends."""
    return Sleep(int(seconds * 1e9))
