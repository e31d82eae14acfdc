"""Verdicts as JSON and back, so that a stored run can be shown without judging it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from splitbrain.core.errors import UsageError
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Status, Verdict


def verdict_to_value(verdict: Verdict) -> Value:
    """Give a verdict as JSON."""
    return {
        "status": verdict.status.value,
        "judges": verdict.judges,
        "reasons": list(verdict.reasons),
        "stats": dict(verdict.stats),
        "anomalies": [_anomaly_to_value(anomaly) for anomaly in verdict.anomalies],
    }


def verdict_from_value(value: Value) -> Verdict:
    """Read a verdict from JSON.

    Raises: UsageError when it is something else.
    """
    try:
        assert isinstance(value, dict)
        anomalies, stats = value["anomalies"], value["stats"]
        reasons = value["reasons"]
        assert isinstance(anomalies, list)
        assert isinstance(stats, dict)
        assert isinstance(reasons, list)
        return Verdict(
            status=Status(str(value["status"])),
            judges=bool(value["judges"]),
            reasons=tuple(map(str, reasons)),
            stats=stats,
            anomalies=tuple(_anomaly_from_value(item) for item in anomalies),
        )
    except (AssertionError, KeyError, ValueError, TypeError) as error:
        message = f"something here is no verdict: {error!r}"
        raise UsageError(message) from error


def judged_from_value(value: Value) -> tuple[Status, Mapping[str, Verdict]]:
    """Read the status of a result, and its verdicts by checker.

    Raises: UsageError when it is something else.
    """
    try:
        assert isinstance(value, dict)
        status, verdicts = Status(str(value["status"])), value["verdicts"]
        assert isinstance(verdicts, dict)
    except (AssertionError, KeyError, ValueError) as error:
        message = "this is not the result of a run"
        raise UsageError(message) from error
    return status, {name: verdict_from_value(item) for name, item in verdicts.items()}


def operation_to_value(operation: Operation) -> Value:
    """Give an operation as JSON, its fields under their names."""
    value: dict[str, Value] = dataclasses.asdict(operation)
    return value | {"outcome": operation.outcome.value}


def _anomaly_to_value(anomaly: Anomaly) -> Value:
    return {
        "name": anomaly.name,
        "explanation": anomaly.explanation,
        "operations": [operation_to_value(operation) for operation in anomaly.operations],
        "evidence": list(anomaly.evidence),
    }


def _anomaly_from_value(value: Value) -> Anomaly:
    assert isinstance(value, dict)
    operations, evidence = value["operations"], value["evidence"]
    assert isinstance(operations, list)
    assert isinstance(evidence, list)
    return Anomaly(
        name=str(value["name"]),
        explanation=str(value["explanation"]),
        operations=tuple(_operation_from_value(item) for item in operations),
        evidence=tuple(evidence),
    )


def _operation_from_value(value: Value) -> Operation:
    assert isinstance(value, dict)
    fields: dict[str, object] = dict(value)
    fields["outcome"] = Outcome(str(value["outcome"]))
    return Operation(**fields)  # type: ignore[arg-type]
