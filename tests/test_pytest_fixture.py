"""The fixture `splitbrain`, in the simulator: what a suite asks for is what is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitbrain.core.fault import At, Fault, Schedule
from splitbrain.pytest_plugin import Runner

CUT = Schedule((Fault(id="cut", kind="partition", start=At(1.0), target="one", duration_s=2.0),))


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(cluster="sim", store=tmp_path / "store", seed=3)


@pytest.mark.parametrize("form", ["value", "file", "text"])
def test_a_schedule_is_followed_in_whatever_form_it_comes(
    runner: Runner, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "cut.json"
    file.write_text(json.dumps(CUT.to_value()))
    schedule = {"value": CUT, "file": file, "text": str(file)}[form]
    run = runner.run(schedule=schedule, nodes=3, time_limit_s=4.0, rate_hz=50.0)
    assert run.valid, run.explanation
    assert run.result.schedule == CUT
    events = [(event.fault, event.state) for _, event in run.result.evidence.faults or ()]
    assert ("cut", "active") in events
    assert {fault for fault, _ in events} == {"cut"}


def test_a_stored_run_is_a_schedule(runner: Runner) -> None:
    first = runner.run(nemeses=["kill"], time_limit_s=5.0, interval_s=2.0, rate_hz=50.0)
    assert first.result.path is not None
    again = runner.run(schedule=first.result.path, time_limit_s=5.0, rate_hz=50.0, seed=9)
    assert again.result.schedule == first.result.schedule


@pytest.mark.parametrize("form", ["value", "file"])
def test_a_fault_that_can_never_start_fails_the_test_with_one_line(
    runner: Runner, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "cut.json"
    file.write_text(json.dumps(CUT.to_value()))
    with pytest.raises(pytest.fail.Exception, match=r"'cut' .* ends after 0\.5 s") as caught:
        runner.run(schedule=CUT if form == "value" else file, time_limit_s=0.5)
    assert "\n" not in str(caught.value)
    assert not runner.store.exists()


def test_a_schedule_that_is_not_there_fails_the_test_with_one_line(
    runner: Runner, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"none\.json") as caught:
        runner.run(schedule=tmp_path / "none.json")
    assert "\n" not in str(caught.value)
