"""One key of a judged history: which operations belong to which of its clusters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from splitbrain.checkers.linearizability.clusters import NOWHERE
from splitbrain.checkers.linearizability.register_route import Judged
from splitbrain.checkers.linearizability.shrink import effect
from splitbrain.core.columns import Booleans, Column, IntegerColumn, Integers
from splitbrain.core.history import FAIL_CODE, OPEN, History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical, same

_WHOLE = 2000
"""A key with no more operations than this is looked at as a whole."""

_SEEN_LIMIT = 100
"""Of longer ones: how many operations that saw a value are looked at."""


class KeyView:
    """What is needed of one key to explain what is wrong with it."""

    def __init__(self, history: History, judged: Judged, key: int) -> None:
        self._history = history
        self._clusters = judged.clusters
        self._is_key = judged.parts.key == key
        self._pending = judged.parts.pending
        here = np.flatnonzero(self._is_key[self._clusters.watcher])
        self._watcher = self._clusters.watcher[here]
        self._watched = self._clusters.watched[here]

    def operation(self, row: int) -> Operation:
        """Give one operation; one of unknown outcome has no end, and may have been applied."""
        operation = self._history[row]
        if operation.outcome is not Outcome.INFO:
            return operation
        return replace(operation, complete_index=None, end_ns=None, applied=True)

    def setter(self, cluster: int) -> list[int]:
        """Give the row of what set the value of a cluster; none for an initial value."""
        return [int(self._clusters.row[cluster])] if cluster < len(self._clusters.row) else []

    def value(self, cluster: int, initial: Value) -> Value:
        """Give the value of a cluster."""
        rows = self.setter(cluster)
        return effect(self._history[rows[0]]) if rows else initial

    def taker(self, cluster: int) -> list[int]:
        """Give the rows of the compare-and-sets that took the value of a cluster."""
        found = np.flatnonzero(self._clusters.taken == cluster)
        return [int(self._clusters.row[item]) for item in found.tolist() if item != cluster]

    def rows(self, cluster: int) -> Integers:
        """Give the rows of what set and saw the value of a cluster, but did not take it."""
        return np.array([*self.setter(cluster), *self._watchers(cluster)], np.int64)

    def first_ended(self, cluster: int) -> int | None:
        """Give the row of the operation on a cluster that ended first, None of an unseen start."""
        rows = self.rows(cluster)
        return int(rows[np.argmin(self.end(rows))]) if len(rows) else None

    def last_begun(self, cluster: int) -> int:
        """Give the row of the operation on a cluster that began last."""
        rows = self.rows(cluster)
        return int(rows[np.argmax(self._history.invoke_index[rows])])

    def end(self, rows: Integers | int) -> Integers:
        """Give where operations end in the history; those of unknown outcome last of all."""
        return np.where(self._pending[rows], OPEN, self._history.complete_index[rows])

    def is_before(self, first: int, second: int) -> bool:
        """Tell whether one operation ended before another began."""
        return int(self.end(first)) < int(self._history.invoke_index[second])

    def proof(self, row: int) -> list[int]:
        """Give what shows that an operation took effect, if its outcome is unknown.

        Something saw what it left; that may be another whose outcome is unknown, and so on.
        """
        found: list[int] = []
        seen = {row}
        while self._pending[row]:
            cluster = int(np.flatnonzero(self._clusters.row == row)[0])
            watchers = self._watchers(cluster)
            row = int(watchers[0]) if len(watchers) else next(iter(self.taker(cluster)), row)
            if row in seen:
                break
            seen.add(row)
            found.append(row)
        return found

    def everything(self, rows: Iterable[int]) -> list[Operation]:
        """Give what bears on these operations: all that set, saw or failed to set their values."""
        if int(self._is_key.sum()) <= _WHOLE:
            return self._operations(np.flatnonzero(self._is_key))
        chosen = set(rows)
        for row in tuple(chosen):
            for cluster in self._of(row):
                chosen |= {*self.setter(cluster), *self.taker(cluster)[:_SEEN_LIMIT]}
                chosen |= set(self._watchers(cluster)[:_SEEN_LIMIT].tolist())
        chosen |= set(self._failed([effect_or_result(self._history[row]) for row in rows]))
        return self._operations(sorted(chosen))

    def _operations(self, rows: Iterable[int]) -> list[Operation]:
        return [item for item in map(self.operation, rows) if _is_clear(item)]

    def _of(self, row: int) -> list[int]:
        """Give the clusters that an operation set, saw or took the value of."""
        clusters = self._clusters
        own = np.flatnonzero(clusters.row == row).tolist()
        taken = [int(clusters.taken[item]) for item in own]
        watched = self._watched[self._watcher == row].tolist()
        return [item for item in {*own, *taken, *watched} if item != NOWHERE]

    def _watchers(self, cluster: int) -> Integers:
        found: Integers = self._watcher[self._watched == cluster]
        return found

    def _failed(self, values: Sequence[Value]) -> list[int]:
        """Give the rows of operations that failed to set one of these values."""
        failed = self._is_key & (self._history.outcome == FAIL_CODE)
        writes = failed & self._history.is_f("write")
        found: list[int] = []
        for value in values:
            found += np.flatnonzero(writes & _equal(self._history.argument, value)).tolist()
        swaps = np.flatnonzero(failed & self._history.is_f("cas")).tolist()
        for row in swaps[:_WHOLE]:
            operation = self._history[row]
            if _is_clear(operation) and any(same(effect(operation), item) for item in values):
                found.append(row)
        return found


def effect_or_result(operation: Operation) -> Value:
    """Give the value that a read returned, or that a compare-and-set expected, or a write set."""
    if operation.f == "read":
        return operation.result
    if operation.f == "cas" and isinstance(operation.argument, list):
        return operation.argument[0]
    return operation.argument


def _is_clear(operation: Operation) -> bool:
    """Tell whether it is known what was tried; what failed for certain may have made no sense."""
    if operation.f not in ("read", "write", "cas"):
        return False
    pair = operation.argument
    return operation.f != "cas" or (isinstance(pair, list) and len(pair) == 2)


def _equal(column: Column, value: Value) -> Booleans:
    """Give where a column holds a value."""
    found: Booleans = np.zeros(len(column), np.bool_)
    if isinstance(column, IntegerColumn):
        if value is None:
            found = ~column.present
        elif type(value) is int and -(2**63) <= value < 2**63:
            found = column.present & (column.items == value)
        return found
    codes = column.codes()
    text = canonical(value)
    if value is None:
        found = codes.items < 0
    elif text in codes.dictionary:
        found = codes.items == codes.dictionary.index(text)
    return found
