"""A planted bug: a defect that the harness must find, with the schedule that leads to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from splitbrain.core.fault import Schedule
from splitbrain.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedBug:
    """One row of the catalogue of bugs.

    promise: what the system promises and the bug breaks, in a sentence. checker, anomaly: who must
    find it, and under which name. origin: where the defect comes from. options: of the system, as
    in `Plan.options`: the bug itself, whatever masks it switched off, options per node. The rest is
    as in `Plan`.
    """

    name: str
    system: str
    promise: str
    workload: str
    checker: str
    anomaly: str
    origin: str
    schedule: Schedule
    options: Mapping[str, Value] = field(default_factory=dict)
    parameters: Mapping[str, Value] = field(default_factory=dict)
    node_count: int = 5
    time_limit_s: float = 15.0
    concurrency: int = 10
    rate_hz: float | None = None
    operation_timeout_s: float = 2.0
