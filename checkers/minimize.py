"""Reduces an invalid history to a minimal one that is invalid in the same way.

Any checker of histories is its own judge here: what is left must be invalid again, under the same
name. Keys are left out first, then processes, then values with all who saw them, then single
operations. No wrong is made on the way (`minimization.ties`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.minimization.ties import Ties
from splitbrain.core.delta_debugging import reduced
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.history import History
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Anomaly, Checker, Status

MINIMUM_OK = "minimum_ok"
TIMELY = frozenset({"linearizable", "regular", "staleness"})
"""The checkers by which no read is explained by a write that began after the read was over."""

CALL_LIMIT = 2000
TIED_LIMIT = 20_000
"""How many operations are looked at one by one; more than these lose whole keys alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """What is left of a history. calls: how often the checker was asked.

    is_minimal: nothing more can be left out alone, with all that must go with it; False when time
    or calls ran out before that was certain. facts: those under which it is to be judged.
    """

    history: History
    anomaly: str
    facts: dict[str, Value]
    calls: int
    is_minimal: bool


def minimize(
    checker: Checker, evidence: Evidence, anomaly: Anomaly, may_go_on: Callable[[], bool]
) -> Minimum | None:
    """Give the least of a history in which the checker finds an anomaly of this name.

    may_go_on: asked before each call of the checker; False ends the search with what there is.
    None: the checker judges more than a history, or does not find the anomaly in the history alone.
    """
    history = evidence.history
    if history is None or checker.needs != {Need.HISTORY}:
        return None
    facts = {**evidence.facts, MINIMUM_OK: 0}
    judge = _Judge(checker, facts, anomaly.name, may_go_on)
    if not judge.finds(history):
        return None
    judged = _least(history, anomaly, judge, is_timely=checker.name in TIMELY)
    return Minimum(
        history=judged,
        anomaly=anomaly.name,
        facts=facts,
        calls=judge.calls,
        is_minimal=judge.may_go_on() and len(judged) <= TIED_LIMIT,
    )


@dataclass(slots=True)
class _Judge:
    checker: Checker
    facts: dict[str, Value]
    name: str
    has_time: Callable[[], bool]
    calls: int = 0

    def may_go_on(self) -> bool:
        return self.calls < CALL_LIMIT and self.has_time()

    def finds(self, history: History) -> bool:
        """Tell whether the checker finds the anomaly; one that crashes finds nothing."""
        self.calls += 1
        try:
            verdict = self.checker.check(Evidence(history=history, facts=self.facts))
        except Exception:  # noqa: BLE001 - what a checker cannot judge is no smaller failure
            return False
        return verdict.status is Status.INVALID and any(
            anomaly.name == self.name for anomaly in verdict.anomalies
        )


def _least(history: History, anomaly: Anomaly, judge: _Judge, *, is_timely: bool) -> History:
    history = _of_keys(history, anomaly, judge)
    if len(history) > TIED_LIMIT:
        return history
    ties = Ties(tuple(history), is_timely=is_timely)
    cut = _Cut(history, ties, judge)
    cut.to_witness(anomaly)
    operations = ties.operations
    cut.by(lambda number: [canonical(operations[number].key)])
    cut.by(lambda number: [operations[number].session])
    cut.by(ties.marks)
    cut.by(lambda number: [number])
    return history.take(np.array(sorted(cut.kept), np.int64))


def _of_keys(history: History, anomaly: Anomaly, judge: _Judge) -> History:
    """Leave the keys of the anomaly alone, if it is there still."""
    keys = {canonical(item.key) for item in anomaly.operations}
    codes = history.key.codes()
    wanted = [code for code, text in enumerate(codes.dictionary) if text in keys]
    if "null" in keys:
        wanted.append(-1)
    rows = np.isin(codes.items, wanted)
    part = history.take(rows)
    return part if 0 < len(part) < len(history) and judge.finds(part) else history


@dataclass(slots=True)
class _Cut:
    """What is kept of a history, by number."""

    history: History
    ties: Ties
    judge: _Judge
    kept: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.kept = frozenset(range(len(self.history)))

    def to_witness(self, anomaly: Anomaly) -> None:
        """Keep what the checker itself says proves the anomaly, if that alone does."""
        shown = {item.invoke_index for item in anomaly.operations}
        rows = np.flatnonzero(np.isin(self.history.invoke_index, [*shown]))
        self._keep(self.ties.founded(int(row) for row in rows))

    def by(self, groups_of: Callable[[int], Iterable[Hashable]]) -> None:
        """Leave out groups of operations, with all that must go with them."""
        groups: dict[Hashable, set[int]] = defaultdict(set)
        for number in sorted(self.kept):
            for group in groups_of(number):
                groups[group].add(number)
        reduced([frozenset(group) for group in groups.values()], self._without, self._may_go_on)

    def _without(
        self, groups: tuple[frozenset[int], ...], places: range
    ) -> tuple[frozenset[int], ...] | None:
        dropped = frozenset[int]().union(*(groups[place] for place in places)) & self.kept
        if not dropped or not self._keep(self.kept - self.ties.closure(self.kept, dropped)):
            return None
        return tuple(group & self.kept for group in groups if group & self.kept)

    def _keep(self, rest: Iterable[int]) -> bool:
        numbers = np.array(sorted(rest), np.int64)
        if not 0 < len(numbers) < len(self.kept):
            return False
        if not self.judge.finds(self.history.take(numbers)):
            return False
        self.kept = frozenset(numbers.tolist())
        return True

    def _may_go_on(self) -> bool:
        return self.judge.may_go_on()
