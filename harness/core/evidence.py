"""Everything that a run leaves for its checkers to judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.history import History
from splitbrain.core.journal import (
    ClockSample,
    Complete,
    FaultEvent,
    Invoke,
    Note,
    Observe,
    Phase,
    Record,
)
from splitbrain.core.message import Message
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value

R = TypeVar("R", bound=Record)


class Need(StrEnum):
    """The kinds of evidence."""

    HISTORY = "history"
    OBSERVATIONS = "observations"
    FAULTS = "faults"
    PHASES = "phases"
    CLOCKS = "clocks"
    TRACES = "traces"
    DUMPS = "dumps"
    LOGS = "logs"


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Trace:
    """The trace that one node wrote, as JSON objects in the order of the file.

    gaps: one line for each place where records are missing or cannot be read.
    """

    node: str
    records: tuple[Mapping[str, Value], ...]
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log of one daemon, with whatever it wrote. truncated: cut at the byte cap."""

    node: str
    daemon: str
    text: str
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What checkers judge. None means that this kind of evidence is missing, not that it is empty.

    faults, phases, clocks, notes: the journal's records, each with its index in the journal.
    traces, dumps: by node. dumps: what the system's `Dump` power gave. facts: initial values,
    N/R/W, declared promises, bounds. messages: all that were sent, where a simulator kept them.
    """

    history: History | None = None
    observations: tuple[tuple[int, Observe], ...] | None = None
    faults: tuple[tuple[int, FaultEvent], ...] | None = None
    phases: tuple[tuple[int, Phase], ...] | None = None
    clocks: tuple[tuple[int, ClockSample], ...] | None = None
    notes: tuple[tuple[int, Note], ...] = ()
    traces: Mapping[str, Trace] | None = None
    dumps: Mapping[str, Value] | None = None
    logs: tuple[Log, ...] | None = None
    messages: tuple[Message, ...] | None = None
    facts: Mapping[str, Value] = field(default_factory=dict)

    def missing(self, needs: Iterable[Need]) -> tuple[Need, ...]:
        """Give the kinds of evidence among `needs` that are not here."""
        return tuple(sorted(need for need in needs if getattr(self, need.value) is None))


def from_history(history: History, **facts: Value) -> Evidence:
    """Make evidence of a bare history."""
    return Evidence(history=history, facts=facts)


def from_journal(records: Iterable[Record]) -> Evidence:
    """Fold a journal into evidence; invocations left open become INFO.

    Raises: MalformedHistoryError when the records break a rule of histories.
    """
    invokes: dict[int, Invoke] = {}
    completes: dict[int, tuple[int, Complete]] = {}
    others: dict[type, list[tuple[int, Record]]] = {}
    for index, record in enumerate(records):
        if isinstance(record, Invoke):
            invokes[index] = record
        elif isinstance(record, Complete):
            if record.invoke not in invokes or record.invoke in completes:
                message = f"a completion names record {record.invoke}, which is not open"
                raise MalformedHistoryError(message, operation=index)
            completes[record.invoke] = (index, record)
        else:
            others.setdefault(type(record), []).append((index, record))
    history = History.of(
        operation_of(index, invoke, completes.get(index)) for index, invoke in invokes.items()
    )
    return _evidence(history, others)


def from_columns(history: History, others: Iterable[tuple[int, Record]]) -> Evidence:
    """Make evidence of a history and the other records of its journal, each with its index."""
    by_kind: dict[type, list[tuple[int, Record]]] = {}
    for index, record in others:
        by_kind.setdefault(type(record), []).append((index, record))
    return _evidence(history, by_kind)


def _evidence(history: History, others: dict[type, list[tuple[int, Record]]]) -> Evidence:
    return Evidence(
        history=history,
        observations=_only(others, Observe),
        faults=_only(others, FaultEvent),
        phases=_only(others, Phase),
        clocks=_only(others, ClockSample),
        notes=_only(others, Note),
    )


def _only(others: dict[type, list[tuple[int, Record]]], kind: type[R]) -> tuple[tuple[int, R], ...]:
    return tuple((i, record) for i, record in others.get(kind, []) if isinstance(record, kind))


def operation_of(index: int, invoke: Invoke, completed: tuple[int, Complete] | None) -> Operation:
    """Make an operation of its records, each with its index; INFO where it is not completed."""
    done_at, done = completed or (None, None)
    return Operation(
        process=invoke.process,
        session=invoke.session,
        f=invoke.f,
        node=(done.served_by if done and done.served_by else invoke.node),
        key=invoke.key,
        argument=invoke.argument,
        invoke_index=index,
        start_ns=invoke.time_ns,
        complete_index=done_at,
        outcome=Outcome(done.outcome) if done else Outcome.INFO,
        result=done.result if done else None,
        applied=done.applied if done else True,
        version=done.version if done else None,
        end_ns=done.time_ns if done else None,
        error=done.error if done else None,
    )
