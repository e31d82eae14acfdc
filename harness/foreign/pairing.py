"""Puts the events of a foreign history together into operations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.quoted import quoted, quoted_value
from splitbrain.core.value import Value, same
from splitbrain.foreign.event import Event, EventType
from splitbrain.foreign.tuples import untupled

ALIASES = {"get": "read", "put": "write", "compare-and-set": "cas"}
"""Other names of operations that mean the same."""

NO_RESULT = ("write", "cas", "append")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The operations of a history, and what had to be done to the events.

    nemesis: events of the nemesis that were left out. renumbered: times a process went on after an
    operation of unknown outcome, and counts as another from there. aliases: names that were
    replaced. refused: compare-and-sets that failed without an error; observed or not. changed:
    operations that ended with another value than they were given. tupled: keys that were taken out
    of the values, 0 where there were none in them.
    """

    history: History
    nemesis: int
    renumbered: int
    aliases: tuple[str, ...]
    refused: int
    unfinished: int
    changed: int
    tupled: int


@dataclass(slots=True)
class _Open:
    event: Event
    place: int


@dataclass(slots=True)
class Pairing:
    """Takes events in their order and remembers who is doing what."""

    path: Path
    observe_refusals: bool
    _open: dict[int, _Open] = field(default_factory=dict)
    _operations: list[Operation] = field(default_factory=list)
    _place: int = 0
    _nemesis: int = 0
    _refused: int = 0
    _changed: int = 0
    _index: int | None = None
    _aliases: set[str] = field(default_factory=set)

    def run(self, events: Iterable[Event | None]) -> Paired:
        """Pair all events; an invocation that is never completed has an unknown outcome.

        Raises: MalformedHistoryError naming the line.
        """
        for event in events:
            if event is None:
                self._nemesis += 1
                continue
            self._place += 1
            self._require_order(event)
            if event.type is EventType.INVOKE:
                self._invoke(event)
            else:
                self._complete(event)
        unfinished = list(self._open.values())
        self._operations += [self._operation(item, None) for item in unfinished]
        untied, tupled = untupled(self._operations, self.path)
        operations, renumbered = _renumbered(untied)
        return Paired(
            history=History.of(operations),
            nemesis=self._nemesis,
            renumbered=renumbered,
            aliases=tuple(sorted(self._aliases)),
            refused=self._refused,
            unfinished=len(unfinished),
            changed=self._changed,
            tupled=tupled,
        )

    def _require_order(self, event: Event) -> None:
        if event.index is None:
            return
        if self._index is not None and event.index < self._index:
            self._refuse(
                f"the event has the index {event.index} and stands behind {self._index}: the lines "
                "must be in the order of the events",
                event,
            )
        self._index = event.index

    def _invoke(self, event: Event) -> None:
        if event.process in self._open:
            line = self._open[event.process].event.line
            self._refuse(
                f"process {event.process} invokes {quoted(event.f)}, but its "
                f"{self._f_of(event.process)} of line {line} is still open",
                event,
            )
        self._open[event.process] = _Open(event, self._place)

    def _f_of(self, process: int) -> str:
        return quoted(self._open[process].event.f)

    def _complete(self, event: Event) -> None:
        if event.process not in self._open:
            self._refuse(
                f"process {event.process} completes {quoted(event.f)}, but it has invoked nothing",
                event,
            )
        invoked = self._open[event.process]
        if invoked.event.f != event.f:
            self._refuse(
                f"process {event.process} completes {quoted(event.f)}, but it has invoked "
                f"{quoted(invoked.event.f)} (line {invoked.event.line})",
                event,
            )
        if event.key is not None and not same(event.key, invoked.event.key):
            self._refuse(
                f"process {event.process} completes {quoted(event.f)} of key "
                f"{quoted_value(event.key)}, but it has invoked that of key "
                f"{quoted_value(invoked.event.key)} (line {invoked.event.line})",
                event,
            )
        if event.type is EventType.OK and self._function(event.f) == "read" and not event.is_told:
            self._refuse(
                f"process {event.process} ends {quoted(event.f)} and does not say what it returned",
                event,
            )
        del self._open[event.process]
        self._operations.append(self._operation(invoked, event))

    def _operation(self, invoked: _Open, done: Event | None) -> Operation:
        begun = invoked.event
        f = self._function(begun.f)
        outcome = Outcome.INFO if done is None else Outcome(done.type.value)
        if done is not None and outcome is Outcome.FAIL and not done.applied:
            outcome = Outcome.OK  # the writer says that it was refused: an observation
        applied = done.applied if done is not None and outcome is Outcome.OK else True
        if done is not None and f == "cas" and outcome is Outcome.FAIL and done.error is None:
            self._refused += 1
            if self.observe_refusals:
                outcome, applied = Outcome.OK, False
        return Operation(
            process=begun.process,
            session=begun.process if begun.session is None else begun.session,
            f=f,
            outcome=outcome,
            invoke_index=invoked.place,
            complete_index=None if done is None else self._place,
            key=begun.key,
            argument=self._argument(f, begun, done),
            result=_result(f, outcome, done),
            applied=applied,
            version=None if done is None else done.version,
            node=begun.node if done is None else done.node or begun.node,
            start_ns=begun.time_ns or 0,
            end_ns=None if done is None else done.time_ns,
            error=None if done is None else done.error,
        )

    def _argument(self, f: str, begun: Event, done: Event | None) -> Value:
        """Give what an operation was given; some clients choose it themselves, and say so at last.

        A plain read has no argument, whatever some histories write into its invocation.
        """
        if f == "read" and not isinstance(begun.value, (list, dict)):
            return None
        if f not in NO_RESULT:
            return begun.value
        told = done if done is not None and done.type is EventType.OK and done.is_told else None
        if not begun.is_told and told is None:
            self._refuse(
                f"process {begun.process} invokes {quoted(begun.f)} and does not say of what", begun
            )
        if told is None or told.value is None or same(told.value, begun.value):
            return begun.value
        if begun.value is None:
            return told.value
        self._changed += 1
        return begun.value

    def _function(self, f: str) -> str:
        if f not in ALIASES:
            return f
        self._aliases.add(f)
        return ALIASES[f]

    def _refuse(self, message: str, event: Event) -> NoReturn:
        raise MalformedHistoryError(message, path=self.path, line=event.line)


def _result(f: str, outcome: Outcome, done: Event | None) -> Value:
    if done is None or outcome is not Outcome.OK or f in NO_RESULT:
        return None
    return done.value


def _renumbered(operations: Iterable[Operation]) -> tuple[list[Operation], int]:
    """Give a new number to each process that goes on after an operation of unknown outcome."""
    ordered = sorted(operations, key=lambda item: item.invoke_index)
    used = {item.process for item in ordered}
    first = max(used, default=0) + 1
    free = itertools.count(first if first < 2**62 else 0)
    now: dict[int, int] = {}
    retired: set[int] = set()
    result: list[Operation] = []
    count = 0
    for item in ordered:
        if item.process in retired:
            retired.discard(item.process)
            count += 1
            now[item.process] = next(number for number in free if number not in used)
        if item.outcome is Outcome.INFO:
            retired.add(item.process)
        process = now.get(item.process, item.process)
        result.append(replace(item, process=process) if process != item.process else item)
    return result, count
