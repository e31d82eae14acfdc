"""A simulator that tests generators: no cluster, no threads, no time but its own.

Equal arguments give equal histories. What becomes of an operation, and how long that takes, is
decided by a function; `perfect`, `quick`, `all_unknown` and `mixed` are at hand.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from splitbrain.core.client import Fail, Info, Ok, Reply
from splitbrain.core.generator import Context, Event, Generator, Invocation
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.randomness import Keyed

LATENCY_NS = 10
OPERATION_LIMIT = 10_000

Answer = Callable[[Invocation, Keyed], tuple[Reply, int]]
"""What becomes of an invocation, and after how many nanoseconds; the `Keyed` is its own."""


class Ending(StrEnum):
    """Why a simulation ended.

    EXHAUSTED: the generator was. LIMIT: the limit of time or operations was reached. STUCK: every
    worker waits for an event, and none will come.
    """

    EXHAUSTED = "exhausted"
    LIMIT = "limit"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What a generator did: its operations in the order of invocation, and why it ended."""

    operations: tuple[Operation, ...]
    ending: Ending
    time_ns: int


@dataclass(frozen=True, slots=True)
class _Flight:
    operation: Operation
    reply: Reply


@dataclass(slots=True)
class _Simulation:
    generator: Generator | None
    workers: int
    answer: Answer
    rng: Keyed
    limit_ns: int | None
    operation_limit: int
    time_ns: int = 0
    index: int = 0
    pushed: int = 0
    processes: list[int] = field(default_factory=list)
    flights: dict[int, _Flight] = field(default_factory=dict)
    held: dict[int, Invocation] = field(default_factory=dict)
    wakes: dict[int, int | None] = field(default_factory=dict)
    queue: list[tuple[int, int, int]] = field(default_factory=list)
    operations: dict[int, Operation] = field(default_factory=dict)
    ending: Ending = Ending.EXHAUSTED

    def perform(self) -> Simulated:
        self.processes = list(range(self.workers))
        while True:
            self._ask_all()
            moment = self._next_moment()
            if moment is None:
                break
            if self.limit_ns is not None and moment >= self.limit_ns:
                self._stop(Ending.LIMIT)
                continue
            self.time_ns = max(self.time_ns, moment)
            self._advance()
        if self.generator is not None:
            self.ending = Ending.STUCK
        operations = tuple(self.operations[index] for index in sorted(self.operations))
        return Simulated(operations=operations, ending=self.ending, time_ns=self.time_ns)

    def _ask_all(self) -> None:
        for worker in range(self.workers):
            if worker not in self.flights and worker not in self.held and worker not in self.wakes:
                self._ask(worker)

    def _ask(self, worker: int) -> None:
        if self.generator is None:
            return
        step, self.generator = self.generator.step(self._context(worker))
        if step is None:
            self.generator = None
        elif isinstance(step, Invocation):
            self.held[worker] = step
            self._wake_all()
            self._push(max(step.at_ns, self.time_ns), worker)
        else:
            self.wakes[worker] = step.until_ns

    def _next_moment(self) -> int | None:
        moments = [self.queue[0][0]] if self.queue else []
        if self.generator is not None:
            moments += [until for until in self.wakes.values() if until is not None]
        return min(moments, default=None)

    def _advance(self) -> None:
        due = [w for w, until in self.wakes.items() if until is not None and until <= self.time_ns]
        for worker in due:
            del self.wakes[worker]
        while self.queue and self.queue[0][0] <= self.time_ns:
            _, _, worker = heapq.heappop(self.queue)
            if worker in self.held:
                self._invoke(worker)
            else:
                self._complete(worker)

    def _invoke(self, worker: int) -> None:
        if len(self.operations) >= self.operation_limit:
            self._stop(Ending.LIMIT)
            return
        held = self.held.pop(worker)
        process = self.processes[worker]
        operation = Operation(
            process=process,
            session=process,
            f=held.f,
            key=held.key,
            argument=held.argument,
            outcome=Outcome.INFO,
            invoke_index=self._count(),
            start_ns=self.time_ns,
        )
        self.operations[operation.invoke_index] = operation
        reply, latency_ns = self.answer(held, self.rng.child(len(self.operations)))
        self.flights[worker] = _Flight(operation, reply)
        self._push(self.time_ns + max(0, latency_ns), worker)
        self._tell(Event(worker, process, held.f, held.key, held.argument))

    def _complete(self, worker: int) -> None:
        flight = self.flights.pop(worker)
        before = replace(flight.operation, complete_index=self._count(), end_ns=self.time_ns)
        after = _completed(before, flight.reply)
        self.operations[before.invoke_index] = after
        if after.outcome is Outcome.INFO:
            self.processes[worker] += self.workers
        self._tell(
            Event(
                worker,
                after.process,
                after.f,
                after.key,
                after.argument,
                after.outcome,
                after.result,
                after.applied,
            )
        )

    def _tell(self, event: Event) -> None:
        if self.generator is not None:
            self.generator = self.generator.update(self._context(event.worker), event)
        self._wake_all()

    def _wake_all(self) -> None:
        self.wakes.clear()

    def _stop(self, ending: Ending) -> None:
        self.generator, self.ending = None, ending
        self.held.clear()
        self.limit_ns = None
        self.queue = [entry for entry in self.queue if entry[2] in self.flights]
        heapq.heapify(self.queue)

    def _context(self, worker: int) -> Context:
        others = len(self.flights) + len(self.held)
        others -= (worker in self.flights) + (worker in self.held)
        return Context(self.time_ns, worker, self.processes[worker], self.workers, others)

    def _push(self, moment: int, worker: int) -> None:
        self.pushed += 1
        heapq.heappush(self.queue, (moment, self.pushed, worker))

    def _count(self) -> int:
        self.index += 1
        return self.index - 1


def simulate(
    generator: Generator,
    *,
    workers: int = 3,
    seed: int = 0,
    answer: Answer | None = None,
    limit_s: float | None = None,
    operation_limit: int = OPERATION_LIMIT,
) -> Simulated:
    """Run a generator against imagined clients, in virtual time that begins at 0.

    answer: what becomes of operations, `perfect` by default.
    """
    return _Simulation(
        generator=generator,
        workers=workers,
        answer=answer or perfect,
        rng=Keyed.of(seed, "simulate"),
        limit_ns=None if limit_s is None else int(limit_s * 1e9),
        operation_limit=operation_limit,
    ).perform()


def perfect(invocation: Invocation, rng: Keyed) -> tuple[Reply, int]:  # noqa: ARG001
    """Every operation succeeds, in `LATENCY_NS`, and returns its argument."""
    return Ok(invocation.argument), LATENCY_NS


def quick(invocation: Invocation, rng: Keyed) -> tuple[Reply, int]:  # noqa: ARG001
    """Every operation succeeds at once."""
    return Ok(invocation.argument), 0


def all_unknown(invocation: Invocation, rng: Keyed) -> tuple[Reply, int]:  # noqa: ARG001
    """No operation's effect is known; each takes `LATENCY_NS`."""
    return Info("simulated"), LATENCY_NS


def mixed(invocation: Invocation, rng: Keyed) -> tuple[Reply, int]:
    """Operations succeed, fail and stay unknown with equal chance, in up to twice `LATENCY_NS`."""
    replies: tuple[Reply, ...] = (Ok(invocation.argument), Fail("simulated"), Info("simulated"))
    return rng.choice(replies, 1), rng.integer(2 * LATENCY_NS + 1, 2)


def _completed(operation: Operation, reply: Reply) -> Operation:
    if isinstance(reply, Ok):
        return replace(
            operation,
            outcome=Outcome.OK,
            result=reply.value,
            version=reply.version,
            applied=reply.applied,
        )
    outcome = Outcome.FAIL if isinstance(reply, Fail) else Outcome.INFO
    return replace(operation, outcome=outcome, error=reply.error)
