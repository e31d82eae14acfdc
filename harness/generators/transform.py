"""Generators that change or leave out another's operations."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from splitbrain.core.errors import ContractError
from splitbrain.core.generator import Context, Event, Generator, Invocation
from splitbrain.generators.sequence import DONE, Step

REFUSED_LIMIT = 10_000


class Map(msgspec.Struct, frozen=True):
    """Another's operations, each changed by a pure function; it learns of the changed ones."""

    function: Callable[[Invocation], Invocation]
    generator: Generator

    def step(self, context: Context) -> Step:
        """Give the next, changed."""
        step, generator = self.generator.step(context)
        if step is None:
            return None, DONE
        if type(step) is Invocation:
            step = self.function(step)
        return step, Map(self.function, generator)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the generator."""
        generator = self.generator.update(context, event)
        return self if generator is self.generator else Map(self.function, generator)


class Filter(msgspec.Struct, frozen=True):
    """Another's operations, those alone that a pure predicate accepts."""

    predicate: Callable[[Invocation], bool]
    generator: Generator

    def step(self, context: Context) -> Step:
        """Give the next that is accepted.

        Raises: ContractError when `REFUSED_LIMIT` in a row are refused: it would go on for ever.
        """
        generator = self.generator
        for _ in range(REFUSED_LIMIT):
            step, generator = generator.step(context)
            if step is None:
                return None, DONE
            if type(step) is not Invocation or self.predicate(step):
                return step, Filter(self.predicate, generator)
        message = f"a filter refused {REFUSED_LIMIT} operations in a row"
        raise ContractError(message)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the generator."""
        generator = self.generator.update(context, event)
        return self if generator is self.generator else Filter(self.predicate, generator)


def changed(function: Callable[[Invocation], Invocation], generator: Generator) -> Generator:
    """Make a generator of another's operations, each changed by a pure function."""
    return Map(function, generator)


def accepted(predicate: Callable[[Invocation], bool], generator: Generator) -> Generator:
    """Make a generator of those of another's operations that a pure predicate accepts."""
    return Filter(predicate, generator)
