"""What a checker says: a status, the anomalies that prove it, and why anything stayed unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.operation import Operation
from splitbrain.core.value import Value


class Status(StrEnum):
    """VALID < UNKNOWN < INVALID: of several, the worst wins, and unknown is never green."""

    VALID = "valid"
    UNKNOWN = "unknown"
    INVALID = "invalid"


_RANK = {Status.VALID: 0, Status.UNKNOWN: 1, Status.INVALID: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One thing that must not be, under its name from the literature.

    explanation: a sentence that a person understands. operations: the few that prove it, in the
    order of their invocation. evidence: other proof (trace records, dump entries) as JSON objects.
    """

    name: str
    explanation: str
    operations: tuple[Operation, ...] = ()
    evidence: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A checker's answer.

    reasons: why the status is unknown, or what limits a valid one; each one line. stats: figures
    for the report, JSON values alone. `bool(verdict)` raises, since three values do not fit two:
    ask `.valid`. judges: False for statistics, which have no opinion: they never make a run valid.
    """

    status: Status
    anomalies: tuple[Anomaly, ...] = ()
    reasons: tuple[str, ...] = ()
    stats: Mapping[str, Value] = field(default_factory=dict)
    judges: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.status, Status):
            message = f"the status of a verdict is a Status, not {self.status!r}"
            raise TypeError(message)
        if self.anomalies and self.status is not Status.INVALID:
            message = "a verdict with anomalies is invalid"
            raise ValueError(message)
        if self.status is Status.INVALID and not self.anomalies:
            message = "an invalid verdict names an anomaly"
            raise ValueError(message)
        if self.status is Status.UNKNOWN and not self.reasons:
            message = "an unknown verdict says why"
            raise ValueError(message)

    @property
    def valid(self) -> bool:
        """True for VALID alone."""
        return self.status is Status.VALID

    def __bool__(self) -> bool:
        message = "a verdict has three values: ask verdict.valid or verdict.status"
        raise TypeError(message)


def valid(**stats: Value) -> Verdict:
    """Make a valid verdict with these figures."""
    return Verdict(status=Status.VALID, stats=stats)


def unknown(*reasons: str, **stats: Value) -> Verdict:
    """Make an unknown verdict for these reasons."""
    return Verdict(status=Status.UNKNOWN, reasons=reasons, stats=stats)


def invalid(anomalies: Iterable[Anomaly], **stats: Value) -> Verdict:
    """Make an invalid verdict that these anomalies prove."""
    return Verdict(status=Status.INVALID, anomalies=tuple(anomalies), stats=stats)


def figures(**stats: Value) -> Verdict:
    """Make the answer of a statistic: figures without an opinion."""
    return Verdict(status=Status.VALID, stats=stats, judges=False)


def worst(verdicts: Iterable[Verdict]) -> Status:
    """Give the worst status of several verdicts.

    Statistics do not count, and where nothing else is left the answer is UNKNOWN: nothing was
    checked.
    """
    judged = (verdict.status for verdict in verdicts if verdict.judges)
    return max(judged, key=_RANK.__getitem__, default=Status.UNKNOWN)


def worst_status(statuses: Iterable[Status]) -> Status:
    """Give the worst of several statuses; UNKNOWN of none."""
    return max(statuses, key=_RANK.__getitem__, default=Status.UNKNOWN)


class Checker(Protocol):
    """Judges evidence: pure, without files, plots or clock.

    name: as people call it. needs: the kinds of evidence it cannot do without; where one is
    missing its verdict is unknown and names it.
    """

    @property
    def name(self) -> str:
        """The name under which the verdict is filed."""

    @property
    def needs(self) -> frozenset[Need]:
        """The kinds of evidence without which there is no verdict."""

    def parameters(self) -> Mapping[str, Value]:
        """The parameters from which the catalogue can build this checker again."""

    def check(self, evidence: Evidence) -> Verdict:
        """Judge. Raises whatever it likes: a crash is an unknown verdict."""
