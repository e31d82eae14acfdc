"""The reference Raft on embedded hosts under each kind of fault that a correct system survives."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.pytest_plugin import Quiet

pytestmark = [pytest.mark.embedded, pytest.mark.slow]

SAFE = ("packets", "stop", "restart", "reboot", "stress", "disk", "power")


KIND_OF_DISK = {"power": {"disk": "ext4"}}


def why(result: RunResult) -> str:
    reasons = {
        name: (v.status.value, v.reasons, v.anomalies) for name, v in result.verdicts.items()
    }
    return f"{result.path}: {result.failure}: {reasons}"


def took_hold(result: RunResult) -> set[str]:
    return {event.kind for _, event in result.evidence.faults or () if event.state == "active"}


@pytest.mark.parametrize("kind", SAFE)
def test_raft_is_valid_under_each_kind(tmp_path: Path, kind: str) -> None:
    plan = Plan(
        system="raft",
        workload="register",
        nemeses=(kind,),
        node_count=3,
        time_limit_s=15.0,
        seed=7,
        cluster_options=KIND_OF_DISK.get(kind, {}),
    )
    result = execute(plan, store=tmp_path, monitor=Quiet())
    assert result.failure is None
    assert result.status is Status.VALID, why(result)
    assert took_hold(result) == {kind}


def test_raft_is_valid_under_all_kinds_in_turns(tmp_path: Path) -> None:
    plan = Plan(
        system="raft",
        workload="register",
        nemeses=("all",),
        node_count=5,
        time_limit_s=45.0,
        seed=1,
    )
    result = execute(plan, store=tmp_path, monitor=Quiet())
    assert result.failure is None
    assert result.status is Status.VALID, why(result)
    assert took_hold(result) >= {
        *("partition", "packets", "kill", "stop", "pause", "restart", "reboot"),
        *("stress", "disk", "clock"),
    }


def test_damage_takes_hold_and_is_never_undone(tmp_path: Path) -> None:
    plan = Plan(
        system="raft", workload="register", nemeses=("damage",), node_count=3, time_limit_s=15.0
    )
    result = execute(plan, store=tmp_path, monitor=Quiet())
    assert result.failure is None
    proofs = [
        event.proof
        for _, event in result.evidence.faults or ()
        if event.kind == "damage" and event.state == "active"
    ]
    assert proofs
    for proof in proofs:
        assert isinstance(proof, dict)
        assert [item["stays"] for item in proof["damaged"].values()] == [True]
