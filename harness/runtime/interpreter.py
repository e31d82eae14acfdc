"""The interpreter: worker threads that step a generator, perform its operations and journal them.

Each worker steps the generator itself, under the journal's lock, which so orders both: an Invoke is
written before its worker may send, and a completion before anybody can act on it. The thread that
calls `run` keeps watch: an operation that outlives its time limit ends as INFO, its thread is
abandoned, and another takes the seat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from splitbrain.core.client import Client, ClientFactory, Fail, Info, Reply, Streaming
from splitbrain.core.errors import HarnessError
from splitbrain.core.generator import Generator, Invocation, Pending
from splitbrain.core.journal import Complete, encode
from splitbrain.core.value import Value
from splitbrain.runtime.journal import Journal
from splitbrain.runtime.reply import completion, raised, unknown
from splitbrain.runtime.seats import Seat, Seats, observation

ABANDONED_LIMIT = 1000
GRACE_S = 1.0
STOP_GRACE_S = 1.0
WATCH_S = 0.05
CLOSE_LIMIT_S = 5.0
LEAST_WAIT_S = 1e-4

_SEND, _RECOVER, _LEAVE = range(3)
_now = time.monotonic_ns


class Interpreter(Seats):
    """Runs the phases of a workload, one after the other, with the same workers and clients.

    Worker w talks to nodes[w mod n]. It is process w at first; after an operation of unknown
    outcome it goes on as a process of a fresh number (the old one plus the concurrency) with a
    fresh client on the same node. A session lasts as long as its process and bears its number: no
    context is carried to a fresh client, and a system that numbers a session's requests must not
    take a new one for a duplicate.

    A client that cannot be opened makes its operation FAIL, since nothing was sent. After several
    operations in a row that are not OK, a worker pauses for up to `LONGEST_PAUSE_S`, so that a dead
    node is not asked ten thousand times a second.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        client_factory: ClientFactory,
        nodes: Sequence[str],
        concurrency: int,
        operation_timeout_s: float = 5.0,
        grace_s: float = GRACE_S,
    ) -> None:
        super().__init__(
            journal=journal,
            nodes=nodes,
            concurrency=concurrency,
            limit_s=operation_timeout_s + grace_s,
        )
        self._client_factory = client_factory
        self._timeout_s = operation_timeout_s
        self._lock = journal.lock
        self._events = threading.Condition(self._lock)
        self._timers = threading.Condition(self._lock)
        self._cut_short = threading.Condition(self._lock)
        self._timers_due = False
        self._ended = threading.Event()
        self._all_left = threading.Event()
        self._abandoned = 0
        self._failure: BaseException | None = None

    def run(
        self,
        generator: Generator,
        *,
        limit_s: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Perform a phase until the generator is exhausted, time is up, or somebody stops it.

        Operations under way at the end are waited for, up to their own limit, or for about
        `STOP_GRACE_S` when stopped. Invocations of the future are dropped. The threads of the
        workers are made by the calling thread, and so live in its network namespace.

        Raises: StoreError when the journal cannot be written, ContractError when the generator
        breaks its contract, HarnessError when too many threads are stuck in clients.
        """
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._begin(generator, _now())
        self._ended.clear()
        self._all_left.clear()
        limit_ns = None if limit_s is None else self._began_ns + int(limit_s * 1e9)
        try:
            for seat in self._seats:
                self._start(seat)
            self._watch(limit_ns, stopped)
        except BaseException as error:
            self._fail(error)
            self._leave_behind()
            raise
        if self._failure is not None:
            raise self._failure

    @property
    def abandoned(self) -> int:
        """How many threads were left behind in clients that did not return."""
        return self._abandoned

    def close(self) -> None:
        """Close all clients, and write nothing any more."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._end(cut=True)
        closing = threading.Thread(target=self._close_clients, name="closing", daemon=True)
        closing.start()
        closing.join(CLOSE_LIMIT_S)

    def _close_clients(self) -> None:
        for seat in self._seats:
            if seat.client is not None and not seat.abandoned:
                _close(seat.client)
                seat.client = None

    # The watch: what the calling thread does meanwhile.

    def _start(self, seat: Seat) -> None:
        name = f"worker-{seat.number}"
        thread = threading.Thread(target=self._occupy, args=(seat,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            message = f"the system gives no thread for {name}: {error}"
            raise HarnessError(message, advice="use a lower --concurrency") from error

    def _watch(self, limit_ns: int | None, stopped: Callable[[], bool]) -> None:
        hurry_ns: int | None = None
        while not self._all_left.wait(self._pause_s(limit_ns)):
            now = _now()
            if hurry_ns is None and stopped():
                hurry_ns = now + int(STOP_GRACE_S * 1e9)
            with self._lock:
                if hurry_ns is not None or (limit_ns is not None and now >= limit_ns):
                    self._end(cut=True)
                if self._timers_due:
                    self._timers_due = False
                    self._timers.notify_all()
            self._relieve_overdue(now, hurry=hurry_ns is not None and now >= hurry_ns)

    def _pause_s(self, limit_ns: int | None) -> float:
        if limit_ns is None or self._cut:
            return WATCH_S
        return min(WATCH_S, max(0.0, (limit_ns - _now()) / 1e9))

    def _relieve_overdue(self, now: int, *, hurry: bool) -> None:
        for seat in list(self._seats):
            deadline = seat.deadline_ns
            if deadline and (hurry or now > deadline):
                with self._lock:
                    fresh = self._relieve(seat, now, hurry=hurry)
                if fresh is not None:
                    self._start(fresh)

    def _relieve(self, seat: Seat, now: int, *, hurry: bool) -> Seat | None:
        """Abandon a thread that is stuck; give the seat that needs a thread now, if one does."""
        if not seat.deadline_ns or not (hurry or now > seat.deadline_ns):
            return None
        seat.abandoned = True
        self._abandoned += 1
        fresh = Seat(seat.number, seat.process + self._concurrency, seat.node)
        fresh.failures = seat.failures + 1
        self._seats[seat.number] = fresh
        if seat.invoke_index is not None:
            why = "the run was stopped" if hurry else f"no reply within {self._limit_ns / 1e9:g} s"
            record = unknown(seat.invoke_index, why, now)
            self._complete(seat, record, encode(record))
        if self._abandoned > ABANDONED_LIMIT:
            message = f"{self._abandoned} threads are stuck in clients that never return"
            raise HarnessError(message, advice="give the client timeouts of its own")
        if self._generator is None or self._cut:
            self._left()
            return None
        return fresh

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None and isinstance(error, Exception):
                self._failure = error  # a KeyboardInterrupt ends this phase alone
            self._end(cut=True)

    def _leave_behind(self) -> None:
        """Let the workers end, and abandon those that do not."""
        self._all_left.wait(STOP_GRACE_S)
        for seat in list(self._seats):
            with self._lock, suppress(HarnessError):
                self._relieve(seat, _now(), hurry=True)

    def _end(self, *, cut: bool) -> None:
        super()._end(cut=cut)
        self._ended.set()
        self._events.notify_all()
        self._timers.notify_all()
        if cut:
            self._cut_short.notify_all()

    def _left(self) -> None:
        self._working -= 1
        if self._working == 0:
            self._all_left.set()

    # The workers.

    def _occupy(self, seat: Seat) -> None:
        try:
            self._serve(seat)
        except BaseException as error:  # noqa: BLE001 - `run` raises it in the calling thread
            self._fail(error)
        finally:
            with self._lock:
                gone = seat.abandoned
                if not gone:
                    self._left()
        if gone and seat.client is not None:
            _close(seat.client)

    def _serve(self, seat: Seat) -> None:
        done: tuple[Complete, bytes] | None = None
        while True:
            with self._lock:
                turn = self._turn(seat, done)
                held, index = seat.held, seat.invoke_index
            if turn == _SEND:
                assert held is not None
                assert index is not None
                done = self._perform(seat, held, index)
            elif turn == _RECOVER:
                done = None
                self._recover(seat)
            else:
                return

    def _turn(self, seat: Seat, done: tuple[Complete, bytes] | None) -> int:
        """End what is done and take what is next; the caller holds the lock."""
        if seat.abandoned:
            if done is not None and not self._closed and self._failure is None:
                self._note_late(seat, done[0])
            return _LEAVE
        seat.deadline_ns = 0
        if done is not None:
            self._complete(seat, *done)
            if seat.failures:
                return _RECOVER
        return self._take(seat)

    def _take(self, seat: Seat) -> int:
        while not self._cut:
            now = _now() - self._began_ns
            held = seat.held
            if held is None:
                step = self._step(seat, now)
                if step is None:
                    return _LEAVE
                if isinstance(step, Pending):
                    self._wait(step, now)
                    continue
                held = step
            if held.at_ns > now:
                self._cut_short.wait((held.at_ns - now) / 1e9)
                continue
            self._invoke(seat, held, now)
            return _SEND
        self._drop(seat)
        return _LEAVE

    def _wait(self, pending: Pending, now: int) -> None:
        until_ns = pending.until_ns
        self._waiting += 1
        try:
            hears = self._timers if pending.is_fixed else self._events
            hears.wait(None if until_ns is None else max(LEAST_WAIT_S, (until_ns - now) / 1e9))
        finally:
            self._waiting -= 1

    def _notify(self) -> None:
        # Who waits for a fixed moment is told of events a little later, all of them at once: at a
        # bounded rate most workers do, and to wake them all for each operation costs more than it.
        self._timers_due = True
        self._events.notify_all()

    def _perform(self, seat: Seat, held: Invocation, index: int) -> tuple[Complete, bytes]:
        """Send what the seat holds, without the lock; whatever happens, give a completion."""
        client = seat.client
        if client is None:
            opened = self._open(seat)
            if isinstance(opened, Fail):
                return completion(index, opened, _now())
            if seat.abandoned:
                return completion(index, Fail("given up before it was sent"), _now())
            client = opened
            seat.deadline_ns = _now() + self._limit_ns
        reply: Reply
        try:
            reply = client.invoke(held.f, held.key, held.argument, self._timeout_s)
        except BaseException as error:  # noqa: BLE001 - an escaped exception is INFO
            reply = Info(raised(error))
        return completion(index, reply, _now())

    def _open(self, seat: Seat) -> Client | Fail:
        client: Client | None = None
        try:
            client = self._client_factory()
            client.open(seat.node, seat.process)
            if isinstance(client, Streaming):
                client.listen(self._sink(seat.process))
        except BaseException as error:  # noqa: BLE001 - nothing was sent, whatever it was
            if client is not None:
                _close(client)
            seat.cannot_open = True
            return Fail(f"cannot open: {raised(error)}")
        seat.cannot_open = False
        seat.client = client
        return client

    def _recover(self, seat: Seat) -> None:
        """Let go of a retired process's client, and pause the longer the more has failed."""
        if seat.retired:
            seat.retired = False
            client, seat.client = seat.client, None
            if client is not None:
                seat.deadline_ns = _now() + self._limit_ns
                _close(client)
                seat.deadline_ns = 0
        self._ended.wait(seat.pause_s)

    def _sink(self, session: int) -> Callable[[str, Value, Value], None]:
        def take(f: str, key: Value, value: Value) -> None:
            record, frame = observation(session, f, key, value, _now())
            try:
                with self._lock:
                    if not self._closed:
                        self._journal.append_frame(frame, type(record))
            except HarnessError as error:
                self._fail(error)

        return take


def _close(client: Client) -> None:
    with suppress(BaseException):  # it must not raise, and there is nobody to tell
        client.close()
