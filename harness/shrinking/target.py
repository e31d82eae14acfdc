"""Which failure of a run is to stay while everything else goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from splitbrain.core.errors import UsageError
from splitbrain.core.run import RunResult
from splitbrain.core.verdict import Anomaly, Status, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An anomaly by its name, and the checker that names it."""

    checker: str
    anomaly: str

    def found(self, verdicts: Mapping[str, Verdict]) -> Anomaly | None:
        """Give the anomaly of that name that fewest operations prove, if there is any."""
        verdict = verdicts.get(self.checker)
        anomalies = () if verdict is None else verdict.anomalies
        named = [item for item in anomalies if item.name == self.anomaly]
        return min(named, key=lambda item: len(item.operations), default=None)


def target_of(result: RunResult, checker: str | None, anomaly: str | None = None) -> Target:
    """Choose what is to stay: of the checker that is named, else of the first that found anything.

    anomaly: preferred where it is among those found.

    Raises: UsageError when there is nothing, because the run did not fail so.
    """
    for name, verdict in result.verdicts.items():
        if (
            verdict.status is not Status.INVALID
            or not verdict.judges
            or checker not in (None, name)
        ):
            continue
        names = [item.name for item in verdict.anomalies]
        if anomaly is not None and anomaly not in names and checker is None:
            continue
        return Target(checker=name, anomaly=anomaly if anomaly in names and anomaly else names[0])
    if anomaly is not None:
        return target_of(result, checker)
    if checker is not None and checker not in result.verdicts:
        message = f"{result.path} was not judged by {checker!r}, but by "
        message += ", ".join(result.verdicts) or "nobody"
        raise UsageError(message)
    who = "no checker" if checker is None else f"the checker {checker!r} did not find anything"
    message = f"{result.path} is {result.status.value}: {who}"
    message += " found anything" if checker is None else ""
    raise UsageError(message + ", so that there is nothing to shrink")
