"""Stops a run as soon as its journal proves that registers are not linearizable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from splitbrain.checkers.linearizability.stream import RegisterStream
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import operation_of
from splitbrain.core.journal import Complete, Invoke, Record
from splitbrain.core.operation import Operation
from splitbrain.core.simulated import World
from splitbrain.core.verdict import Checker
from splitbrain.runtime.conditions import JournalSource
from splitbrain.runtime.control import Control
from splitbrain.runtime.lifecycle import Experiment
from splitbrain.runtime.store import MemoryRun, RunDirectory

STREAMED = "linearizable"
"""The checker whose violations can be proved while a run goes on."""

_ASKED = 32
"""How often a run in virtual time asks whether to stop before its journal is read for it."""


def require_streamed(checkers: Sequence[Checker]) -> None:
    """Refuse to wait for what nobody judges.

    Raises: UsageError when no checker of a run is one that can be asked while it goes on.
    """
    if not any(checker.name == STREAMED for checker in checkers):
        names = ", ".join(checker.name for checker in checkers)
        message = f"--stop-on-violation needs the checker {STREAMED}; this run is judged by {names}"
        raise UsageError(message, advice=f"add --checker {STREAMED}")


@dataclass(slots=True)
class JournalStream:
    """Feeds what is new in a journal to a stream."""

    source: JournalSource
    stream: RegisterStream
    _offset: int = 0
    _count: int = 0
    _invokes: dict[int, Invoke] = field(default_factory=dict)

    def look(self) -> str | None:
        """Read on, and say what is wrong once something is."""
        records, self._offset = self.source(self._offset)
        violation = self.stream.feed(self._operations(records))
        return None if violation is None else violation.explanation

    def _operations(self, records: Sequence[Record]) -> Iterator[Operation]:
        for record in records:
            index = self._count
            self._count += 1
            if isinstance(record, Invoke):
                self._invokes[index] = record
                yield operation_of(index, record, None)
            elif isinstance(record, Complete) and record.invoke in self._invokes:
                invoke = self._invokes.pop(record.invoke)
                yield operation_of(record.invoke, invoke, (index, record))


@dataclass(slots=True)
class EarlyStop(Control):
    """A control that stops the run once its journal proves a violation.

    say: is told why the run stops. every: in virtual time the journal is read when the run has
    asked so many times whether to stop, which makes the moment the same each time; 0: when `look`
    is called.
    """

    journal: JournalStream | None = None
    say: Callable[[str], None] = lambda _line: None
    every: int = 0
    _asked: int = 0

    @property
    def stopped(self) -> bool:
        """True once somebody asked the run to stop, or its journal proved a violation."""
        if self.every:
            self._asked += 1
            if self._asked % self.every == 0:
                self._read()
        return self._stop.is_set()

    def look(self) -> None:
        """Read what is new in the journal, but in virtual time."""
        if not self.every:
            self._read()

    def _read(self) -> None:
        if self._stop.is_set() or self.journal is None:
            return
        wrong = self.journal.look()
        if wrong is not None:
            self.say(f"stopping: {wrong}; healing, then judging what is there")
            self.stop("a violation was proved")


def early_stop(
    experiment: Experiment, run: RunDirectory | MemoryRun, say: Callable[[str], None]
) -> Control:
    """Give a control that stops a run once its journal proves a violation. say: is told why."""
    facts = {**experiment.system.facts, **experiment.workload.facts}
    stream = RegisterStream(facts.get("initial"))
    return EarlyStop(
        journal=JournalStream(run.follow_journal(), stream),
        say=say,
        every=_ASKED if isinstance(experiment.cluster, World) else 0,
    )
