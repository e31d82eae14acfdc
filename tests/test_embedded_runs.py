"""The main job on embedded hosts: Raft judged under faults, and nothing left whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain import catalog
from splitbrain.check import Question, check_path
from splitbrain.cluster.embedded import Embedded
from splitbrain.cluster.state import parent
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.pytest_plugin import Quiet
from splitbrain.system_under_test.systems.raft import RaftSystem

pytestmark = pytest.mark.embedded

KINDS = ("partition", "kill", "pause", "clock")
SHORT = Plan(
    system="raft", workload="register", nemeses=KINDS, node_count=3, time_limit_s=9.0, seed=5
)
SEEDS = range(100, 120)


def carry_out(plan: Plan, store: Path) -> RunResult:
    return execute(plan, store=store, monitor=Quiet())


def why(result: RunResult) -> str:
    reasons = {
        name: (v.status.value, v.reasons, v.anomalies) for name, v in result.verdicts.items()
    }
    return f"{result.path}: {result.failure}: {reasons}"


def took_hold(result: RunResult) -> set[str]:
    return {event.kind for _, event in result.evidence.faults or () if event.state == "active"}


def acknowledged(result: RunResult) -> int:
    assert result.evidence.history is not None
    return int((result.evidence.history.outcome == 0).sum())


def test_correct_raft_is_valid_under_every_kind_of_fault(tmp_path: Path) -> None:
    result = carry_out(SHORT, tmp_path)
    assert result.failure is None
    assert result.status is Status.VALID, why(result)
    assert took_hold(result) == set(KINDS)
    assert check_path(result.path, Question()).status is Status.VALID


@pytest.mark.parametrize("name", ["stale-read", "forgotten-vote", "unverified-commit"])
def test_a_planted_bug_is_found_by_its_directed_schedule(tmp_path: Path, name: str) -> None:
    bug = catalog.bug(name)
    result = carry_out(catalog.plan_of_bug(bug, seed=1), tmp_path)
    assert result.failure is None
    assert result.status is Status.INVALID, why(result)
    found = {anomaly.name for anomaly in result.verdicts[bug.checker].anomalies}
    assert bug.anomaly in found
    assert all(anomaly.explanation for anomaly in result.verdicts[bug.checker].anomalies)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_seeds_in_a_row_are_valid_and_see_every_fault(tmp_path: Path) -> None:
    plan = Plan(system="raft", workload="register", nemeses=KINDS, time_limit_s=30.0)
    for seed in SEEDS:
        result = carry_out(replace(plan, seed=seed), tmp_path)
        assert result.status is Status.VALID, f"seed {seed}: {why(result)}"
        assert result.failure is None
        assert took_hold(result) == set(KINDS), f"seed {seed}"
        assert acknowledged(result) > 1000, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["stale-read", "forgotten-vote", "unverified-commit"])
def test_a_directed_schedule_finds_its_bug_every_time(tmp_path: Path, name: str) -> None:
    bug = catalog.bug(name)
    for seed in range(5):
        result = carry_out(catalog.plan_of_bug(bug, seed=seed), tmp_path)
        assert result.status is Status.INVALID, f"seed {seed}: {why(result)}"
        assert bug.anomaly in {a.name for a in result.verdicts[bug.checker].anomalies}, why(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stale-read", "forgotten-vote", "unverified-commit"])
def test_correct_raft_survives_the_schedule_of_each_bug(tmp_path: Path, name: str) -> None:
    bug = catalog.bug(name)
    plan = catalog.plan_of_bug(bug, seed=2)
    options = {key: value for key, value in plan.options.items() if key != "bugs"}
    result = carry_out(replace(plan, bug=None, options=options), tmp_path)
    assert result.status is Status.VALID, why(result)


class Controller:
    """A `splitbrain run` in a process of its own."""

    def __init__(self, store: Path, *arguments: str) -> None:
        self.store = store
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "splitbrain.cli", "run", "--nodes", "3"),
                *("--time-limit", "60", "--seed", "4", "--store", str(store), *arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, ready: Callable[[], bool], limit_s: float = 60.0) -> None:
        deadline = time.monotonic() + limit_s
        while not ready():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline, "the run did not come so far"
            time.sleep(0.05)

    def phase(self) -> str:
        journal = self.store / "latest" / "journal"
        if not journal.exists():
            return ""
        names = [
            line.split(b'"name":"')[1].split(b'"')[0].decode()
            for line in journal.read_bytes().split(b"\xa5\x5a")
            if b'"type":"phase"' in line
        ]
        return names[-1] if names else ""

    def children(self) -> set[int]:
        return descendants(self.process.pid)

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=90)
        return self.process.returncode, output


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = {int(text) for text in task.read_text().split()}
            except OSError:
                continue
            waiting += children - found
            found |= children
    return found


def await_death(pids: set[int], limit_s: float = 20.0) -> set[int]:
    deadline = time.monotonic() + limit_s
    alive = pids
    while alive and time.monotonic() < deadline:
        alive = {pid for pid in alive if Path(f"/proc/{pid}/root").exists() and running(pid)}
        time.sleep(0.05)
    return alive


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def own_state() -> set[str]:
    folder = parent()
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@pytest.mark.parametrize("phase", ["up", "install", "main"])
def test_ctrl_c_heals_judges_and_leaves_nothing(tmp_path: Path, phase: str) -> None:
    controller = Controller(tmp_path)
    controller.wait_for(lambda: controller.phase() == phase)
    children = controller.children()
    controller.process.send_signal(signal.SIGINT)
    code, output = controller.end()
    assert code == 2, output
    assert "Traceback" not in output
    assert await_death(children) == set()
    assert json.loads((tmp_path / "latest" / "result.json").read_text())["interrupted"] is True


def test_a_second_ctrl_c_tears_down_at_once(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    controller.wait_for(lambda: controller.phase() == "main")
    children = controller.children()
    controller.process.send_signal(signal.SIGINT)
    controller.wait_for(lambda: controller.phase() not in ("main", ""))
    if controller.process.poll() is None:
        controller.process.send_signal(signal.SIGINT)
    code, output = controller.end()
    assert code == 2, output
    assert await_death(children) == set()


def test_a_controller_killed_with_9_leaves_no_host_and_a_run_that_can_be_judged(
    tmp_path: Path,
) -> None:
    controller = Controller(tmp_path)
    controller.wait_for(lambda: controller.phase() == "main")
    controller.wait_for(lambda: (tmp_path / "latest" / "journal").read_bytes().count(b'"ok"') > 50)
    children = controller.children()
    mine = {name for name in own_state() if name.startswith(f"{controller.process.pid}-")}
    assert children
    assert mine
    controller.process.send_signal(signal.SIGKILL)
    assert controller.end()[0] == -signal.SIGKILL
    assert await_death(children) == set()
    swept = subprocess.run(
        [sys.executable, "-m", "splitbrain.cli", "cleanup"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not mine & own_state()
    assert all(name in swept.stdout for name in mine)
    result = check_path((tmp_path / "latest").resolve(), Question())
    assert result.status is Status.UNKNOWN
    assert result.verdicts["linearizable"].status is Status.VALID, why(result)
    assert acknowledged(result) > 50


@pytest.mark.parametrize("step", ["install", "start"])
def test_a_host_that_dies_during_set_up_is_one_line_and_taken_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place, name = {"install": (RaftSystem, "install"), "start": (Embedded, "start")}[step]
    sound = getattr(place, name)
    one_at_a_time = threading.Lock()
    dead: list[int] = []

    def dying(self: object, *arguments: object) -> None:
        with one_at_a_time:  # hosts are set up side by side, and one is to die
            if not dead:
                dead.append(max(host_pids(os.getpid())))
                os.kill(dead[0], signal.SIGKILL)
                assert await_death(set(dead)) == set()
        sound(self, *arguments)

    monkeypatch.setattr(place, name, dying)
    result = carry_out(SHORT, tmp_path)
    assert result.failure is not None
    assert "\n" not in result.failure
    assert any(node in result.failure for node in ("n1", "n2", "n3")), result.failure
    assert result.status is not Status.VALID
    assert host_pids(os.getpid()) == set()


def host_pids(controller: int) -> set[int]:
    """Give the first process of each host: those in a PID namespace of their own."""
    own = Path("/proc/self/ns/pid").readlink()
    found = set()
    for pid in descendants(controller):
        try:
            inside = Path(f"/proc/{pid}/ns/pid").readlink() != own
            first = Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split()[1] == "1"
        except (OSError, IndexError):
            continue
        if inside and first:
            found.add(pid)
    return found


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "splitbrain.cli", "run", "--nodes", "3", "--json"),
                *("--nemesis", "partition", "--time-limit", "6", "--rate", "200"),
                *("--seed", str(seed), "--store", str(tmp_path / str(seed))),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]
    for run in runs:
        output, errors = run.communicate(timeout=120)
        assert run.returncode == 0, output + errors
        assert json.loads(output)["verdict"] == "valid"


def test_a_full_disk_under_the_store_is_one_line_and_255(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "splitbrain.cli", "run", "--nodes", "3"),
                *("--time-limit", "20", "--store", str(disk / "store")),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 255, done.stdout + done.stderr
        assert "No space left" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        journal = next(disk.glob("store/*/*/journal"))
        assert b'"type":"invoke"' in journal.read_bytes()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
