"""Runs in virtual time that leave nothing on a disk: for gates and shrinkers, by the thousand.

Equal plans give equal results, down to the last byte of the journal and of every trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.simulated import World
from splitbrain.early import early_stop, require_streamed
from splitbrain.execute import Prepared, judge_all, overall, prepare
from splitbrain.plugin import where
from splitbrain.report.quiet import Quiet
from splitbrain.runtime.control import Control
from splitbrain.runtime.lifecycle import Lifecycle, Outcome
from splitbrain.runtime.store import MemoryRun
from splitbrain.standstill import telling_standstill

logging.getLogger(Lifecycle.__module__).addHandler(logging.NullHandler())
"""A run without a directory has no log: its failure is in its result, and nowhere else."""


def simulate(
    plan: Plan,
    *,
    prepared: Prepared | None = None,
    control: Control | None = None,
    stop_on_violation: bool = False,
    say: Callable[[str], None] | None = None,
) -> RunResult:
    """Carry out a plan in the simulator, whatever cluster it names, and judge it.

    The result's path is no directory, but the name of the run. A run that fails because of the
    harness has a `failure`, as on any cluster. stop_on_violation: as `execute` takes it. say: hears
    where virtual time stands still, from another thread.

    Raises: UsageError for names that cannot be used, and for a system that cannot be simulated.
    """
    ready = prepared or prepare(replace(plan, cluster="sim"))
    experiment = ready.experiment
    world = experiment.cluster
    if not isinstance(world, World):
        message = f"the cluster {world.name!r} is no simulator"
        raise UsageError(message)
    run = MemoryRun(f"sim-{plan.seed}")
    if stop_on_violation:
        require_streamed(ready.checkers)
        control = early_stop(experiment, run, Quiet().message)
    try:
        with telling_standstill(world, say) if say else nullcontext():
            outcome = Lifecycle(experiment, run, Quiet(), control or Control()).perform()
    except Exception as error:  # noqa: BLE001 - of a plug-in, or of ours: the seeds after it go on
        outcome = Outcome(evidence=Evidence(), schedule=None, failure=where(error))
    verdicts = judge_all(ready.checkers, outcome.evidence)
    return RunResult(
        label=f"{experiment.system.name} {experiment.workload.name}",
        path=Path(f"sim-{plan.seed}"),
        status=overall(verdicts, sound=not (outcome.interrupted or outcome.failure)),
        verdicts=verdicts,
        evidence=outcome.evidence,
        plan=ready.experiment.plan,
        schedule=outcome.schedule,
        failure=outcome.failure,
        refused=outcome.refused,
        interrupted=outcome.interrupted,
        trace_hash=world.fingerprint(bytes(run.journal.data)),
    )
