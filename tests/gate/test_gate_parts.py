"""The parts of the gate: what a run must come to, what is remembered, what is left to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain import catalog
from splitbrain.core.evidence import Evidence
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Anomaly, Status, invalid, unknown, valid
from splitbrain.gate.memory import Memory
from splitbrain.gate.progress import (
    ENOUGH,
    complaints_about,
    in_turns,
    is_over,
    left_of,
    results_of,
    seconds_left,
)  # fmt: skip
from splitbrain.gate.sources import sources_hash
from splitbrain.gate.summary import bug_rows, done_columns, judge, pair_rows
from splitbrain.gate.task import Aim, Task
from splitbrain.gate.trial import Found, carry_out_at_length, digest_of, found_in

BUG = catalog.bug("lone-commit")
PLAN = Plan(system="raft", workload="register", nemeses=("kill",), cluster="sim", rate_hz=50.0)
CLEAN = Found(status="valid", real_s=2.0)
HIT = Found(status="invalid", anomalies=(("raft", "divergent-commit"),), real_s=1.0)
OTHER = Found(status="invalid", anomalies=(("raft", "two-leaders"),))
OPEN = Found(status="unknown", reasons=("faults: nothing took hold",))


def directed(seeds: int = 3) -> Task:
    return Task(aim=Aim.DIRECTED, name=BUG.name, plan=PLAN, seeds=seeds, bug=BUG)


def embedded() -> Task:
    return Task(aim=Aim.EMBEDDED, name=BUG.name, plan=PLAN, seeds=3, bug=BUG, once=True)


def drawn(seeds: int = 3) -> Task:
    return Task(aim=Aim.DRAWN, name=BUG.name, plan=PLAN, seeds=seeds, bug=BUG)


def pair(seeds: int = 3, plan: Plan = PLAN) -> Task:
    return Task(aim=Aim.CORRECT, name="raft/register/kill", plan=plan, seeds=seeds)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory.of(tmp_path, "abc")


def remember(memory: Memory, task: Task, *found: Found) -> None:
    for seed, item in enumerate(found):
        memory.add(task.key, seed, item)


# what a run must come to


def test_a_bug_must_be_found_by_its_checker_under_its_name() -> None:
    assert directed().complaint(7, HIT) is None
    wrong = directed().complaint(7, OTHER)
    assert wrong is not None
    assert "named otherwise" in wrong
    assert "not divergent-commit by raft, but invalid: two-leaders by raft" in wrong
    assert wrong.endswith("splitbrain run --bug lone-commit --cluster sim --seed 7")
    by_another = replace(HIT, anomalies=(("linearizable", "divergent-commit"),))
    assert directed().complaint(7, by_another) is not None
    missed = directed().complaint(7, CLEAN)
    assert missed is not None
    assert "is missed with the seed 7" in missed


def test_what_is_correct_must_be_valid_and_unknown_is_not() -> None:
    task = pair(plan=replace(PLAN, options={"heartbeat_ms": 20}))
    assert task.complaint(4, CLEAN) is None
    for found in (HIT, OPEN):
        line = task.complaint(4, found)
        assert line is not None
        assert "is not clean with the seed 4" in line
        assert line.endswith(
            "splitbrain run --system raft --workload register --nemesis kill --nodes 5 "
            "--time-limit 30 --concurrency 10 --rate 50 --option 'heartbeat_ms=20' "
            "--cluster sim --seed 4"
        )


def test_random_schedules_are_only_reported() -> None:
    assert drawn().complaint(1, CLEAN) is None
    assert drawn().hit(HIT)
    assert not drawn().hit(CLEAN)


def result(failure: str | None = None, **verdicts: object) -> RunResult:
    return RunResult(
        label="raft", path=Path("x"), status=Status.VALID, verdicts=verdicts,  # type: ignore[arg-type]
        evidence=Evidence(), failure=failure,
    )  # fmt: skip


def test_a_result_in_short() -> None:
    bad = invalid([Anomaly(name="two-leaders", explanation="n1 and n2")])
    found = found_in(replace(result(raft=bad, logs=unknown("none")), status=Status.INVALID), 1.5)
    assert found.has("raft", "two-leaders")
    assert not found.clean
    assert found.real_s == 1.5
    assert found_in(result(raft=valid()), 1.0).clean
    failed = found_in(result("the disk is full", raft=valid()), 1.0)
    assert not failed.clean
    assert failed.told() == "unknown: the disk is full"


# what is remembered


def test_results_outlive_the_gate_and_a_torn_line_does_not(tmp_path: Path) -> None:
    memory = Memory.of(tmp_path, "abc")
    remember(memory, directed(), HIT, OTHER)
    with memory.path.open("ab") as file:
        file.write(b'{"key":"dire')
    again = Memory.of(tmp_path, "abc")
    assert results_of(directed(), again) == {0: HIT, 1: OTHER}
    again.add(directed().key, 2, OPEN)
    assert results_of(directed(), Memory.of(tmp_path, "abc")) == {0: HIT, 1: OTHER, 2: OPEN}


def test_results_count_for_their_sources_and_their_plan_alone(tmp_path: Path) -> None:
    memory = Memory.of(tmp_path, "abc")
    remember(memory, pair(), CLEAN)
    assert left_of(pair(), memory) == [1, 2]
    assert left_of(pair(plan=replace(PLAN, rate_hz=60.0)), memory) == [0, 1, 2]
    assert left_of(pair(plan=replace(PLAN, seed=99)), memory) == [1, 2]
    assert left_of(pair(), Memory.of(tmp_path, "def")) == [0, 1, 2]
    assert digest_of(PLAN) != digest_of(replace(PLAN, options={"bugs": ["lone-commit"]}))


def test_the_hash_follows_the_sources_of_runs(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "report").mkdir()
    (tmp_path / "core" / "a.py").write_text("1")
    (tmp_path / "report" / "a.py").write_text("1")
    before = sources_hash(tmp_path)
    (tmp_path / "report" / "a.py").write_text("2")
    assert sources_hash(tmp_path) == before
    (tmp_path / "core" / "b.py").write_text("")
    added = sources_hash(tmp_path)
    (tmp_path / "core" / "a.py").write_text("2")
    assert len({before, added, sources_hash(tmp_path)}) == 3
    assert sources_hash() == sources_hash()


# what is left to do


def test_tasks_take_turns_and_what_is_known_is_left_out(memory: Memory) -> None:
    one, other = directed(25), pair(45)
    remember(memory, one, HIT)
    order = [(task.name, seed) for task, seed in in_turns([one, other], memory)]
    first = [(one.name, seed) for seed in range(1, 5)]
    assert order[:4] == first
    assert order[4:9] == [(other.name, seed) for seed in range(5)]
    assert sorted(order) == sorted(
        [(one.name, seed) for seed in range(1, 25)] + [(other.name, s) for s in range(45)]
    )


DOUBTFUL = Found(status="unknown", reasons=("stats: 0 succeeded", "raft: the trace has a gap"))


@pytest.mark.parametrize(
    ("outcomes", "lengths"),
    [
        ([CLEAN], [8.0]),
        ([OPEN, OPEN, CLEAN], [8.0, 16.0, 32.0]),
        ([OPEN, HIT], [8.0, 16.0]),
        ([DOUBTFUL], [8.0]),
        ([OPEN] * 6, [8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
    ],
)
def test_a_run_that_says_nothing_is_made_again_longer(
    outcomes: list[Found], lengths: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = iter(outcomes)
    asked: list[float] = []

    def carry_out(plan: Plan, seed: int) -> Found:
        asked.append(plan.time_limit_s)
        return next(ahead)

    monkeypatch.setattr("splitbrain.gate.trial.carry_out", carry_out)
    found = carry_out_at_length(replace(PLAN, time_limit_s=8.0), 7)
    assert asked == lengths
    assert found.status == outcomes[-1].status
    assert (found.time_limit_s or 8.0) == lengths[-1]
    assert found.real_s == sum(item.real_s for item in outcomes)


def test_the_command_names_the_length_that_counted() -> None:
    complaint = pair(plan=replace(PLAN, time_limit_s=8.0)).complaint(
        7, replace(OPEN, time_limit_s=64.0)
    )
    assert complaint is not None
    assert "--time-limit 64 " in complaint


def test_a_task_that_is_broken_is_left_alone_and_stays_wrong(memory: Memory) -> None:
    task = pair(1000)
    remember(memory, task, *[OPEN] * (ENOUGH - 1))
    assert not is_over(task, memory)
    memory.add(task.key, 500, OPEN)
    assert is_over(task, memory)
    assert left_of(task, memory) == ()
    assert list(in_turns([task], memory)) == []
    assert len(judge([task], memory).complaints) == ENOUGH
    assert not judge([task], memory).passed


def test_once_is_enough_on_embedded_hosts(memory: Memory) -> None:
    task = embedded()
    memory.add(task.key, 0, CLEAN)
    assert left_of(task, memory) == [1, 2]
    assert complaints_about(task, memory) == ()
    assert not judge([task], memory).passed
    memory.add(task.key, 1, HIT)
    assert left_of(task, memory) == ()
    assert judge([task], memory).passed


def test_never_on_embedded_hosts_is_wrong(memory: Memory) -> None:
    task = embedded()
    remember(memory, task, CLEAN, CLEAN, OTHER)
    assert len(judge([task], memory).complaints) == 3


def test_the_gate_is_passed_when_all_is_done_and_well(memory: Memory) -> None:
    tasks = [directed(2), pair(2), drawn(2)]
    remember(memory, tasks[0], HIT, HIT)
    remember(memory, tasks[1], CLEAN)
    verdict = judge(tasks, memory)
    assert verdict.complaints == ()
    assert verdict.open == ("correct, 1 runs: raft/register/kill",)
    assert not verdict.passed
    memory.add(tasks[1].key, 1, CLEAN)
    assert judge(tasks, memory).passed  # what was drawn is not asked for
    memory.add(tasks[1].key, 1, OPEN)
    assert not judge(tasks, memory).passed


def test_the_rest_of_the_time_is_predicted_from_what_was_done(memory: Memory) -> None:
    task = pair(10)
    guessed = seconds_left([task], memory, jobs=2)
    assert guessed > 0
    remember(memory, task, CLEAN, CLEAN)
    assert seconds_left([task], memory, jobs=2) == pytest.approx(8 * 2.0 / 2)
    like = Task(aim=Aim.CORRECT, name="raft/register/pause", plan=PLAN, seeds=3)
    assert seconds_left([task, like], memory, jobs=1) == pytest.approx(8 * 2.0 + 3 * 2.0)
    assert seconds_left([embedded()], memory, jobs=1) == seconds_left([embedded()], memory, jobs=8)


def test_tables_count_what_was_found(memory: Memory) -> None:
    tasks = [directed(2), drawn(4), pair(2)]
    remember(memory, tasks[0], HIT, OTHER)
    remember(memory, tasks[1], CLEAN, HIT, HIT, CLEAN)
    remember(memory, tasks[2], CLEAN, OPEN)
    (row,) = bug_rows([BUG], tasks, memory)
    assert row[0] == "lone-commit"
    assert row[3:] == ("1/2", "2/4", "2.0 s", "not done")
    assert pair_rows(tasks, memory) == [("raft/register/kill", "1/2", "1.00 s")]


def test_what_was_not_begun_has_no_row(memory: Memory) -> None:
    tasks = [directed(2), pair(2)]
    assert bug_rows([BUG], tasks, memory) == []
    assert pair_rows(tasks, memory) == []


def test_columns_of_what_was_not_done_are_left_out() -> None:
    rows = [("a", "1/1", "not done", "not done"), ("b", "not done", "not done", "found")]
    names, lines = done_columns(("bug", "directed", "drawn", "embedded"), rows)
    assert names == ["bug", "directed", "embedded"]
    assert lines == [["a", "1/1", "not done"], ["b", "not done", "found"]]
