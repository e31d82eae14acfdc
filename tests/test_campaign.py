"""Many simulated seeds at once: what failed is grouped, stored a few times, and there again."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitbrain import campaign, catalog
from splitbrain.campaign import KEPT, Campaign, Doubt, Failure, simulate_seeds
from splitbrain.cli import run_command
from splitbrain.core.errors import StoreError
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.simulation import simulate

SPLITBRAIN = Path(sys.executable).with_name("splitbrain")

STALE = replace(
    catalog.plan_of_bug(catalog.bug("stale-read"), seed=1, cluster="sim"),
    rate_hz=60.0,
    time_limit_s=4.0,
)
QUIET = Plan(
    system="raft",
    workload="register",
    cluster="sim",
    node_count=3,
    time_limit_s=1.0,
    rate_hz=30.0,
    concurrency=3,
)
QUIET_WORDS = shlex.split(
    "--cluster sim --nodes 3 --nemesis none --time-limit 1 --rate 30 --concurrency 3"
)


def carry_out(plan: Plan, count: int, store: Path) -> tuple[Campaign, list[RunResult]]:
    heard: list[RunResult] = []

    def watch(result: RunResult | None) -> None:
        if result is not None:
            heard.append(result)

    return simulate_seeds(plan, count, store=store, watch=watch, workers=2), heard


def splitbrain(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SPLITBRAIN, "run", *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_failures_are_grouped_and_stored_and_there_again_by_their_seed(tmp_path: Path) -> None:
    campaign, heard = carry_out(STALE, 5, tmp_path)
    assert sorted(result.plan.seed for result in heard if result.plan) == [1, 2, 3, 4, 5]
    found = Failure("linearizable", "stale-read")
    seeds = campaign.failures[found]
    assert seeds
    assert campaign.summary is not None
    kept: Any = json.loads(campaign.summary.read_text())
    row = next(item for item in kept["summary"]["failures"] if item["anomaly"] == "stale-read")
    assert row["seeds"] == sorted(seeds)
    for seed, path in row["stored"].items():
        result: Any = json.loads((Path(path) / "result.json").read_text())
        again = simulate(replace(STALE, seed=int(seed)))
        assert result["trace_hash"] == again.trace_hash
        assert again.status is Status.INVALID
    assert len(row["stored"]) >= min(KEPT, len(seeds))
    stored = {path for path in tmp_path.glob("raft-register/*") if path.is_dir()}
    assert stored == set(campaign.paths.values())


def test_valid_runs_leave_nothing_but_a_summary(tmp_path: Path) -> None:
    campaign, _ = carry_out(QUIET, 3, tmp_path)
    assert {result.status for result in campaign.results} == {Status.VALID}
    assert not campaign.failures
    assert [path.name for path in tmp_path.glob("*/*")] == [campaign.summary.name]  # type: ignore[union-attr]


def test_the_command_prints_one_object_a_run(tmp_path: Path) -> None:
    done = splitbrain(
        *QUIET_WORDS, "--test-count", "3", "--seed", "5", "--store", str(tmp_path), "--json"
    )
    assert done.returncode == 0, done.stderr
    rows: Sequence[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["valid"] * 3
    assert [row["path"] for row in rows] == [None] * 3
    assert sorted(row["seed"] for row in rows) == [5, 6, 7]


def test_each_object_says_where_its_run_is_stored_if_it_is(tmp_path: Path) -> None:
    words = shlex.split("--bug stale-read --cluster sim --rate 60 --time-limit 4 --seed 1 --json")
    done = splitbrain(*words, "--test-count", "6", "--store", str(tmp_path))
    rows: Sequence[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 6
    stored = {row["path"]: row["seed"] for row in rows if row["path"] is not None}
    assert len(stored) == KEPT
    for path, seed in stored.items():
        assert json.loads((Path(path) / "plan.json").read_text())["seed"] == seed


def test_runs_that_were_to_be_stored_when_a_campaign_ended_are_told_all_the_same(
    tmp_path: Path,
) -> None:
    told: list[tuple[int, Path | None]] = []

    def end(result: RunResult | None) -> None:
        if result is not None and result.status is Status.INVALID:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    failing = replace(catalog.plan_of_bug(catalog.bug("stale-read"), seed=1), cluster="sim")
    campaign = simulate_seeds(
        failing,
        4,
        store=tmp_path,
        watch=end,
        settled=lambda result, path: told.append((result.plan.seed, path)),  # type: ignore[union-attr]
        workers=1,
    )
    assert campaign.interrupted
    seeds = [result.plan.seed for result in campaign.results if result.plan is not None]
    assert sorted(seed for seed, _ in told) == sorted(seeds)
    assert len(told) >= 1


def test_a_failure_is_shown_with_a_command_that_has_it_again(tmp_path: Path) -> None:
    words = shlex.split("--bug stale-read --cluster sim --rate 60 --time-limit 4")
    done = splitbrain(*words, "--test-count", "2", "--seed", "1", "--store", str(tmp_path))
    assert done.returncode == 1, done.stderr
    again = next(line for line in done.stdout.splitlines() if line.startswith("  again"))
    command = shlex.split(again.removeprefix("  again"))
    assert command[:2] == ["splitbrain", "run"]
    assert splitbrain(*command[2:]).returncode == 1


def test_a_plan_that_cannot_be_used_is_refused_once(tmp_path: Path) -> None:
    done = splitbrain(*QUIET_WORDS, "--test-count", "3", "--workload", "none-such")
    assert done.returncode == 254
    assert len(done.stderr.splitlines()) == 1


def test_a_run_without_a_disk_keeps_its_failure_to_its_result(tmp_path: Path) -> None:
    """In a program of its own: pytest listens to all that is logged."""
    (tmp_path / "mute.py").write_text(
        "from splitbrain.core.simulated import NodeDied\n"
        "from splitbrain.system_under_test.systems.raft import RaftSystem\n\n\n"
        "class Mute(RaftSystem):\n"
        "    def boot(self, *_):\n"
        "        raise NodeDied('no licence')\n"
    )
    place = ["--system", f"{tmp_path}/mute.py:Mute", "--store", str(tmp_path)]
    done = splitbrain(*QUIET_WORDS, *place, "--test-count", "2", "--seed", "1")
    assert done.returncode == 255
    assert "the harness failed: n1: the daemon raft did not start: " in done.stdout
    assert done.stderr == ""


def test_unknown_runs_are_shown_by_reason_with_a_command_that_has_one_again(
    tmp_path: Path,
) -> None:
    never = {"when": {"source": "journal", "match": {"type": "never"}}, "within_s": 0.5}
    fault = {"id": "never", "kind": "kill", "start": never}
    (tmp_path / "never.json").write_text(json.dumps({"version": 1, "faults": [fault]}))
    words = [*QUIET_WORDS[:4], "--time-limit", "1", "--schedule", str(tmp_path / "never.json")]
    done = splitbrain(*words, "--test-count", "2", "--seed", "4", "--store", str(tmp_path))
    assert done.returncode == 2, done.stderr
    lines = done.stdout.splitlines()
    place = lines.index("unknown in 2")
    assert lines[place + 1].startswith("  faults: ")
    assert lines[place + 2 : place + 3] == ["  seeds   4, 5"]
    command = shlex.split(lines[place + 3].removeprefix("  again"))
    assert splitbrain(*command[2:]).returncode == 2
    (file,) = tmp_path.glob("*/seeds-*.json")
    summary = json.loads(file.read_text())["summary"]
    assert summary["unknown"] == [4, 5]
    (row,) = summary["unknown_reasons"]
    assert (row["checker"], row["seeds"]) == ("faults", [4, 5])
    assert row["reason"] in " ".join(lines)


def test_reasons_that_differ_in_numbers_alone_are_one_reason() -> None:
    doubts = {
        Doubt("stats", "no read ever succeeded (41 were tried)"): [9, 7],
        Doubt("stats", "no read ever succeeded (52 were tried)"): [2],
        Doubt("faults", "no read ever succeeded (41 were tried)"): [3],
        Doubt("stats", "no cas ever succeeded (41 were tried)"): [4, 1],
    }
    summary: Any = Campaign(plan=QUIET, count=10, doubts=doubts).to_value()
    assert summary["unknown_reasons"] == [
        {
            "checker": "stats",
            "reason": "no read ever succeeded (52 were tried)",
            "seeds": [2, 7, 9],
        },
        {"checker": "stats", "reason": "no cas ever succeeded (41 were tried)", "seeds": [1, 4]},
        {"checker": "faults", "reason": "no read ever succeeded (41 were tried)", "seeds": [3]},
    ]


def test_stop_on_violation_stays_a_campaign(tmp_path: Path) -> None:
    words = shlex.split("--bug stale-read --cluster sim --test-count 2 --seed 1")
    done = splitbrain(*words, "--stop-on-violation", "--store", str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "2 of 2 seeds: 2 invalid" in done.stdout
    (again,) = {line for line in done.stdout.splitlines() if line.startswith("  again")}
    assert "--stop-on-violation" in again
    stored = [json.loads(path.read_text()) for path in tmp_path.glob("*/*/result.json")]
    assert [result["interrupted"] for result in stored] == [True, True]


def test_stop_on_violation_is_refused_where_nobody_judges(tmp_path: Path) -> None:
    words = [*QUIET_WORDS, "--test-count", "2", "--stop-on-violation", "--store", str(tmp_path)]
    done = splitbrain(*words, "--system", "store", "--workload", "quorum-register")
    assert done.returncode == 254
    assert "needs the checker linearizable" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("store", ["afile", "/proc/x"])
def test_a_store_that_is_no_place_is_known_before_the_first_seed(
    tmp_path: Path, store: str
) -> None:
    (tmp_path / "afile").touch()
    words = [*QUIET_WORDS, "--store", str(tmp_path / store)]
    once, often = splitbrain(*words), splitbrain(*words, "--test-count", "2")
    assert once.returncode == often.returncode == 254
    assert often.stderr == once.stderr
    assert often.stdout == ""


def test_the_totals_are_shown_where_the_summary_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> Path:
        message = "cannot write the summary: No space left on device"
        raise StoreError(message)

    monkeypatch.setattr(campaign, "write_summary", refuse)
    words = ["run", *QUIET_WORDS, "--test-count", "2", "--store", str(tmp_path)]
    assert run_command(words) == 255
    out, err = capsys.readouterr()
    assert "2 of 2 seeds: 2 valid" in out
    assert err == "splitbrain: cannot write the summary: No space left on device\n"


def begun(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SPLITBRAIN, "run", *QUIET_WORDS, "--test-count", "10000", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_ends_soon_and_keeps_what_there_is(tmp_path: Path) -> None:
    running = begun("--store", str(tmp_path), "--json")
    assert running.stdout is not None
    first = running.stdout.readline()
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 2, (out[-500:], err[-2000:])
    assert json.loads(first)["verdict"] == "valid"
    (summary,) = tmp_path.glob("*/seeds-*.json")
    assert json.loads(summary.read_text())["summary"]["interrupted"] is True
    assert err == ""


def test_ctrl_c_while_workers_begin_is_said_without_a_traceback(tmp_path: Path) -> None:
    running = begun("--store", str(tmp_path))
    deadline = time.monotonic() + 60
    while not workers_of(running.pid):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (2, ""), out
    assert out.count("stopping: the runs under way go on to their end; Ctrl-C again") == 1
    assert "of 10,000 seeds, interrupted: " in out


def test_a_second_ctrl_c_ends_the_runs_under_way(tmp_path: Path) -> None:
    def press(result: RunResult | None) -> None:
        assert result is None, "the run was to take for ever"
        os.kill(os.getpid(), signal.SIGINT)

    endless = replace(QUIET, time_limit_s=100_000.0, rate_hz=1000.0)
    said: list[str] = []
    ended = simulate_seeds(endless, 5, store=tmp_path, watch=press, say=said.append, workers=2)
    assert ended.interrupted
    assert len(said) <= 1  # the second may come before anybody looks
    assert (ended.results, ended.failure) == ([], None)
    assert ended.summary is not None
    assert multiprocessing.active_children() == []


def workers_of(pid: int) -> list[str]:
    """Give the command lines of the simulator's workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for child in children:
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{child}/cmdline").read_text())
    return [line for line in found if "spawn_main" in line]


def test_messages_are_kept_when_asked_for(tmp_path: Path) -> None:
    from splitbrain.check import show_path
    from splitbrain.runtime.store import find_run, load_run

    done = splitbrain(*QUIET_WORDS, "--messages", "--seed", "3", "--store", str(tmp_path))
    assert done.returncode == 0, done.stderr
    run = load_run(find_run(tmp_path, None))
    messages = run.evidence.messages
    assert messages
    assert {"append", "append-reply", "request", "reply"} <= {item.kind for item in messages}
    assert [item.number for item in messages] == list(range(len(messages)))
    for item in messages:
        assert (item.arrived_ns is not None) == item.fate.startswith("delivered")
        assert item.arrived_ns is None or item.arrived_ns > item.sent_ns
    assert show_path(run.path).status is Status.VALID
