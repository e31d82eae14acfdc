"""The scheduler with fake nemeses: every fault's life is in the journal, and all is healed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from splitbrain.core.cluster import Bed, Daemons
from splitbrain.core.errors import (
    HarnessError,
    NobodyToHitError,
    NotHealedYetError,
    NotInjectedYetError,
    RemoteError,
    UsageError,
)
from splitbrain.core.fault import (
    After,
    At,
    Condition,
    Fault,
    Injection,
    Resolved,
    Schedule,
    Shape,
    View,
    When,
)
from splitbrain.core.journal import FaultEvent, Note
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.runtime import agenda
from splitbrain.runtime.agenda import HEAL_ATTEMPTS, PATIENCE_S
from splitbrain.runtime.conditions import JournalWatch, TraceWatch, Watch
from splitbrain.runtime.journal import JournalReader, JournalWriter, read_journal
from splitbrain.runtime.scheduler import Scheduler

DEADLINE_S = 20.0
NODES = ("n1", "n2", "n3", "n4", "n5")


class FakeNemesis:
    """Keeps count of what is broken; fails where it is told to."""

    def __init__(self, kind: str = "kill") -> None:
        self.kind = kind
        self.broken: dict[str, Resolved] = {}
        self.calls: list[tuple[str, str]] = []
        self.inject_errors: list[Exception] = []
        self.heal_errors: list[Exception] = []

    def unavailable(self, bed: Bed) -> str | None:
        return "no disks" if self.kind == "disk" else None

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        return ()

    def resolve(self, fault: Fault, view: View) -> Resolved:
        if fault.target == "primaries":
            if not view.primaries:
                message = "nobody leads"
                raise NobodyToHitError(message)
            return Resolved(fault=fault, nodes=view.primaries)
        return Resolved(fault=fault, nodes=(view.rng.choice(view.nodes),), detail={"n": 1})

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        self.calls.append(("inject", resolved.fault.id))
        self.broken[resolved.fault.id] = resolved
        if self.inject_errors:
            raise self.inject_errors.pop(0)
        return Injection(resolved=resolved, proof={"dead": list(resolved.nodes)})

    def heal(self, bed: Bed, injection: Injection) -> None:
        self.calls.append(("heal", injection.layer))
        if self.heal_errors:
            raise self.heal_errors.pop(0)
        self.broken.pop(injection.layer, None)


class Stage:
    """A scheduler with its journal."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        self.journal = JournalWriter(self.path)
        self.nemesis = FakeNemesis()
        self.primaries: Callable[[], tuple[str, ...]] | None = None
        self.watches: list[Watch] = []
        self.watched: list[When] = []
        self.scheduler: Scheduler | None = None

    def start(self, *faults: Fault, **options: Any) -> Scheduler:
        bed = Bed(
            nodes=NODES,
            host=lambda node: cast("Any", None),
            daemons=cast("Daemons", None),
            primaries=self.primaries,
        )
        options = {"nemeses": {"kill": self.nemesis}, "seed": 1, **options}
        self.scheduler = Scheduler(
            bed=bed,
            schedule=Schedule(faults),
            journal=self.journal,
            watch_for=self.watch_for,
            **options,
        )
        self.scheduler.start()
        return self.scheduler

    def watch_for(self, start: When) -> Watch:
        self.watched.append(start)
        return self.watches.pop(0)

    def events(self) -> list[FaultEvent]:
        records = read_journal(self.path).records
        return [record for record in records if isinstance(record, FaultEvent)]

    def states(self, fault: str) -> list[str]:
        return [event.state for event in self.events() if event.fault == fault]

    def error(self, fault: str) -> str:
        return str(next(e.error for e in self.events() if e.fault == fault and e.error))

    def wait_for(self, fault: str, state: str) -> None:
        wait_for(lambda: state in self.states(fault))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    if made.scheduler is not None:
        made.scheduler.stop()
    made.journal.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.002)


def kill(name: str, start: Any = None, **more: Any) -> Fault:
    return Fault(id=name, kind="kill", start=start or At(0.0), **more)


class Flag:
    """A watch that a test turns on."""

    def __init__(self) -> None:
        self.holds = threading.Event()
        self.looks = 0

    def look(self) -> bool:
        self.looks += 1
        return self.holds.is_set()


WHEN = When(Condition("trace", {"event": "elected"}), within_s=DEADLINE_S)


def test_a_fault_lives_and_is_healed_after_its_duration(stage: Stage):
    stage.start(kill("a", duration_s=0.02))
    stage.wait_for("a", "healed")
    assert stage.states("a") == ["planned", "injecting", "active", "healing", "healed"]
    assert stage.nemesis.broken == {}


def test_what_it_resolved_to_is_in_the_journal_before_it_is_injected(stage: Stage):
    seen: list[list[str]] = []
    original = stage.nemesis.inject

    def inject(bed: Bed, resolved: Resolved) -> Injection:
        seen.append(stage.states("a"))
        return original(bed, resolved)

    stage.nemesis.inject = inject  # type: ignore[method-assign]
    stage.start(kill("a"))
    stage.wait_for("a", "active")
    assert seen == [["planned", "injecting"]]
    injecting = next(e for e in stage.events() if e.state == "injecting")
    resolved = Resolved.from_value(injecting.resolved)
    assert resolved.fault == kill("a")
    active = next(e for e in stage.events() if e.state == "active")
    assert active.proof == {"dead": list(resolved.nodes)}


def test_a_fault_without_duration_lasts_until_all_is_healed_in_reverse_order(stage: Stage):
    scheduler = stage.start(kill("a"), kill("b", After("a")), kill("c", After("b")))
    stage.wait_for("c", "active")
    assert len(scheduler.active()) == 3
    scheduler.stop()
    assert set(stage.nemesis.broken) == {"a", "b", "c"}
    assert scheduler.heal_all() == []
    assert stage.nemesis.broken == {}
    assert scheduler.active() == ()
    assert [name for what, name in stage.nemesis.calls if what == "heal"] == ["c", "b", "a"]
    before = list(stage.nemesis.calls)
    assert scheduler.heal_all() == []
    assert stage.nemesis.calls == before


def test_after_waits_until_the_other_took_hold_or_was_healed(stage: Stage):
    stage.start(
        kill("c", After("b", 0.01, healed=True)),
        kill("b", After("a", 0.01), duration_s=0.03),
        kill("a"),
    )
    stage.wait_for("c", "active")
    order = [(e.fault, e.state) for e in stage.events()]
    assert order.index(("a", "active")) < order.index(("b", "injecting"))
    assert order.index(("b", "healed")) < order.index(("c", "injecting"))
    times = {(e.fault, e.state): e.time_ns for e in stage.events()}
    assert times["b", "injecting"] - times["a", "active"] >= 9_000_000
    assert times["c", "injecting"] - times["b", "healed"] >= 9_000_000


@pytest.mark.parametrize("healed", [False, True])
def test_what_waits_for_a_fault_that_is_not_there_or_was_missed_is_missed(
    stage: Stage, healed: bool
):
    stage.start(
        kill("a", After("gone", healed=healed)),
        kill("b", target="primaries"),
        kill("c", After("b", healed=healed)),
        kill("d", After("c", healed=healed)),
    )
    for name in "abcd":
        stage.wait_for(name, "missed")
        assert "injecting" not in stage.states(name)
    assert "not in the schedule" in stage.error("a")
    assert stage.error("b") == "nobody leads"
    assert "was missed" in stage.error("c")
    assert stage.nemesis.calls == []


def test_primaries_are_asked_when_the_fault_is_due(stage: Stage):
    leaders = [("n2",)]
    stage.primaries = lambda: leaders[-1]
    flag = Flag()
    stage.watches = [flag]
    stage.start(kill("a", WHEN, target="primaries"))
    wait_for(lambda: flag.looks > 0)
    leaders.append(("n4",))
    flag.holds.set()
    stage.wait_for("a", "active")
    assert stage.nemesis.broken["a"].nodes == ("n4",)


def test_a_fault_whose_target_names_nobody_waits_for_somebody(stage: Stage):
    leaders: list[tuple[str, ...]] = [()]
    asked: list[None] = []

    def primaries() -> tuple[str, ...]:
        asked.append(None)
        return leaders[-1]

    stage.primaries = primaries
    stage.start(kill("a", target="primaries"), kill("b"), kill("c", After("a")))
    wait_for(lambda: len(asked) > 2)
    stage.wait_for("b", "active")
    assert stage.states("a") == ["planned"]
    leaders.append(("n4",))
    stage.wait_for("c", "active")
    assert stage.nemesis.broken["a"].nodes == ("n4",)


def test_a_fault_waits_for_somebody_to_hit_only_so_long(stage: Stage):
    now_s = [0.0]
    stage.primaries = tuple
    stage.start(kill("a", target="primaries"), now_ns=lambda: int(now_s[0] * 1e9))
    for _ in range(int(PATIENCE_S)):
        assert stage.states("a") == ["planned"]
        now_s[0] += 1.0
    now_s[0] += 1.0
    stage.wait_for("a", "missed")
    assert stage.error("a") == f"nobody leads, for {PATIENCE_S:g} s now"
    assert stage.nemesis.calls == []


def test_a_run_that_ends_while_a_fault_waits_for_somebody_says_so(stage: Stage):
    asked: list[None] = []

    def primaries() -> tuple[str, ...]:
        asked.append(None)
        return ()

    stage.primaries = primaries
    scheduler = stage.start(kill("a", target="primaries"))
    wait_for(lambda: len(asked) > 1)
    scheduler.stop()
    assert stage.error("a") == "nobody leads, and the run ended meanwhile"


def test_when_waits_for_its_condition(stage: Stage):
    flag = Flag()
    stage.watches = [flag]
    stage.start(kill("a", WHEN))
    wait_for(lambda: flag.looks > 1)
    assert stage.states("a") == ["planned"]
    flag.holds.set()
    stage.wait_for("a", "active")


def test_when_is_missed_if_its_condition_does_not_hold_in_time(stage: Stage):
    flag = Flag()
    stage.watches = [flag]
    stage.start(kill("a", When(WHEN.condition, within_s=0.05)), kill("b", After("a")))
    stage.wait_for("a", "missed")
    assert "did not hold within 0.05 s" in stage.error("a")
    assert flag.looks > 0
    stage.wait_for("b", "missed")


def test_when_after_another_begins_to_look_once_that_took_hold(stage: Stage):
    first, second = Flag(), Flag()
    stage.watches = [first, second]
    late = When(WHEN.condition, within_s=DEADLINE_S, after="a")
    stage.start(kill("a", WHEN), kill("b", late))
    wait_for(lambda: first.looks > 2)
    assert stage.watched == [WHEN]
    first.holds.set()
    wait_for(lambda: second.looks > 0)
    assert stage.watched == [WHEN, late]
    second.holds.set()
    stage.wait_for("b", "active")


def test_pinned_targets_are_taken_as_they_are(stage: Stage):
    fault = kill("a", target="primaries")
    pinned = Resolved(fault=fault, nodes=("n3", "n5"), detail={"ports": [1]})
    stage.start(fault, pinned={"a": pinned})
    stage.wait_for("a", "active")
    assert stage.nemesis.broken["a"] == pinned
    injecting = next(e for e in stage.events() if e.state == "injecting")
    assert Resolved.from_value(injecting.resolved) == pinned


@pytest.mark.parametrize("error", [RemoteError("n1", ["kill"]), ZeroDivisionError("a bug")])
def test_an_injection_that_fails_is_undone_and_missed(stage: Stage, error: Exception):
    stage.nemesis.inject_errors = [error]
    stage.start(kill("a"), kill("b", After("a")), kill("c"))
    stage.wait_for("a", "missed")
    stage.wait_for("b", "missed")
    stage.wait_for("c", "active")
    assert "a" not in stage.nemesis.broken
    assert stage.states("a") == ["planned", "injecting", "healing", "healed", "missed"]
    notes = [r for r in read_journal(stage.path).records if isinstance(r, Note)]
    assert bool(notes) == isinstance(error, ZeroDivisionError)
    if notes:
        assert "a bug" in str(notes[0].data)


def test_an_injection_that_others_are_in_the_way_of_lets_them_have_their_turn(stage: Stage):
    joins, cut = FakeNemesis("membership"), stage.nemesis

    def inject(bed: Bed, resolved: Resolved) -> Injection:
        if cut.broken:
            message = "nobody leads"
            raise NotInjectedYetError(message)
        return FakeNemesis.inject(joins, bed, resolved)

    first = Fault(id="cut", kind="kill", start=At(0), duration_s=0.2)
    second = Fault(id="out", kind="membership", start=After("cut"))
    third = Fault(id="next", kind="kill", start=After("out"))
    joins.inject = inject  # type: ignore[method-assign]
    stage.start(first, second, third, nemeses={"membership": joins, "kill": cut})
    stage.wait_for("next", "active")
    assert stage.states("cut")[-1] == "healed"
    assert stage.states("out") == ["planned", "injecting", "active"]


def test_an_injection_that_never_gets_through_is_undone_and_missed(stage: Stage, monkeypatch):
    monkeypatch.setattr(agenda, "INJECT_PATIENCE_S", 0.3)
    stage.nemesis.inject_errors = [NotInjectedYetError("nobody leads")] * 1000
    stage.start(kill("a"), kill("b", After("a")))
    stage.wait_for("b", "missed")
    assert stage.states("a") == ["planned", "injecting", "healing", "healed", "missed"]
    assert stage.nemesis.calls.count(("inject", "a")) > 1
    assert stage.error("a") == "nobody leads, for 0.3 s now"
    assert stage.nemesis.broken == {}


def test_an_injection_that_is_not_through_when_the_run_ends_is_undone_and_missed(stage: Stage):
    stage.nemesis.inject_errors = [NotInjectedYetError("nobody leads")] * 1000
    scheduler = stage.start(kill("a"))
    wait_for(lambda: stage.nemesis.calls.count(("inject", "a")) > 1)
    scheduler.stop()
    assert stage.states("a") == ["planned", "injecting", "healing", "healed", "missed"]
    assert stage.error("a") == "nobody leads, and the run ended meanwhile"
    assert scheduler.heal_all() == []


def test_a_failed_injection_that_cannot_be_undone_is_tried_again_at_the_end(stage: Stage):
    stage.nemesis.inject_errors = [HarnessError("half-way")]
    stage.nemesis.heal_errors = [HarnessError("unreachable")] * HEAL_ATTEMPTS
    scheduler = stage.start(kill("a"))
    stage.wait_for("a", "missed")
    assert "a" in stage.nemesis.broken
    scheduler.stop()
    assert scheduler.heal_all() == []
    assert stage.nemesis.broken == {}
    assert stage.states("a")[-1] == "healed"


def test_healing_is_tried_again(stage: Stage):
    stage.nemesis.heal_errors = [OSError("once")] * (HEAL_ATTEMPTS - 1)
    stage.start(kill("a", duration_s=0.01))
    stage.wait_for("a", "healed")
    assert stage.nemesis.calls.count(("heal", "a")) == HEAL_ATTEMPTS


def test_an_error_of_healing_that_is_foreign_is_told_with_its_kind(stage: Stage):
    stage.nemesis.heal_errors = [ValueError("odd")] * (2 * HEAL_ATTEMPTS)
    scheduler = stage.start(kill("a"))
    stage.wait_for("a", "active")
    scheduler.stop()
    assert scheduler.heal_all() == ["kill a: ValueError: odd"]


def test_healing_that_other_faults_are_in_the_way_of_lets_them_have_their_turn(stage: Stage):
    joins, cut = FakeNemesis("membership"), stage.nemesis

    def heal(bed: Bed, injection: Injection) -> None:
        if cut.broken:
            message = "n1 does not answer"
            raise NotHealedYetError(message)
        joins.broken.clear()

    joins.heal = heal  # type: ignore[method-assign]
    first = Fault(id="out", kind="membership", start=At(0), duration_s=0)
    second = Fault(id="cut", kind="kill", start=At(0), duration_s=0.2)
    third = Fault(id="next", kind="kill", start=After("out", healed=True))
    nemeses = {"membership": joins, "kill": cut}
    scheduler = stage.start(first, second, third, nemeses=nemeses)
    stage.wait_for("next", "active")
    scheduler.stop()
    assert stage.states("out") == ["planned", "injecting", "active", "healing", "healed"]
    assert scheduler.heal_all() == []


def test_healing_in_the_end_waits_for_what_is_in_its_way_wherever_it_stands(stage: Stage):
    stage.nemesis.heal_errors = [NotHealedYetError("not yet"), NotHealedYetError("nor now")]
    scheduler = stage.start(
        Fault(id="a", kind="kill", start=At(0)), Fault(id="b", kind="kill", start=At(0))
    )
    stage.wait_for("b", "active")
    scheduler.stop()
    assert scheduler.heal_all() == []
    assert not stage.nemesis.broken
    stage.nemesis.heal_errors = []


def test_what_cannot_be_healed_is_reported_and_hides_no_other(stage: Stage):
    scheduler = stage.start(kill("a"), kill("b", After("a")))
    stage.wait_for("b", "active")
    scheduler.stop()
    stage.nemesis.heal_errors = [HarnessError("gone")] * HEAL_ATTEMPTS
    assert scheduler.heal_all() == ["kill b: gone"]
    assert stage.states("a")[-1] == "healed"
    assert stage.states("b")[-1] == "healing"
    assert stage.error("b") == "gone"
    assert scheduler.heal_all() == []
    assert stage.states("b")[-1] == "healed"


def test_what_is_not_due_before_the_end_is_missed(stage: Stage):
    scheduler = stage.start(kill("a", At(3600.0)), kill("b", After("a")))
    scheduler.stop()
    for name in "ab":
        assert stage.states(name)[-1] == "missed"
        assert stage.nemesis.calls == []
    assert "before it was due" in stage.error("a")
    assert scheduler.heal_all() == []


def test_removing_a_fault_does_not_reshuffle_the_targets_of_the_rest(tmp_path: Path):
    faults = [kill(name) for name in "abcdef"]

    def targets(kept: Sequence[Fault], folder: str) -> Mapping[str, tuple[str, ...]]:
        (tmp_path / folder).mkdir()
        stage = Stage(tmp_path / folder)
        scheduler = stage.start(*kept, seed=9)
        for fault in kept:
            stage.wait_for(fault.id, "active")
        scheduler.stop()
        stage.journal.close()
        return {name: resolved.nodes for name, resolved in stage.nemesis.broken.items()}

    every = targets(faults, "every")
    assert len(set(every.values())) > 1
    for gone in range(len(faults)):
        kept = faults[:gone] + faults[gone + 1 :]
        assert targets(kept, f"without-{gone}") == {f.id: every[f.id] for f in kept}


def test_an_idle_task_runs_beside_the_faults(stage: Stage):
    ran = threading.Event()
    stage.start(kill("a", At(3600.0)), idle=ran.set)
    assert ran.wait(DEADLINE_S)


# Watches


def trace_source(traces: dict[str, bytes], chunk: int = 1 << 20) -> Callable[[str, int], bytes]:
    def source(node: str, offset: int) -> bytes:
        if node not in traces:
            raise RemoteError(node, ["cat"])
        return traces[node][offset : offset + chunk]

    return source


ELECTED = b'{"event":"elected","term":%d}\n'


def test_a_trace_watch_counts_what_matches_on_all_its_nodes():
    traces = {"n1": ELECTED % 1 + b"not json\n[1]\n", "n2": b""}
    condition = Condition("trace", {"event": "elected", "term": {"at_least": 2}}, count=2)
    watch = TraceWatch(condition, ("n1", "n2", "n3"), trace_source(traces))
    assert not watch.look()
    traces["n1"] += ELECTED % 2
    assert not watch.look()
    assert not watch.look()
    traces["n2"] += (ELECTED % 3)[:-5]
    assert not watch.look(), "a line counts once it is whole"
    traces["n2"] += (ELECTED % 3)[-5:]
    assert watch.look()
    assert watch.look(), "it stays so"


def test_a_trace_watch_reads_lines_that_come_in_pieces():
    traces = {"n1": b"".join(ELECTED % term for term in range(30))}
    condition = Condition("trace", {"event": "elected"}, count=30)
    watch = TraceWatch(condition, ("n1",), trace_source(traces, chunk=7))
    wait_for(watch.look)
    assert watch.seen == 30


def test_a_watch_that_skips_looks_only_at_what_is_new():
    traces = {"n1": ELECTED % 1}
    watch = TraceWatch(Condition("trace", {"event": "elected"}), ("n1",), trace_source(traces))
    watch.skip()
    assert not watch.look()
    traces["n1"] += ELECTED % 1
    assert watch.look()


def test_a_journal_watch_counts_records(stage: Stage):
    def fault(state: str) -> None:
        with stage.journal.lock:
            stage.journal.append(FaultEvent(fault="a", kind="kill", state=state, time_ns=1))

    fault("active")
    match: dict[str, Value] = {"type": "fault", "state": "active"}
    reader = JournalReader(stage.path)
    fresh = JournalWatch(Condition("journal", match, count=2), reader.read_from)
    skipped = JournalWatch(Condition("journal", match), reader.read_from)
    skipped.skip()
    assert not fresh.look()
    assert not skipped.look()
    fault("healed")
    assert not skipped.look()
    fault("active")
    assert fresh.look()
    assert skipped.look()


def test_a_condition_of_a_malformed_schedule_never_comes_this_far():
    with pytest.raises(UsageError):
        Schedule.from_value({"version": 1, "faults": [{"id": "a", "kind": "kill", "start": {}}]})
