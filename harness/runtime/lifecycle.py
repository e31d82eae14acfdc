"""The life of a run: bring up, install, set up, load with faults, heal, settle, read, collect.

Whatever happens, every fault is healed, what was journaled is kept, and the cluster is taken down.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from splitbrain.core.cluster import Bed, Cluster
from splitbrain.core.errors import (
    ESCAPES,
    HarnessError,
    InterruptedRunError,
    StoreError,
    UsageError,
)
from splitbrain.core.evidence import Evidence, Log, Trace, from_journal
from splitbrain.core.fault import Nemesis, Preparing, Resolved, Schedule, Shape, When
from splitbrain.core.generator import Generator
from splitbrain.core.journal import ClockSample, FaultEvent, Header, Note, Phase
from splitbrain.core.run import Monitor, Plan, Progress
from splitbrain.core.system import (
    DaemonSpec,
    Dump,
    Settled,
    System,
    Traces,
    spoken,
)
from splitbrain.core.value import Value
from splitbrain.core.workload import Load, Workload
from splitbrain.runtime.agenda import Agenda
from splitbrain.runtime.bed import bed_of, left_out
from splitbrain.runtime.conditions import JournalWatch, TraceWatch, Watch
from splitbrain.runtime.control import Control
from splitbrain.runtime.reply import raised
from splitbrain.runtime.store import LOG_LIMIT_BYTES, TRACE_LIMIT_BYTES, MemoryRun, RunDirectory
from splitbrain.runtime.timing import Workers, timing_of

logger = logging.getLogger(__name__)

SETTLE_POLL_S = 0.1
DEFAULT_RECOVERY_BOUND_S = 30.0
FINAL_LIMIT_S = 60.0
SETUP_LIMIT_S = 60.0
CLOCK_SAMPLE_S = 5.0
MONITOR_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything that a run is made of, built and checked.

    optional: the kinds that are left out where the cluster cannot have them. draw: gives the
    schedule for the bed's shape, of the nemeses that it can have, where the plan has none.
    """

    plan: Plan
    cluster: Cluster
    system: System
    workload: Workload
    nemeses: Mapping[str, Nemesis]
    draw: Callable[[Shape, Sequence[Nemesis]], Schedule]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a life leaves: the evidence, and in one line what went wrong, if anything did.

    refused: what went wrong is that something was asked for that cannot be had there.
    """

    evidence: Evidence
    schedule: Schedule | None
    failure: str | None = None
    refused: bool = False
    interrupted: bool = False


class Lifecycle:
    """One run from the cluster's start to its end; use it once, by `perform`."""

    def __init__(
        self,
        experiment: Experiment,
        run: RunDirectory | MemoryRun,
        monitor: Monitor,
        control: Control,
    ) -> None:
        self._experiment = experiment
        self._plan = experiment.plan
        self._cluster = experiment.cluster
        self._system = experiment.system
        self._workload = experiment.workload
        self._run = run
        self._monitor = monitor
        self._control = control
        self._journal = run.create_journal()
        self._timing = timing_of(experiment.cluster)
        self._schedule: Schedule | None = None
        self._scheduler: Agenda | None = None
        self._interpreter: Workers | None = None
        self._began_s = self._now_s()
        self._phase_name = "start"
        self._phase_began_s = self._began_s
        self._phase_limit_s: float | None = None
        self._settled = False
        self._healed_s = 0.0
        self._next_sample_s = 0.0
        self._done = threading.Event()
        self._specs: Mapping[str, Sequence[DaemonSpec]] = {}
        self._failure: HarnessError | None = None
        self._store_failure: HarnessError | None = None
        self._nemeses: Mapping[str, Nemesis] = {}
        self._expired: dict[str, Value] = {}

    def perform(self) -> Outcome:
        """Live the run, in a thread of its own: Ctrl-C reaches the caller, who has the control."""
        self._append(self._timing.header(self._run.path.name, self._plan.seed))
        interrupted = False
        extra = Evidence()
        try:
            with self._surviving(), self._watched(), self._cluster.entered():
                try:
                    interrupted = self._live()
                    extra = self._after()
                finally:
                    self._tear_down()
        finally:
            self._phase("done")
            self._journal.close()
        return self._outcome(extra, self._failure or self._store_failure, interrupted=interrupted)

    def _live(self) -> bool:
        """Live up to the last read, and tell whether somebody ended that early."""
        with self._surviving():
            try:
                self._provision()
                self._load()
            except InterruptedRunError as error:
                logger.info("interrupted: %s", error)
                self._note("warning", f"interrupted: {error}")
                return True
        return self._failure is None and self._control.stopped

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Keep the first failure and go on: what there is by then is judged."""
        try:
            yield
        except HarnessError as error:
            logger.exception("the run failed")
            self._fail(error)
        except ESCAPES as error:  # of a plug-in, or of ours
            logger.exception("the harness failed")
            self._fail(HarnessError(crash_line(error)))

    def _fail(self, error: HarnessError) -> None:
        self._failure = self._failure or error
        self._note("error", str(error))

    def _provision(self) -> None:
        self._phase("up")
        self._control.check()
        count = self._plan.node_count
        hosts = f"{count} {self._cluster.name} host{'' if count == 1 else 's'}"
        self._monitor.message(f"bringing up {hosts}")
        self._cluster.up()
        self._control.check()
        self._phase("install")
        self._specs = self._timing.deploy(self._system, self._cluster, self._plan.seed)
        self._control.check()
        self._prepare_faults()
        self._cluster.start(self._specs)
        self._control.check()

    def _prepare_faults(self) -> None:
        """See which nemeses can work here, and let them get the cluster ready.

        Raises: UsageError for one that was asked for by its name and cannot.
        """
        bed, asked = self._bed(), self._experiment.nemeses
        reasons = left_out(asked, self._experiment.optional, bed, self._cluster)
        for kind, reason in reasons.items():
            self._note("info", f"the nemesis {kind!r} is left out: {reason}")
            self._monitor.message(f"no {kind} here: {reason}")
        self._nemeses = {kind: item for kind, item in asked.items() if kind not in reasons}
        for nemesis in self._nemeses.values():
            if isinstance(nemesis, Preparing):
                nemesis.prepare(bed)

    def _load(self) -> None:
        topology = self._cluster.topology
        self._run.write_json("facts.json", self._facts())
        load = Load(
            seed=self._plan.seed,
            nodes=topology.nodes,
            concurrency=self._plan.concurrency,
            time_limit_s=self._plan.time_limit_s,
            rate_hz=self._plan.rate_hz,
            params=self._plan.parameters,
            functions=spoken(self._system),
        )
        bed = self._bed()
        self._schedule = self._make_schedule(bed)
        self._run.write_json("schedule.json", self._schedule.to_value())
        self._interpreter = self._timing.workers(
            self._system,
            self._workload.vocabulary,
            topology,
            journal=self._journal,
            concurrency=load.concurrency,
            operation_timeout_s=self._plan.operation_timeout_s * topology.pace,
        )
        self._phase("setup", limit_s=SETUP_LIMIT_S)
        self._settle("the system has not come up")
        self._perform(self._workload.setup(load), SETUP_LIMIT_S)
        self._control.check()
        self._main(load, bed)
        if self._control.stopped:
            return
        self._phase("settle", limit_s=self._recovery_bound_s())
        reason = self._settle("it did not settle")
        self._settled = reason is None
        self._control.check()
        self._phase("final", limit_s=FINAL_LIMIT_S, settled=self._settled, reason=reason)
        self._finish(load)

    def _finish(self, load: Load) -> None:
        """Perform the last operations; where all fail, once more when the recovery bound is over.

        A system that refuses at once is asked only for a moment, and may be just about to recover.
        """
        before = self._successes()
        is_asked = self._ask_last(load)
        left_s = self._healed_s + self._recovery_bound_s() - self._now_s()
        answered = self._successes() > before
        if answered or not is_asked or left_s < 0 or self._plan.operations is not None:
            return
        self._timing.wait(self._control, left_s + SETTLE_POLL_S)
        self._ask_last(load)

    def _ask_last(self, load: Load) -> bool:
        assert self._interpreter is not None
        final = self._workload.final(load, self._interpreter.keys_used())
        self._perform(final, FINAL_LIMIT_S)
        return final is not None

    def _successes(self) -> int:
        return 0 if self._interpreter is None else self._interpreter.counts().get("ok", 0)

    def _main(self, load: Load, bed: Bed) -> None:
        assert self._schedule is not None
        self._phase("main", limit_s=load.time_limit_s)
        self._scheduler = scheduler = self._timing.scheduler(
            bed=bed,
            nemeses=self._nemeses,
            schedule=self._schedule,
            journal=self._journal,
            seed=self._plan.seed,
            watch_for=self._watch_for,
            pinned=self._pinned(),
            idle=self._sample_clocks,
        )
        scheduler.start()
        try:
            self._perform(self._workload.main(load), load.time_limit_s)
        finally:
            scheduler.stop()
            self._phase("heal")
            self._heal()
            self._healed_s = self._now_s()

    def _perform(self, generator: Generator | None, limit_s: float) -> None:
        if generator is None or self._interpreter is None:
            return
        self._interpreter.run(generator, limit_s=limit_s, stopped=lambda: self._control.stopped)

    def _heal(self) -> None:
        if self._scheduler is None:
            return
        for line in self._scheduler.heal_all():
            self._note("error", f"not healed: {line}")
            self._monitor.message(f"could not heal {line}")
        for node, undone in self._cluster.expired().items():
            if self._expired.get(node) != undone:
                self._expired[node] = undone
                self._record_expired(node, undone)

    def _record_expired(self, node: str, undone: Value) -> None:
        self._note("warning", "the lease expired and the node healed itself", node=node)
        self._append(
            FaultEvent(
                fault=f"lease-{node}",
                kind="lease",
                state="expired",
                time_ns=self._timing.now_ns(),
                proof=undone,
            )
        )

    def _settle(self, why: str) -> str | None:
        """Wait until the system has settled; give the reason if it has not in time."""
        if not isinstance(self._system, Settled):
            return None
        deadline = self._now_s() + self._recovery_bound_s()
        while True:
            reason = self._system.unsettled(self._cluster.topology)
            if reason is None or self._control.stopped:
                return reason
            if self._now_s() > deadline:
                self._note("warning", f"{why} within {self._recovery_bound_s():g} s: {reason}")
                return reason
            self._timing.wait(self._control, SETTLE_POLL_S)

    def _recovery_bound_s(self) -> float:
        bound = self._system.facts.get("recovery_bound_s", DEFAULT_RECOVERY_BOUND_S)
        assert isinstance(bound, (int, float))
        return float(bound) * self._cluster.topology.pace

    def _bed(self) -> Bed:
        return bed_of(self._system, self._cluster, self._timing.later)

    def _make_schedule(self, bed: Bed) -> Schedule:
        if self._plan.resolved is not None:
            return Schedule(tuple(item.fault for item in self._plan.resolved))
        if self._plan.schedule is not None:
            return self._plan.schedule
        interval = {} if self._plan.interval_s is None else {"interval_s": self._plan.interval_s}
        powers = frozenset({"primaries"} if bed.primaries is not None else ())
        shape = Shape(
            nodes=bed.nodes, time_limit_s=self._plan.time_limit_s, powers=powers, **interval
        )
        return self._experiment.draw(shape, list(self._nemeses.values()))

    def _pinned(self) -> Mapping[str, Resolved]:
        return {item.fault.id: item for item in self._plan.resolved or ()}

    def _watch_for(self, start: When) -> Watch:
        condition = start.condition
        if condition.source == "journal":
            journal = JournalWatch(condition, self._run.follow_journal())
            if start.after is not None:
                journal.skip()
            return journal
        system, cluster = self._system, self._cluster
        if not isinstance(system, Traces):
            message = f"the system {system.name!r} writes no traces to wait for"
            raise HarnessError(message)
        nodes = cluster.topology.nodes if condition.node is None else (condition.node,)
        paths = {node: system.trace_path(node) for node in nodes}

        def read(node: str, offset: int) -> bytes:
            return cluster.host(node).get(paths[node], limit_bytes=TRACE_LIMIT_BYTES, offset=offset)

        trace = TraceWatch(condition, nodes, read)
        if start.after is not None:
            trace.skip()
        return trace

    def _after(self) -> Evidence:
        """Heal what is still broken, and collect what the nodes hold.

        What cannot be had of it costs nothing of the rest.
        """
        with self._surviving():
            self._heal()
        if self._control.abandoned or not self._specs:
            return Evidence()
        self._phase("collect")
        topology = self._cluster.topology
        dumps: Mapping[str, Value] | None = None
        traces: Mapping[str, Trace] | None = None
        logs: list[Log] = []
        with self._surviving():
            if isinstance(self._system, Dump):
                dumps = self._system.dump(topology)
        with self._surviving():
            for node in topology.nodes:
                self._note_the_dead(node)
        with self._surviving():
            self._stop()
        with self._surviving():
            traces = self._collect_traces(topology.nodes)
        with self._surviving():
            for node in topology.nodes:
                logs += self._collect_logs(node)
        return Evidence(traces=traces, dumps=dumps, logs=tuple(logs))

    def _stop(self) -> None:
        try:
            self._cluster.stop()
        except HarnessError as error:
            self._note("warning", f"not every daemon was stopped: {error}")

    def _note_the_dead(self, node: str) -> None:
        """Note daemons that died by themselves; a node that went away costs no evidence."""
        try:
            running = self._cluster.daemons.running(node)
        except HarnessError as error:
            self._note("warning", f"it cannot be reached: {error}", node=node)
            return
        for daemon, runs in running.items():
            if not runs:
                self._note("warning", f"the daemon {daemon} had died by itself", node=node)

    def _collect_traces(self, nodes: Sequence[str]) -> Mapping[str, Trace] | None:
        if not isinstance(self._system, Traces):
            return None
        traces = {}
        for node in nodes:
            try:
                path = self._system.trace_path(node)
                data = self._cluster.host(node).get(path, limit_bytes=TRACE_LIMIT_BYTES)
            except HarnessError as error:
                traces[node] = Trace(node=node, records=(), gaps=(f"not collected: {error}",))
            else:
                traces[node] = _marked_if_cut(self._system.read_trace(node, data), len(data))
        return traces

    def _collect_logs(self, node: str) -> list[Log]:
        logs = []
        for spec in self._specs.get(node, ()):
            for number, path in enumerate(self._cluster.log_paths(node, spec)):
                name = spec.name if number == 0 else f"{spec.name}.{number}"
                try:
                    data = self._cluster.host(node).get(path, limit_bytes=LOG_LIMIT_BYTES)
                except HarnessError as error:
                    self._note("warning", f"log not collected: {error}", node=node)
                    continue
                text = data.decode(errors="surrogateescape")
                cut = len(data) >= LOG_LIMIT_BYTES
                logs.append(Log(node=node, daemon=name, text=text, truncated=cut))
        return logs

    def _tear_down(self) -> None:
        self._phase("down")
        with self._surviving():
            if self._interpreter is not None:
                self._interpreter.close()
        with self._surviving():
            try:
                self._cluster.down()
            except HarnessError as error:
                self._note("error", f"teardown: {error}")
                self._monitor.message(f"teardown: {error}")

    def _outcome(
        self, extra: Evidence, failure: HarnessError | None, *, interrupted: bool
    ) -> Outcome:
        evidence = replace(
            from_journal(self._run.read_journal().records),
            traces=extra.traces,
            dumps=extra.dumps,
            logs=extra.logs,
            messages=self._timing.messages(),
            facts=self._facts(),
        )
        return Outcome(
            evidence=evidence,
            schedule=self._schedule,
            failure=None if failure is None else str(failure),
            refused=isinstance(failure, UsageError),
            interrupted=interrupted,
        )

    def _facts(self) -> dict[str, Value]:
        """Give what checkers must know; the pace stretches bounds that a system declares."""
        pace: Value = self._cluster.topology.pace
        return {**self._system.facts, **self._workload.facts, "pace": pace}

    def _sample_clocks(self) -> None:
        now = self._now_s()
        if self._cluster.clocks is None or now < self._next_sample_s:
            return
        self._next_sample_s = now + CLOCK_SAMPLE_S
        for node in self._cluster.topology.nodes:
            try:
                offset_ns, uncertainty_ns = self._cluster.clocks.sample(node)
            except HarnessError as error:
                logger.info("clock of %s not sampled: %s", node, error)
                continue
            self._append(
                ClockSample(
                    node=node,
                    offset_ns=offset_ns,
                    uncertainty_ns=uncertainty_ns,
                    time_ns=self._timing.now_ns(),
                )
            )

    def _phase(
        self,
        name: str,
        *,
        limit_s: float | None = None,
        settled: bool | None = None,
        reason: str | None = None,
    ) -> None:
        self._phase_name = name
        self._phase_began_s = self._now_s()
        self._phase_limit_s = limit_s
        logger.info("phase %s", name)
        self._append(
            Phase(name=name, time_ns=self._timing.now_ns(), settled=settled, reason=reason)
        )

    def _note(self, level: str, text: str, *, node: str | None = None) -> None:
        self._append(Note(text=text, time_ns=self._timing.now_ns(), level=level, node=node))

    def _append(self, record: Header | Phase | Note | ClockSample | FaultEvent) -> None:
        """Write a record; a store that is full stops the load, but never healing and teardown."""
        try:
            with self._journal.lock:
                self._journal.append(record)
        except StoreError as error:
            self._store_failure = self._store_failure or error
            self._control.stop("the store cannot be written")

    def _now_s(self) -> float:
        return self._timing.now_ns() / 1e9

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Tell whoever watches a few times a second of real time, while it lasts."""
        if isinstance(self._run, MemoryRun):
            yield
            return
        watcher = threading.Thread(target=self._watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._done.set()
            watcher.join()

    def _watch(self) -> None:
        before: Mapping[str, int] = {}
        before_s = self._now_s()
        while not self._done.wait(MONITOR_S):
            counts = {} if self._interpreter is None else self._interpreter.counts()
            now = self._now_s()
            passed_s = max(1e-9, now - before_s)
            rates = {
                name: (count - before.get(name, 0)) / passed_s for name, count in counts.items()
            }
            before, before_s = counts, now
            self._monitor.progress(
                Progress(
                    phase=self._phase_name,
                    elapsed_s=now - self._began_s,
                    phase_elapsed_s=now - self._phase_began_s,
                    phase_limit_s=self._phase_limit_s,
                    counts=counts,
                    rates_hz=rates,
                    active=() if self._scheduler is None else self._scheduler.active(),
                )
            )


def _marked_if_cut(trace: Trace, length: int) -> Trace:
    """Name the gap at the end of a trace of which no more than the limit was read."""
    if length < TRACE_LIMIT_BYTES:
        return trace
    return replace(trace, gaps=(*trace.gaps, f"cut after {TRACE_LIMIT_BYTES} bytes"))


def crash_line(error: BaseException) -> str:
    """Give an error that nobody expected as one line, with the place where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(place[0].filename).name}, line {place[0].lineno})" if place else ""
    return f"{raised(error)}{where}"
