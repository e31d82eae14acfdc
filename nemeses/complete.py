"""Makes a whole nemesis out of one that has only `inject` and `heal`.

A nemesis of a few lines is enough: whatever it lacks is filled in here, and what it has is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from splitbrain.core.cluster import Bed
from splitbrain.core.errors import ContractError
from splitbrain.core.fault import (
    At,
    Fault,
    Injection,
    KnowsParams,
    Nemesis,
    Resolved,
    Shape,
    SimpleNemesis,
    View,
)
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value, require_value
from splitbrain.nemeses import targets
from splitbrain.nemeses.timing import slots

_ARGUMENTS = {"inject": 2, "heal": 2, "unavailable": 1, "draw": 2, "resolve": 2}


class _Optional(Protocol):
    """What a simple nemesis may have beside inject and heal."""

    unavailable: Callable[[Bed], str | None]
    prepare: Callable[[Bed], None]
    draw: Callable[[Keyed, Shape], Sequence[Fault]]
    resolve: Callable[[Fault, View], Resolved]


def complete(thing: object, name: str) -> Nemesis:
    """Give a nemesis that has everything.

    thing: a nemesis, or a class of one that takes no arguments. name: as it was asked for; it is
    the kind of its faults unless the nemesis has a `kind`; of `file.py:Name` only `Name` counts.

    Raises: ContractError when it has no inject or no heal, or when a method takes other arguments
    than its role asks for.
    """
    made = _instance(thing, name)
    missing = [method for method in ("inject", "heal") if not callable(getattr(made, method, None))]
    if missing:
        message = (
            f"{name} is no nemesis: it lacks {' and '.join(missing)}; "
            "a nemesis has inject(bed, resolved) and heal(bed, injection)"
        )
        raise ContractError(message)
    for method, count in _ARGUMENTS.items():
        _require_arguments(made, name, method, count)
    _require_arguments(made, name, "prepare", 1)
    kind = getattr(made, "kind", None) or name.rpartition(":")[2]
    if not isinstance(kind, str):
        message = f"{name}: the kind of a nemesis is a name, not {kind!r}"
        raise ContractError(message)
    whole = all(hasattr(made, method) for method in (*_ARGUMENTS, "kind"))
    return cast("Nemesis", made) if whole else _Completed(cast("SimpleNemesis", made), kind)


class _Completed:
    """A simple nemesis with all that it lacks."""

    def __init__(self, simple: SimpleNemesis, kind: str) -> None:
        self._simple = simple
        self._optional = cast("_Optional", simple)
        self.kind = kind
        if isinstance(simple, KnowsParams):
            self.params = simple.params

    def unavailable(self, bed: Bed) -> str | None:
        """Ask the nemesis; it can work everywhere if it does not say."""
        return self._optional.unavailable(bed) if self._has("unavailable") else None

    def prepare(self, bed: Bed) -> None:
        """Let the nemesis get the cluster ready, if it wants to."""
        if self._has("prepare"):
            self._optional.prepare(bed)

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Ask the nemesis, or draw faults of one random node each."""
        if self._has("draw"):
            return self._optional.draw(rng, shape)
        return [
            Fault(
                id=f"{self.kind}-{slot.number}",
                kind=self.kind,
                start=At(slot.start_s),
                duration_s=slot.duration_s,
                target="one",
            )
            for slot in slots(rng, shape)
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Ask the nemesis, or resolve the target to nodes."""
        if self._has("resolve"):
            return self._optional.resolve(fault, view)
        target = "one" if fault.target is None else fault.target
        return Resolved(fault=fault, nodes=targets.resolve(target, view))

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Let the nemesis act; one that returns only a proof, or nothing, is fine.

        Raises: ContractError for a proof that is no JSON.
        """
        result: object = self._simple.inject(bed, resolved)
        if isinstance(result, Injection):
            return result
        return Injection(resolved=resolved, proof=_proof(self.kind, result))

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Let the nemesis undo it."""
        self._simple.heal(bed, injection)

    def _has(self, method: str) -> bool:
        return hasattr(self._simple, method)


def _instance(thing: object, name: str) -> object:
    if not inspect.isclass(thing):
        return thing
    try:
        return thing()
    except TypeError as error:
        message = f"{name} cannot be made without arguments: {error}"
        raise ContractError(message) from error


def _require_arguments(made: object, name: str, method: str, count: int) -> None:
    found = getattr(made, method, None)
    if found is None:
        return
    try:
        inspect.signature(found).bind(*range(count))
    except TypeError as error:
        message = f"{name}: {method} must take {count} arguments beside self ({error})"
        raise ContractError(message) from error
    except ValueError:
        return  # a builtin that does not tell its signature


def _proof(kind: str, result: object) -> Value:
    try:
        return require_value(result)
    except ValueError as error:
        message = f"{kind}: inject must return an Injection or a proof in JSON: {error}"
        raise ContractError(message) from error
