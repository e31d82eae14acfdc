"""The interpreter with fake clients: what the laws of outcomes and of journals come to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from splitbrain.core.client import Fail, Info, Ok, Reply
from splitbrain.core.errors import ContractError, HarnessError, StoreError, UsageError
from splitbrain.core.evidence import Evidence, from_journal
from splitbrain.core.generator import PENDING, Context, Event, Generator, Invocation, Pending
from splitbrain.core.journal import Invoke, Record
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.randomness import Keyed
from splitbrain.generators import (
    delay,
    each_worker,
    from_function,
    limit,
    once,
    phases,
    repeat,
    sequence,
    sleep,
    time_limit,
    until_ok,
)
from splitbrain.runtime import interpreter as interpreter_module
from splitbrain.runtime.interpreter import Interpreter
from splitbrain.runtime.journal import JournalWriter, read_journal
from splitbrain.runtime.seats import OPEN_PAUSE_S

DEADLINE_S = 20.0


class FakeClient:
    """Answers by a function of the operation; keeps count of what was done to it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.node = ""
        self.session = -1
        bench.made.append(self)
        self.closed = 0

    def open(self, node: str, session: int) -> None:
        self.node, self.session = node, session
        if self.bench.opening is not None:
            self.bench.opening(self)

    def invoke(self, f: str, key: Any, argument: Any, timeout_s: float) -> Reply:
        return self.bench.answer(self, f, key, argument)

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A journal, an interpreter over fake clients, and what came out of them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        self.journal = JournalWriter(self.path)
        self.made: list[FakeClient] = []
        self.opening: Callable[[FakeClient], None] | None = None
        self.answer: Callable[[FakeClient, str, Any, Any], Any] = lambda *_: Ok()
        self.client: type[FakeClient] = FakeClient
        self.interpreters: list[Interpreter] = []

    def interpreter(self, **options: Any) -> Interpreter:
        options = {"nodes": ("a", "b"), "concurrency": 3, **options}
        made = Interpreter(
            journal=self.journal, client_factory=lambda: self.client(self), **options
        )
        self.interpreters.append(made)
        return made

    def close(self) -> None:
        for item in self.interpreters:
            item.close()
        self.journal.close()

    def records(self) -> tuple[Record, ...]:
        decoded = read_journal(self.path)
        assert decoded.dropped_bytes == 0
        return decoded.records

    def evidence(self) -> Evidence:
        return from_journal(self.records())

    def operations(self) -> list[Operation]:
        history = self.evidence().history
        assert history is not None
        return list(history)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.001)


def writes(count: int) -> Generator:
    def write(context: Context, rng: Keyed) -> Invocation:
        return Invocation("write", rng.integer(3), rng.integer(10))

    return limit(from_function(write, Keyed.of(1)), count)


def replies(*given: Any) -> Callable[..., Any]:
    """Answer with these in turn, then with Ok."""
    rest = list(given)
    lock = threading.Lock()

    def answer(*_: Any) -> Any:
        with lock:
            return rest.pop(0) if rest else Ok()

    return answer


# Outcomes


def test_replies_become_outcomes_with_all_that_they_say(bench: Bench):
    bench.answer = replies(
        Ok([1, "x", 2**70, 1.0, True, None], 7, False, {"c": 1}, "b"), Fail("no"), Info("dunno")
    )
    bench.interpreter(concurrency=1).run(writes(4))
    ok, fail, info, last = bench.operations()
    assert (ok.outcome, ok.result, ok.version, ok.applied, ok.node) == (
        Outcome.OK,
        [1, "x", 2**70, 1.0, True, None],
        7,
        False,
        "b",
    )
    assert [type(item) for item in ok.result] == [int, str, int, float, bool, type(None)]
    assert (fail.outcome, fail.error) == (Outcome.FAIL, "no")
    assert (info.outcome, info.error) == (Outcome.INFO, "dunno")
    assert last.outcome is Outcome.OK


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error", [ValueError("boom"), SystemExit(3), UnprintableError(), TimeoutError()]
)
def test_an_exception_that_escapes_the_client_is_info(bench: Bench, error: BaseException):
    def answer(*_: Any) -> Any:
        if not bench.evidence().history:
            return Ok()
        if len(bench.operations()) == 2:
            raise error
        return Ok()

    bench.answer = answer
    bench.interpreter(concurrency=1).run(writes(3))
    outcomes = [op.outcome for op in bench.operations()]
    assert outcomes == [Outcome.OK, Outcome.INFO, Outcome.OK]
    assert type(error).__name__ in str(bench.operations()[1].error)


@pytest.mark.parametrize(
    "reply",
    [
        Ok(float("nan")),
        Ok([1, float("inf")]),
        Ok({1: 2}),  # type: ignore[dict-item]
        Ok(object()),  # type: ignore[arg-type]
        Ok(b"bytes"),  # type: ignore[arg-type]
        Ok("\ud800"),
        Ok(1, version="three"),  # type: ignore[arg-type]
        Ok(1, version=2**64),
        Ok(1, version=True),
        Ok(1, applied="yes"),  # type: ignore[arg-type]
        Ok(1, served_by=4),  # type: ignore[arg-type]
        Ok(1, context=float("nan")),
        None,
        "ok",
        Ok,
    ],
)
def test_a_reply_that_cannot_be_kept_is_info_and_says_why(bench: Bench, reply: Any):
    bench.answer = replies(reply)
    bench.interpreter(concurrency=1).run(writes(2))
    bad, good = bench.operations()
    assert bad.outcome is Outcome.INFO
    assert bad.result is None
    assert "cannot be kept" in str(bad.error)
    assert good.outcome is Outcome.OK


def test_an_error_of_any_text_is_kept_as_one_bounded_line(bench: Bench):
    bench.answer = replies(Fail("\ud800" + "x" * 5000), Info(7))  # type: ignore[arg-type]
    bench.interpreter(concurrency=1).run(writes(2))
    first, second = bench.operations()
    assert str(first.error).startswith("\\ud800xxx")
    assert len(str(first.error)) < 1100
    assert second.error == "7"


def test_info_retires_the_process_and_a_fresh_client_goes_on_on_the_same_node(bench: Bench):
    bench.answer = lambda client, *_: Info("?") if client.session < 6 else Ok()
    bench.interpreter(concurrency=3, nodes=("a", "b")).run(each_worker(writes(4)))
    by_worker: dict[int, list[int]] = {}
    for op in bench.operations():
        by_worker.setdefault(op.process % 3, []).append(op.process)
        assert op.session == op.process
        assert op.node == ("a", "b")[op.process % 3 % 2]
    assert by_worker == {w: [w, w + 3, w + 6, w + 6] for w in range(3)}
    retired = [client for client in bench.made if client.session < 6]
    assert all(client.closed == 1 for client in retired)


def test_a_fail_does_not_retire_the_process(bench: Bench):
    bench.answer = lambda *_: Fail("no")
    bench.interpreter(concurrency=1).run(writes(5))
    assert {op.process for op in bench.operations()} == {0}
    assert len(bench.made) == 1


# Clients that do not come back


def test_a_stuck_operation_is_info_at_its_limit_and_its_late_reply_is_a_note(bench: Bench):
    release = threading.Event()
    returned = threading.Event()

    def answer(client: FakeClient, *_: Any) -> Reply:
        if client.session == 0:
            release.wait(DEADLINE_S)
            returned.set()
            return Ok("late")
        return Ok("fresh")

    bench.answer = answer
    interpreter = bench.interpreter(concurrency=1, operation_timeout_s=0.05, grace_s=0.05)
    interpreter.run(writes(3))
    stuck, *rest = bench.operations()
    assert stuck.outcome is Outcome.INFO
    assert "no reply within 0.1 s" in str(stuck.error)
    assert [(op.process, op.result) for op in rest] == [(1, "fresh"), (1, "fresh")]
    assert interpreter.abandoned == 1
    assert not bench.evidence().notes
    release.set()
    assert returned.wait(DEADLINE_S)
    wait_for(lambda: len(bench.evidence().notes) == 1)
    (_, note) = bench.evidence().notes[0]
    assert note.data["result"] == "late"
    assert note.data["invoke"] == stuck.invoke_index
    wait_for(lambda: bench.made[0].closed == 1)
    assert len(bench.operations()) == 3


def test_stuck_threads_are_capped(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interpreter_module, "ABANDONED_LIMIT", 3)
    release = threading.Event()
    bench.answer = lambda *_: Ok(release.wait(DEADLINE_S))
    interpreter = bench.interpreter(concurrency=2, operation_timeout_s=0.01, grace_s=0.01)
    try:
        with pytest.raises(HarnessError, match="4 threads are stuck"):
            interpreter.run(repeat(once("read")))
    finally:
        release.set()
    assert all(op.outcome is Outcome.INFO for op in bench.operations())


def test_a_stuck_open_ends_as_info_and_is_never_sent(bench: Bench):
    release = threading.Event()
    sent: list[int] = []

    def opening(client: FakeClient) -> None:
        if client.session == 0:
            release.wait(DEADLINE_S)

    def answer(client: FakeClient, *_: Any) -> Reply:
        sent.append(client.session)
        return Ok()

    bench.opening, bench.answer = opening, answer
    bench.interpreter(concurrency=1, operation_timeout_s=0.05, grace_s=0.05).run(writes(2))
    assert [op.outcome for op in bench.operations()] == [Outcome.INFO, Outcome.OK]
    release.set()
    wait_for(lambda: bench.made[0].closed == 1)
    assert sent == [1]


def test_a_client_that_cannot_be_opened_is_fail_and_is_tried_again(bench: Bench):
    def opening(client: FakeClient) -> None:
        if len(bench.made) < 4:
            message = "connection refused"
            raise ConnectionRefusedError(message)

    bench.opening = opening
    bench.interpreter(concurrency=1).run(writes(5))
    operations = bench.operations()
    assert [op.outcome for op in operations] == [Outcome.FAIL] * 3 + [Outcome.OK] * 2
    assert operations[0].error == "cannot open: ConnectionRefusedError: connection refused"
    assert {op.process for op in operations} == {0}
    assert [client.closed for client in bench.made] == [1, 1, 1, 0]


def test_a_dead_node_is_not_hammered(bench: Bench):
    def opening(client: FakeClient) -> None:
        raise OSError

    bench.opening = opening
    bench.interpreter(concurrency=2).run(repeat(once("read")), limit_s=0.5)
    assert 1 <= len(bench.operations()) <= 2 * 0.5 / OPEN_PAUSE_S + 2


def test_a_factory_that_fails_is_an_open_that_fails(bench: Bench):
    def factory() -> Any:
        message = "no such library"
        raise ImportError(message)

    interpreter = Interpreter(
        journal=bench.journal, client_factory=factory, nodes=("a",), concurrency=1
    )
    interpreter.run(writes(1))
    interpreter.close()
    (only,) = bench.operations()
    assert only.outcome is Outcome.FAIL
    assert "no such library" in str(only.error)


# Phases


def test_phases_keep_processes_and_clients(bench: Bench):
    interpreter = bench.interpreter(concurrency=2)
    for _ in range(3):
        interpreter.run(each_worker(writes(5)))
    assert len(bench.made) == 2
    assert len(bench.operations()) == 30
    assert interpreter.counts() == {"ok": 30, "fail": 0, "info": 0}
    interpreter.close()
    interpreter.close()
    assert [client.closed for client in bench.made] == [1, 1]


def test_a_phase_ends_at_its_limit_and_drops_invocations_of_the_future(bench: Bench):
    interpreter = bench.interpreter(concurrency=2)
    forever = delay(repeat(once("read")), 3600.0)
    interpreter.run(forever, limit_s=0.1)
    assert len(bench.operations()) == 1
    assert interpreter.counts()["ok"] == 1
    interpreter.run(writes(4))
    assert len(bench.operations()) == 5


def test_an_exhausted_generator_still_lets_held_invocations_come_to_their_time(bench: Bench):
    began = time.monotonic_ns()
    bench.interpreter(concurrency=3).run(delay(limit(repeat(once("read")), 3), 0.02))
    operations = bench.operations()
    assert len(operations) == 3
    starts = [op.start_ns for op in operations]
    assert starts[0] >= began
    for number, start in enumerate(sorted(starts)):
        assert start >= began + number * 20_000_000


def test_stopping_ends_a_phase_and_gives_up_what_does_not_return(bench: Bench):
    release = threading.Event()
    stop = threading.Event()

    def answer(client: FakeClient, *_: Any) -> Reply:
        if client.session == 0:
            stop.set()
            release.wait(DEADLINE_S)
        return Ok()

    bench.answer = answer
    interpreter = bench.interpreter(concurrency=2, operation_timeout_s=DEADLINE_S)
    interpreter.run(repeat(once("read")), stopped=stop.is_set)
    release.set()
    stuck = next(op for op in bench.operations() if op.process == 0)
    assert stuck.outcome is Outcome.INFO
    assert "stopped" in str(stuck.error)


def test_ctrl_c_in_the_calling_thread_ends_the_phase_and_leaves_a_valid_history(bench: Bench):
    def stopped() -> bool:
        if interpreter.counts()["ok"] > 10:
            raise KeyboardInterrupt
        return False

    interpreter = bench.interpreter()
    with pytest.raises(KeyboardInterrupt):
        interpreter.run(repeat(once("read")), stopped=stopped)
    count = len(bench.operations())
    assert count > 10
    interpreter.run(writes(5))
    assert len(bench.operations()) == count + 5


def test_barriers_wait_for_every_operation_before(bench: Bench):
    bench.answer = lambda client, f, key, argument: Ok(time.sleep(0.002))
    stage = [each_worker(limit(repeat(once(f"stage-{number}")), 3)) for number in range(3)]
    bench.interpreter(concurrency=4).run(phases(*stage))
    operations = bench.operations()
    assert len(operations) == 36
    for number in (1, 2):
        before = [op.complete_index for op in operations if op.f == f"stage-{number - 1}"]
        after = [op.invoke_index for op in operations if op.f == f"stage-{number}"]
        assert max(i for i in before if i is not None) < min(after)


def test_workers_that_wait_are_woken_by_events_and_by_time(bench: Bench):
    bench.answer = replies(Fail("1"), Fail("2"), Ok())
    generator = phases(until_ok(repeat(once("try"))), sleep(0.01), each_worker(once("after")))
    bench.interpreter(concurrency=3).run(generator, limit_s=DEADLINE_S)
    names = [op.f for op in bench.operations()]
    assert names[-3:] == ["after"] * 3
    assert 3 <= names.count("try") <= 6


class Patient:
    """Worker 1 waits for a time; what worker 0 does then changes its mind."""

    def __init__(self, is_fixed: bool, waits: bool = False, ready: bool = False) -> None:
        self.is_fixed = is_fixed
        self.waits = waits
        self.ready = ready

    def step(self, context: Context) -> Any:
        if self.ready:
            return None, self
        if context.worker == 1:
            waiting = Pending(context.time_ns + int(3600e9), self.is_fixed)
            return waiting, Patient(self.is_fixed, waits=True)
        return (Invocation("first") if self.waits else Pending(context.time_ns + 1000)), self

    def update(self, context: Context, event: Event) -> Patient:
        return Patient(self.is_fixed, waits=True, ready=event.outcome is not None)


@pytest.mark.parametrize("is_fixed", [False, True])
def test_a_worker_that_waits_for_a_time_also_hears_of_events(bench: Bench, is_fixed: bool):
    interpreter = bench.interpreter(concurrency=2)
    interpreter.run(Patient(is_fixed), limit_s=DEADLINE_S * 10)
    assert len(bench.operations()) == 1


def test_a_worker_that_waits_for_an_event_within_a_time_hears_of_it_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(interpreter_module, "WATCH_S", 3600.0)
    interpreter = bench.interpreter(concurrency=3)

    class RoundRobin:
        def __init__(self, turn: int = 0, is_under_way: bool = False) -> None:
            self.turn = turn
            self.is_under_way = is_under_way

        def step(self, context: Context) -> Any:
            if self.turn == 50:
                return None, self
            if self.is_under_way or context.worker != self.turn % context.workers:
                return PENDING, self
            return Invocation("turn"), RoundRobin(self.turn, is_under_way=True)

        def update(self, context: Context, event: Event) -> RoundRobin:
            return self if event.outcome is None else RoundRobin(self.turn + 1)

    interpreter.run(time_limit(RoundRobin(), DEADLINE_S * 10), limit_s=DEADLINE_S)
    assert len(bench.operations()) == 50


def test_keys_are_kept_in_the_order_of_their_first_use(bench: Bench):
    keys: list[Any] = [3, "3", True, 1, 1.5, [1], [1], {"a": 1}, 3, None]
    interpreter = bench.interpreter(concurrency=1)
    interpreter.run(sequence(*(once("read", key) for key in keys)))
    used = interpreter.keys_used()
    assert [(type(key), key) for key in used] == [
        (type(key), key) for key in [3, "3", True, 1, 1.5, [1], {"a": 1}]
    ]


def test_threads_are_made_by_the_calling_thread(bench: Bench):
    """They live in its network namespace, then."""
    makers: set[int] = set()
    original = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name.startswith("worker-"):
            makers.add(threading.get_ident())
        original(self)

    release = threading.Event()
    bench.answer = lambda client, *_: Ok(client.session == 0 and release.wait(DEADLINE_S))
    interpreter = bench.interpreter(concurrency=2, operation_timeout_s=0.02, grace_s=0.02)
    threading.Thread.start = start  # type: ignore[method-assign]
    try:
        interpreter.run(writes(6))
    finally:
        threading.Thread.start = original  # type: ignore[method-assign]
        release.set()
    assert interpreter.abandoned == 1
    assert makers == {threading.get_ident()}


# What breaks the run


class Broken:
    def __init__(self, where: str) -> None:
        self.where = where

    def step(self, context: Context) -> Any:
        if self.where == "step":
            message = "a bug"
            raise ZeroDivisionError(message)
        if self.where == "type":
            return "read", self
        return Invocation("write", None, self.where), self

    def update(self, context: Context, event: Event) -> Broken:
        if self.where == "update":
            raise ZeroDivisionError
        return self


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("step", "generator Broken failed: ZeroDivisionError: a bug"),
        ("update", "generator Broken failed"),
        ("type", "neither Invocation"),
        (float("nan"), "not JSON"),
        (object(), "not JSON"),
        ("\ud800", "not JSON"),
    ],
)
def test_a_broken_generator_ends_the_run_with_one_line(bench: Bench, where: Any, message: str):
    interpreter = bench.interpreter()
    with pytest.raises(ContractError, match=message) as raised:
        interpreter.run(Broken(where), limit_s=DEADLINE_S)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert bench.evidence().history is not None
    with pytest.raises(ContractError):
        interpreter.run(writes(1))


def test_a_full_disk_ends_the_run_and_keeps_a_valid_history(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    interpreter = bench.interpreter()
    interpreter.run(writes(10))

    def full(needed: int) -> None:
        message = "cannot extend the journal"
        raise StoreError(message, advice="free some space")

    monkeypatch.setattr(bench.journal, "_extend", full)
    with pytest.raises(StoreError, match="free some space"):
        interpreter.run(repeat(once("write", None, "x" * 5000)), limit_s=DEADLINE_S)
    operations = bench.operations()
    assert len(operations) > 100
    assert all(op.complete_index is not None for op in operations)


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"nodes": ()}])
def test_no_workers_or_no_nodes_are_refused(bench: Bench, options: dict[str, Any]):
    with pytest.raises(UsageError, match="can do nothing"):
        bench.interpreter(**options)


def test_a_system_that_gives_no_thread_ends_the_run_with_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(interpreter_module, "STOP_GRACE_S", 0.05)
    original = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name == "worker-2":
            message = "can't start new thread"
            raise RuntimeError(message)
        original(self)

    interpreter = bench.interpreter()
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(HarnessError, match="--concurrency"):
        interpreter.run(repeat(once("read")), limit_s=DEADLINE_S)
    monkeypatch.undo()
    assert bench.evidence().history is not None


# Pushes


class StreamingClient(FakeClient):
    def listen(self, sink: Callable[[str, Any, Any], None]) -> None:
        self.sink = sink


def test_pushes_are_observed_with_their_session(bench: Bench):
    bench.client = StreamingClient

    def answer(client: Any, f: str, key: Any, argument: Any) -> Reply:
        client.sink("message", "topic", argument)
        client.sink("message", "topic", float("nan"))
        return Ok()

    bench.answer = answer
    interpreter = bench.interpreter(concurrency=2)
    interpreter.run(writes(10))
    evidence = bench.evidence()
    assert evidence.observations is not None
    assert evidence.history is not None
    pushed = sorted((o.session, o.value) for _, o in evidence.observations)
    assert pushed == sorted((op.session, op.argument) for op in evidence.history)
    assert len(evidence.notes) == 10
    assert "nan is not a JSON number" in evidence.notes[0][1].text
    interpreter.close()
    bench.made[0].sink("message", "topic", "after the end")  # type: ignore[attr-defined]
    assert len(bench.evidence().observations or ()) == 10


# Everything at once


@pytest.mark.parametrize("seed", range(4))
def test_whatever_clients_do_the_history_is_valid_and_truthful(bench: Bench, seed: int):
    """Slow, stuck, raising and lying clients at once; each OK was truly given, in time."""
    release = threading.Event()
    given: set[int] = set()
    lock = threading.Lock()

    def answer(client: FakeClient, f: str, key: Any, argument: Any) -> Any:
        rng = Keyed.of(seed, "answer", argument)
        kind = rng.integer(40)
        if kind == 0:
            release.wait(DEADLINE_S)
        if kind == 1:
            raise OSError
        if kind == 2:
            return Ok(float("nan"))
        if kind == 3:
            return Info("?")
        if kind == 4:
            return Fail("no")
        if kind == 5:
            time.sleep(rng.uniform(0, 0.02, 1))
        with lock:
            given.add(argument)
        return Ok(argument)

    def opening(client: FakeClient) -> None:
        if Keyed.of(seed, "open", len(bench.made)).integer(4) == 0:
            raise OSError

    numbers = iter(range(10**9))

    def write(context: Context, rng: Keyed) -> Invocation:
        at_ns = context.time_ns + rng.integer(3_000_000)
        return Invocation("write", rng.integer(5), next(numbers), at_ns)

    bench.answer, bench.opening = answer, opening
    interpreter = bench.interpreter(concurrency=8, operation_timeout_s=0.03, grace_s=0.02)
    interpreter.run(limit(from_function(write, Keyed.of(seed)), 600), limit_s=3.0)
    before = {op.argument: op for op in bench.operations()}
    interpreter.run(each_worker(once("read", None, -1)))
    release.set()
    operations = bench.operations()
    assert len(before) > 100
    for op in operations:
        assert op.complete_index is not None
        assert op.outcome is not Outcome.OK or op.result in given
        assert op.outcome is not Outcome.FAIL or op.error
    assert {op.outcome for op in operations} == set(Outcome)
    totals = {name: sum(op.outcome == name for op in operations) for name in ("ok", "fail", "info")}
    assert interpreter.counts() == totals
    invokes = [record for record in bench.records() if isinstance(record, Invoke)]
    assert len(invokes) == len(operations)
