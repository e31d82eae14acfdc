"""A run as plain values: what was asked for, what came out, and what can be watched meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from splitbrain.core.evidence import Evidence
from splitbrain.core.fault import Resolved, Schedule
from splitbrain.core.operation import Operation
from splitbrain.core.planned import PlannedOperation
from splitbrain.core.value import Value
from splitbrain.core.verdict import Status, Verdict

LIMITS: Mapping[str, tuple[float, float]] = {
    "node_count": (1, 50),
    "time_limit_s": (0.1, 7 * 24 * 3600.0),
    "concurrency": (1, 1000),
    "rate_hz": (0.001, 1e6),
    "interval_s": (0.1, 7 * 24 * 3600.0),
    "operation_timeout_s": (0.01, 3600.0),
}
"""The least and the greatest value of a plan's numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run was asked to do; picklable, and enough to do it again.

    system, workload, nemeses: names as the catalogue takes them. checkers: names of checkers beside
    the workload's own. schedule: faults as given; None means that they are drawn from the seed.
    resolved: targets to pin. operation_timeout_s: after which an operation's outcome is unknown, on
    plain hardware. options: the system's own, by name ("bugs", "nodes": {...}). cluster_options:
    the cluster's own ("disk").
    operations: what the workers do, one by one; None for what the workload hands out.
    """

    system: str
    workload: str
    nemeses: tuple[str, ...] = ()
    cluster: str = "embedded"
    node_count: int = 5
    time_limit_s: float = 30.0
    concurrency: int = 10
    rate_hz: float | None = None
    interval_s: float | None = None
    operation_timeout_s: float = 2.0
    seed: int = 0
    bug: str | None = None
    checkers: tuple[str, ...] = ()
    schedule: Schedule | None = None
    resolved: tuple[Resolved, ...] | None = None
    options: Mapping[str, Value] = field(default_factory=dict)
    parameters: Mapping[str, Value] = field(default_factory=dict)
    cluster_options: Mapping[str, Value] = field(default_factory=dict)
    operations: tuple[PlannedOperation, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimalHistory:
    """The few operations of a history in which a checker finds the same anomaly.

    path: the file of JSON lines that holds them. total: how many operations the history has.
    is_minimal: False where time ran out before it was certain that none of them can go.
    """

    checker: str
    anomaly: str
    path: Path
    operations: tuple[Operation, ...]
    total: int
    is_minimal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What came out of a run, or of checking a history anew.

    label: what people call it: "raft register" or a file's name. path: the run directory, or the
    file that was checked. verdicts: by checker. failure: one line when the harness itself failed.
    refused: the failure is that something was asked for that cannot be had there: bad usage. notes:
    lines worth knowing, such as what was dropped or what an importer assumed. trace_hash: over the
    journal and all that the nodes traced, of runs in virtual time: equal seeds, equal hashes.
    minimal: the minimal histories that were asked for.
    """

    label: str
    path: Path
    status: Status
    verdicts: Mapping[str, Verdict]
    evidence: Evidence
    plan: Plan | None = None
    schedule: Schedule | None = None
    failure: str | None = None
    refused: bool = False
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    trace_hash: str | None = None
    minimal: tuple[MinimalHistory, ...] = ()

    @property
    def valid(self) -> bool:
        """True when everything was judged valid and nothing went wrong in the harness."""
        return self.status is Status.VALID and self.failure is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A moment of a run, for whoever watches.

    phase: its name. elapsed_s: since the run began. phase_elapsed_s, phase_limit_s: of the phase;
    the limit is None where there is none. counts: operations by outcome so far. rates_hz: by
    outcome over about the last second. active: one line for each fault that is active now.
    """

    phase: str
    elapsed_s: float
    phase_elapsed_s: float = 0.0
    phase_limit_s: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    rates_hz: Mapping[str, float] = field(default_factory=dict)
    active: tuple[str, ...] = ()


class Monitor(Protocol):
    """Watches a run; its methods return at once and never raise."""

    def started(self, plan: Plan, path: Path) -> None:
        """The run has a directory and begins."""

    def progress(self, moment: Progress) -> None:
        """A moment of the run; called a few times a second."""

    def message(self, text: str) -> None:
        """One line worth showing now."""

    def finished(self, result: RunResult) -> None:
        """The run is over."""
