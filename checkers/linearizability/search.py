"""A small search for a linearization, for the few operations that an explanation is about.

Wing & Gong 1993 with Lowe's memory of configurations (2017): a configuration is the set of
operations placed so far and the state; none is visited twice. Large histories go to Porcupine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from splitbrain.checkers.models import Model, State
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value


@dataclass(slots=True)
class Budget:
    """How many configurations may still be visited; shared by several searches."""

    left: int


@dataclass(slots=True)
class _Steps:
    """The model's steps of some operations, each computed once for each state."""

    model: Model
    operations: Sequence[Operation]
    known: dict[tuple[int, State], State | None] = field(default_factory=dict)

    def after(self, number: int, state: State) -> State | None:
        at = (number, state)
        if at not in self.known:
            operation = self.operations[number]
            done = operation.outcome is Outcome.OK
            self.known[at] = self.model.step(
                state,
                operation.f,
                operation.argument,
                operation.result,
                operation.applied if done else True,
            )
        return self.known[at]


def linearizable(
    operations: Sequence[Operation], model: Model, initial: Value, budget: Budget
) -> bool | None:
    """Tell whether some order explains these operations; None when the budget runs out.

    FAIL operations did not happen, and INFO ones may be placed anywhere after their invocation, or
    nowhere.
    """
    happened = [item for item in operations if item.outcome is not Outcome.FAIL]
    must = sorted((o for o in happened if _is_done(o)), key=lambda o: o.invoke_index)
    may = [o for o in happened if not _is_done(o) and o.f != "read"]
    steps = _Steps(model, [*must, *may])
    everything = (1 << len(must)) - 1
    start = (0, model.initial(initial))
    seen = {start}
    stack = [start]
    while stack:
        placed, state = stack.pop()
        if placed & everything == everything:
            return True
        if budget.left <= 0:
            return None
        budget.left -= 1
        for number in reversed(_candidates(must, may, placed)):
            following = steps.after(number, state)
            if following is None:
                continue
            reached = (placed | 1 << number, following)
            if reached not in seen:
                seen.add(reached)
                stack.append(reached)
    return False


def _is_done(operation: Operation) -> bool:
    return operation.outcome is Outcome.OK and operation.complete_index is not None


def _candidates(must: Sequence[Operation], may: Sequence[Operation], placed: int) -> list[int]:
    """Give the operations that may come next: those invoked before any unplaced one returned."""
    found: list[int] = []
    unplaced = ~placed
    number = (unplaced & -unplaced).bit_length() - 1
    horizon: int | None = None
    while number < len(must):
        operation = must[number]
        if horizon is not None and operation.invoke_index > horizon:
            break
        if not placed >> number & 1:
            found.append(number)
            ended = operation.complete_index
            assert ended is not None
            horizon = ended if horizon is None else min(horizon, ended)
        number += 1
    for offset, operation in enumerate(may, len(must)):
        if not placed >> offset & 1 and (horizon is None or operation.invoke_index < horizon):
            found.append(offset)
    return found
