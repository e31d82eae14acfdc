"""Causality, session guarantees, sequential order, regularity and staleness."""

from __future__ import annotations

from collections.abc import Callable

from checker_rows.registers import register_history
from checker_rows.replicas import replicated_history
from checker_rows.row import Case, Row
from splitbrain.checkers.causal import Causal
from splitbrain.checkers.monotonic_reads import MonotonicReads
from splitbrain.checkers.monotonic_writes import MonotonicWrites
from splitbrain.checkers.read_your_writes import ReadYourWrites
from splitbrain.checkers.regular import Regular
from splitbrain.checkers.sequential import Sequential
from splitbrain.checkers.staleness import Staleness
from splitbrain.checkers.writes_follow_reads import WritesFollowReads
from splitbrain.core.evidence import Evidence, from_history
from splitbrain.core.verdict import Checker

_SIZES = (10_000, 100_000, 1_000_000)


def _replicated(case: Case) -> Evidence:
    return from_history(replicated_history(case), initial=None)


def _linearizable(case: Case) -> Evidence:
    return from_history(register_history(case), initial=None)


def _row(
    name: str, checker: Checker, cases: tuple[Case, ...], make: Callable[[Case], Evidence]
) -> Row:
    def check(evidence: Evidence) -> str:
        return checker.check(evidence).status.value

    return Row(
        name=name,
        cases=cases,
        make=make,
        check=check,
        warm=lambda: check(make(Case(100, 5, keys=3))),
    )


def _sized(concurrency: int, keys: int = 1000) -> tuple[Case, ...]:
    return tuple(Case(size, concurrency, keys=keys) for size in _SIZES)


ROWS = (
    _row(
        "causal",
        Causal(),
        (*_sized(10), Case(1_000_000, 50, keys=1000), Case(1_000_000, 10, 0.05, keys=1000)),
        _replicated,
    ),
    _row("causal-cc", Causal(model="cc"), _sized(10), _replicated),
    _row("causal-cm", Causal(model="cm"), _sized(10)[:2], _replicated),
    _row("sequential", Sequential(), _sized(10), _linearizable),
    _row("read-your-writes", ReadYourWrites(), _sized(10), _replicated),
    _row("monotonic-reads", MonotonicReads(), _sized(10), _replicated),
    _row("monotonic-writes", MonotonicWrites(), _sized(10), _replicated),
    _row("writes-follow-reads", WritesFollowReads(), _sized(10), _replicated),
    _row("regular", Regular(), _sized(10), _linearizable),
    _row("staleness", Staleness(k=10**6), _sized(10), _replicated),
)
