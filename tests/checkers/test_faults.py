from __future__ import annotations

import pytest

from splitbrain.checkers.faults import Faults
from splitbrain.core.evidence import Evidence
from splitbrain.core.journal import FaultEvent, Phase
from splitbrain.core.verdict import Status

S = 1_000_000_000


def life(fault, kind, *states, start=10, resolved=None, error=None):
    return [
        FaultEvent(
            fault=fault, kind=kind, state=state, time_ns=(start + number) * S,
            resolved=resolved if state == "injecting" else None,
            error=error if state in ("missed", "healing") else None,
        )
        for number, state in enumerate(states)
    ]  # fmt: skip


def check(*lives, kinds=(), of_package=()):
    events = [event for item in lives for event in item]
    phases = ((0, Phase(name="main", time_ns=5 * S)),)
    return Faults(kinds, of_package).check(
        Evidence(faults=tuple(enumerate(events, 1)), phases=phases)
    )


FINE = ("planned", "injecting", "active", "healing", "healed")
WHERE = {"nodes": ["n1", "n2"], "detail": {"shape": "halves"}}


def test_faults_that_held_and_healed_are_figures_alone():
    verdict = check(life("p-1", "partition", *FINE, resolved=WHERE), kinds=["partition"])
    assert (verdict.status, verdict.judges, verdict.reasons) == (Status.VALID, False, ())
    assert verdict.stats["kinds"] == {
        "partition": {"planned": 1, "active": 1, "missed": 0, "healed": 1}
    }
    assert verdict.stats["faults"] == [
        {"id": "p-1", "kind": "partition", "nodes": ["n1", "n2"], "shape": "halves",
         "start_s": 7.0, "end_s": 9.0, "missed": None}
    ]  # fmt: skip


def test_a_kind_that_never_took_hold_leaves_the_run_unknown():
    missed = life("k-1", "kill", "planned", "missed", error="nobody leads")
    verdict = check(life("p-1", "partition", *FINE), missed, kinds=["partition", "clock"])
    assert (verdict.status, verdict.judges) == (Status.UNKNOWN, True)
    assert verdict.reasons == (
        "no fault of the kind 'clock' ever took hold",
        "no fault of the kind 'kill' ever took hold",
        "k-1 was missed: nobody leads",
    )


def test_of_a_package_any_kind_is_enough_and_what_was_missed_is_told():
    missed = life("k-1", "kill", "planned", "missed", error="nobody leads")
    package = ["kill", "partition", "pause"]
    verdict = check(life("p-1", "partition", *FINE), missed, of_package=package)
    assert (verdict.status, verdict.judges) == (Status.VALID, False)
    assert verdict.reasons == ("k-1 was missed: nobody leads",)
    verdict = check(missed, of_package=package)
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons[0] == "no fault ever took hold of the kinds kill, partition, pause"
    verdict = check(missed, kinds=["kill"], of_package=["partition"])
    assert len(verdict.reasons) == 3


def test_a_single_miss_is_told_and_judges_nothing():
    missed = life("k-2", "kill", "planned", "injecting", "healing", "healed", "missed", error="no")
    verdict = check(life("k-1", "kill", *FINE), missed)
    assert (verdict.status, verdict.judges) == (Status.VALID, False)
    assert verdict.reasons == ("k-2 was missed: no",)
    assert verdict.stats["faults"][1]["end_s"] is None


def test_what_was_not_healed_leaves_the_run_unknown():
    verdict = check(life("k-1", "kill", "planned", "injecting", "active", "healing", error="dead"))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == ("k-1 was not healed: dead",)


@pytest.mark.parametrize(
    "states",
    [("injecting",), ("injecting", "missed"), ("injecting", "active"), (*FINE, "healing")],
)
def test_a_fault_on_its_way_or_on_its_way_back_is_not_healed(states):
    held = life("k-0", "kill", *FINE)
    verdict = check(held, life("k-1", "kill", "planned", *states))
    assert verdict.status is Status.UNKNOWN
    assert any(reason.startswith("k-1 was not healed") for reason in verdict.reasons)


def test_a_lease_that_ran_out_leaves_the_run_unknown():
    verdict = check(life("k-1", "kill", *FINE), life("lease-n1", "lease", "expired"))
    assert verdict.status is Status.UNKNOWN
    assert "lease-n1: the lease ran out" in verdict.reasons[0]
    assert list(verdict.stats["kinds"]) == ["kill"]


def test_no_faults_at_all():
    assert not check().judges
    assert check(kinds=["kill"]).status is Status.UNKNOWN
    parameters = {"kinds": ["kill"], "of_package": ["pause", "power"]}
    assert Faults(**parameters).parameters() == parameters
