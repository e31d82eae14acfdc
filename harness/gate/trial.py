"""One run of the gate: a plan and a seed go in, and out comes what a gate needs to know of it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.report.quiet import Quiet
from splitbrain.runtime.store import plan_to_value

LONGEST_S = 256.0
"""Not less: each of the 24 pauses in 64 s has hit whoever led, once in some 12,000 runs."""
SAYS_NOTHING = ("stats: ", "faults: ")
"""Doubts of these checkers mean that a run was too short: too little succeeded, or took hold."""
REASON_LIMIT = 3
REASON_LENGTH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came out of one run.

    anomalies: (checker, name), sorted. reasons: why it was unknown, or failed. real_s: how long it
    took on the clock on the wall. time_limit_s: of the run that counted, where it is longer than
    the plan's.
    """

    status: str
    anomalies: tuple[tuple[str, str], ...] = ()
    reasons: tuple[str, ...] = ()
    real_s: float = 0.0
    time_limit_s: float | None = None

    @property
    def clean(self) -> bool:
        """Tell whether everything was judged valid."""
        return self.status == Status.VALID

    def has(self, checker: str, anomaly: str) -> bool:
        """Tell whether this checker named this anomaly."""
        return self.status == Status.INVALID and (checker, anomaly) in self.anomalies

    @property
    def says_nothing(self) -> bool:
        """Tell whether the run was too short to be judged, and nothing else is wrong with it."""
        doubts = self.status == Status.UNKNOWN and self.reasons
        return bool(doubts) and all(reason.startswith(SAYS_NOTHING) for reason in self.reasons)

    def told(self) -> str:
        """Say it in one line."""
        named = ", ".join(f"{name} by {checker}" for checker, name in self.anomalies)
        return ": ".join(filter(None, (self.status, named or "; ".join(self.reasons))))


def carry_out(plan: Plan, seed: int) -> Found:
    """Carry a plan out with a seed, keep nothing of the run, and say what came out.

    Raises: KeyboardInterrupt when somebody stopped it, HarnessError for a plan that cannot be used.
    """
    began_s = time.monotonic()
    store = Path(tempfile.mkdtemp(prefix="splitbrain-gate-"))
    try:
        result = execute(replace(plan, seed=seed), store=store, monitor=Quiet())
        if result.interrupted:
            raise KeyboardInterrupt
        return found_in(result, time.monotonic() - began_s)
    finally:
        shutil.rmtree(store, ignore_errors=True)


def carry_out_at_length(plan: Plan, seed: int) -> Found:
    """Carry a plan out; where that says nothing, again for twice as long, up to `LONGEST_S`.

    With few faults it can be that the only one leaves nobody to answer, or finds nobody to hit.
    Whatever is wrong counts at any length.

    Raises: as `carry_out`.
    """
    found, tried = carry_out(plan, seed), plan
    while found.says_nothing and tried.time_limit_s * 2 <= LONGEST_S:
        tried = replace(tried, time_limit_s=tried.time_limit_s * 2)
        longer = replace(carry_out(tried, seed), time_limit_s=tried.time_limit_s)
        found = replace(longer, real_s=round(found.real_s + longer.real_s, 3))
    return found


def found_in(result: RunResult, real_s: float) -> Found:
    """Give what a gate needs to know of a result; where the harness failed nothing is clean."""
    anomalies = {
        (checker, anomaly.name)
        for checker, verdict in result.verdicts.items()
        for anomaly in verdict.anomalies
    }
    reasons = [] if result.failure is None else [result.failure]
    for checker, verdict in result.verdicts.items():
        if verdict.status is Status.UNKNOWN:
            reasons += [f"{checker}: {reason}" for reason in verdict.reasons]
    failed = result.failure is not None and result.status is Status.VALID
    return Found(
        status=Status.UNKNOWN if failed else result.status,
        anomalies=tuple(sorted(anomalies)),
        reasons=tuple(reason[:REASON_LENGTH] for reason in reasons[:REASON_LIMIT]),
        real_s=round(real_s, 3),
    )


def digest_of(plan: Plan) -> str:
    """Give a name for a plan without its seed, as 16 hex digits."""
    text = msgspec.json.encode(plan_to_value(replace(plan, seed=0)), order="sorted")
    return hashlib.blake2b(text, digest_size=8).hexdigest()
