"""Shrinks a stored run that failed to a minimal case that fails so too, and stores that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from splitbrain import catalog
from splitbrain.check import show_path
from splitbrain.core.errors import UsageError
from splitbrain.core.fault import Schedule
from splitbrain.core.planned import planned_of
from splitbrain.core.run import Monitor, Plan, RunResult
from splitbrain.core.shrunk import Shrunk
from splitbrain.core.simulated import OnlySimulated, require_hosted
from splitbrain.core.system import System, Thresholds
from splitbrain.core.verdict import Anomaly
from splitbrain.execute import execute, prepare
from splitbrain.presses import presses
from splitbrain.replay import differs
from splitbrain.report.quiet import Quiet
from splitbrain.runtime.store import load_run, resolved_of
from splitbrain.shrinking.shrinker import Shrinker
from splitbrain.shrinking.target import Target, target_of
from splitbrain.shrinking.timed import timed
from splitbrain.shrinking.trial import RealTrial, SimulatedTrial, Trial
from splitbrain.shrinking.with_faults import with_faults

TIME_LIMIT_S = 50.0
BUSY = 3.0
"""So many times its processor time a search may take by the clock, where others compute as well."""

RUN_LIMIT = 2000
REAL_REPEATS = 3
REAL_TIME_LIMIT_S = 1800.0


def shrink(
    path: Path,
    *,
    store: Path,
    monitor: Monitor,
    checker: str | None = None,
    time_limit_s: float | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Shrunk:
    """Shrink the run in this directory, until nothing can go, time is over, or Ctrl-C is pressed.

    time_limit_s: of processor time in the simulator, so that a busy machine finds the same.

    Raises: UsageError when it did not fail, does not fail again, or is another run each time;
    KeyboardInterrupt when Ctrl-C was pressed before there was anything to keep.
    """
    stored = show_path(path)
    plan = _plan_of(stored)
    target = target_of(stored, checker, _expected(plan))
    is_simulated = plan.cluster == "sim"
    began, worked = now(), _processor_s()
    limit_s = time_limit_s or (TIME_LIMIT_S if is_simulated else REAL_TIME_LIMIT_S)
    interrupted = False
    with presses() as pressed:

        def has_time() -> bool:
            if pressed:
                raise KeyboardInterrupt
            if not is_simulated:
                return now() - began < limit_s
            return _processor_s() - worked < limit_s and now() - began < limit_s * BUSY

        trial: SimulatedTrial | RealTrial
        if is_simulated:
            trial = SimulatedTrial(target, has_time, RUN_LIMIT, pressed)
            _require_deterministic(path, plan, stored, trial)
            shrinker = _simulated(path, plan, stored, target, trial)
            rest = shrinker.shrink
        else:
            trial = RealTrial(target, has_time, REAL_REPEATS)
            shrinker = _real(path, plan, stored, target, trial)
            rest = shrinker.drop_faults_alone
        try:
            rest()
            is_minimal = trial.may_go_on()
            if is_simulated:
                shrinker.give_room()
        except KeyboardInterrupt:
            interrupted, is_minimal = True, False
    result = _store(shrinker, store, monitor, messages=is_simulated)
    first, last = stored.evidence.history, result.evidence.history
    return Shrunk(
        result=result,
        checker=target.checker,
        anomaly=target.anomaly,
        runs=trial.runs,
        seconds=now() - began,
        faults=(len(stored.schedule or ()), len(shrinker.plan.schedule or ())),
        operations=(len(first or ()), len(last or ())),
        nodes=(plan.node_count, shrinker.plan.node_count),
        is_minimal=is_minimal,
        has_hosts=not isinstance(_system(plan), OnlySimulated),
        interrupted=interrupted,
    )


def kept_anomaly(result: RunResult) -> Anomaly | None:
    """Give the anomaly that shrinking this run keeps, whatever proves it; None of a valid one."""
    try:
        expected = None if result.plan is None else _expected(result.plan)
        return target_of(result, None, expected).found(result.verdicts)
    except UsageError:
        return None


def _processor_s() -> float:
    """Give how long this program has computed by now, and the programs that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def require_hosts(path: Path) -> None:
    """Refuse to try a run on hosts whose system has none. Raises: UsageError."""
    plan = load_run(path).plan
    if plan is not None:
        require_hosted(_system(plan))


def _system(plan: Plan) -> System:
    return catalog.system(plan.system, plan.options, seed=plan.seed)


def hits(shrunk: Shrunk, *, store: Path, count: int) -> tuple[bool, ...]:
    """Run a minimal case on embedded hosts, and tell of each time whether it failed there too.

    Targets are pinned to the nodes that were hit before.
    """
    result, target = shrunk.result, Target(checker=shrunk.checker, anomaly=shrunk.anomaly)
    assert result.plan is not None
    found = []
    for number in range(count):
        plan = replace(
            result.plan,
            cluster="embedded",
            cluster_options={},
            resolved=resolved_of(result.evidence),
            seed=result.plan.seed + number,
        )
        again = execute(plan, store=store, monitor=Quiet())
        found.append(target.found(again.verdicts) is not None)
        if again.interrupted:
            break
    return tuple(found)


def at_their_times(plan: Plan, result: RunResult) -> Plan:
    """Give the plan of a run with its faults and operations one by one, each at its time."""
    recorded = _recorded(plan, result)
    assert recorded.schedule is not None
    return with_faults(recorded, timed(recorded.schedule, result.evidence))


def _plan_of(stored: RunResult) -> Plan:
    """Give what a run was asked to do.

    Raises: UsageError when that, or what came of it, is not known, or when the run itself failed.
    """
    path = stored.path
    if stored.plan is None:
        message = f"{path} has no plan.json, so that it cannot be run again"
        raise UsageError(message)
    if not (path / "result.json").exists():
        message = f"{path} has no result.json, so that nobody knows what was found"
        raise UsageError(message, advice=f"judge it first with `splitbrain check {path}`")
    if stored.failure is not None:
        message = f"the run {path} itself failed, and so cannot be shrunk: {stored.failure}"
        raise UsageError(message)
    return stored.plan


def _expected(plan: Plan) -> str | None:
    """Give the anomaly by which the planted bug is to be found, if there is one."""
    return None if plan.bug is None else catalog.bug(plan.bug).anomaly


def _require_deterministic(
    path: Path, plan: Plan, stored: RunResult, trial: SimulatedTrial
) -> None:
    """Carry the run out again, and once more where it leaves something else than it did.

    Code that has changed since leaves something else as well, but the same each time.

    Raises: UsageError when it is never the same, so that leaving things out would prove nothing.
    """
    first = trial.run(plan).trace_hash
    if first == stored.trace_hash:
        return
    again = trial.run(plan).trace_hash
    if first is not None and again is not None and first != again:
        message = f"{path} cannot be shrunk: {differs(first, again)}"
        raise UsageError(message)


def _simulated(path: Path, plan: Plan, stored: RunResult, target: Target, trial: Trial) -> Shrinker:
    """Begin with nothing, or the few operations that prove it, which is quick and often enough.

    Only where it is not, the whole run is done again.
    """
    system = prepare(plan).experiment.system
    thresholds = system.thresholds if isinstance(system, Thresholds) else {}
    defaults = catalog.system_defaults(plan.system)

    def begun(plan: Plan, result: RunResult) -> Shrinker:
        return Shrinker(plan, result, target, trial, thresholds, defaults)

    at_times = at_their_times(plan, stored)
    shrinker = begun(at_times, stored)
    if shrinker.to_nothing() or shrinker.to_witness() or shrinker.to_witness_apart():
        return shrinker
    again = trial.fails(at_times)
    if again is not None:
        return begun(at_times, again)
    first = trial.fails(plan)
    if first is None:
        message = (
            f"{path} does not fail again with {target.anomaly}: it was made by another version, or "
            "with code that has changed"
        )
        raise UsageError(message)
    recorded = _recorded(plan, first)
    again = trial.fails(recorded)
    if again is None:
        message = (
            f"{path} fails, but no longer once its operations are performed one by one at their "
            "times; only its schedule could be shrunk, by hand"
        )
        raise UsageError(message)
    return begun(recorded, again)


def _recorded(plan: Plan, result: RunResult) -> Plan:
    """Give the plan with its faults and operations one by one."""
    planned = plan.operations
    if planned is None:
        planned = planned_of(result.evidence, plan.concurrency)
    return replace(plan, operations=planned, schedule=result.schedule or Schedule(()))


def _real(path: Path, plan: Plan, stored: RunResult, target: Target, trial: Trial) -> Shrinker:
    pinned = resolved_of(stored.evidence)
    known = {item.fault.id for item in pinned}
    faults = Schedule(tuple(item for item in stored.schedule or () if item.id in known))
    repeated = replace(plan, schedule=faults, resolved=pinned)
    prepare(repeated)
    again = trial.fails(repeated)
    if again is None:
        message = (
            f"{path} does not fail again with {target.anomaly} in {REAL_REPEATS} runs on "
            f"{plan.cluster}: there is nothing to go by"
        )
        raise UsageError(message)
    return Shrinker(repeated, again, target, trial)


def _store(shrinker: Shrinker, store: Path, monitor: Monitor, *, messages: bool) -> RunResult:
    """Run the minimal case once more, with all checkers, and keep it."""
    options = {**shrinker.plan.cluster_options}
    if messages:
        options["messages"] = True
    plan = replace(shrinker.plan, cluster_options=options)
    result = execute(plan, store=store, monitor=monitor)
    if result.interrupted:
        raise KeyboardInterrupt
    if messages and shrinker.target.found(result.verdicts) is None:
        why = f"the system or the checker {shrinker.target.checker!r} is not deterministic"
        before, now = shrinker.result.trace_hash, result.trace_hash
        if before is not None and now is not None and before != now:
            why = differs(before, now)
        message = f"the minimal case in {result.path} did not fail again: {why}"
        raise UsageError(message)
    return result
