"""Lets several checkers judge the same evidence; none of them can hide what another found."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from splitbrain.core.errors import CheckerError
from splitbrain.core.evidence import Evidence
from splitbrain.core.interruption import is_interruption
from splitbrain.core.value import Value, canonical, require_value
from splitbrain.core.verdict import Anomaly, Checker, Verdict, unknown


def judge(
    checkers: Sequence[Checker],
    evidence: Evidence,
    *,
    stopped: Callable[[], bool] | None = None,
) -> Mapping[str, Verdict]:
    """Give every checker's verdict under its name; a second one of a name gets "#2".

    stopped: asked before each checker; once it is true the others are unknown.
    """
    verdicts: dict[str, Verdict] = {}
    for name, decide in judging(checkers, evidence):
        if stopped is not None and stopped():
            verdicts[name] = unknown("the judging was stopped before this checker's turn")
        else:
            verdicts[name] = decide()
    return verdicts


def judging(
    checkers: Sequence[Checker], evidence: Evidence
) -> Iterator[tuple[str, Callable[[], Verdict]]]:
    """Give each checker's name with what makes it judge; nothing is judged until that is called."""
    seen: dict[str, int] = {}
    for checker in checkers:
        name = str(checker.name)
        seen[name] = seen.get(name, 0) + 1
        unique = name if seen[name] == 1 else f"{name}#{seen[name]}"
        yield unique, _decision(checker, evidence)


def _decision(checker: Checker, evidence: Evidence) -> Callable[[], Verdict]:
    return lambda: judge_one(checker, evidence)


def judge_one(checker: Checker, evidence: Evidence) -> Verdict:
    """Let one checker judge; missing evidence and a crash make its verdict unknown."""
    try:
        missing = evidence.missing(getattr(checker, "needs", frozenset()))
        if missing:
            return unknown(
                *(f"there is no evidence of the kind {need.value!r}" for need in missing)
            )
        verdict: object = checker.check(evidence)
    except CheckerError as error:
        return unknown(str(error))
    except BaseException as error:  # also sys.exit and pytest.fail: the others go on
        if is_interruption(error):
            raise KeyboardInterrupt from error
        lines = traceback.format_exc().splitlines()
        return unknown(f"the checker crashed: {type(error).__name__}: {error}", *lines)
    if not isinstance(verdict, Verdict):
        return unknown(f"the checker returned {type(verdict).__name__} instead of a verdict")
    return _storable(verdict)


def _storable(verdict: Verdict) -> Verdict:
    """Put into words what cannot be stored: it must not cost a run its verdicts."""
    stats: dict[str, Value] = {str(name): _value(item) for name, item in verdict.stats.items()}
    return replace(
        verdict,
        stats=stats,
        reasons=tuple(_text(reason) for reason in verdict.reasons),
        anomalies=tuple(_storable_anomaly(anomaly) for anomaly in verdict.anomalies),
    )


def _storable_anomaly(anomaly: Anomaly) -> Anomaly:
    return replace(
        anomaly,
        name=_text(anomaly.name),
        explanation=_text(anomaly.explanation),
        evidence=tuple(_value(item) for item in anomaly.evidence),
    )


def _value(item: object) -> Value:
    """Give a JSON value as it is, a number of another library as a number, all else as text."""
    try:
        item = item.item() if hasattr(item, "item") else item  # numpy's and pandas' scalars
        value = require_value(item)
        canonical(value)
    except (TypeError, ValueError):
        return _text(repr(item))
    return value


def _text(text: object) -> str:
    """Give a text that can be written as UTF-8."""
    return str(text).encode("utf-8", "backslashreplace").decode()
