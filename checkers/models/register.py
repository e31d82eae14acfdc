"""A register: one value, read, written, and compared and set."""

from __future__ import annotations

from dataclasses import dataclass

from splitbrain.checkers.models.model import State
from splitbrain.core.value import Value, canonical


@dataclass(frozen=True, slots=True)
class Register:
    """read returns the last value written."""

    name: str = "register"
    functions: frozenset[str] = frozenset({"read", "write"})

    def initial(self, value: Value) -> State:
        """Give the state of a register that holds this value."""
        return canonical(value)

    def step(
        self, state: State, f: str, argument: Value, result: Value, applied: bool
    ) -> State | None:
        """Give the next state, None when the operation cannot have ended like this."""
        if not applied:
            return _refused(state, f, argument)
        if f == "read":
            return state if state == canonical(result) else None
        if f == "write":
            return canonical(argument)
        if f == "cas":
            old, new = pair(argument)
            return canonical(new) if state == canonical(old) else None
        return None


@dataclass(frozen=True, slots=True)
class CasRegister(Register):
    """A register with cas [old, new]: applied where the value is old, refused where it is not."""

    name: str = "cas-register"
    functions: frozenset[str] = frozenset({"read", "write", "cas"})


def pair(argument: Value) -> tuple[Value, Value]:
    """Give (old, new) of a compare-and-set's argument.

    Raises: ValueError when it is no list of two.
    """
    if not isinstance(argument, list) or len(argument) != 2:
        message = f"the argument of a cas is [old, new], not {canonical(argument)[:80]}"
        raise ValueError(message)
    return argument[0], argument[1]


def _refused(state: State, f: str, argument: Value) -> State | None:
    """A refusal changes nothing; that of a compare-and-set says that the value was another."""
    if f == "cas" and state == canonical(pair(argument)[0]):
        return None
    return state
