"""The demo tells the truth about whether its story came out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain import demo
from splitbrain.core.evidence import Evidence
from splitbrain.core.run import RunResult
from splitbrain.core.verdict import Anomaly, Status, Verdict, invalid, valid


def result(status: Status, **verdicts: Verdict) -> RunResult:
    return RunResult(
        label="raft register",
        path=Path("run"),
        status=status,
        verdicts=verdicts,
        evidence=Evidence(),
    )


def broken(name: str) -> Verdict:
    return invalid([Anomaly(name=name, explanation="it must not be")])


def test_the_story_has_the_correct_system_and_three_bugs() -> None:
    correct, *bugs = demo.scenes()
    assert correct.bug is None
    assert set(correct.plan.nemeses) == {"partition", "kill", "pause", "clock"}
    assert [scene.bug.name for scene in bugs if scene.bug] == list(demo.BUGS)
    assert all(scene.plan.schedule for scene in bugs)


def test_the_correct_system_must_be_valid() -> None:
    correct = demo.scenes()[0]
    good = result(Status.VALID, linearizable=valid())
    assert correct.as_expected(good)
    assert not correct.as_expected(replace(good, failure="the harness failed"))
    assert not correct.as_expected(result(Status.UNKNOWN))
    assert not correct.as_expected(result(Status.INVALID, linearizable=broken("stale-read")))


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_bug_must_be_found_by_its_checker_under_its_name(place: int) -> None:
    scene = demo.scenes()[place]
    assert scene.bug is not None
    found = {scene.bug.checker: broken(scene.bug.anomaly)}
    assert scene.as_expected(result(Status.INVALID, **found))
    assert not scene.as_expected(result(Status.INVALID, **{scene.bug.checker: broken("other")}))
    assert not scene.as_expected(result(Status.INVALID, stats=broken(scene.bug.anomaly)))
    assert not scene.as_expected(result(Status.VALID, linearizable=valid()))


def test_without_root_one_line_says_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = [("root for now", "run it as root, or with sudo")]
    monkeypatch.setattr(demo.embedded, "status", lambda: ("MISSING", missing))
    monkeypatch.setattr(os, "execv", pytest.fail)  # never puts anything in this process's place
    monkeypatch.setattr(os, "execve", pytest.fail)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert demo.main() == demo.FAILED
    said = "demo: the embedded cluster needs root for now: run it as root, or with sudo"
    assert capsys.readouterr().out.splitlines() == [said]
