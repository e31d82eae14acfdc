"""The seats of a phase: what workers take from the generator, and what they journal of it.

Nothing here waits and nothing is locked: threads take turns under the journal's lock, the simulator
calls from its one thread. Both so decide the same in the same situation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from splitbrain.core.client import Client
from splitbrain.core.errors import ContractError, HarnessError, UsageError
from splitbrain.core.generator import Context, Event, Generator, Invocation, Pending
from splitbrain.core.journal import Complete, Invoke, Note, Observe, encode
from splitbrain.core.operation import Outcome
from splitbrain.core.value import Value, canonical, require_value
from splitbrain.runtime.journal import Journal
from splitbrain.runtime.reply import one_line, raised

FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.064
OPEN_PAUSE_S = 0.05

_SCALARS: Final = (type(None), bool, int, str)
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}


class Seat:
    """A worker's place: one process at a time, its client, and the operation it holds.

    held: taken from the generator and not completed. invoke_index: place of its Invoke, None before
    that is written. deadline_ns: when what the worker does outside the lock has taken too long; 0
    while it does nothing. failures: how many operations in a row were not OK. retired: the process
    has ended, and its client must go. cannot_open: the last try to open a client failed.
    """

    __slots__ = (
        "abandoned",
        "cannot_open",
        "client",
        "deadline_ns",
        "failures",
        "held",
        "invoke_index",
        "node",
        "number",
        "process",
        "retired",
    )

    def __init__(self, number: int, process: int, node: str) -> None:
        self.number = number
        self.process = process
        self.node = node
        self.client: Client | None = None
        self.held: Invocation | None = None
        self.invoke_index: int | None = None
        self.deadline_ns = 0
        self.failures = 0
        self.retired = False
        self.cannot_open = False
        self.abandoned = False

    @property
    def pause_s(self) -> float:
        """How long to pause after a failure: the longer the more have failed in a row."""
        pause_s: float = min(FIRST_PAUSE_S * 2 ** min(self.failures - 1, 16), LONGEST_PAUSE_S)
        return max(pause_s, OPEN_PAUSE_S) if self.cannot_open else pause_s


class Seats:
    """The seats of all workers, and the generator that they step.

    Worker w talks to nodes[w mod n]. It is process w at first; after an operation of unknown
    outcome it goes on as a process of a fresh number (the old one plus the concurrency). limit_s:
    how long an operation may take in all.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        nodes: Sequence[str],
        concurrency: int,
        limit_s: float,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if concurrency < 1 or not nodes:
            message = (
                f"{concurrency} workers at {len(nodes)} nodes can do nothing: one is the least"
            )
            raise UsageError(message)
        self._journal = journal
        self._concurrency = concurrency
        self._limit_ns = int(limit_s * 1e9)
        self._clock = clock
        self._seats = [Seat(w, w, nodes[w % len(nodes)]) for w in range(concurrency)]
        self._generator: Generator | None = None
        self._began_ns = 0
        self._cut = True
        self._working = 0
        self._waiting = 0
        self._holding = 0
        self._counts = {"ok": 0, "fail": 0, "info": 0}
        self._keys: dict[object, Value] = {}
        self._closed = False

    def counts(self) -> Mapping[str, int]:
        """Give how many operations have ended so far, by outcome."""
        return dict(self._counts)

    def keys_used(self) -> tuple[Value, ...]:
        """Give the keys of all operations so far, in the order of their first use."""
        with self._journal.lock:
            return tuple(self._keys.values())

    def _begin(self, generator: Generator, now_ns: int) -> None:
        self._generator, self._cut = generator, False
        self._began_ns = now_ns
        self._working = self._concurrency

    def _end(self, *, cut: bool) -> None:
        """End the phase: nothing new begins; with `cut`, nothing that waits for its time either."""
        self._generator = None
        self._cut = self._cut or cut

    def _notify(self) -> None:
        """Tell those who wait for an event that there was one."""
        raise NotImplementedError

    def _drop(self, seat: Seat) -> None:
        """Give up what a seat took and did not begin."""
        if seat.held is not None:
            seat.held = None
            self._holding -= 1

    def _step(self, seat: Seat, now: int) -> Invocation | Pending | None:
        """Ask the generator; None when the phase has ended."""
        generator = self._generator
        if generator is None:
            return None
        context = Context(now, seat.number, seat.process, self._concurrency, self._holding)
        try:
            step, self._generator = generator.step(context)
        except HarnessError:
            raise
        except Exception as error:
            raise _broken(generator, error) from error
        if type(step) is Invocation:
            seat.held = step
            self._holding += 1
            if self._waiting:
                self._notify()
            return step
        if step is None:
            self._end(cut=False)
        elif not isinstance(step, Pending):
            message = f"the generator gave {step!r}, which is neither Invocation, Pending nor None"
            raise ContractError(message)
        return step

    def _invoke(self, seat: Seat, held: Invocation, now: int) -> None:
        f, key, argument = held.f, held.key, held.argument
        if type(key) not in _SCALARS or type(argument) not in _SCALARS:
            key, argument = _checked(held)
            seat.held = held = Invocation(f, key, argument)
        process = seat.process
        record = Invoke(
            process=process,
            session=process,
            f=f,
            time_ns=now + self._began_ns,
            node=seat.node,
            key=key,
            argument=argument,
        )
        try:
            frame = encode(record)
        except (ValueError, TypeError) as error:
            raise _unusable(held, error) from error
        seat.invoke_index = self._journal.append_frame(frame, Invoke)
        seat.deadline_ns = now + self._began_ns + self._limit_ns
        if key is not None:
            self._keys.setdefault(
                (type(key), key) if type(key) in _SCALARS else canonical(key), key
            )
        if self._generator is not None:
            others = self._holding - 1
            self._update(seat, Event(seat.number, process, f, key, argument), now, others)

    def _complete(self, seat: Seat, record: Complete, frame: bytes) -> None:
        held = seat.held
        assert held is not None
        self._journal.append_frame(frame, Complete)
        seat.held = seat.invoke_index = None
        self._holding -= 1
        outcome = record.outcome
        self._counts[outcome] += 1
        process = seat.process
        if outcome == "ok":
            seat.failures = 0
        else:
            seat.failures += 1
            if outcome == "info":
                seat.retired = True
                seat.process += self._concurrency
        if self._generator is not None:
            event = Event(
                seat.number,
                process,
                held.f,
                held.key,
                held.argument,
                _OUTCOMES[outcome],
                record.result,
                record.applied,
            )
            self._update(seat, event, self._clock() - self._began_ns, self._holding)
        if self._waiting:
            self._notify()

    def _update(self, seat: Seat, event: Event, now: int, in_flight: int) -> None:
        generator = self._generator
        assert generator is not None
        context = Context(now, seat.number, seat.process, self._concurrency, in_flight)
        try:
            self._generator = generator.update(context, event)
        except HarnessError:
            raise
        except Exception as error:
            raise _broken(generator, error) from error

    def _note_late(self, seat: Seat, record: Complete) -> None:
        data = {
            "invoke": record.invoke,
            "outcome": record.outcome,
            "result": record.result,
            "error": record.error,
        }
        text = "a reply came after its operation had been given up"
        note = Note(text=text, time_ns=record.time_ns, level="warning", node=seat.node, data=data)
        self._journal.append(note)


def observation(
    session: int, f: str, key: Value, value: Value, now_ns: int
) -> tuple[Observe | Note, bytes]:
    """Give the record of a push, and its bytes; one that cannot be kept becomes a note."""
    try:
        record: Observe | Note = Observe(
            session=session,
            f=f,
            time_ns=now_ns,
            key=require_value(key),
            value=require_value(value),
        )
        return record, encode(record)
    except (ValueError, TypeError) as error:
        text = one_line(f"a push to session {session} cannot be kept: {error}")
        record = Note(text=text, time_ns=now_ns, level="warning")
        return record, encode(record)


def _checked(held: Invocation) -> tuple[Value, Value]:
    try:
        return require_value(held.key), require_value(held.argument)
    except ValueError as error:
        raise _unusable(held, error) from error


def _unusable(held: Invocation, error: Exception) -> ContractError:
    return ContractError(f"the generator gave an operation {held.f!r} that is not JSON: {error}")


def _broken(generator: Generator, error: Exception) -> ContractError:
    return ContractError(f"the generator {type(generator).__name__} failed: {raised(error)}")
