"""The life of a run: bring up, install, set up, load with faults, heal, settle, read, collect.

Whatever happens, every fault is healed, what was journaled is kept, and the cluster is taken down.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from splitbrain.core.cluster import Bed, Cluster
from splitbrain.core.errors import HarnessError, Interrupted, UsageError
from splitbrain.core.evidence import Evidence, Log, Trace, from_journal
from splitbrain.core.fault import Nemesis, Resolved, Schedule, Shape, When
from splitbrain.core.generator import Generator
from splitbrain.core.journal import ClockSample, FaultEvent, Header, Note, Phase
from splitbrain.core.run import Monitor, Plan, Progress
from splitbrain.core.system import DaemonSpec, Dump, Primaries, Settled, System, Traces
from splitbrain.core.value import Value
from splitbrain.core.workload import Load, Workload
from splitbrain.runtime.conditions import JournalWatch, TraceWatch, Watch
from splitbrain.runtime.interpreter import Interpreter
from splitbrain.runtime.journal import JournalReader, JournalWriter, read_journal
from splitbrain.runtime.scheduler import Scheduler, unavailable
from splitbrain.runtime.store import LOG_LIMIT_BYTES, TRACE_LIMIT_BYTES, RunDirectory

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

    draw: gives the schedule for the bed's shape where the plan has none of its own.
    """

    plan: Plan
    cluster: Cluster
    system: System
    workload: Workload
    nemeses: Mapping[str, Nemesis]
    draw: Callable[[Shape], Schedule]
    operation_timeout_s: float = 5.0


@dataclass(slots=True)
class Control:
    """What another thread may ask of a run: to stop early, or to give everything up at once."""

    _stop: threading.Event = field(default_factory=threading.Event)
    _abandon: threading.Event = field(default_factory=threading.Event)
    reason: str = ""

    def stop(self, reason: str) -> None:
        """Ask the run to heal, and to judge what is there."""
        self.reason = self.reason or reason
        self._stop.set()

    def abandon(self) -> None:
        """Ask the run to tear down at once."""
        self.stop("abandoned")
        self._abandon.set()

    @property
    def stopped(self) -> bool:
        """True once somebody asked the run to stop."""
        return self._stop.is_set()

    @property
    def abandoned(self) -> bool:
        """True once somebody asked it to give up."""
        return self._abandon.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until stopped, or until time is up; tell whether stopped."""
        return self._stop.wait(timeout_s)

    def check(self) -> None:
        """Raise Interrupted once stopped."""
        if self.stopped:
            raise Interrupted(self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a life leaves: the evidence, and in one line what went wrong, if anything did."""

    evidence: Evidence
    schedule: Schedule | None
    failure: str | None = None
    interrupted: bool = False


class Lifecycle:
    """One run from the cluster's start to its end; use it once, by `perform`."""

    def __init__(
        self, experiment: Experiment, run: RunDirectory, monitor: Monitor, control: Control
    ) -> None:
        self._experiment = experiment
        self._plan = experiment.plan
        self._cluster = experiment.cluster
        self._system = experiment.system
        self._workload = experiment.workload
        self._run = run
        self._monitor = monitor
        self._control = control
        self._journal = JournalWriter(run.journal_path)
        self._schedule: Schedule | None = None
        self._scheduler: Scheduler | None = None
        self._interpreter: Interpreter | None = None
        self._began_s = time.monotonic()
        self._phase_name = "start"
        self._phase_began_s = self._began_s
        self._phase_limit_s: float | None = None
        self._settled = False
        self._next_sample_s = 0.0
        self._done = threading.Event()

    def perform(self) -> Outcome:
        """Live the run, in a thread of its own; a Ctrl-C reaches the caller, who has the control."""
        self._append(
            Header(run=str(self._run.path.name), wall_s=time.time(), time_ns=time.monotonic_ns())
        )
        failure: str | None = None
        interrupted = False
        extra = Evidence()
        watcher = threading.Thread(target=self._watch, name="progress", daemon=True)
        watcher.start()
        try:
            with self._cluster.entered():
                try:
                    failure, interrupted = self._live()
                    extra = self._after()
                finally:
                    self._tear_down()
        except HarnessError as error:
            failure = failure or str(error)
        finally:
            self._phase("done")
            self._done.set()
            watcher.join()
            self._journal.close()
        return self._outcome(extra, failure, interrupted=interrupted)

    def _live(self) -> tuple[str | None, bool]:
        try:
            self._provision()
            self._load()
        except Interrupted as error:
            logger.info("interrupted: %s", error)
            self._note("warning", f"interrupted: {error}")
            return None, True
        except HarnessError as error:
            logger.exception("the run failed")
            self._note("error", str(error))
            return str(error), False
        return None, self._control.stopped

    def _provision(self) -> None:
        self._phase("up")
        self._control.check()
        self._monitor.message(f"bringing up {self._plan.node_count} {self._cluster.name} hosts")
        self._cluster.up()
        self._control.check()
        self._phase("install")
        topology = self._cluster.topology
        self._on_all(
            topology.nodes, lambda node: self._system.install(self._cluster.host(node), topology)
        )
        self._control.check()
        specs: dict[str, Sequence[DaemonSpec]] = {
            node: self._system.daemons(node, topology) for node in topology.nodes
        }
        self._specs = specs
        self._cluster.start(specs)
        self._control.check()

    def _load(self) -> None:
        topology = self._cluster.topology
        load = Load(
            seed=self._plan.seed,
            nodes=topology.nodes,
            concurrency=self._plan.concurrency,
            time_limit_s=self._plan.time_limit_s,
            rate_hz=self._plan.rate_hz,
            params=self._plan.parameters,
        )
        bed = self._bed()
        self._schedule = self._make_schedule(bed)
        self._run.write_json("schedule.json", self._schedule.to_value())
        self._interpreter = Interpreter(
            journal=self._journal,
            client_factory=self._system.client(self._workload.vocabulary, topology),
            nodes=topology.nodes,
            concurrency=load.concurrency,
            operation_timeout_s=self._experiment.operation_timeout_s * topology.pace,
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
        final = self._workload.final(load, self._interpreter.keys_used())
        self._perform(final, FINAL_LIMIT_S)

    def _main(self, load: Load, bed: Bed) -> None:
        assert self._schedule is not None
        self._phase("main", limit_s=load.time_limit_s)
        self._scheduler = Scheduler(
            bed=bed,
            nemeses=self._experiment.nemeses,
            schedule=self._schedule,
            journal=self._journal,
            seed=self._plan.seed,
            watch_for=self._watch_for,
            pinned=self._pinned(),
            idle=self._sample_clocks,
        )
        self._scheduler.start()
        try:
            self._perform(self._workload.main(load), load.time_limit_s)
        finally:
            self._scheduler.stop()
            self._phase("heal")
            self._heal()

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
            self._note("warning", "the lease expired and the node healed itself", node=node)
            self._append(
                FaultEvent(
                    fault=f"lease-{node}",
                    kind="lease",
                    state="expired",
                    time_ns=time.monotonic_ns(),
                    proof=undone,
                )
            )

    def _settle(self, why: str) -> str | None:
        """Wait until the system has settled; give the reason if it has not in time."""
        if not isinstance(self._system, Settled):
            return None
        deadline = time.monotonic() + self._recovery_bound_s()
        while True:
            reason = self._system.unsettled(self._cluster.topology)
            if reason is None or self._control.stopped:
                return reason
            if time.monotonic() > deadline:
                self._note("warning", f"{why} within {self._recovery_bound_s():g} s: {reason}")
                return reason
            self._control.wait(SETTLE_POLL_S)

    def _recovery_bound_s(self) -> float:
        bound = self._system.facts.get("recovery_bound_s", DEFAULT_RECOVERY_BOUND_S)
        assert isinstance(bound, (int, float))
        return float(bound) * self._cluster.topology.pace

    def _bed(self) -> Bed:
        system, cluster = self._system, self._cluster
        primaries = None
        if isinstance(system, Primaries):
            asked: Primaries = system

            def primaries() -> tuple[str, ...]:
                return asked.primaries(cluster.topology)

        return Bed(
            nodes=cluster.topology.nodes,
            host=cluster.host,
            daemons=cluster.daemons,
            network=cluster.network,
            clocks=cluster.clocks,
            hosts=cluster.hosts,
            primaries=primaries,
            facts=system.facts,
        )

    def _make_schedule(self, bed: Bed) -> Schedule:
        reasons = unavailable(list(self._experiment.nemeses.values()), bed)
        for kind, reason in reasons.items():
            message = f"the nemesis {kind!r} cannot work here: {reason}"
            raise UsageError(message)
        if self._plan.resolved is not None:
            return Schedule(tuple(item.fault for item in self._plan.resolved))
        if self._plan.schedule is not None:
            return self._plan.schedule
        interval = {} if self._plan.interval_s is None else {"interval_s": self._plan.interval_s}
        powers = frozenset({"primaries"} if bed.primaries is not None else ())
        return self._experiment.draw(
            Shape(
                nodes=bed.nodes, time_limit_s=self._plan.time_limit_s, powers=powers, **interval
            )
        )

    def _pinned(self) -> Mapping[str, Resolved]:
        return {item.fault.id: item for item in self._plan.resolved or ()}

    def _watch_for(self, start: When) -> Watch:
        condition = start.condition
        if condition.source == "journal":
            reader = JournalReader(self._run.journal_path)
            journal = JournalWatch(condition, reader.read_from)
            if start.after is not None:
                journal.skip()
            return journal
        nodes = self._cluster.topology.nodes if condition.node is None else (condition.node,)
        trace = TraceWatch(condition, nodes, self._read_trace)
        if start.after is not None:
            trace.skip()
        return trace

    def _read_trace(self, node: str, offset: int) -> bytes:
        if not isinstance(self._system, Traces):
            message = f"the system {self._system.name!r} writes no traces to wait for"
            raise HarnessError(message)
        path = self._system.trace_path(node)
        return self._cluster.host(node).get(path, limit_bytes=TRACE_LIMIT_BYTES, offset=offset)

    def _after(self) -> Evidence:
        """Heal what is still broken, and collect what the nodes hold."""
        self._heal()
        if self._control.abandoned or not getattr(self, "_specs", None):
            return Evidence()
        self._phase("collect")
        topology = self._cluster.topology
        dumps: Mapping[str, Value] | None = None
        if isinstance(self._system, Dump):
            dumps = self._system.dump(topology)
        for node in topology.nodes:
            for daemon, runs in self._cluster.daemons.running(node).items():
                if not runs:
                    self._note("warning", f"the daemon {daemon} had died by itself", node=node)
        self._cluster.stop()
        traces = self._collect_traces(topology.nodes)
        logs = tuple(log for node in topology.nodes for log in self._collect_logs(node))
        return Evidence(traces=traces, dumps=dumps, logs=logs)

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
                traces[node] = self._system.read_trace(node, data)
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
        if self._interpreter is not None:
            self._interpreter.close()
        try:
            self._cluster.down()
        except HarnessError as error:
            self._note("error", f"teardown: {error}")
            self._monitor.message(f"teardown: {error}")

    def _outcome(self, extra: Evidence, failure: str | None, *, interrupted: bool) -> Outcome:
        evidence = replace(
            from_journal(read_journal(self._run.journal_path).records),
            traces=extra.traces,
            dumps=extra.dumps,
            logs=extra.logs,
            facts={**self._system.facts, **self._workload.facts},
        )
        return Outcome(
            evidence=evidence,
            schedule=self._schedule,
            failure=failure,
            interrupted=interrupted,
        )

    def _on_all(self, nodes: Sequence[str], act: Callable[[str], None]) -> None:
        with ThreadPoolExecutor(max_workers=min(16, len(nodes))) as pool:
            for done in [pool.submit(act, node) for node in nodes]:
                done.result()

    def _sample_clocks(self) -> None:
        now = time.monotonic()
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
                    time_ns=time.monotonic_ns(),
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
        self._phase_began_s = time.monotonic()
        self._phase_limit_s = limit_s
        logger.info("phase %s", name)
        self._append(
            Phase(name=name, time_ns=time.monotonic_ns(), settled=settled, reason=reason)
        )

    def _note(self, level: str, text: str, *, node: str | None = None) -> None:
        self._append(Note(text=text, time_ns=time.monotonic_ns(), level=level, node=node))

    def _append(
        self, record: Header | Phase | Note | ClockSample | FaultEvent
    ) -> None:
        with self._journal.lock:
            self._journal.append(record)

    def _watch(self) -> None:
        before: Mapping[str, int] = {}
        before_s = time.monotonic()
        while not self._done.wait(MONITOR_S):
            counts = {} if self._interpreter is None else self._interpreter.counts()
            now = time.monotonic()
            rates = {
                name: (count - before.get(name, 0)) / (now - before_s)
                for name, count in counts.items()
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
