"""The commands. `entry` is the one place that turns whatever happens into an exit code.

0 valid, 1 invalid, 2 unknown, 254 bad usage, 255 the harness itself failed; of several the worst,
in the order 255, 254, 1, 2, 0.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import rich_click

from splitbrain import __version__
from splitbrain.cluster_commands import cluster_group
from splitbrain.core.errors import FaultError, HarnessError, UsageError
from splitbrain.core.interruption import is_interruption, note_interruptions
from splitbrain.core.run import LIMITS
from splitbrain.core.value import Value
from splitbrain.exit_code import (
    BAD_USAGE,
    FAILED,
    INVALID,
    UNKNOWN,
    VALID,
    code_of,
    worst_code,
)

if TYPE_CHECKING:
    from rich.console import Console

    from splitbrain.core.run import Plan, RunResult
    from splitbrain.replay import Replay

TEST_COUNT_LIMIT = 10_000

rich_click.rich_click.MAX_WIDTH = 100


def entry() -> NoReturn:
    """Run the command line and leave with the right exit code."""
    _fill_closed_streams()
    note_interruptions()
    code = run_command(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said: what is left may end at once
    sys.exit(code)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code; never raises."""
    try:
        code = commands.main(list(arguments), prog_name="splitbrain", standalone_mode=False)
        with _readers_may_leave():
            sys.stdout.flush()
    except click.exceptions.Exit as left:
        code = left.exit_code
    except BrokenPipeError:
        _close_output()
        code = VALID  # a listing that nobody wants to read to its end
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - nobody else will catch it
        code = _told(error)
    return code if isinstance(code, int) else VALID


def _told(error: BaseException) -> int:
    """Say in one line what ended a command, and give its exit code."""
    if is_interruption(error) or isinstance(error, click.Abort):
        return _say("interrupted", UNKNOWN)
    if isinstance(error, click.ClickException):
        return _say(" ".join(error.format_message().split()), BAD_USAGE)
    if isinstance(error, UsageError):
        return _say(str(error), BAD_USAGE)
    if isinstance(error, HarnessError):
        return _say(str(error), FAILED)
    return _say(_keep_traceback(error), FAILED)


class Number(click.ParamType[float]):
    """A number between two bounds. plan_field: whose limits of a plan they are."""

    name = "number"

    def __init__(self, plan_field: str) -> None:
        self._whole = plan_field == "node_count"
        self._least, self._most = LIMITS[plan_field]

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the number; NaN is none."""
        try:
            number = int(str(value)) if self._whole else float(str(value))
        except ValueError:
            number = math.nan
        if not self._least <= number <= self._most:
            kind = "a whole number" if self._whole else "a number"
            self.fail(f"{value} is not {kind} from {self._least:g} to {self._most:g}.", param, ctx)
        return number


@click.group(
    cls=rich_click.RichGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="splitbrain")
@click.pass_context
def commands(context: click.Context) -> int:
    """Break a cluster on purpose, and prove what it promised.

    Exit codes: 0 valid, 1 invalid, 2 unknown, 254 bad usage, 255 the harness itself failed.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return BAD_USAGE
    return VALID


@commands.command()
@click.option(
    "--system", metavar="NAME", help="What to test: a name, or file.py:Name.  [default: raft]"
)
@click.option(
    "--workload", metavar="NAME", help="What clients do.  [default: what suits the system]"
)
@click.option(
    "--nemesis",
    metavar="NAME,NAME",
    help="Kinds of fault, by comma, or packages such as `network` and `all`; `none` for no faults."
    "  [default: partition,kill]",
)
@click.option(
    "--bug", metavar="NAME", help="Plant a bug, and follow the directed schedule that leads to it."
)
@click.option("--cluster", metavar="NAME", help="Where the nodes run.  [default: embedded]")
@click.option(
    "--disk",
    type=click.Choice(["memory", "ext4"]),
    help="What embedded hosts keep files on; ext4 can lose them when power is cut.  "
    "[default: memory]",
)
@click.option("--nodes", type=Number("node_count"), help="How many, from 1 to 50.  [default: 5]")
@click.option(
    "--time-limit",
    type=Number("time_limit_s"),
    metavar="SECONDS",
    help="How long the load lasts.  [default: 30]",
)
@click.option(
    "--concurrency",
    metavar="NUMBER",
    help="Clients at work: a number, or `2n` for two a node.  [default: 10]",
)
@click.option(
    "--rate",
    type=Number("rate_hz"),
    metavar="HZ",
    help="Operations a second in all.  [default: by the workload; 30 in the simulator]",
)
@click.option(
    "--operation-timeout",
    type=Number("operation_timeout_s"),
    metavar="SECONDS",
    help="How long until an operation's outcome is unknown.  [default: 2]",
)
@click.option(
    "--interval",
    type=Number("interval_s"),
    metavar="SECONDS",
    help="From one fault of a kind to the next.  [default: 10]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Of everything random.  [default: another each time]",
)
@click.option(
    "--schedule",
    type=click.Path(path_type=Path),
    metavar="FILE|RUN",
    help="Faults from a file (docs/schedules.md) or a stored run.",
)
@click.option(
    "--resolved",
    type=click.Path(path_type=Path),
    metavar="FILE|RUN",
    help="The same, hitting the very nodes that were hit then.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Do what a stored run was asked to do; options given beside it count instead.",
)
@click.option(
    "--checker",
    "checkers",
    multiple=True,
    metavar="NAME",
    help="Judge by this as well: a name, or file.py:Name.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=JSON",
    help="An option of the system, such as heartbeat_ms=20.",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=JSON",
    help="A parameter of the workload, such as ops_per_key=50.",
)
@click.option(
    "--test-count",
    type=click.IntRange(1, TEST_COUNT_LIMIT),
    default=1,
    metavar="NUMBER",
    help="Do so many runs, with seeds in a row.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("store"),
    show_default=True,
    help="Where runs are kept.",
)
@click.option(
    "--messages", is_flag=True, help="Keep every message of a simulated run, for diagrams."
)
@click.option(
    "--stop-on-violation",
    is_flag=True,
    help="Stop the load once what happened proves that registers are not linearizable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run.")
def run(**asked: object) -> int:
    """Bring up a cluster, load the system while faults come and go, and judge it."""
    from splitbrain.cluster.user_namespace import ensure_root  # noqa: PLC0415

    replay = _replayed(asked)
    again = None if replay is None else replay.plan
    asked["cluster"] = asked["cluster"] or ("embedded" if again is None else again.cluster)
    if asked["cluster"] == "embedded":
        ensure_root()  # before anything is imported: the command may begin anew
    from splitbrain.execute import execute, prepare  # noqa: PLC0415
    from splitbrain.report.live import LiveReport  # noqa: PLC0415

    plan = _plan(asked, again)
    store = asked["store"]
    count, as_json = asked["test_count"], bool(asked["as_json"])
    assert isinstance(store, Path)
    assert isinstance(count, int)
    stop_on_violation = bool(asked["stop_on_violation"])
    if plan.cluster == "sim" and count > 1:
        with _of_file(asked["schedule"] or asked["resolved"]):
            return _run_seeds(
                plan, count, store, stop_on_violation=stop_on_violation, as_json=as_json
            )
    results = []
    for number in range(count):
        one = replace(plan, seed=plan.seed + number)
        with _of_file(asked["schedule"] or asked["resolved"]):
            prepared = prepare(one)
        repeats = None if replay is None or stop_on_violation else replay.hash_for(one)
        report = LiveReport(_console(stderr=as_json), quiet=as_json)
        try:
            result = execute(
                one,
                store=store,
                monitor=report,
                prepared=prepared,
                stop_on_violation=stop_on_violation,
                repeats=repeats,
            )
        finally:
            report.close()
        with _readers_may_leave():
            report.require_shown()
            if as_json:
                _print_json(result, result.path)
        results.append(_bare(result))
        if result.interrupted or result.refused:
            break
    return _sum_up(results, as_json=as_json)


@commands.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--checker", metavar="NAME", help="Keep what this one found.  [default: the first that did]"
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="How long to look for less; in the simulator, of processor time.  [default: 50; on real "
    "nodes 1800]",
)
@click.option(
    "--try-embedded",
    type=click.IntRange(0, 1000),
    default=0,
    metavar="NUMBER",
    help="Run the minimal case so often on embedded hosts, and say how often it failed there.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("store"),
    show_default=True,
    help="Where runs are kept.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def shrink(
    run: str,
    checker: str | None,
    time_limit: float | None,
    try_embedded: int,
    store: Path,
    *,
    as_json: bool,
) -> int:
    """Shrink a failing run to the few faults, operations and nodes that fail in the same way.

    Runs of the simulator lose all that is not needed; runs on real nodes, which do not repeat
    exactly, lose faults alone. RUN is a path, or a name below the store.
    """
    from splitbrain.cluster.user_namespace import ensure_root  # noqa: PLC0415
    from splitbrain.runtime.store import find_run, load_run  # noqa: PLC0415

    path = find_run(store, run)
    plan = load_run(path).plan
    if try_embedded or (plan is not None and plan.cluster == "embedded"):
        ensure_root()
    from splitbrain.report.console import show_result  # noqa: PLC0415
    from splitbrain.report.quiet import Quiet  # noqa: PLC0415
    from splitbrain.report.shrunk import show_shrunk, shrunk_as_json  # noqa: PLC0415
    from splitbrain.shrink import hits, require_hosts  # noqa: PLC0415
    from splitbrain.shrink import shrink as make_small  # noqa: PLC0415

    if try_embedded:
        require_hosts(path)
    try:
        found = make_small(
            path, store=store, monitor=Quiet(), checker=checker, time_limit_s=time_limit
        )
    except KeyboardInterrupt:
        return _say("interrupted before anything smaller was found", UNKNOWN)
    again = 0 if found.interrupted else try_embedded
    tried = hits(found, store=store, count=again) if again else ()
    with _readers_may_leave():
        if as_json:
            click.echo(json.dumps(shrunk_as_json(found, tried)))
        else:
            show_result(_console(), found.result)
            show_shrunk(_console(), found, tried)
    return INVALID


@commands.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--checker",
    "checkers",
    multiple=True,
    metavar="NAME",
    help="Judge by this alone: a name, or file.py:Name.",
)
@click.option(
    "--model",
    metavar="NAME",
    help="What an object is: register, cas-register or keyed-store; of the checker causal: ccv, cc "
    "or cm.  [default: by the operations; ccv]",
)
@click.option(
    "--failed-cas",
    type=click.Choice(["observed", "dropped"]),
    help="What a refused compare-and-set says: the value was another, or nothing.",
)
@click.option(
    "--minimize",
    is_flag=True,
    help="Find the least history that is invalid in the same way, and keep it beside the path.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a path.")
def check(
    paths: tuple[Path, ...],
    checkers: tuple[str, ...],
    model: str | None,
    failed_cas: str | None,
    *,
    minimize: bool,
    as_json: bool,
) -> int:
    """Judge stored runs anew, or histories of others (.edn, .log, .txt, .jsonl, .parquet)."""
    from splitbrain.check import Question, check_path, require_question  # noqa: PLC0415
    from splitbrain.report.console import show_result  # noqa: PLC0415

    question = Question(checkers=checkers, model=model, failed_cas=failed_cas, minimize=minimize)
    require_question(question)
    results, codes = [], []
    for path in paths:
        try:
            result = check_path(path, question)
        except HarnessError as error:
            codes.append(_refused(path, error, as_json=as_json))
            results.append(_unread(path, error))
            continue
        with _readers_may_leave():
            if as_json:
                _print_json(result, result.path)
            else:
                show_result(_console(), result)
        codes.append(code_of(result))
        results.append(_bare(result))
    _sum_up(results, as_json=as_json)
    return worst_code(codes)


@commands.command()
@click.argument("source", metavar="RUN|FILE", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "target",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to: FILE.edn for Jepsen, Knossos and Elle, FILE.jsonl, or FILE.parquet.",
)
@click.option(
    "--failed-cas",
    type=click.Choice(["observed", "dropped"]),
    help="What a refused compare-and-set in FILE says: the value was another, or nothing.",
)
def export(source: Path, target: Path, failed_cas: str | None) -> int:
    """Write the history of a stored run, or of a file, so that others can judge it."""
    from splitbrain.check import export_history  # noqa: PLC0415

    count, notes = export_history(source, target, failed_cas=failed_cas)
    click.echo(f"{count} operations written to {target}")
    for note in notes:
        click.echo(f"note: {note}", err=True)
    return VALID


@commands.command()
@click.argument("run", required=False)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("store"),
    show_default=True,
    help="Where runs are kept.",
)
@click.option("--verbose", is_flag=True, help="Show every anomaly and all of its evidence.")
@click.option(
    "--diagram",
    is_flag=False,
    flag_value="-",
    metavar="[FILE.svg]",
    help="Draw the messages around the anomaly, here or into a file; last, behind RUN.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(run: str | None, store: Path, *, verbose: bool, diagram: str | None, as_json: bool) -> int:
    """Show a stored run: the latest, or RUN, which is its path or its name below the store."""
    from splitbrain.check import show_path  # noqa: PLC0415
    from splitbrain.report.console import show_result  # noqa: PLC0415
    from splitbrain.runtime.store import find_run  # noqa: PLC0415

    if as_json and diagram is not None:
        message = "--json and --diagram exclude each other"
        raise UsageError(message)
    result = show_path(find_run(store, run))
    if diagram is not None:
        from splitbrain.report.message_diagram import write_diagram  # noqa: PLC0415
        from splitbrain.shrink import kept_anomaly  # noqa: PLC0415

        file = None if diagram == "-" else Path(diagram)
        with _readers_may_leave():
            write_diagram(_console(), result, kept_anomaly(result), file)
        return VALID
    with _readers_may_leave():
        if as_json:
            _print_json(result, result.path)
        else:
            show_result(_console(), result, verbose=verbose)
    return VALID


_ROLES = {
    "systems": "system",
    "workloads": "workload",
    "nemeses": "nemesis",
    "checkers": "checker",
    "clusters": "cluster",
}


@commands.command("list")
@click.argument("what", type=click.Choice([*_ROLES, "bugs"]))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_names(what: str, *, as_json: bool) -> int:
    """List what there is by name."""
    from splitbrain import catalog  # noqa: PLC0415
    from splitbrain.report.listing import show_listing  # noqa: PLC0415

    rows: list[dict[str, Value]]
    if what == "bugs":
        rows = [
            {
                "name": bug.name,
                "system": bug.system,
                "summary": bug.promise,
                "workload": bug.workload,
                "checker": bug.checker,
                "anomaly": bug.anomaly,
                "origin": bug.origin,
                "node_count": bug.node_count,
                "time_limit_s": bug.time_limit_s,
                "concurrency": bug.concurrency,
                "rate_hz": bug.rate_hz,
                "operation_timeout_s": bug.operation_timeout_s,
                "options": dict(bug.options),
                "parameters": dict(bug.parameters),
                "schedule": bug.schedule.to_value(),
            }
            for bug in catalog.bugs()
        ]
    else:
        names = catalog.names(_ROLES[what])
        rows = [{"name": name, "summary": summary} for name, summary in names.items()]
    with _readers_may_leave():
        if as_json:
            for row in rows:
                click.echo(json.dumps(row))
        else:
            show_listing(_console(), what, {str(row["name"]): _summary(row) for row in rows})
    return VALID


def _summary(row: Mapping[str, Value]) -> str:
    """Give the sentence about a name; of a bug also whose it is and who finds it."""
    found_by = f" ({row['system']}; {row['checker']}: {row['anomaly']})" if "checker" in row else ""
    return f"{row['summary']}{found_by}"


@commands.command()
@click.option("--fix", is_flag=True, help="Mend what can be mended without asking for more.")
@click.option("--cluster", help="Look at the hosts of this one: HOSTS.toml, or ssh:HOST,HOST.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def doctor(*, fix: bool, cluster: str | None, as_json: bool) -> int:
    """Say for each kind of cluster whether it works here, and what mends it.

    With --cluster, say for each host of an inventory what it lacks.
    """
    from splitbrain import doctor as medicine  # noqa: PLC0415
    from splitbrain.report.listing import show_doctor  # noqa: PLC0415

    if fix:
        medicine.mend(lambda line: click.echo(line, err=as_json))
    findings = medicine.examine() if cluster is None else medicine.examine_hosts(cluster)
    with _readers_may_leave():
        if as_json:
            for finding in findings:
                click.echo(json.dumps(finding.to_value()))
        else:
            rows = [(item.subject, item.status, list(item.missing)) for item in findings]
            show_doctor(_console(), rows)
    if cluster is not None:
        return VALID if medicine.all_work(findings) else INVALID
    return VALID if medicine.any_cluster_works(findings) else INVALID


@commands.command()
@click.option("--cluster", help="On the hosts of this one: HOSTS.toml, or ssh:HOST,HOST.")
def cleanup(*, cluster: str | None) -> int:
    """Undo whatever a dead controller left behind; runs that are alive are not touched."""
    if cluster is not None:
        from splitbrain.cluster.inventory import Inventory  # noqa: PLC0415

        for line in Inventory(cluster).cleanup():
            click.echo(line)
        return VALID
    from splitbrain.cluster.user_namespace import ensure_root  # noqa: PLC0415

    ensure_root()  # hosts may have left files of users that exist only there
    from splitbrain.cluster.embedded import sweep  # noqa: PLC0415

    swept = sweep()
    for line in swept:
        click.echo(line)
    if not swept:
        click.echo("nothing was left behind")
    return VALID


commands.add_command(cluster_group)


def _replayed(asked: Mapping[str, object]) -> Replay | None:
    """Give the run that is to be done again, if there is one.

    Raises: UsageError for options that would make it another run altogether.
    """
    from splitbrain.replay import load_replay  # noqa: PLC0415
    from splitbrain.runtime.store import find_run  # noqa: PLC0415

    run, store = asked["replay"], asked["store"]
    if run is None:
        return None
    assert isinstance(store, Path)
    others = [name for name in ("system", "workload", "nemesis", "bug") if asked[name] is not None]
    if others:
        message = f"--replay brings its own {others[0]}: leave out --{others[0]}"
        raise UsageError(message)
    return load_replay(find_run(store, str(run)))


def _plan(asked: Mapping[str, object], again: Plan | None = None) -> Plan:
    from splitbrain.execute import plan_of  # noqa: PLC0415
    from splitbrain.runtime.store import read_resolved, read_schedule  # noqa: PLC0415

    def text(name: str) -> str | None:
        value = asked[name]
        return None if value is None else str(value)

    seed, cluster = asked["seed"], str(asked["cluster"])
    if again is not None:
        same = again.cluster == cluster
        plan = replace(
            again,
            seed=seed if isinstance(seed, int) else again.seed,
            cluster=cluster,
            cluster_options=again.cluster_options if same else {},
        )
    else:
        plan = plan_of(
            system=text("system"),
            workload=text("workload"),
            nemeses=_kinds(text("nemesis")),
            bug=text("bug"),
            seed=seed if isinstance(seed, int) else int.from_bytes(os.urandom(4), "big"),
            cluster=cluster,
        )
    given = {
        "node_count": asked["nodes"],
        "time_limit_s": asked["time_limit"],
        "rate_hz": asked["rate"],
        "interval_s": asked["interval"],
        "operation_timeout_s": asked["operation_timeout"],
    }
    plan = replace(plan, **{name: item for name, item in given.items() if item is not None})  # type: ignore[arg-type]
    checkers = asked["checkers"]
    assert isinstance(checkers, tuple)
    plan = replace(
        plan,
        checkers=(*plan.checkers, *checkers),
        options={**plan.options, **_named_values("--option", asked["options"])},
        parameters={**plan.parameters, **_named_values("--parameter", asked["parameters"])},
        cluster_options={**plan.cluster_options, **_cluster_options(asked, cluster)},
        concurrency=_concurrency(text("concurrency"), plan.node_count) or plan.concurrency,
    )
    schedule, resolved = asked["schedule"], asked["resolved"]
    if schedule is not None and resolved is not None:
        message = "--schedule and --resolved exclude each other"
        raise UsageError(message)
    if isinstance(schedule, Path):
        faults = read_schedule(schedule, time_limit_s=plan.time_limit_s)
        plan = replace(plan, schedule=faults, nemeses=_named(asked))
    if isinstance(resolved, Path):
        plan = replace(plan, resolved=read_resolved(resolved), nemeses=_named(asked))
    return plan


@contextmanager
def _of_file(file: object) -> Iterator[None]:
    """Say which file a fault stands in that cannot be used, if it stands in one."""
    try:
        yield
    except FaultError as error:
        message = str(error) if file is None else f"{file}: {error}"
        raise UsageError(message) from error


def _cluster_options(asked: Mapping[str, object], cluster: str) -> dict[str, Value]:
    from splitbrain import catalog  # noqa: PLC0415

    for name, home in (("disk", "embedded"), ("messages", "sim")):
        if asked[name] and cluster != home and catalog.is_own_cluster(cluster):
            message = f"--{name} is for --cluster {home} alone, not for {cluster}: leave it out"
            raise UsageError(message)
    options: dict[str, Value] = {}
    if asked["disk"] is not None:
        options["disk"] = str(asked["disk"])
    if asked["messages"]:
        options["messages"] = True
    return options


def _run_seeds(
    plan: Plan, count: int, store: Path, *, stop_on_violation: bool, as_json: bool
) -> int:
    """Simulate seeds in a row on all cores, and show what failed and how to have it again."""
    from splitbrain.campaign import simulate_seeds  # noqa: PLC0415
    from splitbrain.early import require_streamed  # noqa: PLC0415
    from splitbrain.execute import prepare  # noqa: PLC0415
    from splitbrain.report.seeds import SeedsReport  # noqa: PLC0415

    prepared = prepare(plan)  # what cannot be used is said once, and before anything is begun
    if stop_on_violation:
        require_streamed(prepared.checkers)
    report = SeedsReport(_console(stderr=as_json), count, quiet=as_json)

    def watch(result: RunResult | None) -> None:
        if result is None:
            report.tick()
            return
        report.take(result)

    def settled(result: RunResult, path: Path | None) -> None:
        if as_json:
            with _readers_may_leave():
                _print_json(result, path)

    try:
        campaign = simulate_seeds(
            plan,
            count,
            store=store,
            watch=watch,
            say=report.say,
            settled=settled,
            stop_on_violation=stop_on_violation,
        )
    finally:
        report.close()
    if not as_json:
        with _readers_may_leave():
            report.show(campaign.to_value(), _again(), campaign.summary)
    codes = [code_of(result) for result in campaign.results]
    if campaign.interrupted:
        codes.append(UNKNOWN)
    if campaign.failure is not None:
        codes.append(_say(campaign.failure, FAILED))
    return worst_code(codes)


def _again() -> str:
    """Give the command line as it was given, but for what chooses the seed."""
    context = click.get_current_context()
    given = click.core.ParameterSource.COMMANDLINE
    words = ["splitbrain", "run"]
    for parameter in context.command.params:
        name = str(parameter.name)
        if context.get_parameter_source(name) is not given or name in _OF_MANY:
            continue
        value = context.params[name]
        for item in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0]] if item is True else [parameter.opts[0], str(item)]
    return shlex.join(words)


_OF_MANY = ("seed", "test_count", "as_json")
"""The options that only make sense for many runs at once, or that choose the seed."""


def _named(asked: Mapping[str, object]) -> tuple[str, ...]:
    """Give the nemeses that were named; a schedule brings the kinds that it needs."""
    nemesis = asked["nemesis"]
    return _kinds(str(nemesis)) or () if nemesis is not None else ()


def _kinds(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if "" in names or ("none" in names and len(names) > 1):
        message = f"--nemesis {text!r} is no list like `partition,kill`; `none` stands alone"
        raise UsageError(message)
    return () if names == ("none",) else names


def _concurrency(text: str | None, nodes: int) -> int | None:
    if text is None:
        return None
    number, per_node = (text[:-1], nodes) if text.endswith("n") else (text, 1)
    if not (number.isdecimal() and number.isascii() and 1 <= int(number) * per_node <= 1000):
        message = f"--concurrency {text!r} is neither a number from 1 to 1000 nor one like `2n`"
        raise UsageError(message)
    return int(number) * per_node


def _named_values(word: str, given: object) -> dict[str, Value]:
    """Read what was given as NAME=VALUE; a value that is no JSON is a text."""
    values: dict[str, Value] = {}
    assert isinstance(given, tuple)
    for item in given:
        name, equals, text = str(item).partition("=")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
        if not equals or not name:
            message = f"{word} {item!r} is not NAME=VALUE"
            raise UsageError(message)
    return values


def _bare(result: RunResult) -> RunResult:
    """Leave out of a result what is large: thousands of them may be summed up."""
    from splitbrain.core.evidence import Evidence  # noqa: PLC0415

    return replace(result, evidence=Evidence(), schedule=None)


def _unread(path: Path, error: HarnessError) -> RunResult:
    from splitbrain.core.evidence import Evidence  # noqa: PLC0415
    from splitbrain.core.run import RunResult  # noqa: PLC0415
    from splitbrain.core.verdict import Status  # noqa: PLC0415

    return RunResult(
        label=str(path),
        path=path,
        status=Status.UNKNOWN,
        verdicts={},
        evidence=Evidence(),
        failure=str(error),
    )


def _sum_up(results: Sequence[RunResult], *, as_json: bool) -> int:
    """Show several results in a few lines, unless JSON was asked for; give the worst exit code."""
    from splitbrain.report.summary import show_summary  # noqa: PLC0415

    if not as_json:
        with _readers_may_leave():
            show_summary(_console(), results)
    return worst_code(map(code_of, results))


def _refused(path: Path, error: HarnessError, *, as_json: bool) -> int:
    code = BAD_USAGE if isinstance(error, UsageError) else FAILED
    if as_json:
        click.echo(
            json.dumps(
                {"path": str(path), "verdict": "unknown", "error": str(error), "checkers": {}}
            )
        )
    return _say(str(error), code)


@contextmanager
def _readers_may_leave() -> Iterator[None]:
    """Let whoever reads our output stop reading: the verdict is the exit code all the same.

    Raises: HarnessError when the output cannot be written for another reason.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _close_output()
    except OSError as error:
        _close_output()
        message = f"cannot write the output: {error.strerror}"
        raise HarnessError(message) from error


def _fill_closed_streams() -> None:
    """Open what was closed of the three streams, or the next file would take its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - as long as we live


def _close_output() -> None:
    """Write to nobody from now on, since Python would complain of the pipe once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_json(result: RunResult, path: Path | None) -> None:
    from splitbrain.report.machine import result_as_json  # noqa: PLC0415

    value = result_as_json(result) | {"path": None if path is None else str(path)}
    click.echo(json.dumps(value))


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def _say(line: str, code: int) -> int:
    """Say one line, whatever names it holds: nothing in it is obeyed by the terminal."""
    from splitbrain.report.safe_text import safe  # noqa: PLC0415

    with suppress(OSError):  # whoever closed our error output has the exit code
        click.echo(f"splitbrain: {safe(line)}", err=True)
    return code


def _keep_traceback(error: BaseException) -> str:
    """Write the traceback where it can be found, and give the line that says so."""
    import platformdirs  # noqa: PLC0415

    line = f"the harness failed: {type(error).__name__}: {error}".splitlines()[0]
    file = Path(platformdirs.user_state_dir("splitbrain")) / "crash.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(traceback.format_exception(error)))
    except OSError as refused:
        return f"{line} (and its traceback cannot be written: {refused.strerror})"
    return f"{line}; the traceback is in {file}"


if __name__ == "__main__":
    entry()
