"""A result as one JSON object, for programs."""

from __future__ import annotations

from dataclasses import fields

from splitbrain.core.operation import Operation
from splitbrain.core.run import MinimalHistory, RunResult
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Verdict

_OPERATION_FIELDS = tuple(item.name for item in fields(Operation))


def result_as_json(result: RunResult) -> dict[str, Value]:
    """Give what `--json` prints for one run or one checked history.

    "seed" is there only for runs, "minimal" only when it was asked for and found, "failure" only
    when the harness itself failed, "interrupted" only when it was, "notes" only when there are any.
    """
    value: dict[str, Value] = {
        "path": str(result.path),
        "verdict": result.status.value,
        "checkers": {name: _verdict(verdict) for name, verdict in result.verdicts.items()},
    }
    if result.plan is not None:
        value["seed"] = result.plan.seed
    if result.minimal:
        value["minimal"] = [_minimal(item) for item in result.minimal]
    if result.failure is not None:
        value["failure"] = result.failure
    if result.interrupted:
        value["interrupted"] = True
    if result.notes:
        value["notes"] = list(result.notes)
    return value


def _minimal(minimal: MinimalHistory) -> Value:
    return {
        "checker": minimal.checker,
        "anomaly": minimal.anomaly,
        "path": str(minimal.path),
        "operations": [_operation(operation) for operation in minimal.operations],
        "of": minimal.total,
        "is_minimal": minimal.is_minimal,
    }


def _verdict(verdict: Verdict) -> Value:
    return {
        "verdict": verdict.status.value,
        "judges": verdict.judges,
        "anomalies": [_anomaly(anomaly) for anomaly in verdict.anomalies],
        "reasons": list(verdict.reasons),
        "stats": dict(verdict.stats),
    }


def _anomaly(anomaly: Anomaly) -> Value:
    return {
        "name": anomaly.name,
        "explanation": anomaly.explanation,
        "operations": [_operation(operation) for operation in anomaly.operations],
        "evidence": list(anomaly.evidence),
    }


def _operation(operation: Operation) -> Value:
    value: dict[str, Value] = {name: getattr(operation, name) for name in _OPERATION_FIELDS}
    return value | {"outcome": operation.outcome.value}
