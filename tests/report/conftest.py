"""A run to report: five hosts of the reference Raft, and a stale read under a partition."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from splitbrain.core.evidence import Evidence, from_journal
from splitbrain.core.journal import (
    ClockSample,
    Complete,
    FaultEvent,
    Header,
    Invoke,
    Phase,
    Record,
)
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Anomaly, Status, figures, invalid, unknown, valid

MS = 1_000_000
S = 1000 * MS
MAIN_NS = 5_000 * S

PLAN = Plan(
    system="raft",
    workload="register",
    nemeses=("partition", "kill", "clock"),
    seed=42,
    bug="unchecked-leader-reads",
)
PATH = Path("store/raft-register/20261123T190812-42")


def at(seconds: float) -> int:
    return MAIN_NS + round(seconds * S)


def fault(
    name: str, shape: str, nodes: list[str], begun: float, healed: float | None, **params: object
) -> Iterator[tuple[float, Record]]:
    kind = name.partition("-")[0]
    resolved = {
        "fault": {"id": name, "kind": kind, "params": params},
        "nodes": nodes,
        "detail": {"shape": shape},
    }
    yield 0.0, FaultEvent(fault=name, kind=kind, state="planned", time_ns=at(0))
    yield (
        begun,
        FaultEvent(fault=name, kind=kind, state="injecting", time_ns=at(begun), resolved=resolved),
    )
    active = begun + 0.05
    yield active, FaultEvent(fault=name, kind=kind, state="active", time_ns=at(active))
    if healed is not None:
        yield healed, FaultEvent(fault=name, kind=kind, state="healing", time_ns=at(healed))
        yield healed, FaultEvent(fault=name, kind=kind, state="healed", time_ns=at(healed))


def missed(name: str, reason: str) -> Iterator[tuple[float, Record]]:
    kind = name.partition("-")[0]
    yield 0.0, FaultEvent(fault=name, kind=kind, state="planned", time_ns=at(0))
    yield 30.0, FaultEvent(fault=name, kind=kind, state="missed", time_ns=at(30), error=reason)


def operation(
    process: int,
    f: str,
    places: tuple[int, int | None],
    ms: tuple[float, float | None],
    **fields: object,
) -> Operation:
    """Make an operation at these places in the journal and milliseconds of the main phase."""
    return Operation(
        process=process,
        session=process,
        f=f,
        invoke_index=places[0],
        complete_index=places[1],
        start_ns=at(ms[0] / 1000),
        end_ns=None if ms[1] is None else at(ms[1] / 1000),
        outcome=fields.pop("outcome", Outcome.OK),
        **fields,
    )


STALE = (
    (8.100, 1, "write", 4, "n2", 8.1031, None),
    (8.102, 4, "write", 5, "n3", 8.109, None),
    (8.112, 2, "read", None, "n3", 8.1135, 5),
    (8.115, 3, "read", None, "n1", 8.1162, 4),
)


def evidence() -> Evidence:
    events: list[tuple[float, Record | tuple[str, int]]] = [
        (-3.0, Header(run="r", time_ns=at(-3))),
        (-2.0, Phase(name="up", time_ns=at(-2))),
        (0.0, Phase(name="main", time_ns=at(0))),
        (7.9, ClockSample(node="n1", offset_ns=-121 * MS, uncertainty_ns=MS, time_ns=at(7.9))),
        (7.9, ClockSample(node="n3", offset_ns=MS, uncertainty_ns=MS, time_ns=at(7.9))),
        *fault("partition-1", "leader", ["n1"], 3.2, 9.9),
        *fault("kill-1", "minority", ["n2", "n4"], 8.11, 13.5),
        *fault("clock-1", "jump", ["n5"], 14, None, offset_s=2.5),
        *missed("clock-2", "the run ended before it was due"),
        (32.0, Phase(name="final", time_ns=at(32))),
        (34.0, Phase(name="done", time_ns=at(34))),
    ]
    for start, process, f, argument, node, end, result in STALE:
        invoke = Invoke(
            process=process,
            session=process,
            f=f,
            time_ns=at(start),
            node=node,
            key=7,
            argument=argument,
        )
        complete = Complete(invoke=process, outcome="ok", time_ns=at(end), result=result)
        events += [(start, invoke), (end, complete)]
    return from_journal(_numbered(record for _, record in sorted(events, key=lambda e: e[0])))


def _numbered(records: Iterator[Record]) -> Iterator[Record]:
    """Put the index of the invocation where the sample above put the process."""
    invoked: dict[int, int] = {}
    for index, record in enumerate(records):
        if isinstance(record, Invoke):
            invoked[record.process] = index
        if isinstance(record, Complete):
            yield Complete(
                invoke=invoked[record.invoke],
                outcome=record.outcome,
                time_ns=record.time_ns,
                result=record.result,
            )
        else:
            yield record


EXPLANATION = (
    "Process 3 read 4 from key 7 at node n1, although process 4's write of 5 had been acknowledged"
    " 6 ms before that read began: no order of these operations puts the read of 4 last."
)

TRACES = (
    {"node": "n1", "sequence": 2201, "event": "leader", "term": 4, "votes": ["n1", "n2", "n4"]},
    {"node": "n3", "sequence": 1802, "event": "leader", "term": 4, "votes": ["n3", "n5", "n2"]},
)


def anomalies(found: Evidence) -> tuple[Anomaly, Anomaly]:
    stale = Anomaly(
        name="stale-read", explanation=EXPLANATION, operations=tuple(found.history or ())
    )
    two = Anomaly(
        name="two-leaders",
        explanation="Nodes n1 and n3 were both leader of term 4.",
        evidence=TRACES,
    )
    return stale, two


def others() -> dict[str, object]:
    latencies = {
        "read": {"p50": 1.21, "p95": 3.4, "p99": 12.0, "max": 503.1, "count": 6012},
        "write": {"p50": 2.9, "p95": 8.8, "p99": 33.2, "max": 5003.7, "count": 4188},
    }
    return {
        "recovery": valid(recovered_in_s=0.81),
        "stats": figures(operations=12403, rate_hz=413.4, latency_ms=latencies),
    }


def result(status: Status, **fields: object) -> RunResult:
    values = {"label": "raft register", "path": PATH, "plan": PLAN, "evidence": evidence()}
    return RunResult(status=status, **(values | {"verdicts": {}} | fields))


def found_invalid() -> RunResult:
    found = evidence()
    stale, two = anomalies(found)
    verdicts = {
        "linearizable": invalid([stale, stale, stale], route="porcupine", keys=31),
        "raft": invalid([two], terms=6),
        **others(),
    }
    return result(Status.INVALID, evidence=found, verdicts=verdicts)


def found_valid() -> RunResult:
    verdicts = {"linearizable": valid(route="porcupine", keys=31), **others()}
    return result(Status.VALID, verdicts=verdicts, plan=replace(PLAN, bug=None))


def found_unknown() -> RunResult:
    verdicts = {
        "linearizable": unknown("key 17: out of its budget of 60 s", keys=31),
        "faults": unknown("no fault of the kind 'pause' ever took hold"),
        **others(),
    }
    return result(Status.UNKNOWN, verdicts=verdicts, interrupted=True)


def failed() -> RunResult:
    failure = "n3 died during install: its sshd does not answer within 10 s"
    return result(Status.UNKNOWN, evidence=Evidence(), failure=failure)


def plain_console(width: int = 80) -> Console:
    """Make a console over text in memory, which is no terminal."""
    return Console(file=io.StringIO(), width=width)


def terminal_console(width: int = 80, **options: object) -> Console:
    """Make a console that takes itself for a terminal with all colours."""
    settings = {"force_terminal": True, "color_system": "truecolor", "legacy_windows": False}
    return Console(
        file=io.StringIO(), width=width, _environ={"TERM": "xterm"}, **(settings | options)
    )


def ascii_console(width: int = 80) -> Console:
    """Make a console over a file that takes ASCII alone, and raises for the rest."""
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict", write_through=True)
    return Console(file=file, width=width)


def written(console: Console) -> str:
    """Give what was written to one of the consoles above."""
    file = console.file
    if isinstance(file, io.StringIO):
        return file.getvalue()
    file.flush()
    return file.buffer.getvalue().decode("ascii")


@pytest.fixture
def samples() -> SimpleNamespace:
    """What the tests of reports build their runs of."""
    return SimpleNamespace(**{name: value for name, value in globals().items() if name[0] != "_"})
