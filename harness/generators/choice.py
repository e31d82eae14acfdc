"""Generators that choose among others: by chance, or whichever comes first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from splitbrain.core.errors import UsageError
from splitbrain.core.generator import Context, Event, Generator, Invocation, Pending
from splitbrain.core.randomness import Keyed
from splitbrain.generators.pending import sooner
from splitbrain.generators.sequence import DONE, Step


class Mix(msgspec.Struct, frozen=True):
    """Operations of several generators, drawn at random by weight.

    One that has nothing now is passed over for the next in order; one that is exhausted is left
    out from then on.
    """

    generators: tuple[Generator, ...]
    weights: tuple[int, ...]
    rng: Keyed
    number: int = 0

    def step(self, context: Context) -> Step:
        """Ask the one that is drawn."""
        generators, weights = self.generators, self.weights
        waiting: Pending | None = None
        at, asked = self._drawn(weights), 0
        while generators and asked < len(generators):
            at %= len(generators)
            step, after = generators[at].step(context)
            if step is None:
                generators = (*generators[:at], *generators[at + 1 :])
                weights = (*weights[:at], *weights[at + 1 :])
                if not any(weights):
                    break
                at, asked, waiting = self._drawn(weights), 0, None
                continue
            generators = (*generators[:at], after, *generators[at + 1 :])
            if type(step) is Invocation:
                return step, Mix(generators, weights, self.rng, self.number + 1)
            assert isinstance(step, Pending)
            waiting = sooner(waiting, step)
            at, asked = at + 1, asked + 1
        if waiting is None:
            return None, DONE
        return waiting, Mix(generators, weights, self.rng, self.number)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell all of them."""
        generators = tuple(item.update(context, event) for item in self.generators)
        if all(new is old for new, old in zip(generators, self.generators, strict=True)):
            return self
        return Mix(generators, self.weights, self.rng, self.number)

    def _drawn(self, weights: tuple[int, ...]) -> int:
        draw = self.rng.integer(sum(weights), self.number)
        for place, weight in enumerate(weights):
            draw -= weight
            if draw < 0:
                return place
        return 0


class Soonest(msgspec.Struct, frozen=True):
    """Operations of several generators, always the one that is due first."""

    generators: tuple[Generator, ...]

    def step(self, context: Context) -> Step:
        """Ask all, and take the earliest."""
        kept: list[Generator] = []
        waiting: Pending | None = None
        best: tuple[int, Invocation, Generator] | None = None
        for generator in self.generators:
            step, after = generator.step(context)
            if step is None:
                continue
            kept.append(generator)
            if isinstance(step, Pending):
                kept[-1] = after
                waiting = sooner(waiting, step)
            elif best is None or step.at_ns < best[1].at_ns:
                best = (len(kept) - 1, step, after)
        if best is not None:
            place, step, after = best
            kept[place] = after
            return step, Soonest(tuple(kept))
        return (None, DONE) if waiting is None else (waiting, Soonest(tuple(kept)))

    def update(self, context: Context, event: Event) -> Generator:
        """Tell all of them."""
        generators = tuple(item.update(context, event) for item in self.generators)
        if all(new is old for new, old in zip(generators, self.generators, strict=True)):
            return self
        return Soonest(generators)


def mix(*generators: Generator, rng: Keyed, weights: Sequence[int] | None = None) -> Generator:
    """Make a generator that draws among several at random, by weight (equal ones by default).

    Raises: UsageError unless there is a weight from 0 on for each, and one of them is positive.
    """
    chosen = tuple(weights) if weights is not None else (1,) * len(generators)
    if len(chosen) != len(generators) or min(chosen, default=0) < 0 or not any(chosen):
        message = f"{len(generators)} generators cannot be mixed with the weights {list(chosen)}"
        raise UsageError(message)
    kept = [place for place, weight in enumerate(chosen) if weight]
    return Mix(tuple(generators[at] for at in kept), tuple(chosen[at] for at in kept), rng)


def soonest(*generators: Generator) -> Generator:
    """Make a generator that takes, of several, whatever is due first."""
    return Soonest(generators)
