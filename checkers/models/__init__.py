"""Sequential specifications: what one object does when operations come one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from splitbrain.checkers.models.keyed_store import KeyedStore, keyed_store_for
from splitbrain.checkers.models.model import Model, State
from splitbrain.checkers.models.register import CasRegister, Register
from splitbrain.core.errors import UsageError
from splitbrain.core.history import History
from splitbrain.core.value import Value

__all__ = [
    "MODELS",
    "CasRegister",
    "KeyedStore",
    "Model",
    "Register",
    "State",
    "model_for",
    "model_named",
    "model_of_key",
]

MODELS: Mapping[str, Callable[[History, Value], Model]] = {
    "register": lambda _history, _initial: Register(),
    "cas-register": lambda _history, _initial: CasRegister(),
    "keyed-store": keyed_store_for,
}
"""How to make each model, given the history that it must judge and the initial value."""


def model_for(history: History, initial: Value = None) -> Model | None:
    """Give the smallest model that knows every `f` of a history; None if there is none."""
    used = set(history.functions)
    for make in MODELS.values():
        model = make(history, initial)
        if used <= model.functions:
            return model
    return None


def model_named(name: str, history: History, initial: Value = None) -> Model:
    """Give a model by its name.

    Raises: UsageError when there is none of that name.
    """
    if name not in MODELS:
        message = f"there is no model {name!r}; there are {', '.join(MODELS)}"
        raise UsageError(message)
    return MODELS[name](history, initial)


def model_of_key(model: Model, history: History, initial: Value = None) -> Model:
    """Give what one key is judged by: a keyed store may hold a list here and a text there."""
    return keyed_store_for(history, initial) if isinstance(model, KeyedStore) else model
