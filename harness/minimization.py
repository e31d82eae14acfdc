"""Keeps, beside what was judged invalid, the minimal history that is invalid in the same way."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from splitbrain import catalog
from splitbrain.checkers.minimize import Minimum, minimize
from splitbrain.core.errors import HarnessError
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.run import MinimalHistory, RunResult
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Checker, Status, Verdict
from splitbrain.foreign import Header, write_judged

TIME_LIMIT_S = 60.0
"""How long the search for one minimal history may take."""

QUESTION_LIMIT_S = 10.0
"""How long a checker that has a limit may take for one question of that search."""


def with_minimal_histories(
    result: RunResult, checkers: Sequence[Checker], *, now: Callable[[], float] = time.monotonic
) -> RunResult:
    """Give the result with a minimal history for each checker of histories that found something.

    Each is written as JSON lines: into the directory of a run, or beside a file.
    """
    found, notes = [], list(result.notes)
    for checker in checkers:
        verdict = result.verdicts.get(checker.name)
        if verdict is None or verdict.status is not Status.INVALID or not verdict.judges:
            continue
        line = _hindrance(checker)
        minimum = None if line else _search(checker, verdict, result.evidence, now)
        if minimum is None:
            notes.append(line or f"{checker.name}: not minimized: its history alone shows nothing")
            continue
        try:
            found.append(_kept(checker, minimum, result))
        except HarnessError as error:
            notes.append(f"{checker.name}: the minimal history is not kept: {error}")
    return dataclasses.replace(result, minimal=tuple(found), notes=tuple(notes))


def _hindrance(checker: Checker) -> str | None:
    more = sorted(need.value for need in checker.needs - {Need.HISTORY})
    if not more:
        return None
    return f"{checker.name}: not minimized: it judges {', '.join(more)} too, not a history alone"


def _search(
    checker: Checker, verdict: Verdict, evidence: Evidence, now: Callable[[], float]
) -> Minimum | None:
    end = now() + TIME_LIMIT_S
    return minimize(_hurried(checker), evidence, _clearest(verdict.anomalies), lambda: now() < end)


def _clearest(anomalies: Sequence[Anomaly]) -> Anomaly:
    """Give the one of the first name that fewest operations prove."""
    named = [anomaly for anomaly in anomalies if anomaly.name == anomalies[0].name]
    return min(named, key=lambda anomaly: len(anomaly.operations))


def _hurried(checker: Checker) -> Checker:
    """Give the checker with less patience, if it has a limit of time and is one of ours."""
    parameters = _parameters(checker)
    limit = parameters.get("time_limit_s")
    if not isinstance(limit, (int, float)) or not catalog.is_builtin("checker", checker.name):
        return checker
    shorter: dict[str, Value] = {**parameters, "time_limit_s": min(limit, QUESTION_LIMIT_S)}
    return catalog.checker(checker.name, shorter)


def _parameters(checker: Checker) -> Mapping[str, Value]:
    return checker.parameters() if hasattr(checker, "parameters") else {}


def _kept(checker: Checker, minimum: Minimum, result: RunResult) -> MinimalHistory:
    path = _place(result.path, checker.name)
    header = Header(facts=minimum.facts, checkers=((checker.name, _parameters(checker)),))
    write_judged(path, minimum.history, header)
    assert result.evidence.history is not None
    return MinimalHistory(
        checker=checker.name,
        anomaly=minimum.anomaly,
        path=path,
        operations=tuple(minimum.history),
        total=len(result.evidence.history),
        is_minimal=minimum.is_minimal,
    )


def _place(path: Path, checker: str) -> Path:
    name = "".join(char if char.isalnum() or char in "-_" else "_" for char in checker)
    if path.is_dir():
        return path / f"minimal.{name}.jsonl"
    return path.with_name(f"{path.stem}.minimal.{name}.jsonl")
