"""What a sequential specification is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from splitbrain.core.value import Value

State = Hashable
"""A state of an object: equal states are equal Python values; never None."""


class Model(Protocol):
    """An object's behaviour, one operation at a time.

    name: as people call it. functions: the `f`s that it knows.
    """

    @property
    def name(self) -> str:
        """The name."""

    @property
    def functions(self) -> frozenset[str]:
        """The operations that it knows."""

    def initial(self, value: Value) -> State:
        """Give the state of an object that holds this value."""

    def step(
        self, state: State, f: str, argument: Value, result: Value, applied: bool
    ) -> State | None:
        """Give the state after an operation that ended like this; None when it cannot have."""
