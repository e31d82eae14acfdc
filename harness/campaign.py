"""Many seeds of one plan in the simulator, on all cores: what failed, how often, and by which seed.

A run is a function of a plan, so that runs can be dealt to other programs as plain values. Only
runs that fail are kept, the first few of each kind: any other is there again by its seed.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import ParamSpec

from splitbrain.core.errors import HarnessError, StoreError, UsageError
from splitbrain.core.evidence import Evidence
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.value import Value
from splitbrain.core.verdict import Status
from splitbrain.end_with_parent import end_with_parent
from splitbrain.execute import execute
from splitbrain.presses import deaf_programs, presses
from splitbrain.report.quiet import Quiet
from splitbrain.runtime.store import require_store, write_summary
from splitbrain.simulation import simulate

KEPT = 3
"""How many runs of each kind of failure are stored."""
AHEAD = 2
"""How many runs each worker is given: the next waits while it is at one, and both end soon."""
RUNS_A_WORKER = 500
"""After so many runs another program takes over, with fresh memory."""
POLL_S = 0.2

_Given = ParamSpec("_Given")


@dataclass(frozen=True, slots=True, order=True)
class Failure:
    """A kind of failure: which checker found what. checker "" is the harness itself."""

    checker: str
    anomaly: str

    def __str__(self) -> str:
        return f"{self.checker}: {self.anomaly}" if self.checker else self.anomaly


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a run is unknown: which checker could not tell, and its first reason."""

    checker: str
    reason: str


_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
ANOTHER_RUN = Doubt("", "carried out again, it was another run: the system is not deterministic")


@dataclass(slots=True)
class Campaign:
    """What came of many seeds.

    results: without evidence, as they came. failures, doubts: the seeds of each. paths: of stored
    runs. failure: one line when the harness itself failed, which ends it. summary: the file.
    """

    plan: Plan
    count: int
    results: list[RunResult] = field(default_factory=list)
    failures: dict[Failure, list[int]] = field(default_factory=dict)
    doubts: dict[Doubt, list[int]] = field(default_factory=dict)
    paths: dict[int, Path] = field(default_factory=dict)
    elapsed_s: float = 0.0
    interrupted: bool = False
    failure: str | None = None
    summary: Path | None = None

    def counts(self) -> Mapping[Status, int]:
        """Give how many runs came out how."""
        return {
            status: sum(result.status is status for result in self.results) for status in Status
        }

    def _doubts_by_form(self) -> Sequence[tuple[str, Sequence[tuple[int, str]]]]:
        """Give seeds with their reasons by checker, those that differ in numbers alone together.

        The most frequent ones come first; seeds are sorted.
        """
        by_form: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for doubt, seeds in self.doubts.items():
            form = doubt.checker, _NUMBER.sub("0", doubt.reason)
            by_form.setdefault(form, []).extend((seed, doubt.reason) for seed in seeds)
        found = [(checker, sorted(reasons)) for (checker, _), reasons in by_form.items()]
        return sorted(found, key=lambda item: (-len(item[1]), item[1][0]))

    def to_value(self) -> Value:
        """Give the summary as JSON: what failed, by which seeds, and where that is stored.

        "unknown" has the seeds, "unknown_reasons" the same by reason, the most frequent one first.
        """
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
        doubts: list[Value] = [
            {"checker": checker, "reason": found[0][1], "seeds": [seed for seed, _ in found]}
            for checker, found in self._doubts_by_form()
        ]
        return {
            "seeds": [self.plan.seed, self.plan.seed + self.count - 1],
            "done": len(self.results),
            "elapsed_s": round(self.elapsed_s, 3),
            "interrupted": self.interrupted,
            "failure": self.failure,
            "counts": counts,
            "failures": failures,
            "unknown": sorted(unknown, key=int),  # type: ignore[arg-type]
            "unknown_reasons": doubts,
        }


Watcher = Callable[[RunResult | None], None]
"""Hears of each result, and a few times a second of none."""

Settled = Callable[[RunResult, Path | None], None]
"""Hears of each result once nothing more comes of it, and where its run is stored, if it is."""


def simulate_seeds(
    plan: Plan,
    count: int,
    *,
    store: Path,
    watch: Watcher,
    say: Callable[[str], None] = lambda _: None,
    settled: Settled = lambda _, __: None,
    workers: int | None = None,
    stop_on_violation: bool = False,
) -> Campaign:
    """Simulate a plan for `count` seeds in a row, on all cores, and keep what fails.

    The first Ctrl-C ends it after the runs that are under way, a second one at once. What there is
    by then is given, also where a full store or a lack of memory ends it. say: hears what a Ctrl-C
    leads to.

    Raises: UsageError for a plan or a store that cannot be used.
    """
    require_store(store, plan)
    campaign = Campaign(plan=plan, count=count)
    began_s = time.monotonic()
    width = max(1, min(count, workers or len(os.sched_getaffinity(0))))
    dealt = _Dealt(campaign, store, watch, say, settled, stop_on_violation=stop_on_violation)
    with presses() as pressed, _crew(width) as crew:
        try:
            dealt.deal(crew, pressed)
        except BrokenProcessPool:
            if not crew.dismissed:
                campaign.failure = "a worker of the simulator died: is there enough memory?"
        except UsageError:
            raise
        except HarnessError as error:
            campaign.failure = str(error)
            crew.dismiss()  # one that is stuck would be waited for, and nobody hears a Ctrl-C then
    for result in filter(None, dealt.under_way.values()):
        settled(result, None)
    campaign.interrupted = bool(pressed)
    campaign.elapsed_s = time.monotonic() - began_s
    try:
        campaign.summary = write_summary(store, plan, campaign.to_value())
    except StoreError as error:
        campaign.failure = campaign.failure or str(error)
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


def doubt_of(result: RunResult) -> Doubt | None:
    """Give why a run is unknown; None when it is not, or when the harness failed."""
    if result.status is not Status.UNKNOWN or result.failure is not None:
        return None
    doubts = (
        Doubt(name, verdict.reasons[0])
        for name, verdict in result.verdicts.items()
        if verdict.status is Status.UNKNOWN and verdict.judges and verdict.reasons
    )
    return next(doubts, Doubt("", "no reason given"))


@dataclass(slots=True)
class _Dealt:
    """The runs of a campaign. under_way: for each that is to be stored, how it came out before."""

    campaign: Campaign
    store: Path
    watch: Watcher
    say: Callable[[str], None]
    settled: Settled
    stop_on_violation: bool
    under_way: dict[Future[RunResult], RunResult | None] = field(default_factory=dict)

    def deal(self, crew: _Crew, pressed: Sequence[int]) -> None:
        """Let a crew carry out all runs, until Ctrl-C is pressed."""
        seeds = iter(range(self.campaign.count))
        self._begin(crew, seeds)
        while self.under_way:
            done, _ = wait(self.under_way, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                self._end(crew, future)
            if not pressed:
                self._begin(crew, seeds)
            elif len(pressed) > 1:
                crew.dismiss()
            elif not self.campaign.interrupted:
                self.campaign.interrupted = True
                self.say("stopping: the runs under way go on to their end; Ctrl-C again ends them")
            self.watch(None)

    def _begin(self, crew: _Crew, seeds: Iterator[int]) -> None:
        plan = self.campaign.plan
        while sum(first is None for first in self.under_way.values()) < crew.width * AHEAD:
            number = next(seeds, None)
            if number is None:
                return
            one = replace(plan, seed=plan.seed + number)
            self.under_way[crew.submit(_simulate, one, self.stop_on_violation)] = None

    def _end(self, crew: _Crew, future: Future[RunResult]) -> None:
        result = future.result()  # where its program was ended, this raises, and it stays known
        first = self.under_way.pop(future)
        if first is not None:
            self.campaign.paths[_seed(result)] = result.path
            self.settled(first, result.path)
            if result.failure is None and result.trace_hash != first.trace_hash:
                self.campaign.doubts.setdefault(ANOTHER_RUN, []).append(_seed(result))
            return
        if _count(self.campaign, result) and result.failure is None:
            again = crew.submit(_store, _plan(result), self.store, self.stop_on_violation)
            self.under_way[again] = result
        else:
            self.settled(result, None)
        self.watch(result)


def _count(campaign: Campaign, result: RunResult) -> bool:
    """Count a result, and tell whether it is one to be stored."""
    campaign.results.append(result)
    wanted = False
    for failure in failures_of(result):
        seeds = campaign.failures.setdefault(failure, [])
        wanted |= len(seeds) < KEPT
        seeds.append(_seed(result))
    doubt = doubt_of(result)
    if doubt is not None:
        campaign.doubts.setdefault(doubt, []).append(_seed(result))
    return wanted


def _simulate(plan: Plan, stop_on_violation: bool) -> RunResult:
    def say(line: str) -> None:
        sys.stderr.write(f"splitbrain: seed {plan.seed}: {line}\n")
        sys.stderr.flush()

    return _bare(simulate(plan, stop_on_violation=stop_on_violation, say=say))


def _store(plan: Plan, store: Path, stop_on_violation: bool) -> RunResult:
    """Carry a run out again, into the store."""
    return _bare(execute(plan, store=store, monitor=Quiet(), stop_on_violation=stop_on_violation))


def _bare(result: RunResult) -> RunResult:
    return replace(result, evidence=Evidence(), schedule=None)


def _plan(result: RunResult) -> Plan:
    assert result.plan is not None
    return result.plan


def _seed(result: RunResult) -> int:
    return _plan(result).seed


@dataclass(slots=True)
class _Crew:
    """The programs that carry out runs. They hear no Ctrl-C: it is for the one that deals."""

    pool: ProcessPoolExecutor
    width: int
    strangers: frozenset[BaseProcess]
    dismissed: bool = False

    def submit(
        self, act: Callable[_Given, RunResult], *given: _Given.args, **named: _Given.kwargs
    ) -> Future[RunResult]:
        """Hand a run to the next who is free."""
        with deaf_programs():
            return self.pool.submit(act, *given, **named)

    def dismiss(self) -> None:
        """End all of them at once."""
        self.dismissed = True
        for program in frozenset(multiprocessing.active_children()) - self.strangers:
            program.kill()


@contextmanager
def _crew(width: int) -> Iterator[_Crew]:
    strangers = frozenset(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        max_workers=width,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=end_with_parent,
        max_tasks_per_child=RUNS_A_WORKER,
    )
    try:
        yield _Crew(pool, width, strangers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
