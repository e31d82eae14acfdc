"""The gate as a whole, in the simulator: it can be passed, it can fail, and it goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain import catalog
from splitbrain.core.bug import PlantedBug
from splitbrain.gate import agenda, command
from splitbrain.gate.command import entry

BUG = "lost-vote"
PAIR = "raft/register/kill"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda, "LOAD", replace(agenda.LOAD, time_limit_s=6.0))


def gate(tmp_path: Path, *words: str) -> int:
    fixed = ("--state", str(tmp_path), "--embedded", "0", "--drawn", "0", "--jobs", "1")
    return entry([*fixed, "--only", BUG, "--pairs", PAIR, *words])


def test_it_is_passed_and_knows_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gate(tmp_path, "--bugs", "1", "--seeds", "1", "--jobs", "2") == 0
    said = capsys.readouterr().out
    assert "gate: passed; 2 runs known" in said
    assert BUG in said
    assert PAIR in said
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert gate(tmp_path, "--bugs", "1", "--seeds", "1") == 0  # nothing is left to do
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert gate(tmp_path, "--bugs", "1", "--seeds", "2", "--limit", "0") == 2
    said = capsys.readouterr().out
    assert "not done: correct, 1 runs: raft/register/kill" in said


def test_a_row_that_names_another_anomaly_fails_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(catalog.bug(BUG), anomaly="two-leaders")

    def bug(name: str) -> PlantedBug:
        assert name == BUG
        return wrong

    monkeypatch.setattr(catalog, "bug", bug)
    assert gate(tmp_path, "--bugs", "1", "--seeds", "0") == 1
    said = capsys.readouterr().out
    assert "is named otherwise with the seed 0: not two-leaders by raft" in said
    assert "forgotten-vote by raft" in said
    assert f"splitbrain run --bug {BUG} --cluster sim --seed 0" in said


def test_a_bug_that_its_schedule_does_not_find_fails_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cured = replace(catalog.bug(BUG), options={})
    monkeypatch.setattr(catalog, "bug", lambda _name: cured)
    assert gate(tmp_path, "--bugs", "1", "--seeds", "0") == 1
    assert "is missed with the seed 0" in capsys.readouterr().out


def test_a_bug_that_crept_into_what_is_correct_fails_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda, "LOAD", replace(agenda.LOAD, options={"bugs": ["early-apply"]}))
    assert gate(tmp_path, "--bugs", "0", "--seeds", "1") == 1
    said = capsys.readouterr().out
    assert f"correct {PAIR} is not clean with the seed 0: invalid: " in said
    assert "applied-uncommitted by raft" in said
    assert "--cluster sim --seed 0" in said


def test_what_cannot_be_judged_is_not_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = replace(agenda.LOAD, rate_hz=0.05)  # too few operations succeed, at any length
    monkeypatch.setattr(agenda, "LOAD", idle)
    assert gate(tmp_path, "--bugs", "0", "--seeds", "1") == 1
    assert "is not clean with the seed 0: unknown: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--pairs", "raft/none"], "no pair fits 'raft/none'; there are raft/register/"),
        (["--pairs", "raft/registr/kill"], "'raft/registr/kill'; did you mean raft/register/kill"),
        (["--only", "no-bug"], "there is no bug 'no-bug'"),
        (["--seeds", "many"], "argument --seeds: 'many' is not a whole number from 0 on"),
        (["--seeds", "-1"], "argument --seeds: '-1' is not a whole number from 0 on"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_bad_usage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    assert gate(tmp_path, "--bugs", "1", "--seeds", "1", *words) == 254
    said = capsys.readouterr().err
    assert said.startswith("gate: ")
    assert reason in said
    assert len(said.splitlines()) == 1
    assert len(said) < 500


def test_bugs_alone_bring_no_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed = ("--state", str(tmp_path), "--drawn", "0", "--jobs", "1", "--limit", "0")
    assert entry([*fixed, "--only", BUG, "--bugs", "1", "--embedded", "0"]) == 2
    said = capsys.readouterr().out
    assert f"not done: directed, 1 runs: {BUG}\n" in said
    assert "correct" not in said
    assert entry([*fixed, "--only", BUG, "--bugs", "0", "--embedded", "0", "--pairs", PAIR]) == 2
    assert f"not done: correct, 1000 runs: {PAIR}\n" in capsys.readouterr().out
    assert entry([*fixed, "--bugs", "0", "--embedded", "0"]) == 2
    assert "not done: correct, " in capsys.readouterr().out


def test_what_was_not_done_is_a_short_line_and_no_row_of_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = ("--state", str(tmp_path), "--drawn", "0", "--embedded", "0", "--limit", "0")
    assert entry([*fixed, "--bugs", "1", "--seeds", "1"]) == 2
    lines = capsys.readouterr().out.splitlines()
    (left,) = (line for line in lines if line.startswith("not done: directed"))
    assert left.endswith(f" and {len(catalog.bugs()) - 5} more")
    assert not any(" 0/0 " in line or line.startswith(("bug ", "pair ")) for line in lines)


def test_every_kind_of_fault_that_the_simulator_has_makes_pairs() -> None:
    names = {task.name for task in agenda.correct(1)}
    kinds = ("partition", "packets", "kill", "pause", "clock", "power", "disk", "partition,kill")
    assert names >= {f"raft/register/{kind}" for kind in kinds}
    assert not any("damage" in name or "stress" in name for name in names)
    assert len(agenda.directed(catalog.bugs(), 1)) <= len(catalog.bugs())
    assert all(task.once for task in agenda.embedded(catalog.bugs()))
    assert command.HEADINGS
