"""Makes an anomaly of a key that is not linearizable: few operations, a name, a sentence."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from splitbrain.checkers.linearizability.append_diagnosis import AppendCase
from splitbrain.checkers.linearizability.diagnosis import Finding, RegisterCase
from splitbrain.checkers.linearizability.encoding import Encoded
from splitbrain.checkers.linearizability.phrases import Phrases, listed, shown
from splitbrain.checkers.linearizability.search import Budget, linearizable
from splitbrain.checkers.linearizability.shrink import effect, observation, shrink
from splitbrain.checkers.models import KeyedStore, Model
from splitbrain.checkers.porcupine.process import Answer
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Anomaly

_CONFIGURATIONS = 150_000
"""How many configurations the search for few operations may visit for one key: seconds."""

_WORK = 1_000_000_000
"""How many bits all of them may have, one an operation: they are what costs time and memory."""

_FEW = 50
_SHOWN_LIMIT = 12
_CHOICES_LIMIT = 6


def anomaly(
    encoded: Encoded, answer: Answer, model: Model, initial: Value, *, origin_ns: int
) -> Anomaly:
    """Explain why one key is not linearizable, given what Porcupine found."""
    phrases = Phrases(origin_ns)
    originals = {item.invoke_index: item for item in encoded.history}
    window, culprit = _window(encoded, answer)
    everything = [_open(item) for item in originals.values() if _is_clear(item)]
    found = None
    if culprit is not None:
        # Mostly what broke the history is wrong by a rule, and the search is spared.
        found = _named([culprit], everything, model, initial, phrases, is_proof=False)
    if found is None:
        found = _searched(encoded, answer, (window, culprit, everything), (model, initial), phrases)
    operations = (originals[item.invoke_index] for item in found.operations)
    return Anomaly(name=found.name, explanation=found.explanation, operations=tuple(operations))


def _searched(
    encoded: Encoded,
    answer: Answer,
    known: tuple[Sequence[Operation], Operation | None, Sequence[Operation]],
    specification: tuple[Model, Value],
    phrases: Phrases,
) -> Finding:
    """Search for the few operations that prove it, then for a name."""
    window, culprit, everything = known
    model, initial = specification
    budget = Budget(min(_CONFIGURATIONS, _WORK // max(1, len(window))))
    few = shrink(window, model, initial, budget)
    if few is None:
        return _unnamed_many(encoded, answer, culprit, phrases)
    found = _named(few, everything, model, initial, phrases, is_proof=True)
    if found is None and len(few) > _FEW:
        return _unnamed_many(encoded, answer, culprit, phrases)
    return found or _unnamed_few(few, phrases, (model, initial, budget))


def _window(encoded: Encoded, answer: Answer) -> tuple[list[Operation], Operation | None]:
    """Give the shortest illegal prefix, as it was known at its end, and what ended it."""
    operations = [_open(encoded.history[row]) for row in encoded.rows]
    if answer.culprit < 0:
        return operations, None
    culprit = operations[answer.culprit]
    end = culprit.complete_index
    assert end is not None
    known = [item for item in operations if item.invoke_index < end]
    return [item for item in (_as_of(item, end) for item in known) if item is not None], culprit


def _is_clear(operation: Operation) -> bool:
    """Tell whether it is known what was tried; what failed for certain may have made no sense."""
    if operation.f != "cas" or operation.outcome is not Outcome.FAIL:
        return True
    return isinstance(operation.argument, list) and len(operation.argument) == 2


def unexplained(encoded: Encoded, why: str) -> Anomaly:
    """Say that one key is not linearizable where the search for the reason failed."""
    rows = encoded.rows[:_SHOWN_LIMIT]
    return Anomaly(
        name="nonlinearizable",
        explanation=f"no order explains the {len(encoded.rows)} operations of key "
        f"{shown(encoded.key)}; the first of them are shown, since the search for those that prove "
        f"it failed: {why}",
        operations=tuple(encoded.history[row] for row in rows),
    )


def _open(operation: Operation) -> Operation:
    """An operation of unknown outcome has no end, even where the time of giving up is known."""
    if operation.outcome is not Outcome.INFO:
        return operation
    return replace(operation, complete_index=None, end_ns=None, applied=True)


def _as_of(operation: Operation, end: int) -> Operation | None:
    if operation.complete_index is not None and operation.complete_index > end:
        if operation.f == "read" or not operation.applied:
            return None
        return replace(operation, outcome=Outcome.INFO, complete_index=None, end_ns=None)
    return operation


def _named(
    suspects: Sequence[Operation],
    everything: Sequence[Operation],
    model: Model,
    initial: Value,
    phrases: Phrases,
    *,
    is_proof: bool,
) -> Finding | None:
    """Find a name. is_proof: that no order explains the suspects was shown."""
    used = {item.f for item in everything if item.outcome is not Outcome.FAIL}
    if isinstance(model, KeyedStore) and "append" in used:
        if used <= {"read", "append"}:
            return next(AppendCase(suspects, everything, model, initial, phrases).findings(), None)
        return None
    whole = RegisterCase(suspects, everything, initial, phrases)
    cut = RegisterCase(suspects, suspects, initial, phrases, is_cut=True)
    return next(itertools.chain(whole.findings(), cut.findings() if is_proof else ()), None)


def _unnamed_few(
    few: Sequence[Operation], phrases: Phrases, search: tuple[Model, Value, Budget]
) -> Finding:
    """Tell what cannot be, where no rule has a name for it."""
    last = max((item for item in few if _is_done(item)), key=_ended)
    others = f"{len(few) - 1} operation{'s' if len(few) != 2 else ''}"
    return Finding(
        name="nonlinearizable",
        explanation=f"{_told(last, few, phrases, search)}"
        + (
            f", whatever the order of the other {others}: {_others(few, last, phrases)}"
            if len(few) > 1
            else ""
        ),
        operations=tuple(few),
    )


def _unnamed_many(
    encoded: Encoded, answer: Answer, culprit: Operation | None, phrases: Phrases
) -> Finding:
    """Tell how far Porcupine came, where the search for few operations was too long."""
    if culprit is None:
        return Finding(
            name="nonlinearizable",
            explanation=f"no order explains the {len(encoded.rows)} operations of key "
            f"{shown(encoded.key)}; time ran out before fewer were found that prove it",
            operations=tuple(_open(encoded.history[row]) for row in encoded.rows[:_SHOWN_LIMIT]),
        )
    around = _around(encoded, answer, culprit)
    return Finding(
        name="nonlinearizable",
        explanation=f"{phrases.told(culprit)}{phrases.at(culprit)}, and no order of the operations "
        f"up to there explains it: at most {len(answer.linearized)} of them can be placed; shown "
        "are those beside which it cannot be",
        operations=around,
    )


def _told(
    last: Operation,
    few: Sequence[Operation],
    phrases: Phrases,
    search: tuple[Model, Value, Budget],
) -> str:
    """Say what the last operation did, and what it could have seen instead."""
    told = f"{phrases.told(last)}{phrases.at(last)}"
    if last.f not in ("read", "cas"):
        return f"{told}, which cannot be"
    if not last.applied:
        return f"{told}, although the value can only have been {shown(observation(last))}"
    choices = _choices(last, few, search)
    if not choices or len(choices) > _CHOICES_LIMIT:
        return f"{told}, which cannot be"
    values = listed([shown(item) for item in choices], "or")
    if last.f == "read":
        return f"{told}, but only {values} was possible"
    return f"{told}, but the value can only have been {values}"


def _choices(
    last: Operation, few: Sequence[Operation], search: tuple[Model, Value, Budget]
) -> list[Value]:
    """Give the values that the last operation could have seen; none where that is too hard."""
    model, initial, budget = search
    if any(item.f == "append" for item in few):
        return []
    values = {canonical(initial): initial}
    values |= {canonical(effect(o)): effect(o) for o in few if o.f in ("write", "cas")}
    rest = [item for item in few if item is not last]
    found = []
    for value in values.values():
        possible = linearizable([*rest, _seeing(last, value)], model, initial, budget)
        if possible is None:
            return []
        if possible:
            found.append(value)
    return found


def _seeing(operation: Operation, value: Value) -> Operation:
    if operation.f == "read":
        return replace(operation, result=value)
    return replace(operation, argument=[value, effect(operation)])


def _others(few: Sequence[Operation], last: Operation, phrases: Phrases) -> str:
    rest = [item for item in few if item is not last]
    told = [phrases.told(item) for item in rest[:_CHOICES_LIMIT]]
    more = len(rest) - len(told)
    return listed([*told, f"{more} more"] if more else told)


def _around(encoded: Encoded, answer: Answer, culprit: Operation) -> tuple[Operation, ...]:
    """Give the culprit with what ran beside it or ended last before it, and could be placed."""
    placed = set(answer.linearized)
    before: list[Operation] = []
    for number, row in enumerate(encoded.rows):
        item = _open(encoded.history[row])
        if number in placed or _overlaps(item, culprit):
            before.append(item)
    before.sort(key=_ended)
    chosen = {item.invoke_index: item for item in before[-_SHOWN_LIMIT:]}
    chosen[culprit.invoke_index] = culprit
    return _in_order(chosen.values())


def _overlaps(item: Operation, culprit: Operation) -> bool:
    end = culprit.complete_index
    began = end is not None and item.invoke_index < end
    return began and _ended(item) > culprit.invoke_index


def _in_order(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    return tuple(sorted(operations, key=lambda item: item.invoke_index))


def _is_done(operation: Operation) -> bool:
    return operation.outcome is Outcome.OK


def _ended(operation: Operation) -> float:
    return float("inf") if operation.complete_index is None else operation.complete_index
