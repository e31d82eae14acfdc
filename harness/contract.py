"""What a thing of each role must have, looked at before anything is started.

A plug-in that lacks a method, takes other arguments or calls itself by no name is refused in one
line, instead of failing in the middle of a run.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from splitbrain.core.errors import ContractError
from splitbrain.core.evidence import Need
from splitbrain.core.operation import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a role asks for.

    attributes: what kind of value each is. methods: with how many arguments each is called, beside
    self.
    """

    role: str
    attributes: Mapping[str, type] = field(default_factory=dict)
    methods: Mapping[str, int] = field(default_factory=dict)


SYSTEM = Contract(
    role="system",
    attributes={"name": str, "facts": Mapping},
    methods={"install": 2, "daemons": 2, "client": 2},
)
WORKLOAD = Contract(
    role="workload",
    attributes={"name": str, "vocabulary": Vocabulary, "facts": Mapping},
    methods={"setup": 1, "main": 1, "final": 2, "checkers": 1},
)
CHECKER = Contract(role="checker", attributes={"name": str}, methods={"check": 1})
CLUSTER = Contract(
    role="cluster",
    attributes={"name": str},
    methods={"entered": 0, "up": 0, "down": 0, "host": 1, "start": 1, "stop": 0, "log_paths": 2},
)

_KINDS = {str: "a text", Mapping: "a mapping", Vocabulary: "a Vocabulary"}


def require(thing: object, name: str, contract: Contract) -> None:
    """Check that a thing keeps the contract of its role. name: as people asked for it.

    Raises: ContractError naming all that is missing, or the first that is of another kind.
    """
    wanted = (*contract.attributes, *contract.methods)
    missing = [item for item in wanted if not hasattr(thing, item)]
    if missing:
        message = f"{name} is no {contract.role}: it lacks {', '.join(missing)}"
        raise ContractError(message)
    for attribute, kind in contract.attributes.items():
        value = getattr(thing, attribute)
        if not isinstance(value, kind) or value == "":
            message = f"{name}: {attribute!r} must be {_KINDS[kind]}, not {value!r}"
            raise ContractError(message)
    for method, count in contract.methods.items():
        _require_call(getattr(thing, method), f"{name}: {method}", count)


def require_system(thing: object, name: str) -> None:
    """Check a system, and that the facts and thresholds that the harness reads can be read.

    Raises: ContractError in one line.
    """
    require(thing, name, SYSTEM)
    facts: Mapping[str, object] = getattr(thing, "facts", {})
    bound = facts.get("recovery_bound_s", 1.0)
    if type(bound) not in (int, float) or not 0 < bound < math.inf:  # type: ignore[operator]
        message = (
            f"{name}: 'recovery_bound_s' of the facts must be a number of seconds, not {bound!r}"
        )
        raise ContractError(message)
    thresholds: object = getattr(thing, "thresholds", {})
    if not isinstance(thresholds, Mapping) or not all(map(_is_least, thresholds.items())):
        message = (
            f"{name}: 'thresholds' must be a mapping of options to least values, not {thresholds!r}"
        )
        raise ContractError(message)


def _is_least(item: tuple[object, object]) -> bool:
    option, least = item
    return isinstance(option, str) and type(least) is int and least >= 0


def require_checker(thing: object, name: str) -> None:
    """Check a checker, and that the evidence it needs is of kinds that there are.

    Raises: ContractError in one line.
    """
    require(thing, name, CHECKER)
    needs: object = getattr(thing, "needs", ())
    if not isinstance(needs, Collection) or any(type(need) is not Need for need in needs):
        known = ", ".join(f"Need.{need.name}" for need in Need)
        message = f"{name}: 'needs' must be a set of {known}, not {needs!r}"
        raise ContractError(message)


def _require_call(found: object, place: str, count: int) -> None:
    if not callable(found):
        message = f"{place} must be a method, not {found!r}"
        raise ContractError(message)
    try:
        inspect.signature(found).bind(*range(count))
    except TypeError as error:
        many = f"{count} argument{'' if count == 1 else 's'}"
        message = f"{place} must take {many} beside self ({error})"
        raise ContractError(message) from error
    except ValueError:
        return  # a builtin that does not tell its signature
