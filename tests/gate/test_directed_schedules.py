"""In the simulator each directed schedule finds its bug, and harms no correct system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain import catalog
from splitbrain.core.bug import PlantedBug
from splitbrain.core.fault import Schedule
from splitbrain.core.verdict import Status
from splitbrain.execute import prepare
from splitbrain.gate.agenda import is_simulated
from splitbrain.gate.trial import carry_out

BUGS = [bug for bug in catalog.bugs() if is_simulated(bug.system)]
QUICK = ("lost-vote", "kept-vote", "votes-never-enough", "truncated-log", "unmatched-append")


@pytest.fixture(params=BUGS, ids=[bug.name for bug in BUGS])
def bug(request: pytest.FixtureRequest) -> PlantedBug:
    found = request.param
    assert isinstance(found, PlantedBug)
    return found


def test_every_row_is_whole(bug: PlantedBug) -> None:
    assert bug.promise
    assert bug.origin
    assert bug.options  # the defect itself, and whatever masks it switched off
    assert Schedule.from_value(bug.schedule.to_value()) == bug.schedule
    prepared = prepare(catalog.plan_of_bug(bug, seed=0, cluster="sim"))
    assert bug.checker in {checker.name for checker in prepared.checkers}


def test_names_are_unique() -> None:
    names = [bug.name for bug in catalog.bugs()]
    assert len(set(names)) == len(names)
    assert sum(bug.system == "raft" for bug in BUGS) >= 12


@pytest.mark.parametrize("name", QUICK)
def test_a_directed_schedule_finds_its_bug(name: str) -> None:
    bug = catalog.bug(name)
    found = carry_out(catalog.plan_of_bug(bug, seed=0, cluster="sim"), 1000)
    assert found.has(bug.checker, bug.anomaly), found.told()


@pytest.mark.slow
def test_every_directed_schedule_finds_its_bug(bug: PlantedBug) -> None:
    plan = catalog.plan_of_bug(bug, seed=0, cluster="sim")
    for seed in range(2000, 2003):
        found = carry_out(plan, seed)
        assert found.has(bug.checker, bug.anomaly), f"seed {seed}: {found.told()}"


THE_BUG_ITSELF = {"bugs", "reads", "timestamps"}
"""Options that are a bug: planted ones, leases and ranks that hang on clocks which faults bend."""


@pytest.mark.slow
def test_the_correct_system_survives_the_schedule(bug: PlantedBug) -> None:
    plan = catalog.plan_of_bug(bug, seed=0, cluster="sim")
    options = {key: value for key, value in plan.options.items() if key not in THE_BUG_ITSELF}
    found = carry_out(replace(plan, bug=None, options=options), 3000)
    # While everybody is down nothing can succeed, which only the floor of operations dislikes.
    is_idle = found.told().startswith("unknown: stats: 0 operations succeeded while a fault")
    assert found.status == Status.VALID or is_idle, found.told()


def test_a_trial_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    bug = catalog.bug("votes-never-enough")
    carry_out(catalog.plan_of_bug(bug, seed=0, cluster="sim"), 1)
    assert list(tmp_path.iterdir()) == []
