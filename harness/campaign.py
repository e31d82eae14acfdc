"""Many seeds of one plan in the simulator, on all cores: what failed, how often, and by which seed.

A run is a function of a plan, so that runs can be dealt to other programs as plain values. Only
runs that fail are kept, the first few of each kind: any other is there again by its seed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from splitbrain.core.errors import HarnessError
from splitbrain.core.evidence import Evidence
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.value import Value
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.report.quiet import Quiet
from splitbrain.runtime.store import write_summary
from splitbrain.simulation import simulate

KEPT = 3
"""How many runs of each kind of failure are stored."""
AHEAD = 4
"""How many runs wait for each worker: enough to keep it busy, few enough to stop soon."""
RUNS_A_WORKER = 500
"""After so many runs another program takes over, with fresh memory."""
POLL_S = 0.2


@dataclass(frozen=True, slots=True, order=True)
class Failure:
    """A kind of failure: which checker found what. checker "" is the harness itself."""

    checker: str
    anomaly: str

    def __str__(self) -> str:
        return f"{self.checker}: {self.anomaly}" if self.checker else self.anomaly


@dataclass(slots=True)
class Campaign:
    """What came of many seeds. results: without evidence, as they came. paths: of stored runs."""

    plan: Plan
    count: int
    results: list[RunResult] = field(default_factory=list)
    failures: dict[Failure, list[int]] = field(default_factory=dict)
    paths: dict[int, Path] = field(default_factory=dict)
    elapsed_s: float = 0.0
    interrupted: bool = False
    summary: Path | None = None

    def counts(self) -> Mapping[Status, int]:
        """Give how many runs came out how."""
        return {
            status: sum(result.status is status for result in self.results) for status in Status
        }

    def to_value(self) -> Value:
        """Give the summary as JSON: what failed, by which seeds, and where that is stored."""
        failures: list[Value] = []
        for failure, seeds in sorted(self.failures.items()):
            stored: dict[str, Value] = {
                str(seed): str(self.paths[seed]) for seed in seeds if seed in self.paths
            }
            listed: list[Value] = [*sorted(seeds)]
            failures.append(
                {
                    "checker": failure.checker,
                    "anomaly": failure.anomaly,
                    "seeds": listed,
                    "stored": stored,
                }
            )
        counts: dict[str, Value] = {status.value: count for status, count in self.counts().items()}
        unknown: list[Value] = [
            _seed(result) for result in self.results if result.status is Status.UNKNOWN
        ]
        return {
            "seeds": [self.plan.seed, self.plan.seed + self.count - 1],
            "done": len(self.results),
            "elapsed_s": round(self.elapsed_s, 3),
            "interrupted": self.interrupted,
            "counts": counts,
            "failures": failures,
            "unknown": sorted(unknown, key=int),  # type: ignore[arg-type]
        }


Watcher = Callable[[RunResult | None], None]
"""Hears of each result, and a few times a second of none."""


def simulate_seeds(
    plan: Plan, count: int, *, store: Path, watch: Watcher, workers: int | None = None
) -> Campaign:
    """Simulate a plan for `count` seeds in a row, on all cores, and keep what fails.

    The first Ctrl-C ends it after the runs that are under way.

    Raises: UsageError for a plan that cannot be used, HarnessError when a worker dies.
    """
    campaign = Campaign(plan=plan, count=count)
    began_s = time.monotonic()
    width = max(1, min(count, workers or len(os.sched_getaffinity(0))))
    with _pool(width) as pool:
        try:
            _deal(campaign, pool, width, store, watch)
        except KeyboardInterrupt:
            campaign.interrupted = True
        except BrokenProcessPool as error:
            message = "a worker of the simulator died: is there enough memory?"
            raise HarnessError(message) from error
    campaign.elapsed_s = time.monotonic() - began_s
    campaign.summary = write_summary(store, plan, campaign.to_value())
    return campaign


def failures_of(result: RunResult) -> tuple[Failure, ...]:
    """Give the kinds of failure of a run, each once."""
    if result.failure is not None:
        return (Failure("", f"the harness failed: {result.failure.splitlines()[0]}"),)
    found = {
        Failure(name, anomaly.name)
        for name, verdict in result.verdicts.items()
        for anomaly in verdict.anomalies
    }
    return tuple(sorted(found))


def _deal(
    campaign: Campaign, pool: ProcessPoolExecutor, width: int, store: Path, watch: Watcher
) -> None:
    plan, seeds = campaign.plan, iter(range(campaign.count))
    under_way: dict[Future[RunResult], bool] = {}

    def deal() -> None:
        while sum(not stores for stores in under_way.values()) < width * AHEAD:
            number = next(seeds, None)
            if number is None:
                return
            future = pool.submit(_simulate, replace(plan, seed=plan.seed + number))
            under_way[future] = False

    deal()
    while under_way:
        done, _ = wait(under_way, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for future in done:
            stores, result = under_way.pop(future), future.result()
            if stores:
                campaign.paths[_seed(result)] = result.path
            elif _count(campaign, result) and result.failure is None:
                under_way[pool.submit(_store, _plan(result), result.trace_hash, store)] = True
            if not stores:
                watch(result)
        deal()
        watch(None)


def _count(campaign: Campaign, result: RunResult) -> bool:
    """Count a result, and tell whether it is one to be stored."""
    campaign.results.append(result)
    wanted = False
    for failure in failures_of(result):
        seeds = campaign.failures.setdefault(failure, [])
        wanted |= len(seeds) < KEPT
        seeds.append(_seed(result))
    return wanted


def _simulate(plan: Plan) -> RunResult:
    return _bare(simulate(plan))


def _store(plan: Plan, trace_hash: str | None, store: Path) -> RunResult:
    """Carry a run out again, into the store, and see that it is the same."""
    result = execute(plan, store=store, monitor=Quiet())
    if result.failure is None and result.trace_hash != trace_hash:
        message = f"seed {plan.seed} did not replay: {result.trace_hash}, not {trace_hash}"
        raise HarnessError(message)
    return _bare(result)


def _bare(result: RunResult) -> RunResult:
    return replace(result, evidence=Evidence(), schedule=None)


def _plan(result: RunResult) -> Plan:
    assert result.plan is not None
    return result.plan


def _seed(result: RunResult) -> int:
    return _plan(result).seed


@contextmanager
def _pool(width: int) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(
        max_workers=width,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        max_tasks_per_child=RUNS_A_WORKER,
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    """Leave Ctrl-C to the program that deals: it ends after the runs under way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
