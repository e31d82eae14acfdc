"""Carries out a plan from its names to its verdict: build, live, judge, store.

Everything that a name can get wrong is found before anything is started. A run always ends with a
result: what went wrong in the harness is its `failure`, what was journaled is judged regardless.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from splitbrain import catalog
from splitbrain.checkers.compose import judging
from splitbrain.contract import require_checker
from splitbrain.core.cluster import Cluster, Topology
from splitbrain.core.errors import ContractError, FaultError, HarnessError, StoreError, UsageError
from splitbrain.core.evidence import Evidence
from splitbrain.core.fault import (
    Fault,
    KnowsParams,
    Nemesis,
    Resolved,
    Schedule,
    Shape,
    Start,
    View,
    When,
    by_kind,
)
from splitbrain.core.interruption import raise_noted
from splitbrain.core.known_names import instead
from splitbrain.core.randomness import Keyed
from splitbrain.core.run import LIMITS, Monitor, Plan, RunResult
from splitbrain.core.simulated import World, require_hosted, require_simulated
from splitbrain.core.system import DaemonSpec, JudgedBy, Primaries, System, Traces, spoken
from splitbrain.core.value import Value, require_value
from splitbrain.core.verdict import Checker, Status, Verdict, unknown, worst
from splitbrain.core.workload import Load, Workload
from splitbrain.early import early_stop, require_streamed
from splitbrain.nemeses.draw import draw_schedule
from splitbrain.nemeses.mix import draw_mix
from splitbrain.plugin import where
from splitbrain.presses import presses
from splitbrain.replay import differs
from splitbrain.runtime.bed import bed_of, left_out
from splitbrain.runtime.control import Control
from splitbrain.runtime.lifecycle import Experiment, Lifecycle, Outcome, crash_line
from splitbrain.runtime.results import verdict_to_value
from splitbrain.runtime.store import RunDirectory, create_run, resolved_of
from splitbrain.standstill import telling_standstill
from splitbrain.version import __version__
from splitbrain.workloads.replayed import Replayed

logger = logging.getLogger(__name__)

WAIT_S = 0.1
MIXED_FROM = 4
"""More kinds than this take turns; so many or fewer are all at work from start to end."""
_NODE_NAME = re.compile(r"^n\d+$")
ALWAYS = ("stats", "faults", "recovery", "logs")
"""The checkers that judge every run, whatever its workload and system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan whose names have all become things, and the checkers that will judge it.

    recipes: from what each checker can be made again.
    """

    experiment: Experiment
    checkers: tuple[Checker, ...]
    recipes: tuple[Value, ...]


def prepare(plan: Plan) -> Prepared:
    """Build everything that a plan names; nothing is started.

    Raises: UsageError or ContractError for the first name or number that cannot be used.
    """
    _require_limits(plan)
    _require_planted(plan)
    system = catalog.system(plan.system, plan.options, seed=plan.seed)
    workload = catalog.workload(plan.workload)
    if plan.operations is not None:
        workload = Replayed(workload, plan.operations)
    nemeses, optional = _nemeses(plan)
    cluster = catalog.cluster(
        plan.cluster, node_count=plan.node_count, options=plan.cluster_options
    )
    if isinstance(cluster, World):
        _rehearse(plan, system, workload, nemeses, optional)
    else:
        require_hosted(system)
    checkers = _checkers(plan, system, workload, set(nemeses) - optional, optional)
    with _foreign(f"{plan.workload}: setup"):
        workload.setup(_load(plan, system))  # parameters that cannot be used are told before hosts

    def draw(shape: Shape, available: Sequence[Nemesis]) -> Schedule:
        way = draw_mix if len(available) > MIXED_FROM else draw_schedule
        return way(available, plan.seed, shape)

    _try_schedule(plan, system, nemeses, draw)

    experiment = Experiment(
        plan=plan,
        cluster=cluster,
        system=system,
        workload=workload,
        nemeses=nemeses,
        optional=optional,
        draw=draw,
    )
    recipes = tuple(_recipe(checker) for checker in checkers)
    return Prepared(experiment=experiment, checkers=checkers, recipes=recipes)


def execute(
    plan: Plan,
    *,
    store: Path,
    monitor: Monitor,
    prepared: Prepared | None = None,
    control: Control | None = None,
    stop_on_violation: bool = False,
    repeats: str | None = None,
) -> RunResult:
    """Carry out a plan and give its result; call it from the main thread, so that Ctrl-C works.

    The first Ctrl-C stops the load, heals, and judges what is there; a second one tears down.
    stop_on_violation: the load stops like that once what was journaled proves a violation.
    repeats: the trace hash of a run of this very plan; where this one has another, a note says so.

    Raises: UsageError for names that cannot be used, StoreError when the store cannot be written.
    """
    ready = prepared or prepare(plan)
    raise_noted()
    if stop_on_violation:
        require_streamed(ready.checkers)
    run = create_run(store, plan)
    if stop_on_violation:
        control = early_stop(ready.experiment, run, monitor.message)
    with _log_to(run), _told(monitor):
        monitor.started(plan, run.path)
        run.write_json("checkers.json", list(ready.recipes))
        outcome = _live(ready.experiment, run, monitor, control or Control())
        monitor.message("judging")
        verdicts = judge_all(ready.checkers, outcome.evidence)
        result = RunResult(
            label=f"{ready.experiment.system.name} {ready.experiment.workload.name}",
            path=run.path,
            status=overall(verdicts, sound=not (outcome.interrupted or outcome.failure)),
            verdicts=verdicts,
            evidence=outcome.evidence,
            plan=plan,
            schedule=outcome.schedule,
            failure=outcome.failure,
            refused=outcome.refused,
            interrupted=outcome.interrupted,
            trace_hash=_trace_hash(ready.experiment.cluster, run),
        )
        if repeats is not None and not (outcome.interrupted or outcome.failure):
            result = replace(result, notes=_notes(repeats, result.trace_hash))
        result = _keep(run, result)
        monitor.finished(result)
    return result


def overall(verdicts: Mapping[str, Verdict], *, sound: bool = True) -> Status:
    """Give the status of a whole run; one that ended early is at best unknown."""
    status = worst(verdicts.values())
    return status if sound or status is Status.INVALID else Status.UNKNOWN


def judge_all(checkers: Sequence[Checker], evidence: Evidence) -> Mapping[str, Verdict]:
    """Let each checker judge; a Ctrl-C leaves the rest unknown and hides nothing that was found."""
    verdicts: dict[str, Verdict] = {}
    is_over = False
    for name, decide in judging(checkers, evidence):
        try:
            raise_noted()
            with _no_collection():
                verdicts[name] = (
                    unknown("interrupted before it was judged") if is_over else decide()
                )
        except KeyboardInterrupt:
            is_over = True
            verdicts[name] = unknown("interrupted before it was judged")
    return verdicts


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Let nothing look for garbage in cycles meanwhile.

    Checkers make many objects that live until they are done, and hardly any cycles: to look through
    them again and again took up to half of the time of judging. Where it is off already, by an
    outer call or another thread, it stays off, and is theirs to turn on.
    """
    was_on = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_on:
            gc.enable()


def result_to_value(result: RunResult) -> Value:
    """Give what result.json says."""
    verdicts = {name: verdict_to_value(verdict) for name, verdict in result.verdicts.items()}
    return {
        "version": __version__,
        "label": result.label,
        "status": result.status.value,
        "failure": result.failure,
        "refused": result.refused,
        "interrupted": result.interrupted,
        "trace_hash": result.trace_hash,
        "verdicts": verdicts,
    }


def _notes(before: str, now: str | None) -> tuple[str, ...]:
    return () if now is None or now == before else (differs(before, now),)


def _trace_hash(cluster: Cluster, run: RunDirectory) -> str | None:
    if not isinstance(cluster, World):
        return None
    return cluster.fingerprint(run.journal_path.read_bytes())


def _require_limits(plan: Plan) -> None:
    for name, (least, most) in LIMITS.items():
        value = getattr(plan, name)
        if value is not None and not least <= value <= most:
            message = f"{name} must be from {least:g} to {most:g}, not {value:g}"
            raise UsageError(message)


def _require_planted(plan: Plan) -> None:
    """Refuse a plan that names a bug and has no option of it: the run would be that of no bug."""
    if plan.bug is None:
        return
    options = catalog.bug(plan.bug).options
    if not options.keys() & plan.options.keys():
        message = f"the plan names the bug {plan.bug!r} and does not plant it"
        advice = "make it by catalog.plan_of_bug, or take its options over"
        raise UsageError(message, advice=advice)


def _load(plan: Plan, system: System) -> Load:
    return Load(
        seed=plan.seed,
        nodes=tuple(f"n{number}" for number in range(1, plan.node_count + 1)),
        concurrency=plan.concurrency,
        time_limit_s=plan.time_limit_s,
        rate_hz=plan.rate_hz,
        params=plan.parameters,
        functions=spoken(system),
    )


def _nemeses(plan: Plan) -> tuple[Mapping[str, Nemesis], frozenset[str]]:
    """Give the nemeses that a plan names, those that its faults need, and who may be left out."""
    names, optional = catalog.expanded(plan.nemeses)
    given = by_kind(catalog.nemesis(name) for name in names)
    faults = list(plan.schedule or ()) + [item.fault for item in plan.resolved or ()]
    found = dict(given)
    for fault in faults:
        if fault.kind not in found:
            with _told_of(fault):
                found[fault.kind] = catalog.nemesis(fault.kind)
    return found, optional - {fault.kind for fault in faults}


def _rehearse(
    plan: Plan,
    system: System,
    workload: Workload,
    nemeses: Mapping[str, Nemesis],
    optional: frozenset[str],
) -> None:
    """Take a system into a simulator of its own: what cannot be had there shows at no cost.

    Raises: UsageError or ContractError.
    """
    world = catalog.cluster(plan.cluster, node_count=plan.node_count, options=plan.cluster_options)
    assert isinstance(world, World)
    simulated = require_simulated(system)
    with _foreign(plan.system):
        simulated.client_core(workload.vocabulary, world.topology)
        world.inhabit(simulated, plan.seed)
    with _foreign(f"the nemeses {', '.join(nemeses)}"):
        left_out(nemeses, optional, bed_of(system, world), world)


def _checkers(
    plan: Plan,
    system: System,
    workload: Workload,
    required: Iterable[str],
    optional: Iterable[str],
) -> tuple[Checker, ...]:
    """Give the workload's checkers, those of every run, the system's, and those asked for.

    required: the kinds of fault that must take hold; those that are drawn must anyway, but for the
    optional ones, of which any is enough.

    Raises: UsageError or ContractError for one that cannot be used, or a name that is taken.
    """
    checkers: dict[str, Checker] = {}
    with _foreign(f"{plan.workload}: checkers"):
        for checker in workload.checkers(_load(plan, system)):
            require_checker(checker, plan.workload)
            if checker.name in checkers:
                message = f"{plan.workload}: two checkers of the name {checker.name!r}"
                raise ContractError(message)
            checkers[checker.name] = checker
    is_drawn = plan.schedule is None and plan.resolved is None
    any_of = sorted(optional) if is_drawn else []
    kinds: dict[str, Value] = {"kinds": sorted(required), "of_package": any_of}  # type: ignore[dict-item]
    own = [*getattr(system, "checkers", ())]
    if isinstance(system, JudgedBy):
        own += system.judged_by(plan.workload, plan.parameters)
    for name in dict.fromkeys((*ALWAYS, *own, *plan.checkers)):
        if name in checkers:
            continue
        built = catalog.checker(name, kinds if name == "faults" else {})
        if built.name in checkers:
            message = f"{name}: there is another checker of the name {built.name!r}"
            raise UsageError(message)
        checkers[built.name] = built
    return tuple(checkers.values())


def _try_schedule(
    plan: Plan,
    system: System,
    nemeses: Mapping[str, Nemesis],
    draw: Callable[[Shape, Sequence[Nemesis]], Schedule],
) -> None:
    """Draw the faults and resolve their targets once for nobody, to find mistakes ahead of the run.

    Both are pure. A target that has no meaning yet is none: in a run it may have one.

    Raises: UsageError or ContractError for a fault that cannot be used.
    """
    nodes = _load(plan, system).nodes
    if plan.resolved is not None:
        _require_nodes(plan.resolved, nodes)
        for item in plan.resolved:
            with _told_of(item.fault):
                _require_start(item.fault.start, system, nodes)
        return
    primaries = nodes[:1] if isinstance(system, Primaries) else ()
    interval = {} if plan.interval_s is None else {"interval_s": plan.interval_s}
    powers = frozenset({"primaries"} if primaries else ())
    shape = Shape(nodes=nodes, time_limit_s=plan.time_limit_s, powers=powers, **interval)
    drawn = () if plan.schedule is not None else draw(shape, list(nemeses.values()))
    for fault in plan.schedule or drawn:
        view = View(nodes=nodes, primaries=primaries, rng=Keyed.of(plan.seed, fault.id))
        nemesis = nemeses[fault.kind]
        with _foreign(f"the fault {fault.id!r}"), _told_of(fault):
            _require_start(fault.start, system, nodes)
            _require_params(nemesis, fault)
            if isinstance(nemesis, KnowsParams) and "daemon" in nemesis.params:
                _require_daemon(fault, plan, system, nodes)
            with contextlib.suppress(_NoMeaningYet):
                _resolve(nemesis, fault, view)


class _NoMeaningYet(Exception):  # noqa: N818 - nothing is wrong
    """A target that only a run can resolve."""


@contextlib.contextmanager
def _told_of(fault: Fault) -> Iterator[None]:
    """Name the fault that cannot be used, unless it is named already."""
    try:
        yield
    except ContractError:
        raise
    except UsageError as error:
        said = str(error)
        message = said if repr(fault.id) in said else f"the fault {fault.id!r}: {said}"
        raise FaultError(message) from error


def _require_start(start: Start, system: System, nodes: Sequence[str]) -> None:
    if not isinstance(start, When):
        return
    condition = start.condition
    if condition.node is not None and condition.node not in nodes:
        message = f"start: there is no node {condition.node!r}; there are {', '.join(nodes)}"
        raise UsageError(message)
    if condition.source == "trace" and not isinstance(system, Traces):
        message = f"start: the system {system.name!r} writes no traces to wait for"
        raise UsageError(message)


def _require_params(nemesis: Nemesis, fault: Fault) -> None:
    if not isinstance(nemesis, KnowsParams):
        return
    strange = sorted(set(fault.params) - nemesis.params)
    if strange:
        known = ", ".join(sorted(nemesis.params)) or "none"
        message = f"params: there is no {strange[0]!r} of {fault.kind}; there are {known}"
        raise UsageError(message)


def _require_daemon(fault: Fault, plan: Plan, system: System, nodes: Sequence[str]) -> None:
    daemon = fault.params.get("daemon")
    if not isinstance(daemon, str):
        return  # all daemons; what is neither, the nemesis refuses itself
    known = _daemons(plan, system, nodes)
    if known and daemon not in known:
        message = f"params: there is no daemon {daemon!r}; {instead(daemon, sorted(known))}"
        raise UsageError(message)


def _daemons(plan: Plan, system: System, nodes: Sequence[str]) -> set[str]:
    """Give the names of a system's daemons; none where only a run can tell."""
    specs: Mapping[str, Sequence[DaemonSpec]] = {}
    with contextlib.suppress(Exception):  # of a system that wants to see its hosts first
        cluster = catalog.cluster(
            plan.cluster, node_count=plan.node_count, options=plan.cluster_options
        )
        if isinstance(cluster, World):
            specs = cluster.inhabit(require_simulated(system), plan.seed)
        else:
            topology = Topology(addresses=dict.fromkeys(nodes, "127.0.0.1"))
            specs = {node: system.daemons(node, topology) for node in nodes}
    return {spec.name for items in specs.values() for spec in items}


def _resolve(nemesis: Nemesis, fault: Fault, view: View) -> None:
    try:
        nemesis.resolve(fault, view)
    except UsageError:
        raise
    except HarnessError as error:
        raise _NoMeaningYet from error


def _require_nodes(resolved: Sequence[Resolved], nodes: Sequence[str]) -> None:
    for item in resolved:
        strange = [node for node in (*item.nodes, *_nodes_in(item.detail)) if node not in nodes]
        if strange:
            message = (
                f"the fault {item.fault.id!r} involved {strange[0]}, and there are only "
                f"{', '.join(nodes)}: ask for as many nodes as that run had with --nodes"
            )
            raise UsageError(message)


def _nodes_in(detail: Value) -> Iterator[str]:
    """Give the nodes that what a nemesis decided names: whom a cut keeps apart, whose clock is."""
    if isinstance(detail, str):
        yield from _NODE_NAME.findall(detail)
    elif isinstance(detail, Mapping):
        for name, item in detail.items():
            yield from _nodes_in(name)
            yield from _nodes_in(item)
    elif isinstance(detail, (list, tuple)):
        for item in detail:
            yield from _nodes_in(item)


@contextlib.contextmanager
def _foreign(place: str) -> Iterator[None]:
    """Name the plug-in whose code fails before the run; a refusal of ours says enough itself."""
    try:
        yield
    except (HarnessError, _NoMeaningYet):
        raise
    except Exception as error:
        message = f"{place}: {where(error)}"
        raise ContractError(message) from error


def _recipe(checker: Checker) -> Value:
    has_parameters = hasattr(checker, "parameters")  # a plug-in of a few lines may have none
    with _foreign(f"the checker {checker.name!r}: parameters"):
        parameters = checker.parameters() if has_parameters else {}
        return {"name": checker.name, "parameters": require_value(dict(parameters))}


def _live(experiment: Experiment, run: RunDirectory, monitor: Monitor, control: Control) -> Outcome:
    """Live the run in a thread of its own, since a thread may enter the cluster's own network."""
    lifecycle = Lifecycle(experiment, run, monitor, control)
    outcomes: list[Outcome] = []
    done = threading.Event()
    world, say = experiment.cluster, monitor.message
    telling = (
        telling_standstill(world, say) if isinstance(world, World) else contextlib.nullcontext()
    )

    def live() -> None:
        try:
            with telling:
                outcomes.append(lifecycle.perform())
        except BaseException as error:  # also what a plug-in raises to end the program
            logger.exception("the harness failed")
            known = isinstance(error, HarnessError)
            failure = str(error) if known else f"{crash_line(error)}; see {run.log_path}"
            outcomes.append(Outcome(evidence=Evidence(), schedule=None, failure=failure))
        finally:
            done.set()

    thread = threading.Thread(target=live, name="run", daemon=True)
    with presses() as pressed:
        thread.start()
        _wait(done, pressed, control, say)
        interrupted = outcomes[0].interrupted or bool(pressed)
    return replace(outcomes[0], interrupted=interrupted)


def _wait(
    done: threading.Event,
    pressed: Sequence[int],
    control: Control,
    say: Callable[[str], None],
) -> None:
    """Wait until the run is over, and let presses of Ctrl-C end it, the third one whatever it does.

    Raises: KeyboardInterrupt then, with the run's thread left behind.
    """
    answered = 0
    while not done.wait(WAIT_S):
        control.look()
        while answered < len(pressed):
            answered += 1
            if control.abandoned:
                raise KeyboardInterrupt
            if control.stopped:
                say("giving up: tearing down at once; Ctrl-C again leaves all as it is")
                control.abandon()
            else:
                say("stopping: healing, then judging what is there; Ctrl-C again tears down")
                control.stop("Ctrl-C")


def _keep(run: RunDirectory, result: RunResult) -> RunResult:
    try:
        run.write_evidence(result.evidence)
        run.write_json("resolved.json", [item.to_value() for item in resolved_of(result.evidence)])
        run.write_json("result.json", result_to_value(result))
    except StoreError as error:
        return replace(result, failure=result.failure or str(error))
    return result


class _RunLog(logging.FileHandler):
    """The run's log; where it cannot be written, the journal's failure says so already."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Leave the line out."""

    def close(self) -> None:
        """Close the file, also where the disk is full."""
        with contextlib.suppress(OSError):
            super().close()


class _Teller(logging.Handler):
    """Hands what clusters say about their progress to whoever watches the run."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self._monitor = monitor

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one line on."""
        self._monitor.message(record.getMessage())


@contextlib.contextmanager
def _told(monitor: Monitor) -> Iterator[None]:
    """Let the monitor hear the logger `splitbrain.progress` while it lasts."""
    progress = logging.getLogger("splitbrain.progress")
    teller = _Teller(monitor)
    progress.addHandler(teller)
    try:
        yield
    finally:
        progress.removeHandler(teller)


@contextlib.contextmanager
def _log_to(run: RunDirectory) -> Iterator[None]:
    """Write the harness's own log into the run's directory while it lasts."""
    root = logging.getLogger("splitbrain")
    try:
        handler = _RunLog(run.log_path)
    except OSError as error:
        message = f"cannot write {run.log_path}: {error.strerror}"
        raise StoreError(message, advice="choose another place with --store") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    before = root.level, root.propagate
    root.setLevel(logging.INFO)
    root.propagate = False
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        root.propagate = before[1]
        handler.close()


def plan_of(
    *,
    system: str | None,
    workload: str | None,
    nemeses: Sequence[str] | None,
    bug: str | None,
    seed: int,
    cluster: str,
) -> Plan:
    """Give a plan of what was asked for, with the defaults filled in.

    A bug brings its own system, workload and directed schedule; named nemeses replace the schedule.

    Raises: UsageError for names that do not exist, or that do not go with the bug.
    """
    if bug is None:
        chosen = system or "raft"
        default = workload or _default_workload(chosen, seed)
        kinds = ("partition", "kill") if nemeses is None else tuple(nemeses)
        plan = Plan(system=chosen, workload=default, nemeses=kinds, cluster=cluster, seed=seed)
        return replace(
            plan,
            node_count=catalog.node_count_of(cluster) or plan.node_count,
            rate_hz=catalog.rate_of(cluster),
        )
    found = catalog.bug(bug)
    if system not in (None, found.system):
        message = f"the bug {bug!r} is one of {found.system}, not of {system}"
        raise UsageError(message)
    plan = catalog.plan_of_bug(found, seed=seed, cluster=cluster)
    plan = replace(plan, workload=workload or plan.workload)
    return plan if nemeses is None else replace(plan, nemeses=tuple(nemeses), schedule=None)


def _default_workload(system: str, seed: int) -> str:
    return str(getattr(catalog.system(system, {}, seed=seed), "default_workload", "register"))
