"""The store: a directory a run, in which everything lies that the run left.

    STORE/latest -> the newest run
    STORE/SYSTEM-WORKLOAD/TIME/
        plan.json  journal  history.parquet  schedule.json  resolved.json  result.json  run.log
        traces/NODE.jsonl  logs/NODE/DAEMON.log  dumps.json  messages.jsonl

Nothing in it is code, and reading it imports nothing that it names.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import secrets
from collections import abc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

import msgspec

from splitbrain.core.errors import JournalError, StoreError, UsageError
from splitbrain.core.evidence import Evidence, Log, Trace, from_journal
from splitbrain.core.fault import Resolved, Schedule
from splitbrain.core.journal import Decoded, FaultEvent
from splitbrain.core.message import Message
from splitbrain.core.planned import PlannedOperation
from splitbrain.core.run import Plan
from splitbrain.core.startable import require_startable
from splitbrain.core.value import Value, require_value
from splitbrain.runtime.columns import read_columns, write_columns
from splitbrain.runtime.conditions import JournalSource
from splitbrain.runtime.journal import JournalReader, JournalWriter, MemoryJournal, read_journal
from splitbrain.runtime.stored_file import (
    decode_json,
    named,
    read_json_file,
    read_regular,
    readable,
)

T = TypeVar("T")

LOG_LIMIT_BYTES = 16 * 1024 * 1024
TRACE_LIMIT_BYTES = 256 * 1024 * 1024

_NO_PLACE = frozenset(
    {
        *(errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
        *(errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS),
    }
)
"""What the system says of a store that a person should not have named."""

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

    def create_journal(self) -> JournalWriter:
        """Begin the journal of the run."""
        return JournalWriter(self.journal_path)

    def read_journal(self) -> Decoded:
        """Read what the journal holds by now."""
        return read_journal(self.journal_path)

    def follow_journal(self) -> JournalSource:
        """Give what reads on in the journal while it is written."""
        return JournalReader(self.journal_path).read_from

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
        """Keep what the nodes left: traces, logs and dumps (the journal is here already).

        The history is kept in columns too: they are read much faster than the journal.
        """
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
        if evidence.messages is not None:
            lines = [msgspec.json.encode(message.to_value()) for message in evidence.messages]
            self.write("messages.jsonl", b"".join(line + b"\n" for line in lines))
        if evidence.history is not None:
            write_columns(self.path, evidence.history)


class MemoryRun:
    """The place of a run that leaves nothing on a disk; what it is told to write is dropped."""

    def __init__(self, name: str) -> None:
        self.path = Path(name)
        self.journal = MemoryJournal()

    def create_journal(self) -> MemoryJournal:
        """Begin the journal of the run."""
        return self.journal

    def read_journal(self) -> Decoded:
        """Read what the journal holds by now."""
        return self.journal.read()

    def follow_journal(self) -> JournalSource:
        """Give what reads on in the journal while it is written."""
        return self.journal.read_from

    def write_json(self, name: str, value: Value) -> None:
        """Drop it."""


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

    Raises: UsageError when the store is no place to write to, StoreError when it is full or broken.
    """
    path = _family(store, plan) / f"{_now()}-{secrets.token_hex(2)}"
    with _place(store):
        path.mkdir(parents=True)
        _point(store / "latest", path)
    run = RunDirectory(path)
    run.write_json("plan.json", plan_to_value(plan))
    return run


def require_store(store: Path, plan: Plan) -> None:
    """See that runs of a plan can be kept, before there are any.

    Raises: UsageError when the store is no place to write to, StoreError when it is full or broken.
    """
    family = _family(store, plan)
    with _place(store):
        family.mkdir(parents=True, exist_ok=True)
        trial = family / f".trial.{secrets.token_hex(4)}"
        trial.touch()
        trial.unlink()


def write_summary(store: Path, plan: Plan, value: Value) -> Path:
    """Keep the summary of many runs of one plan; give its file.

    Raises: StoreError when it cannot be written.
    """
    family = _family(store, plan)
    name = f"seeds-{_now()}-{secrets.token_hex(2)}.json"
    RunDirectory(family).write_json(name, {"plan": plan_to_value(plan), "summary": value})
    return family / name


def _family(store: Path, plan: Plan) -> Path:
    return store / f"{_safe(Path(plan.system).stem)}-{_safe(Path(plan.workload).stem)}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")


@contextmanager
def _place(store: Path) -> Iterator[None]:
    """Say in one line that a store cannot be written: bad usage where it should not be named."""
    try:
        with _one_line(store):
            yield
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _NO_PLACE:
            raise UsageError(str(error)) from error
        raise


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
        with readable(candidate):
            if (candidate / "journal").is_file():
                return candidate.resolve()
    if name is None:
        message = f"{store} holds no run yet: start one with `splitbrain run`"
        raise UsageError(message)
    for candidate in candidates:
        if name and candidate.is_dir():
            message = f"{candidate} is a directory, but not that of a run: it holds no journal"
            raise UsageError(message)
    also = "" if store / name == Path(name) else f" (nor at {store / name})"
    message = f"there is no run at {name or 'an empty name'}{also}"
    raise UsageError(message)


def is_run(path: Path) -> bool:
    """Tell whether a path is the directory of a run."""
    return path.is_dir() and (path / "journal").is_file()


def load_run(path: Path) -> StoredRun:
    """Read a run back, also one whose controller died half-way.

    Raises: UsageError naming the file that cannot be used.
    """
    evidence, warnings = _read_evidence(path)
    plan = _read_as(path / "plan.json", plan_from_value)
    if plan is None:
        warnings.append("plan.json is missing: the run's own checkers are not known")
    facts = _read_json(path / "facts.json")
    dumps = _read_json(path / "dumps.json")
    schedule = _read_as(path / "schedule.json", Schedule.from_value)
    evidence = dataclasses.replace(
        evidence,
        traces=_read_traces(path / "traces"),
        logs=_read_logs(path / "logs"),
        dumps=dumps if isinstance(dumps, dict) else None,
        messages=_read_messages(path / "messages.jsonl"),
        facts=facts if isinstance(facts, dict) else {},
    )
    if dumps is not None and evidence.dumps is None:
        warnings.append("dumps.json is no object by node, and is not used")
    return StoredRun(
        path=path,
        plan=plan,
        evidence=evidence,
        schedule=schedule,
        result=_read_json(path / "result.json"),
        warnings=tuple(warnings),
    )


def _read_evidence(path: Path) -> tuple[Evidence, list[str]]:
    """Read what the journal tells: its operations from the columns, if those are of this journal.

    The columns are for speed alone: where they are missing, damaged or of another journal, the
    journal says it all.
    """
    quick = read_columns(path)
    if quick is not None:
        return quick, []
    journal = _read_journal(path / "journal")
    warnings = []
    if journal.dropped_bytes:
        warnings.append(f"the journal ends in {journal.dropped_bytes} torn bytes, now dropped")
    return from_journal(journal.records), warnings


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
    with readable(path):
        stored = is_run(path)
    if stored:
        return resolved_of(from_journal(_read_journal(path / "journal").records))
    value = read_json_file(path)
    if not isinstance(value, list):
        message = f"{path} is not a list of resolved faults"
        raise UsageError(message)
    with named(path):
        return tuple(Resolved.from_value(item) for item in value)


def read_schedule(path: Path, *, time_limit_s: float | None = None) -> Schedule:
    """Read a schedule file, or the schedule of a run directory.

    time_limit_s: of the load in which each of its faults must be able to start, if that matters.

    Raises: UsageError naming the file, and the fault and field where there is one.
    """
    with readable(path):
        file = path / "schedule.json" if path.is_dir() else path
    value = read_json_file(file)
    with named(file):
        schedule = Schedule.from_value(value)
        if time_limit_s is not None:
            require_startable(schedule, time_limit_s)
    return schedule


def _read_json(path: Path) -> Value:
    return read_json_file(path) if os.path.lexists(path) else None


def _read_as(path: Path, read: Callable[[Value], T]) -> T | None:
    """Read what a JSON file stands for; None where there is none, or it holds null."""
    value = _read_json(path)
    with named(path):
        return None if value is None else read(value)


def _read_journal(path: Path) -> Decoded:
    """Read the journal of a run that is over: what is wrong with it is wrong with what was given.

    Raises: UsageError naming the file, and the byte where it is damaged.
    """
    try:
        return read_journal(path)
    except (JournalError, StoreError) as error:
        raise UsageError(str(error)) from error


def _read_traces(folder: Path) -> Mapping[str, Trace] | None:
    if not folder.is_dir():
        return None
    traces: dict[str, Trace] = {}
    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*.jsonl")):
        trace = _read_trace(file)
        first = files.setdefault(trace.node, file)
        if first is not file:
            message = f"{first} and {file} both say that they are the trace of {trace.node}"
            raise UsageError(message)
        traces[trace.node] = trace
    return traces


def _read_trace(file: Path) -> Trace:
    head, *lines = read_regular(file, TRACE_LIMIT_BYTES).splitlines() or [b""]
    number = 1
    try:
        header = decode_json(head)
        node, gaps = _trace_header(header)
        records = []
        for number, line in enumerate(lines, start=2):  # noqa: B007 - the error names the line
            record = decode_json(line)
            if not isinstance(record, dict):
                message = "a record is an object"
                raise ValueError(message)  # noqa: TRY004, TRY301 - one error for every bad line
            records.append(record)
    except ValueError as error:
        message = f"{file}:{number}: this is not a trace: {error}"
        raise UsageError(message) from error
    return Trace(node=node, records=tuple(records), gaps=gaps)


def _read_messages(file: Path) -> tuple[Message, ...] | None:
    if not file.is_file():
        return None
    messages = []
    for number, line in enumerate(read_regular(file, TRACE_LIMIT_BYTES).splitlines(), start=1):
        try:
            messages.append(Message.from_value(decode_json(line)))
        except ValueError as error:
            message = f"{file}:{number}: this is not a message: {error}"
            raise UsageError(message) from error
    return tuple(messages)


def _trace_header(value: Value) -> tuple[str, tuple[str, ...]]:
    fields = value if isinstance(value, dict) else {}
    node, gaps = fields.get("trace"), fields.get("gaps")
    if not isinstance(node, str) or not isinstance(gaps, list):
        message = 'its first line is an object with "trace" and "gaps"'
        raise ValueError(message)  # noqa: TRY004 - one error for every bad line
    return node, tuple(map(str, gaps))


def _read_logs(folder: Path) -> tuple[Log, ...] | None:
    if not folder.is_dir():
        return None
    logs = []
    for file in sorted((*folder.glob("*/*.log"), *folder.glob("*/*.cut"))):
        text = read_regular(file, LOG_LIMIT_BYTES).decode(errors="surrogateescape")
        log = Log(
            node=file.parent.name, daemon=file.stem, text=text, truncated=file.suffix == ".cut"
        )
        logs.append(log)
    return tuple(logs)


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


def _write_operations(operations: tuple[PlannedOperation, ...] | None) -> Value:
    return None if operations is None else [item.to_value() for item in operations]


_PLAN_WRITERS: Mapping[str, Callable[..., Value]] = {
    "operations": _write_operations,
    "schedule": _write_schedule,
    "resolved": _write_resolved,
}


def plan_from_value(value: Value) -> Plan:
    """Read a plan from JSON; fields of newer versions are left out.

    Raises: UsageError when it is something else.
    """
    if not isinstance(value, dict):
        message = "this is not the plan of a run: it is no object"
        raise UsageError(message)
    schedule, resolved = value.get("schedule"), value.get("resolved")
    operations = value.get("operations")
    fields: dict[str, object] = {
        "schedule": None if schedule is None else Schedule.from_value(schedule),
        "resolved": tuple(map(Resolved.from_value, resolved))
        if isinstance(resolved, list)
        else None,
        "operations": tuple(map(PlannedOperation.from_value, operations))
        if isinstance(operations, list)
        else None,
    }
    try:
        for field, wanted in get_type_hints(Plan).items():
            if field in value and field not in fields:
                fields[field] = _of_type(value[field], wanted, field)
        return Plan(**fields)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        message = f"this is not the plan of a run: {error}"
        raise UsageError(message) from error


def _of_type(value: Value, wanted: object, name: str) -> object:
    """Check one field of a plan; what an option may be is the system's own business."""
    if get_origin(wanted) is abc.Mapping:
        wanted = dict[str, Any]
    try:
        return msgspec.convert(value, type=wanted)
    except msgspec.ValidationError as error:
        message = f"{name}: {error}"
        raise ValueError(message) from error
