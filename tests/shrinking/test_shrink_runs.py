"""Runs of the simulator shrink to a few faults and operations that fail in the same way."""

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import signal
import time
from dataclasses import replace

import pytest
from rich.console import Console

from splitbrain import catalog
from splitbrain.cli import run_command
from splitbrain.execute import execute
from splitbrain.report.quiet import Quiet
from splitbrain.report.shrunk import show_shrunk, shrunk_as_json
from splitbrain.runtime.store import load_run
from splitbrain.shrink import shrink
from splitbrain.simulation import simulate

FAULTS, OPERATIONS = 3, 8


def failing(name, store, seed=0):
    bug = catalog.bug(name)
    plan = catalog.plan_of_bug(bug, seed=seed, cluster="sim")
    result = execute(plan, store=store, monitor=Quiet())
    assert bug.anomaly in [item.name for item in result.verdicts[bug.checker].anomalies]
    return bug, result


def require_small(bug, result, store):
    found = shrink(result.path, store=store, monitor=Quiet(), time_limit_s=1200)
    assert (found.checker, found.anomaly) == (bug.checker, bug.anomaly)
    names = [item.name for item in found.result.verdicts[bug.checker].anomalies]
    assert bug.anomaly in names
    assert len(found.result.schedule) <= max(FAULTS, len(bug.schedule))
    assert len(found.result.evidence.history) <= OPERATIONS
    again = simulate(load_run(found.result.path).plan)
    assert again.trace_hash == found.result.trace_hash is not None
    return found


@pytest.mark.slow
def test_a_bug_shrinks_and_its_case_repeats_exactly(tmp_path, capsys):
    bug, result = failing("forgotten-vote", tmp_path)
    found = require_small(bug, result, tmp_path)
    assert found.is_minimal
    assert load_run(found.result.path).plan == found.result.plan
    replay = ["run", "--replay", str(found.result.path), "--store", str(tmp_path), "--json"]
    assert run_command(replay) == 1
    again = json.loads(capsys.readouterr().out)
    hashes = {
        json.loads((load_run(path).path / "result.json").read_text())["trace_hash"]
        for path in (found.result.path, tmp_path / "latest")
    }
    assert len(hashes) == 1
    assert bug.anomaly in [item["name"] for item in again["checkers"][bug.checker]["anomalies"]]


def pressing(call):
    """Give a clock that presses Ctrl-C when it is looked at for the given time."""
    looks = itertools.count(1)

    def now():
        if next(looks) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return time.monotonic()

    return now


def leaping(seconds):
    """Give a clock that is so many seconds later from its second look on."""
    looks = itertools.count(1)

    def now():
        return time.monotonic() + (seconds if next(looks) > 1 else 0)

    return now


@pytest.mark.parametrize(("seconds", "is_minimal"), [(100, True), (1000, False)])
def test_a_busy_machine_has_more_time_and_not_for_ever(seconds, is_minimal, tmp_path):
    _, result = failing("stale-read", tmp_path)
    found = shrink(result.path, store=tmp_path, monitor=Quiet(), now=leaping(seconds))
    assert found.is_minimal is is_minimal


def test_what_was_found_until_ctrl_c_is_kept_and_said(tmp_path):
    bug, result = failing("stale-read", tmp_path)
    found = shrink(result.path, store=tmp_path, monitor=Quiet(), now=pressing(12))
    assert found.interrupted
    assert not found.is_minimal
    assert found.runs < 15
    assert found.operations[1] < found.operations[0]
    kept = load_run(found.result.path)
    assert bug.anomaly in json.dumps(kept.result)
    console = Console(file=io.StringIO(), width=200)
    show_shrunk(console, found)
    assert "interrupted: kept is what was found until then" in console.file.getvalue()
    assert shrunk_as_json(found)["shrunk"]["interrupted"] is True


def test_ctrl_c_before_anything_was_found_is_an_interruption(tmp_path, capsys, monkeypatch):
    _, result = failing("stale-read", tmp_path)
    pressed = functools.partial(shrink, now=pressing(2))
    monkeypatch.setattr("splitbrain.shrink.shrink", pressed)
    assert run_command(["shrink", str(result.path), "--store", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said == "splitbrain: interrupted before anything smaller was found\n"
    assert (tmp_path / "latest").resolve() == result.path


def refused(path, store, capsys):
    """Give the one line with which a run is not shrunk."""
    assert run_command(["shrink", str(path), "--store", str(store)]) == 254
    (said,) = capsys.readouterr().err.splitlines()
    return said


@pytest.fixture
def short(tmp_path):
    """Give a short run that is valid."""
    plan = replace(
        catalog.plan_of_bug(catalog.bug("stale-read"), seed=1, cluster="sim"),
        options={}, bug=None, schedule=None, time_limit_s=0.5,
    )  # fmt: skip
    return execute(plan, store=tmp_path, monitor=Quiet()).path


def test_a_valid_run_cannot_be_shrunk(short, tmp_path, capsys):
    assert "nothing to shrink" in refused(short, tmp_path, capsys)


def test_a_run_in_which_the_harness_failed_is_refused_with_what_failed(short, tmp_path, capsys):
    file = short / "result.json"
    result = json.loads(file.read_text())
    lost = {"name": "lost", "explanation": "it is gone", "operations": [], "evidence": []}
    result["verdicts"]["linearizable"] |= {"status": "invalid", "anomalies": [lost]}
    file.write_text(json.dumps({**result, "status": "invalid", "failure": "n1 did not start"}))
    said = refused(short, tmp_path, capsys)
    assert f"{short} itself failed, and so cannot be shrunk: n1 did not start" in said


def test_a_run_without_a_result_is_refused_with_the_name_of_the_file(short, tmp_path, capsys):
    (short / "result.json").unlink()
    said = refused(short, tmp_path, capsys)
    assert f"{short} has no result.json" in said
    assert f"splitbrain check {short}" in said


@pytest.mark.slow
def test_what_does_not_fail_again_is_said(tmp_path, capsys):
    _, result = failing("stale-read", tmp_path)
    plan = json.loads((result.path / "plan.json").read_text())
    plan |= {"options": {}, "bug": None}
    (result.path / "plan.json").write_text(json.dumps(plan))
    assert run_command(["shrink", str(result.path), "--store", str(tmp_path)]) == 254
    assert "does not fail again with stale-read" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["system", "workload", "nemesis", "bug"])
def test_a_replay_brings_what_it_is(option, tmp_path, capsys):
    assert run_command(["run", "--replay", str(tmp_path), f"--{option}", "raft"]) == 254
    assert f"leave out --{option}" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", [bug.name for bug in catalog.bugs()])
def test_every_planted_bug_shrinks(name, tmp_path):
    bug, result = failing(name, tmp_path)
    require_small(bug, result, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"), [("no-write-back", 2), ("no-write-back", 3), ("arbitrary-repair", 1)]
)
def test_a_bug_whose_clients_go_from_node_to_node_shrinks(name, seed, tmp_path):
    bug, result = failing(name, tmp_path, seed)
    require_small(bug, result, tmp_path)
