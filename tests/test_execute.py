"""A whole run on a cluster without hosts: whatever goes wrong, it heals, keeps and judges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from splitbrain.check import Question, check_path, show_path
from splitbrain.core.errors import HarnessError, SetupError, StoreError, UsageError
from splitbrain.core.fault import At, Fault, Schedule
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.execute import execute, plan_of, prepare
from splitbrain.plugin import load_reference
from splitbrain.pytest_plugin import Quiet
from splitbrain.runtime.store import RunDirectory

MEMORY = Path(__file__).parent / "testdata" / "plugins" / "memory.py"
PLAN = Plan(
    system=f"{MEMORY}:MemorySystem",
    workload="register",
    nemeses=("kill",),
    cluster=f"{MEMORY}:MemoryCluster",
    node_count=3,
    concurrency=6,
    time_limit_s=1.5,
    interval_s=0.6,
    seed=3,
)
PHASES = ["up", "install", "setup", "main", "heal", "settle", "final", "collect", "down", "done"]


@pytest.fixture
def memory() -> Iterator[ModuleType]:
    load_reference(f"{MEMORY}:CONTROL")
    module = next(
        module
        for name, module in sys.modules.items()
        if name.startswith("splitbrain_plugin_memory")
    )
    module.CONTROL.reset()
    yield module
    module.CONTROL.reset()


def carry_out(plan: Plan, store: Path) -> RunResult:
    return execute(plan, store=store, monitor=Quiet())


def phases(result: RunResult) -> list[str]:
    return [phase.name for _, phase in result.evidence.phases or ()]


def test_a_run_goes_through_its_phases_and_is_valid(memory: ModuleType, tmp_path: Path) -> None:
    result = carry_out(PLAN, tmp_path)
    assert result.failure is None
    assert result.status is Status.VALID, {k: v.reasons for k, v in result.verdicts.items()}
    assert phases(result) == PHASES
    assert set(result.verdicts) == {"linearizable", "stats", "faults", "recovery", "logs"}
    assert (tmp_path / "latest").resolve() == result.path
    assert {file.name for file in result.path.iterdir()} >= {
        *("plan.json", "journal", "schedule.json", "resolved.json", "result.json"),
        *("run.log", "facts.json", "checkers.json", "dumps.json", "logs"),
    }


def test_a_stored_run_is_shown_and_judged_again_alike(memory: ModuleType, tmp_path: Path) -> None:
    result = carry_out(PLAN, tmp_path)
    shown, again = show_path(result.path), check_path(result.path, Question())
    for other in (shown, again):
        assert other.status is result.status
        assert set(other.verdicts) == set(result.verdicts)
        assert other.plan == result.plan
        assert len(other.evidence.history or ()) == len(result.evidence.history or ())


def test_verdicts_that_cannot_be_kept_are_given_all_the_same(
    memory: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = carry_out(PLAN, tmp_path)
    (result.path / "result.json").unlink()

    def refuse(*_: object) -> None:
        message = "cannot write result.json: Permission denied"
        raise StoreError(message)

    monkeypatch.setattr(RunDirectory, "write_json", refuse)
    again = check_path(result.path, Question())
    assert again.status is Status.VALID
    assert again.notes == ("not kept: cannot write result.json: Permission denied",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node_count", 0),
        ("node_count", 51),
        ("time_limit_s", float("nan")),
        ("time_limit_s", -1.0),
        ("rate_hz", float("inf")),
        ("interval_s", 0.0),
        ("concurrency", 0),
        ("operation_timeout_s", 1e9),
    ],
)
def test_numbers_out_of_bounds_are_refused_wherever_they_come_from(
    field: str, value: float
) -> None:
    with pytest.raises(UsageError, match=f"{field} must be from "):
        prepare(replace(PLAN, **{field: value}))


def test_a_system_that_loses_writes_is_invalid(memory: ModuleType, tmp_path: Path) -> None:
    plan = replace(PLAN, options={"forgetful": True}, nemeses=())
    result = carry_out(plan, tmp_path)
    assert result.status is Status.INVALID
    (anomaly, *_) = result.verdicts["linearizable"].anomalies
    assert anomaly.operations
    assert anomaly.explanation
    assert check_path(result.path, Question()).status is Status.INVALID


def test_the_same_seed_draws_the_same_schedule(memory: ModuleType, tmp_path: Path) -> None:
    first, second = (carry_out(replace(PLAN, time_limit_s=0.5), tmp_path) for _ in range(2))
    assert first.schedule == second.schedule
    assert first.schedule


def test_a_stored_schedule_and_pinned_targets_are_replayed(
    memory: ModuleType, tmp_path: Path
) -> None:
    from splitbrain.runtime.store import read_resolved, read_schedule, resolved_of

    first = carry_out(PLAN, tmp_path)
    again = replace(PLAN, seed=99, nemeses=(), schedule=read_schedule(first.path))
    assert carry_out(again, tmp_path).schedule == first.schedule
    pinned = read_resolved(first.path / "resolved.json")
    assert pinned == read_resolved(first.path)
    assert pinned
    replayed = carry_out(replace(PLAN, seed=99, nemeses=(), resolved=pinned), tmp_path)
    assert [(item.fault.id, item.nodes) for item in resolved_of(replayed.evidence)] == [
        (item.fault.id, item.nodes) for item in pinned
    ]


def test_a_nemesis_of_a_few_lines_needs_no_registration(memory: ModuleType, tmp_path: Path) -> None:
    result = carry_out(replace(PLAN, nemeses=(f"{MEMORY}:Shake",)), tmp_path)
    assert result.status is Status.VALID
    assert memory.CONTROL.steps.count("heal") >= memory.CONTROL.steps.count("inject") > 0


def test_a_fault_that_never_takes_hold_leaves_the_run_unknown(
    memory: ModuleType, tmp_path: Path
) -> None:
    def refuse() -> None:
        message = "no"
        raise HarnessError(message)

    memory.CONTROL.at["kill"] = refuse
    result = carry_out(PLAN, tmp_path)
    assert result.status is Status.UNKNOWN
    assert result.verdicts["faults"].status is Status.UNKNOWN
    assert any("kill" in reason for reason in result.verdicts["faults"].reasons)


@pytest.mark.parametrize("step", ["up", "install", "start"])
def test_a_host_that_dies_during_set_up_is_one_line_and_taken_down(
    memory: ModuleType, tmp_path: Path, step: str
) -> None:
    def die() -> None:
        message = "n2 is gone"
        raise SetupError(message)

    memory.CONTROL.at[step] = die
    result = carry_out(PLAN, tmp_path)
    assert result.failure == "n2 is gone"
    assert result.status is not Status.VALID
    assert "down" in memory.CONTROL.steps
    assert "left" in memory.CONTROL.steps


@pytest.mark.parametrize("step", ["up", "install", "start", "invoke", "dump"])
def test_a_crash_of_foreign_code_is_one_line_with_its_traceback_in_the_log(
    memory: ModuleType, tmp_path: Path, step: str
) -> None:
    def crash() -> None:
        message = "boom"
        raise ZeroDivisionError(message)

    memory.CONTROL.at[step] = crash
    result = carry_out(PLAN, tmp_path)
    if step == "invoke":  # an exception that escapes a client is INFO, and no failure of ours
        assert result.failure is None
        assert result.status is not Status.VALID
        assert result.verdicts["stats"].status is Status.UNKNOWN
    else:
        assert result.failure is not None
        assert "\n" not in result.failure
        assert "ZeroDivisionError" in (result.path / "run.log").read_text()
    assert "down" in memory.CONTROL.steps


@pytest.mark.parametrize("error", [ZeroDivisionError("boom"), SystemExit(3)])
@pytest.mark.parametrize("step", ["dump", "stop", "get", "down", "left"])
def test_what_was_journaled_is_judged_wherever_foreign_code_crashes_after_the_load(
    memory: ModuleType, tmp_path: Path, step: str, error: BaseException
) -> None:
    def crash() -> None:
        raise error

    memory.CONTROL.at[step] = crash
    plan = replace(PLAN, options={"forgetful": True}, nemeses=())
    result = carry_out(plan, tmp_path)
    assert result.status is Status.INVALID
    assert result.failure is not None
    assert type(error).__name__ in result.failure
    assert type(error).__name__ in (result.path / "run.log").read_text()
    assert {"down", "left"} <= set(memory.CONTROL.steps)
    assert check_path(result.path, Question()).status is Status.INVALID


def test_a_dump_that_crashes_costs_no_log(memory: ModuleType, tmp_path: Path) -> None:
    def crash() -> None:
        message = "boom"
        raise ZeroDivisionError(message)

    memory.CONTROL.at["dump"] = crash
    result = carry_out(PLAN, tmp_path)
    assert result.failure is not None
    assert result.evidence.dumps is None
    assert [log.text for log in result.evidence.logs or ()] == ["all quiet\n"] * PLAN.node_count


@pytest.mark.parametrize("step", ["up", "install", "start", "invoke", "kill", "unsettled", "dump"])
def test_ctrl_c_in_each_phase_heals_judges_and_is_not_green(
    memory: ModuleType, tmp_path: Path, step: str
) -> None:
    fired: list[str] = []

    def interrupt() -> None:
        if not fired:
            fired.append(step)
            interrupt_the_controller()

    memory.CONTROL.at[step] = interrupt
    limit_s = 2.0 if step == "dump" else 20.0
    result = carry_out(replace(PLAN, time_limit_s=limit_s), tmp_path)
    assert fired
    assert result.interrupted
    assert result.failure is None
    assert result.status is Status.UNKNOWN
    assert "down" in memory.CONTROL.steps
    assert not memory.CONTROL.killed
    assert check_path(result.path, Question()).status is Status.UNKNOWN


def interrupt_the_controller() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_anomaly_found_before_ctrl_c_stays_invalid(memory: ModuleType, tmp_path: Path) -> None:
    memory.CONTROL.at["dump"] = interrupt_the_controller
    plan = replace(PLAN, options={"forgetful": True}, nemeses=())
    assert carry_out(plan, tmp_path).status is Status.INVALID


def test_a_system_that_refuses_everything_after_healing_is_dead_and_not_unknown(
    memory: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory.MemorySystem, "facts", {"recovery_bound_s": 1.0, "initial": None})

    def die() -> None:
        if "kill" in memory.CONTROL.steps:
            message = "n1"
            raise ConnectionRefusedError(message)

    memory.CONTROL.at["invoke"] = die
    verdict = carry_out(PLAN, tmp_path).verdicts["recovery"]
    assert [anomaly.name for anomaly in verdict.anomalies] == ["no-recovery"], verdict.reasons


def test_one_that_is_slow_to_answer_after_healing_but_in_time_has_recovered(
    memory: ModuleType, tmp_path: Path
) -> None:
    final: list[int] = []

    def die() -> None:
        if memory.CONTROL.steps.count("unsettled") > 1:
            final.append(1)
            if len(final) < 3:
                message = "n1"
                raise ConnectionRefusedError(message)

    memory.CONTROL.at["invoke"] = die
    result = carry_out(PLAN, tmp_path)
    assert result.verdicts["recovery"].status is Status.VALID
    assert result.verdicts["recovery"].stats["recovery_s"] < 5.0


def test_a_full_store_keeps_what_was_journaled_heals_and_fails_in_one_line(
    memory: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splitbrain.core.errors import StoreError
    from splitbrain.runtime.journal import JournalWriter

    sound = JournalWriter.append_frame

    def full(self: JournalWriter, frame: bytes, *rest: object) -> int:
        if memory.CONTROL.killed:
            message = "cannot write the journal: No space left on device; free some space"
            raise StoreError(message)
        return sound(self, frame, *rest)

    monkeypatch.setattr(JournalWriter, "append_frame", full)
    result = carry_out(PLAN, tmp_path)
    assert result.failure is not None
    assert "No space left" in result.failure
    assert not memory.CONTROL.killed
    assert "down" in memory.CONTROL.steps
    assert len(result.evidence.history or ()) > 0


def test_a_controller_that_is_killed_leaves_a_run_that_can_be_judged(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_execute import MEMORY, PLAN, carry_out
from splitbrain.plugin import load_reference
control = load_reference(f"{{MEMORY}}:CONTROL")
control.at["kill"] = lambda: os.kill(os.getpid(), signal.SIGKILL)
carry_out(replace(PLAN, time_limit_s=20.0), Path({str(tmp_path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run = (tmp_path / "latest").resolve()
    shown = show_path(run)
    assert shown.status is Status.UNKNOWN
    result = check_path(run, Question())
    assert result.status is Status.UNKNOWN
    assert result.evidence.history is not None
    assert len(result.evidence.history) > 0
    assert result.verdicts["linearizable"].status is Status.VALID


def test_a_run_that_did_not_end_stays_unknown_however_often_it_is_judged(
    memory: ModuleType, tmp_path: Path
) -> None:
    result = carry_out(PLAN, tmp_path)
    journal = result.path / "journal"
    data = journal.read_bytes()
    journal.write_bytes(data[: data.rindex(b"collect")])
    for name in ("result.json", "history.parquet"):
        (result.path / name).unlink()
    for checkers in ((), ("linearizable",), ()):
        again = check_path(result.path, Question(checkers=checkers))
        assert again.verdicts["linearizable"].status is Status.VALID
        assert again.status is Status.UNKNOWN
        assert "it did not end: the last that is known of it is the phase final" in again.notes


def test_a_runs_own_code_is_never_imported_again(memory: ModuleType, tmp_path: Path) -> None:
    result = carry_out(replace(PLAN, time_limit_s=0.3, nemeses=()), tmp_path)
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n")
    recipes = json.loads((result.path / "checkers.json").read_text())
    recipes.append({"name": f"{trap}:Trap", "parameters": {}})
    (result.path / "checkers.json").write_text(json.dumps(recipes))
    again = check_path(result.path, Question())
    assert not (tmp_path / "sprung").exists()
    assert again.status is Status.UNKNOWN
    assert "never imported" in again.verdicts[f"{trap}:Trap"].reasons[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: replace(plan, system="nothing"),
        lambda plan: replace(plan, workload="nothing"),
        lambda plan: replace(plan, nemeses=("nothing",)),
        lambda plan: replace(plan, checkers=("nothing",)),
        lambda plan: replace(plan, options={"unheard": 1}),
        lambda plan: replace(plan, bug="nothing"),
        lambda plan: replace(plan, bug="stale-read"),  # named, and not planted
    ],
)
def test_names_are_checked_before_anything_starts(
    memory: ModuleType, change: Callable[[Plan], Plan]
) -> None:
    with pytest.raises(UsageError):
        prepare(change(PLAN))
    assert memory.CONTROL.steps == []


def test_of_a_package_any_kind_is_enough_unless_the_faults_were_handed_in() -> None:
    def package(plan: Plan) -> object:
        (faults,) = [item for item in prepare(plan).checkers if item.name == "faults"]
        return faults.parameters()["of_package"]  # type: ignore[attr-defined]

    plan = Plan(system="raft", workload="register", nemeses=("network",), cluster="sim")
    assert package(plan) == ["packets", "partition"]
    cut = Fault(id="c", kind="partition", start=At(1.0), target="one", duration_s=1.0)
    assert package(replace(plan, schedule=Schedule((cut,)))) == []


def test_a_bug_brings_its_system_workload_and_schedule() -> None:
    plan = plan_of(
        system=None, workload=None, nemeses=None, bug="stale-read", seed=1, cluster="embedded"
    )
    assert (plan.system, plan.workload, plan.bug) == ("raft", "register", "stale-read")
    assert plan.schedule
    drawn = plan_of(
        system="raft", workload=None, nemeses=["kill"], bug="stale-read", seed=1, cluster="embedded"
    )
    assert drawn.schedule is None
    with pytest.raises(UsageError, match="is one of raft"):
        plan_of(
            system="other",
            workload=None,
            nemeses=None,
            bug="stale-read",
            seed=1,
            cluster="embedded",
        )


@pytest.mark.parametrize(
    ("bug", "cluster", "rate_hz"),
    [(None, "sim", 30.0), (None, "embedded", None), ("lost-vote", "sim", 100.0)],
)
def test_simulated_clients_take_their_time_unless_a_bug_wants_more(
    bug: str | None, cluster: str, rate_hz: float | None
) -> None:
    plan = plan_of(system=None, workload=None, nemeses=None, bug=bug, seed=1, cluster=cluster)
    assert plan.rate_hz == rate_hz
