"""What the gate carries out: a plan, with how many seeds, and what must come out of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from splitbrain.core.bug import PlantedBug
from splitbrain.core.run import Plan
from splitbrain.gate.trial import Found, carry_out, carry_out_at_length, digest_of


class Aim(StrEnum):
    """What a task is about."""

    EMBEDDED = "embedded"
    DIRECTED = "directed"
    CORRECT = "correct"
    DRAWN = "drawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Runs of one plan with the seeds from 0 on.

    name: of the bug, or of the pair of workload and nemeses. bug: what must be found; None where
    nothing may be. once: one run that comes out as it must is enough, and the others are left out.
    key: what the results are filed under, for they count for this very plan alone.
    """

    aim: Aim
    name: str
    plan: Plan
    seeds: int
    bug: PlantedBug | None = None
    once: bool = False
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.aim}/{self.name}/{digest_of(self.plan)}")

    @property
    def carrier(self) -> Callable[[Plan, int], Found]:
        """Give what carries out one of its runs."""
        return carry_out_at_length if self.aim is Aim.CORRECT else carry_out

    @property
    def is_gated(self) -> bool:
        """Tell whether the gate depends on it: random schedules are only reported."""
        return self.aim is not Aim.DRAWN

    def hit(self, found: Found) -> bool:
        """Tell whether a run came out as it must."""
        if self.bug is None:
            return found.clean
        return found.has(self.bug.checker, self.bug.anomaly)

    def complaint(self, seed: int, found: Found) -> str | None:
        """Say what is wrong with a run, and how to do it again; None when nothing is."""
        if not self.is_gated or self.hit(found):
            return None
        if self.bug is None:
            what = f"is not clean with the seed {seed}: {found.told()}"
        else:
            wanted = f"{self.bug.anomaly} by {self.bug.checker}"
            missed = "is named otherwise" if found.anomalies else "is missed"
            what = f"{missed} with the seed {seed}: not {wanted}, but {found.told()}"
        return f"{self.aim} {self.name} {what}\n    {self.command(seed, found.time_limit_s)}"

    def command(self, seed: int, time_limit_s: float | None = None) -> str:
        """Give the command that does a run again; time_limit_s: where it is not the plan's."""
        plan = self.plan
        length_s = time_limit_s or plan.time_limit_s
        words = ["splitbrain run"]
        if self.aim in (Aim.DIRECTED, Aim.EMBEDDED):
            words.append(f"--bug {self.name}")
        else:
            words += [
                f"--system {plan.system} --workload {plan.workload}",
                f"--nemesis {','.join(plan.nemeses) or 'none'} --nodes {plan.node_count}",
                f"--time-limit {length_s:g} --concurrency {plan.concurrency}",
                *([] if plan.interval_s is None else [f"--interval {plan.interval_s:g}"]),
                *([] if plan.rate_hz is None else [f"--rate {plan.rate_hz:g}"]),
                *(f"--option '{key}={json.dumps(item)}'" for key, item in plan.options.items()),
                *(
                    f"--parameter '{key}={json.dumps(item)}'"
                    for key, item in plan.parameters.items()
                ),
            ]
        return " ".join([*words, f"--cluster {plan.cluster} --seed {seed}"])
