"""The store: a directory a run, in which everything lies that the run left.

    STORE/latest -> the newest run
    STORE/SYSTEM-WORKLOAD/TIME/
        plan.json  journal  schedule.json  resolved.json  result.json  run.log
        traces/NODE.jsonl  logs/NODE/DAEMON.log  dumps.json

Nothing in it is code, and reading it imports nothing that it names.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from splitbrain.core.errors import HarnessError, StoreError, UsageError
from splitbrain.core.evidence import Evidence, Log, Trace, from_journal
from splitbrain.core.fault import Resolved, Schedule
from splitbrain.core.journal import FaultEvent, Header
from splitbrain.core.run import Plan
from splitbrain.core.value import Value, require_value
from splitbrain.runtime.journal import read_journal

JSON_LIMIT_BYTES = 256 * 1024 * 1024
LOG_LIMIT_BYTES = 16 * 1024 * 1024
TRACE_LIMIT_BYTES = 256 * 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The directory of one run. Writing raises StoreError with one line when it cannot be done."""

    path: Path

    @property
    def journal_path(self) -> Path:
        """Where the journal lies."""
        return self.path / "journal"

    @property
    def log_path(self) -> Path:
        """Where the harness writes its own log."""
        return self.path / "run.log"

    def write_json(self, name: str, value: Value) -> None:
        """Write a value as JSON, whole or not at all."""
        text = msgspec.json.format(msgspec.json.encode(value), indent=2)
        self.write(name, text + b"\n")

    def write(self, name: str, data: bytes) -> None:
        """Write a file below the directory, whole or not at all."""
        target = self.path / name
        with _one_line(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
            try:
                temporary.write_bytes(data)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    def write_evidence(self, evidence: Evidence) -> None:
        """Keep what the nodes left: traces, logs and dumps (the journal is here already)."""
        for node, trace in (evidence.traces or {}).items():
            lines = [msgspec.json.encode(record) for record in trace.records]
            gaps: list[Value] = list(trace.gaps)
            head = msgspec.json.encode({"trace": node, "gaps": gaps})
            self.write(f"traces/{_safe(node)}.jsonl", b"\n".join([head, *lines]) + b"\n")
        for log in evidence.logs or ():
            data = log.text.encode(errors="surrogateescape")
            mark = "cut" if log.truncated else "log"
            self.write(f"logs/{_safe(log.node)}/{_safe(log.daemon)}.{mark}", data)
        if evidence.dumps is not None:
            self.write_json("dumps.json", dict(evidence.dumps))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as it was read back. warnings: one line for each thing that was lost or missing."""

    path: Path
    plan: Plan | None
    evidence: Evidence
    schedule: Schedule | None
    result: Value
    warnings: tuple[str, ...] = ()


def create_run(store: Path, plan: Plan) -> RunDirectory:
    """Make the directory of a new run, with its plan in it, and point `latest` at it.

    Raises: StoreError when the store cannot be written.
    """
    family = f"{_safe(Path(plan.system).stem)}-{_safe(Path(plan.workload).stem)}"
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = store / family / f"{now}-{secrets.token_hex(2)}"
    with _one_line(path):
        path.mkdir(parents=True)
        _point(store / "latest", path)
    run = RunDirectory(path)
    run.write_json("plan.json", plan_to_value(plan))
    return run


def _point(link: Path, target: Path) -> None:
    temporary = link.with_name(f".latest.{secrets.token_hex(4)}")
    temporary.symlink_to(os.path.relpath(target, link.parent))
    temporary.replace(link)


def find_run(store: Path, name: str | None) -> Path:
    """Give the directory of a run: a path, a name below the store, or the latest.

    Raises: UsageError when there is no such run.
    """
    candidates = [store / "latest"] if name is None else [Path(name), store / name]
    for candidate in candidates:
        if (candidate / "journal").is_file():
            return candidate.resolve()
    if name is None:
        message = f"{store} holds no run yet: start one with `splitbrain run`"
        raise UsageError(message)
    message = f"there is no run at {name} (nor at {store / name})"
    raise UsageError(message)


def is_run(path: Path) -> bool:
    """Tell whether a path is the directory of a run."""
    return path.is_dir() and (path / "journal").is_file()


def load_run(path: Path) -> StoredRun:
    """Read a run back, also one whose controller died half-way.

    Raises: HarnessError naming the file that cannot be used.
    """
    journal = read_journal(path / "journal")
    warnings = []
    if journal.dropped_bytes:
        warnings.append(f"the journal ends in {journal.dropped_bytes} torn bytes; they were dropped")
    evidence = from_journal(journal.records)
    plan_value = _read_json(path / "plan.json")
    plan = None if plan_value is None else plan_from_value(plan_value)
    if plan is None:
        warnings.append("plan.json is missing: the run's own checkers are not known")
    facts = _read_json(path / "facts.json")
    dumps = _read_json(path / "dumps.json")
    schedule = _read_json(path / "schedule.json")
    evidence = dataclasses.replace(
        evidence,
        traces=_read_traces(path / "traces"),
        logs=_read_logs(path / "logs"),
        dumps=dumps if isinstance(dumps, dict) else None,
        facts=facts if isinstance(facts, dict) else {},
    )
    return StoredRun(
        path=path,
        plan=plan,
        evidence=evidence,
        schedule=None if schedule is None else Schedule.from_value(schedule),
        result=_read_json(path / "result.json"),
        warnings=tuple(warnings),
    )


def resolved_of(evidence: Evidence) -> tuple[Resolved, ...]:
    """Give the faults of a run with the targets that they resolved to, in order."""
    seen: dict[str, Resolved] = {}
    for _, event in evidence.faults or ():
        if isinstance(event, FaultEvent) and event.resolved is not None:
            seen.setdefault(event.fault, Resolved.from_value(event.resolved))
    return tuple(seen.values())


def read_resolved(path: Path) -> tuple[Resolved, ...]:
    """Read the resolved faults of a run directory or of a resolved.json.

    Raises: UsageError when it is neither.
    """
    if is_run(path):
        return resolved_of(from_journal(read_journal(path / "journal").records))
    value = read_json_file(path)
    if not isinstance(value, list):
        message = f"{path} is not a list of resolved faults"
        raise UsageError(message)
    return tuple(Resolved.from_value(item) for item in value)


def read_schedule(path: Path) -> Schedule:
    """Read a schedule file, or the schedule of a run directory.

    Raises: UsageError naming the file, and the fault and field where there is one.
    """
    file = path / "schedule.json" if path.is_dir() else path
    try:
        return Schedule.from_value(read_json_file(file))
    except UsageError as error:
        message = f"{file}: {error}"
        raise UsageError(message) from error


def read_json_file(path: Path) -> Value:
    """Read a JSON file.

    Raises: UsageError naming the file when it is missing, too long or malformed.
    """
    try:
        data = _read_regular(path, JSON_LIMIT_BYTES)
    except FileNotFoundError as error:
        message = f"there is no file {path}"
        raise UsageError(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise UsageError(message) from error
    try:
        value: Value = msgspec.json.decode(data)
    except msgspec.MsgspecError as error:
        message = f"{path} is not JSON: {error}"
        raise UsageError(message) from error
    return value


def _read_json(path: Path) -> Value:
    return read_json_file(path) if path.exists() else None


def _read_traces(folder: Path) -> Mapping[str, Trace] | None:
    if not folder.is_dir():
        return None
    traces: dict[str, Trace] = {}
    for file in sorted(folder.glob("*.jsonl")):
        head, *lines = _read_regular(file, TRACE_LIMIT_BYTES).splitlines() or [b""]
        try:
            header = msgspec.json.decode(head, type=dict[str, msgspec.Raw])
            gaps = msgspec.json.decode(header["gaps"], type=list[str])
            node = msgspec.json.decode(header["trace"], type=str)
            records = tuple(msgspec.json.decode(line, type=dict) for line in lines)
        except (msgspec.MsgspecError, KeyError) as error:
            message = f"{file} is not a trace: {error}"
            raise HarnessError(message) from error
        traces[node] = Trace(node=node, records=records, gaps=tuple(gaps))
    return traces


def _read_logs(folder: Path) -> tuple[Log, ...] | None:
    if not folder.is_dir():
        return None
    logs = []
    for file in sorted((*folder.glob("*/*.log"), *folder.glob("*/*.cut"))):
        text = _read_regular(file, LOG_LIMIT_BYTES).decode(errors="surrogateescape")
        log = Log(
            node=file.parent.name, daemon=file.stem, text=text, truncated=file.suffix == ".cut"
        )
        logs.append(log)
    return tuple(logs)


def _read_regular(path: Path, limit_bytes: int) -> bytes:
    with path.open("rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            message = f"{path} is not a regular file"
            raise UsageError(message)
        if status.st_size > limit_bytes:
            message = f"{path} has {status.st_size} bytes, more than the {limit_bytes} that are read"
            raise UsageError(message)
        return file.read(limit_bytes)


def _safe(name: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:64]
    return cleaned if _NAME.fullmatch(cleaned) else f"x{cleaned.lstrip('._-')}"


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = "free some space, or choose another place with --store"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "choose another place with --store"
        message = f"cannot write {path}: {error.strerror}"
        raise StoreError(message, advice=advice) from error


def plan_to_value(plan: Plan) -> Value:
    """Give a plan as JSON."""
    value: dict[str, Value] = {}
    for field in dataclasses.fields(plan):
        item = getattr(plan, field.name)
        value[field.name] = _PLAN_WRITERS.get(field.name, require_value)(item)
    return value


def _write_schedule(schedule: Schedule | None) -> Value:
    return None if schedule is None else schedule.to_value()


def _write_resolved(resolved: tuple[Resolved, ...] | None) -> Value:
    return None if resolved is None else [item.to_value() for item in resolved]


_PLAN_WRITERS: Mapping[str, Callable[..., Value]] = {
    "schedule": _write_schedule,
    "resolved": _write_resolved,
}


def plan_from_value(value: Value) -> Plan:
    """Read a plan from JSON; fields of newer versions are left out.

    Raises: UsageError when it is something else.
    """
    if not isinstance(value, dict):
        message = "plan.json is not an object"
        raise UsageError(message)
    names = {field.name for field in dataclasses.fields(Plan)}
    fields: dict[str, object] = {name: item for name, item in value.items() if name in names}
    for name in ("nemeses", "checkers"):
        items = fields.get(name)
        fields[name] = tuple(items) if isinstance(items, list) else ()
    schedule, resolved = value.get("schedule"), value.get("resolved")
    fields["schedule"] = None if schedule is None else Schedule.from_value(schedule)
    fields["resolved"] = (
        tuple(Resolved.from_value(item) for item in resolved)
        if isinstance(resolved, list)
        else None
    )
    try:
        return Plan(**fields)  # type: ignore[arg-type]
    except TypeError as error:
        message = f"plan.json is not the plan of a run: {error}"
        raise UsageError(message) from error
