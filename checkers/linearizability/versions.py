"""Histories whose replies carry versions: the order that they give, checked and not believed.

A version is the place that the system says an operation has: a log index, a revision. Put in this
order, every operation must return what the model returns, and none may have ended before one in
front of it began. Then the order is a linearization, and the key is linearizable whatever the
versions are worth. Where it is not, either the system or its versions are wrong, and the versions
say nothing about linearizability: the key is left to others.

Operations of unknown outcome have no version. One enters where its effect is needed: before an
operation that nothing else explains.
"""

from __future__ import annotations

import numpy as np

from splitbrain.checkers.linearizability.register_route import Judged, Judgement
from splitbrain.checkers.models import Model, State, model_of_key
from splitbrain.core.columns import Integers
from splitbrain.core.history import FAIL_CODE, INFO_CODE, OK_CODE, OPEN, History
from splitbrain.core.operation import Operation
from splitbrain.core.value import Value

_LONGEST = 100_000
"""A key with more operations is not replayed; where values grow, each costs its length."""

_GROWING = 3_000
_TRIED = 64
"""How many operations of unknown outcome are tried before one that nothing else explains."""


def confirmed_by_versions(
    history: History, judged: Judged, model: Model, initial: Value
) -> Integers:
    """Give the numbers of keys, among those left to others, that their versions explain."""
    waiting = np.isin(judged.judgement, (Judgement.OTHERS, Judgement.REFUSALS))
    key = judged.parts.key
    done = (history.outcome == OK_CODE) & (history.complete_index != OPEN)
    waiting[key[done & ~history.version.present & history.applied]] = False
    rows = np.flatnonzero(waiting[key])
    rows = rows[np.argsort(key[rows], kind="stable")]
    borders = np.flatnonzero(np.diff(key[rows])) + 1
    groups = [group for group in np.split(rows, borders) if len(group)]
    found = [
        int(key[group[0]]) for group in groups if _explains(history.take(group), model, initial)
    ]
    return np.array(found, np.int64)


def _explains(history: History, model: Model, initial: Value) -> bool:
    """Tell whether the versions of one key give a linearization."""
    grows = history.is_f("append").any()
    if len(history) > (_GROWING if grows else _LONGEST):
        return False
    own = model_of_key(model, history, initial)
    try:
        order = _replayed(history, own, initial)
    except ValueError:  # an argument that makes no sense
        return False
    return order is not None and _keeps_time(history, order)


def _replayed(history: History, model: Model, initial: Value) -> list[int] | None:
    """Put the operations of one key into the order of their versions; None if values contradict."""
    done = (history.outcome == OK_CODE) & (history.complete_index != OPEN)
    if not history.version.present[done].all():
        return None
    sets = done & history.applied & ~history.is_f("read")
    versions = history.version.items
    if len(np.unique(versions[sets])) != int(sets.sum()):
        return None
    rows = np.flatnonzero(done)
    rows = rows[np.lexsort((history.invoke_index[rows], ~sets[rows], versions[rows]))]
    unknown = (history.outcome == INFO_CODE) & ~history.is_f("read")
    waiting = np.flatnonzero(unknown & (history.outcome != FAIL_CODE)).tolist()
    state = model.initial(initial)
    order: list[int] = []
    for row in rows.tolist():
        operation = history[row]
        after = _step(model, state, operation)
        if after is None:
            helper = _helper(history, model, state, (operation, waiting))
            if helper is None:
                return None
            waiting.remove(helper)
            order.append(helper)
            between = _step(model, state, history[helper], applied=True)
            after = None if between is None else _step(model, between, operation)
            if after is None:
                return None
        order.append(row)
        state = after
    return order


def _helper(
    history: History, model: Model, state: State, wanted: tuple[Operation, list[int]]
) -> int | None:
    """Find an operation of unknown outcome after which another can have happened."""
    operation, waiting = wanted
    for row in waiting[:_TRIED]:
        between = _step(model, state, history[row], applied=True)
        if between is not None and _step(model, between, operation) is not None:
            return row
    return None


def _step(
    model: Model, state: State, operation: Operation, *, applied: bool | None = None
) -> State | None:
    applies = operation.applied if applied is None else applied
    return model.step(state, operation.f, operation.argument, operation.result, applies)


def _keeps_time(history: History, order: list[int]) -> bool:
    """Tell whether nothing ended before what stands in front of it began."""
    placed = np.array(order, np.int64)
    begun = history.invoke_index[placed]
    unknown = history.outcome[placed] == INFO_CODE
    ended = np.where(unknown, OPEN, history.complete_index[placed])
    latest = np.maximum.accumulate(begun)
    return bool((ended >= latest).all())
