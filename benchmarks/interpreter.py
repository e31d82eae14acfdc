"""How fast the interpreter is, beside a scheduling thread with queues, and what bounds it.

    python benchmarks/interpreter.py [--json] [--seconds S]

Both run the register workload's generator as fast as it goes, journal every operation, and are
measured in turns in the same process, so that ratios hold on a noisy machine. The rival is built as
Jepsen's interpreter is: one thread owns generator and journal, and speaks to each worker through a
queue.
"""

from __future__ import annotations

import argparse
import json
import queue
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from splitbrain.core.client import Client, ClientFactory, Ok, Reply
from splitbrain.core.generator import Context, Event, Generator, Invocation
from splitbrain.core.journal import Complete, FaultEvent, Invoke
from splitbrain.core.operation import Outcome
from splitbrain.core.value import Value
from splitbrain.core.workload import Load
from splitbrain.runtime.interpreter import Interpreter
from splitbrain.runtime.journal import JournalWriter, read_journal
from splitbrain.workloads.register import Register

NODES = ("n1", "n2", "n3", "n4", "n5")
CLIENTS = (5, 10, 50)
UNLIMITED_HZ = 1e9
ROUNDS = 2
FAULT_PAUSE_S = 0.001

ECHO_SERVER = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0), backlog=128)
print(server.getsockname()[1], flush=True)
def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(4096):
        connection.sendall(data)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


class NoClient:
    """Answers at once."""

    def open(self, node: str, session: int) -> None:
        """Do nothing."""

    def invoke(self, f: str, key: Value, argument: Value, timeout_s: float) -> Reply:  # noqa: ARG002
        """Say that it happened."""
        return Ok(1)

    def close(self) -> None:
        """Do nothing."""


class SocketClient:
    """Sends each operation over a loopback socket and waits for the echo."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def open(self, node: str, session: int) -> None:  # noqa: ARG002
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def invoke(self, f: str, key: Value, argument: Value, timeout_s: float) -> Reply:  # noqa: ARG002
        """Send a line of about the size of a request, and read it back."""
        assert self._socket is not None
        self._socket.sendall(f'{{"f":"{f}","key":{key},"argument":1234}}\n'.encode())
        self._socket.recv(4096)
        return Ok(1)

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()


class StampClient:
    """Notes when it is asked to send, in nanoseconds, for the operation's key and argument."""

    def __init__(self, sent: list[int]) -> None:
        self._sent = sent

    def open(self, node: str, session: int) -> None:
        """Do nothing."""

    def invoke(self, f: str, key: Value, argument: Value, timeout_s: float) -> Reply:  # noqa: ARG002
        """Note the time; appending to a list is atomic, and `version` says where the time lies."""
        now = time.monotonic_ns()
        self._sent.append(now)
        return Ok(1, version=now)

    def close(self) -> None:
        """Do nothing."""


class TimedLock:
    """A lock that sums up how long it was held; for the account of what bounds the rate."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since = 0
        self.held_ns = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock."""
        taken = self._lock.acquire(blocking, timeout)
        if taken:
            self._since = time.perf_counter_ns()
        return taken

    def release(self) -> None:
        """Let the lock go."""
        self.held_ns += time.perf_counter_ns() - self._since
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class QueueInterpreter:
    """The rival: one thread steps the generator and journals; workers get operations by queues."""

    def __init__(self, journal: JournalWriter, factory: ClientFactory, concurrency: int) -> None:
        self._journal = journal
        self._concurrency = concurrency
        self._done: queue.SimpleQueue[tuple[int, int, Invocation, Reply]] = queue.SimpleQueue()
        self._tasks: list[queue.SimpleQueue[tuple[int, Invocation] | None]] = []
        self._clients = [factory() for _ in range(concurrency)]
        self.count = 0

    def run(self, generator: Generator, limit_s: float) -> None:
        """Perform operations for this long."""
        threads = []
        for worker, client in enumerate(self._clients):
            client.open(NODES[worker % len(NODES)], worker)
            self._tasks.append(queue.SimpleQueue())
            threads.append(threading.Thread(target=self._work, args=(worker, client), daemon=True))
            threads[-1].start()
        began = time.monotonic_ns()
        ends = began + int(limit_s * 1e9)
        free, flying = list(range(self._concurrency)), 0
        while (now := time.monotonic_ns()) < ends or flying:
            while free and now < ends:
                generator = self._dispatch(generator, free.pop(), now, began, flying)
                flying += 1
            done = self._done.get()
            flying -= 1
            free.append(done[0])
            generator = self._complete(generator, done, began, flying)
        for tasks in self._tasks:
            tasks.put(None)
        for thread in threads:
            thread.join()

    def _dispatch(
        self, generator: Generator, worker: int, now: int, began: int, flying: int
    ) -> Generator:
        context = Context(now - began, worker, worker, self._concurrency, flying)
        step, generator = generator.step(context)
        while not isinstance(step, Invocation):  # its moment is some nanoseconds away
            now = time.monotonic_ns()
            context = Context(now - began, worker, worker, self._concurrency, flying)
            step, generator = generator.step(context)
        record = Invoke(
            process=worker,
            session=worker,
            f=step.f,
            time_ns=now,
            node=NODES[worker % len(NODES)],
            key=step.key,
            argument=step.argument,
        )
        with self._journal.lock:
            index = self._journal.append(record)
        self._tasks[worker].put((index, step))
        return generator.update(context, Event(worker, worker, step.f, step.key, step.argument))

    def _complete(
        self,
        generator: Generator,
        done: tuple[int, int, Invocation, Reply],
        began: int,
        flying: int,
    ) -> Generator:
        worker, index, step, reply = done
        assert isinstance(reply, Ok)
        now = time.monotonic_ns()
        record = Complete(invoke=index, outcome="ok", time_ns=now, result=reply.value)
        with self._journal.lock:
            self._journal.append(record)
        self.count += 1
        context = Context(now - began, worker, worker, self._concurrency, flying)
        event = Event(
            worker, worker, step.f, step.key, step.argument, Outcome.OK, reply.value, reply.applied
        )
        return generator.update(context, event)

    def _work(self, worker: int, client: Client) -> None:
        while (task := self._tasks[worker].get()) is not None:
            index, step = task
            reply = client.invoke(step.f, step.key, step.argument, 5.0)
            self._done.put((worker, index, step, reply))
        client.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One row of the table. Rates in operations a second, the median of the rounds."""

    client: str
    clients: int
    ours_hz: float
    rival_hz: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the rival."""
        return self.ours_hz / self.rival_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """From the stamp of the Invoke to the client's sending, in microseconds, with faults."""

    clients: int
    p50_us: float
    p99_us: float
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where the time goes without waiting for any system.

    held_share: of the wall clock, how long somebody held the lock. cpu_share: processors that the
    process used; about 1 is all that the GIL allows. alone_us: processor time for an operation by a
    single worker, which waits for nobody. contended_us: the same by several.
    """

    clients: int
    held_share: float
    cpu_share: float
    alone_us: float
    contended_us: float


def main() -> int:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=1.2, help="length of one measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _echo_server() as port:
        bench = Bench(Path(folder), options.seconds)
        rates = [bench.rate("none", NoClient, count) for count in CLIENTS]
        rates += [bench.rate("socket", lambda: SocketClient(port), count) for count in CLIENTS]
        delays = [bench.delay(count) for count in CLIENTS]
        bounds = [bench.bound(count) for count in CLIENTS]
    if options.json:
        rows = [{**asdict(row), "ratio": row.ratio} for row in rates]
        others = {"delays": [*map(asdict, delays)], "bounds": [*map(asdict, bounds)]}
        print(json.dumps({"rates": rows, **others}))
    else:
        _print_tables(rates, delays, bounds)
    return 0


class Bench:
    """Takes the measurements, each with a journal of its own."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._number = 0

    def rate(self, name: str, factory: ClientFactory, clients: int) -> Rate:
        """Measure both in turns."""
        ours: list[float] = []
        rival: list[float] = []
        for _ in range(ROUNDS):
            ours.append(self._ours(factory, clients))
            rival.append(self._rival(factory, clients))
        return Rate(
            client=name,
            clients=clients,
            ours_hz=statistics.median(ours),
            rival_hz=statistics.median(rival),
        )

    def delay(self, clients: int) -> Delay:
        """Measure how long after its stamp an operation is sent, while faults are journaled."""
        sent: list[int] = []
        faults = 0
        with self._journal() as (journal, path):
            stop = threading.Event()

            def inject() -> None:
                nonlocal faults
                while not stop.wait(FAULT_PAUSE_S):
                    faults += 1
                    with journal.lock:
                        journal.append(_fault(faults))

            nemesis = threading.Thread(target=inject)
            nemesis.start()
            try:
                self._run(journal, lambda: StampClient(sent), clients)
            finally:
                stop.set()
                nemesis.join()
            journal.close()
            records = read_journal(path).records
        delays = sorted(
            (record.version - invoke.time_ns) / 1000
            for record in records
            if isinstance(record, Complete) and record.version is not None
            if isinstance(invoke := records[record.invoke], Invoke)
        )
        return Delay(
            clients=clients,
            p50_us=delays[len(delays) // 2],
            p99_us=delays[len(delays) * 99 // 100],
            faults=faults,
        )

    def bound(self, clients: int) -> Bound:
        """Measure the lock and the processor, apart from the rates: timing the lock costs time."""
        alone_us, _, _ = self._cost(1)
        contended_us, cpu_share, _ = self._cost(clients)
        lock = TimedLock()
        _, _, wall_s = self._cost(clients, lock)
        return Bound(
            clients=clients,
            held_share=lock.held_ns / 1e9 / wall_s,
            cpu_share=cpu_share,
            alone_us=alone_us,
            contended_us=contended_us,
        )

    def _cost(self, clients: int, lock: TimedLock | None = None) -> tuple[float, float, float]:
        """Give microseconds of processor an operation, processors in use, and seconds in all."""
        with self._journal() as (journal, _):
            if lock is not None:
                journal.lock = lock  # type: ignore[assignment]
            used, began = _cpu_s(), time.perf_counter()
            count = self._run(journal, NoClient, clients)
            wall_s, cpu_s = time.perf_counter() - began, _cpu_s() - used
        return cpu_s * 1e6 / count, cpu_s / wall_s, wall_s

    def _ours(self, factory: ClientFactory, clients: int) -> float:
        with self._journal() as (journal, _):
            began = time.perf_counter()
            count = self._run(journal, factory, clients)
            return count / (time.perf_counter() - began)

    def _rival(self, factory: ClientFactory, clients: int) -> float:
        with self._journal() as (journal, _):
            rival = QueueInterpreter(journal, factory, clients)
            began = time.perf_counter()
            rival.run(_generator(clients), self._seconds)
            return rival.count / (time.perf_counter() - began)

    def _run(self, journal: JournalWriter, factory: ClientFactory, clients: int) -> int:
        interpreter = Interpreter(
            journal=journal, client_factory=factory, nodes=NODES, concurrency=clients
        )
        interpreter.run(_generator(clients), limit_s=self._seconds)
        interpreter.close()
        counts = interpreter.counts()
        assert counts["ok"] == sum(counts.values()), counts
        return counts["ok"]

    @contextmanager
    def _journal(self) -> Iterator[tuple[JournalWriter, Path]]:
        self._number += 1
        path = self._folder / f"journal-{self._number}"
        journal = JournalWriter(path)
        try:
            yield journal, path
        finally:
            journal.close()
            path.unlink()


def _generator(clients: int) -> Generator:
    load = Load(seed=1, nodes=NODES, concurrency=clients, time_limit_s=3600.0, rate_hz=UNLIMITED_HZ)
    return Register().main(load)


def _fault(number: int) -> FaultEvent:
    return FaultEvent(
        fault=f"fault-{number}",
        kind="partition",
        state="active",
        time_ns=time.monotonic_ns(),
        proof={"nodes": list(NODES)},
    )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _echo_server() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", ECHO_SERVER], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline())
        finally:
            server.kill()


def _print_tables(rates: list[Rate], delays: list[Delay], bounds: list[Bound]) -> None:
    say: Callable[[str], None] = print
    say("operations a second                    interpreter   queues   ratio")
    for row in rates:
        what = f"{row.client} client, {row.clients} workers"
        say(f"  {what:<36} {row.ours_hz:>11,.0f} {row.rival_hz:>8,.0f} {row.ratio:>7.2f}")
    say("from stamp to send, microseconds, with a fault journaled each millisecond")
    for delay in delays:
        what = f"{delay.clients} workers, {delay.faults} faults"
        say(f"  {what:<36} median {delay.p50_us:.1f}, 99th percentile {delay.p99_us:.1f}")
    say("what bounds it, with a client that answers at once")
    for bound in bounds:
        switching = max(0.0, bound.contended_us - bound.alone_us)
        say(
            f"  {bound.clients:>2} workers: {bound.contended_us:.1f} us of processor an operation: "
            f"{bound.alone_us:.1f} of work under the GIL, as one worker alone needs, and "
            f"{switching:.1f} of handing over"
        )
        say(
            f"              the lock is held {bound.held_share:.0%} of the time; "
            f"{bound.cpu_share:.2f} processors in use, and the GIL allows about 1"
        )


if __name__ == "__main__":
    sys.exit(main())
