"""A keyed store's value: a register that `append` makes longer, as a list or as a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.models.model import State
from splitbrain.checkers.models.register import pair
from splitbrain.core.columns import Column
from splitbrain.core.history import OK_CODE, History
from splitbrain.core.value import Value, canonical


@dataclass(frozen=True, slots=True)
class KeyedStore:
    """read, write, cas and append of one value.

    text: append concatenates texts; otherwise it adds one element to a list. A value that is null
    and one that is empty are the same: systems differ in how they show a key that is not there.
    """

    text: bool = False
    name: str = "keyed-store"
    functions: frozenset[str] = frozenset({"read", "write", "cas", "append"})

    def initial(self, value: Value) -> State:
        """Give the state of a key that holds this value."""
        if value is None:
            return ()
        if self.text and isinstance(value, str):
            return tuple(value)
        if not self.text and isinstance(value, list):
            return tuple(canonical(item) for item in value)
        return canonical(value)

    def appends(self, argument: Value) -> tuple[str, ...] | None:
        """Give what an append adds to the state; None when this model cannot append it."""
        if not self.text:
            return (canonical(argument),)
        return tuple(argument) if isinstance(argument, str) else None

    def step(
        self, state: State, f: str, argument: Value, result: Value, applied: bool
    ) -> State | None:
        """Give the next state, None when the operation cannot have ended like this."""
        if f == "cas":
            old, new = (self.initial(item) for item in pair(argument))
            if not applied:
                return state if state != old else None
            return new if state == old else None
        if not applied:
            return state
        if f == "read":
            return state if state == self.initial(result) else None
        if f == "write":
            return self.initial(argument)
        added = self.appends(argument) if f == "append" else None
        return state + added if isinstance(state, tuple) and added is not None else None


def keyed_store_for(history: History, initial: Value) -> KeyedStore:
    """Choose between lists and texts by what the reads of a history, or of one key, returned."""
    return KeyedStore(text=isinstance(initial, str) or _is_text(history))


def _is_text(history: History) -> bool:
    appends = np.flatnonzero(history.is_f("append")).tolist()
    if not appends or not all(_holds_text(history.argument, row) for row in appends):
        return False
    reads = np.flatnonzero(history.is_f("read") & (history.outcome == OK_CODE)).tolist()
    return any(_holds_text(history.result, row) for row in reads)


def _holds_text(column: Column, row: int) -> bool:
    return isinstance(column.value(row), str)
