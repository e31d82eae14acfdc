"""What came of shrinking a run."""

from __future__ import annotations

from dataclasses import dataclass

from splitbrain.core.run import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """A minimal case. result: that of its stored run. runs: how many were tried until there.

    checker, anomaly: what stayed the same. faults, operations, nodes: how many there were, and how
    many are left. is_minimal: False where time ran out before it was certain that nothing can go.
    has_hosts: whether the system runs on hosts at all.
    """

    result: RunResult
    checker: str
    anomaly: str
    runs: int
    seconds: float
    faults: tuple[int, int]
    operations: tuple[int, int]
    nodes: tuple[int, int]
    is_minimal: bool
    has_hosts: bool
    interrupted: bool = False
