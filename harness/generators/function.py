"""A generator made of one function: what most people's own workloads need."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from splitbrain.core.errors import ContractError
from splitbrain.core.generator import Context, Event, Generator, Invocation, Pending
from splitbrain.core.randomness import Keyed
from splitbrain.generators.sequence import DONE, Step

Function = Callable[[Context, Keyed], Invocation | Pending | None]


class FromFunction(msgspec.Struct, frozen=True):
    """Operations that a function gives; each call has random numbers of its own.

    number: how many operations were given; the function's `Keyed` belongs to this number.
    """

    function: Function
    rng: Keyed
    number: int = 0

    def step(self, context: Context) -> Step:
        """Call the function.

        Raises: ContractError when it gives something that is no step.
        """
        step = self.function(context, self.rng.child(self.number))
        if step is None:
            return None, DONE
        if isinstance(step, Pending):
            return step, self
        if not isinstance(step, Invocation):
            message = f"a generator's function gave {step!r}, not an Invocation, Pending or None"
            raise ContractError(message)
        return step, FromFunction(self.function, self.rng, self.number + 1)

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Stay as it is."""
        return self


def from_function(function: Function, rng: Keyed) -> Generator:
    """Make a generator of a function of the context and a `Keyed` of the operation's own.

    The function must be pure: equal arguments, equal operations.
    """
    return FromFunction(function, rng)
