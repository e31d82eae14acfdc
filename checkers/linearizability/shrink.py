"""Cuts an illegal history of one object down to the few operations that prove it.

Every step is honest: what is left being illegal proves that the whole is. Observers may always go.
An operation that changed the state may go only when no operation that stays can have seen it; those
that can go with it. A value that is still seen keeps a writer, so that it does not look made up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf

from splitbrain.checkers.linearizability.search import Budget, linearizable
from splitbrain.checkers.models import KeyedStore, Model, State
from splitbrain.checkers.models.register import pair
from splitbrain.core.delta_debugging import reduced
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value

_GROWING_LIMIT = 300
"""How many operations there may be where values grow: everything sees everything then."""

_Search = tuple[Model, Value, Budget]


def shrink(
    operations: Sequence[Operation], model: Model, initial: Value, budget: Budget
) -> tuple[Operation, ...] | None:
    """Give few of these operations that no order explains; None if the budget is too small.

    Nothing more can be left out of the answer alone, unless the budget ran out on the way.
    """
    kept = tuple(sorted(operations, key=lambda operation: operation.invoke_index))
    grows = any(item.f == "append" for item in kept)
    if grows and len(kept) > _GROWING_LIMIT:
        return None
    if linearizable(kept, model, initial, budget) is not False:
        return None
    sight, search = _Sight(model, grows=grows), (model, initial, budget)

    def without(kept: tuple[Operation, ...], places: range) -> tuple[Operation, ...] | None:
        dropped = sight.closure(kept, places)
        rest = tuple(item for number, item in enumerate(kept) if number not in dropped)
        return rest if rest and linearizable(rest, *search) is False else None

    return reduced(_without_refusals(kept, search), without, lambda: budget.left > 0)


def _without_refusals(kept: tuple[Operation, ...], search: _Search) -> tuple[Operation, ...]:
    """Leave out all refusals at once if they are not needed: each may have seen many writes."""
    rest = tuple(item for item in kept if is_match(item))
    if rest and len(rest) < len(kept) and linearizable(rest, *search) is False:
        return rest
    return kept


@dataclass(slots=True)
class _Sight:
    """Who can have seen whose effect. grows: whether there are appends."""

    model: Model
    grows: bool

    def closure(self, kept: Sequence[Operation], dropped: Iterable[int]) -> set[int]:
        """Give what must go together with the operations at these places."""
        gone = set(dropped)
        fitting, others = self._watchers(kept)
        while True:
            overwritten = _overwritten(kept, gone)
            more = self._orphans(kept, gone)
            for number in gone:
                setter = kept[number]
                if setter.f == "read" or not setter.applied:
                    continue
                until = overwritten.after(setter)
                watchers = fitting[self._left(setter)], others
                more |= {
                    place
                    for place in chain.from_iterable(watchers)
                    if place not in gone
                    and _overlap(setter, kept[place], until)
                    and self._sees(setter, kept[place])
                }
            if not more:
                return gone
            gone |= more

    def _watchers(self, kept: Sequence[Operation]) -> tuple[dict[State, list[int]], list[int]]:
        """Give the observers by the value that they need, and those that fit several."""
        fitting: dict[State, list[int]] = defaultdict(list)
        others: list[int] = []
        for number, item in enumerate(kept):
            if item.f not in ("read", "cas"):
                continue
            if self.grows or not is_match(item):
                others.append(number)
            else:
                fitting[self.model.initial(observation(item))].append(number)
        return fitting, others

    def _left(self, setter: Operation) -> State:
        return None if self.grows else self.model.initial(effect(setter))

    def _orphans(self, kept: Sequence[Operation], gone: set[int]) -> set[int]:
        """Give the observers that stay, of values all of whose earlier writers would go."""
        if self.grows:
            return set()
        writers: dict[State, list[tuple[int, bool]]] = defaultdict(list)
        for number, item in enumerate(kept):
            if item.f in ("write", "cas") and item.applied:
                writers[self.model.initial(effect(item))].append((number, number in gone))
        orphans = set()
        for number, item in enumerate(kept):
            if number in gone or item.f == "write" or not is_match(item):
                continue
            ended = inf if item.complete_index is None else item.complete_index
            found = writers[self.model.initial(observation(item))]
            earlier = [is_gone for at, is_gone in found if kept[at].invoke_index < ended]
            if earlier and all(earlier):
                orphans.add(number)
        return orphans

    def _sees(self, setter: Operation, watcher: Operation) -> bool:
        """Tell whether the watcher's outcome fits the state that the setter left."""
        if self.grows:
            return self._sees_sequence(setter, watcher)
        left = self.model.initial(effect(setter))
        expected = self.model.initial(observation(watcher))
        return (left == expected) is is_match(watcher)

    def _sees_sequence(self, setter: Operation, watcher: Operation) -> bool:
        """A state that appends make longer shows an element for long, until all is overwritten."""
        if setter.f != "append" or watcher.f != "read":
            return True
        assert isinstance(self.model, KeyedStore)
        return contains(self.model, watcher.result, setter.argument)


def _overlap(setter: Operation, watcher: Operation, until: float) -> bool:
    """Tell whether the times let the watcher see what the setter left, and others overwrote."""
    ended = inf if watcher.complete_index is None else watcher.complete_index
    return ended > setter.invoke_index and watcher.invoke_index < until


@dataclass(slots=True)
class _Overwritten:
    """When what a setter left was certainly overwritten by another that stays."""

    invoked: list[int]
    earliest_end: list[float]

    def after(self, setter: Operation) -> float:
        if setter.complete_index is None:
            return inf
        return self.earliest_end[bisect_right(self.invoked, setter.complete_index)]


def _overwritten(kept: Sequence[Operation], gone: set[int]) -> _Overwritten:
    stay = [
        item
        for number, item in enumerate(kept)
        if number not in gone
        and item.complete_index is not None
        and item.applied
        and item.f in ("write", "cas")
        and item.outcome is Outcome.OK
    ]
    ends: list[float] = [inf]
    for item in reversed(stay):
        assert item.complete_index is not None
        ends.append(min(ends[-1], item.complete_index))
    return _Overwritten([item.invoke_index for item in stay], ends[::-1])


def effect(operation: Operation) -> Value:
    """Give the value that a write or a compare-and-set leaves."""
    return pair(operation.argument)[1] if operation.f == "cas" else operation.argument


def observation(operation: Operation) -> Value:
    """Give the value that a read returned, or that a compare-and-set compared with."""
    return pair(operation.argument)[0] if operation.f == "cas" else operation.result


def is_match(operation: Operation) -> bool:
    """Tell whether an observer says that the state was its value, not that it was another."""
    return operation.applied or operation.outcome is not Outcome.OK


def contains(model: KeyedStore, result: Value, argument: Value) -> bool:
    """Tell whether what a read returned can hold what an append added."""
    if model.text:
        return not isinstance(result, str) or str(argument) in result
    state: State = model.initial(result)
    added = model.appends(argument)
    return not isinstance(state, tuple) or added is None or added[0] in state
