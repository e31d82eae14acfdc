"""One operation of a history, and the closed set of operations that a workload may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from splitbrain.core.errors import ContractError
from splitbrain.core.value import Value


class Outcome(StrEnum):
    """What is known of an operation's effect.

    OK: it happened. FAIL: it certainly did not and will not. INFO: it may have happened, now or
    at any later time, so it is concurrent with everything after its invocation.
    """

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An invocation with its completion.

    process: the single-threaded logical client; retired for good after INFO. session: what keeps
    context over processes and nodes. key: what independent checks split on, None when the
    vocabulary has no keys. argument, result: JSON values; result is None when nothing was
    returned. version: the order that the system says the operation has (log index, revision).
    applied: False for a refused precondition, such as a compare-and-set that did not match; the
    operation is an observation then. invoke_index, complete_index: places in the journal, the
    order of precedence; complete_index is None while the operation is open. start_ns, end_ns: the
    controller's monotonic clock, for people, durations and plots alone.
    """

    process: int
    session: int
    f: str
    outcome: Outcome
    invoke_index: int
    complete_index: int | None = None
    key: Value = None
    argument: Value = None
    result: Value = None
    applied: bool = True
    version: int | None = None
    node: str | None = None
    start_ns: int = 0
    end_ns: int | None = None
    error: str | None = None


class Kind(StrEnum):
    """The type of an argument or a result."""

    NONE = "none"
    INTEGER = "integer"
    VALUE = "value"
    PAIR = "pair"
    LIST = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One `f` of a vocabulary: its name, the kind of its argument and of its result."""

    name: str
    argument: Kind = Kind.NONE
    result: Kind = Kind.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The closed set of operations of a workload, and whether they take keys."""

    functions: Mapping[str, Function] = field(default_factory=dict)
    keyed: bool = True

    @classmethod
    def of(cls, *functions: Function, keyed: bool = True) -> Vocabulary:
        """Make a vocabulary of these functions.

        Raises: ContractError when two share a name.
        """
        table: dict[str, Function] = {}
        for function in functions:
            if function.name in table:
                message = f"the vocabulary names {function.name!r} twice"
                raise ContractError(message)
            table[function.name] = function
        return cls(functions=table, keyed=keyed)

    def __contains__(self, f: object) -> bool:
        return f in self.functions

    def __iter__(self) -> Iterator[Function]:
        return iter(self.functions.values())


READ = Function(name="read", result=Kind.VALUE)
WRITE = Function(name="write", argument=Kind.VALUE)
CAS = Function(name="cas", argument=Kind.PAIR)
APPEND = Function(name="append", argument=Kind.VALUE)
DELETE = Function(name="delete")
ADD = Function(name="add", argument=Kind.VALUE)
REMOVE = Function(name="remove", argument=Kind.VALUE)

REGISTER = Vocabulary.of(READ, WRITE, CAS)
"""Registers, one a key: read, write, and compare-and-set with the argument [old, new]."""

KEYED_STORE = Vocabulary.of(READ, WRITE, CAS, APPEND)
"""A keyed store: a register that `append` also makes longer."""

STORE = Vocabulary.of(READ, WRITE, DELETE, ADD, REMOVE)
"""A replicated store: values that are read, written and deleted, and carts of items.

A read gives the value, or the list of all that stand side by side, as the store promises for the
key; `add` and `remove` change one item of a cart, which holds a list.
"""
