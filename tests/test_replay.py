"""`--replay`: where a plan is done again unchanged, what comes of it must be the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitbrain.cli import run_command

SHORT = ["--nodes", "3", "--nemesis", "none", "--time-limit", "1", "--concurrency", "3"]
NOTE = "the system is not deterministic, or its code has changed"
FICKLE = """
import os
from dataclasses import replace

from splitbrain.system_under_test.systems.raft import RaftSystem


class Fickle(RaftSystem):
    def boot(self, *given):
        return replace(super().boot(*given), notes=(os.urandom(4).hex(),))
"""


class Stage:
    """A store with one run of a system in it, to be done again."""

    def __init__(self, folder: Path, system: str) -> None:
        self.store = folder / "store"
        (folder / "fickle.py").write_text(FICKLE)
        system = system.replace("fickle.py", f"{folder}/fickle.py")
        self.run("--cluster", "sim", *SHORT, "--system", system, "--seed", "3")
        self.first = (self.store / "latest").resolve()

    def run(self, *words: str) -> None:
        assert run_command(["run", "--store", str(self.store), *words]) == 0

    def trace_hash(self) -> str:
        return str(json.loads((self.store / "latest" / "result.json").read_text())["trace_hash"])


@pytest.fixture
def fickle(tmp_path: Path) -> Stage:
    return Stage(tmp_path, "fickle.py:Fickle")


def test_a_system_that_is_not_deterministic_is_told_with_both_hashes(
    fickle: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fickle.trace_hash()
    capsys.readouterr()
    fickle.run("--replay", str(fickle.first))
    said = " ".join(capsys.readouterr().out.split())
    assert said.count(NOTE) == 1
    assert f"(trace hash {fickle.trace_hash()[:8]}, before {before[:8]})" in said
    fickle.run("--replay", str(fickle.first), "--json")
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert NOTE in note


@pytest.mark.parametrize("change", [["--seed", "4"], ["--rate", "20"], ["--messages"]])
def test_another_plan_may_leave_something_else(
    fickle: Stage, capsys: pytest.CaptureFixture[str], change: list[str]
) -> None:
    fickle.run("--replay", str(fickle.first), *change)
    assert NOTE not in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "change", [{"version": "0.0.1"}, {"interrupted": True}, {"trace_hash": None}]
)
def test_what_cannot_be_compared_is_not(
    fickle: Stage, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    file = fickle.first / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    fickle.run("--replay", str(fickle.first))
    assert NOTE not in " ".join(capsys.readouterr().out.split())


def test_the_same_run_again_needs_no_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(tmp_path, "raft")
    before = stage.trace_hash()
    stage.run("--replay", str(stage.first))
    assert stage.trace_hash() == before
    assert NOTE not in " ".join(capsys.readouterr().out.split())
