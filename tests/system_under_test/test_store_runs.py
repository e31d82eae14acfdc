"""The store in virtual time: its workloads stay clean, and its planted bugs are found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from splitbrain import catalog
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.simulation import simulate

PLAN = Plan(
    system="store",
    workload="quorum-register",
    nemeses=("partition", "kill", "pause", "clock"),
    cluster="sim",
    node_count=5,
    time_limit_s=5.0,
    rate_hz=60.0,
    seed=1,
)

BUGS = [bug.name for bug in catalog.bugs() if bug.system == "store"]


def why(result: RunResult) -> str:
    reasons = {
        name: (v.status.value, v.reasons, v.anomalies) for name, v in result.verdicts.items()
    }
    return f"{result.failure}: {reasons}"


def clean(**changes: Any) -> RunResult:
    result = simulate(replace(PLAN, **changes))
    assert result.valid, why(result)
    return result


@pytest.mark.parametrize("promise", ["regular", "strong"])
def test_quorums_that_meet_keep_their_promise(promise: str) -> None:
    clean(parameters={"promise": promise})


def test_registers_are_linearizable_at_strong_without_compare_and_set() -> None:
    result = clean(workload="register")
    assert result.evidence.history is not None
    assert "cas" not in result.evidence.history.functions


def test_quorums_that_miss_each_other_are_stale_and_no_more_than_that() -> None:
    # R+W<=N: whether that is an error depends on what was promised.
    options = {"n": 3, "r": 1, "w": 1, "read_repair": False, "anti_entropy_ms": None}
    loose = replace(PLAN, options=options, rate_hz=200.0)
    held = simulate(replace(loose, parameters={"promise": "eventual"}))
    assert held.status is not Status.INVALID, why(held)
    broken = simulate(replace(loose, parameters={"promise": "regular"}))
    assert broken.verdicts["regular"].status is Status.INVALID
    assert {a.name for a in broken.verdicts["regular"].anomalies} == {"stale-read"}


BARE = {"read_repair": False, "hinted_handoff": False, "anti_entropy_ms": None}
"""Nothing mends replicas that missed a write."""


@pytest.mark.parametrize(
    ("workload", "more"),
    [
        ("quorum-register", {}),
        ("quorum-register", {"hinted_handoff": True}),
        ("cart", {}),
        ("cart", {"r": 1, "w": 1}),
    ],
)
def test_a_configuration_that_promises_less_is_not_called_broken(
    workload: str, more: dict[str, Any]
) -> None:
    result = clean(workload=workload, options={**BARE, **more}, nemeses=("partition", "kill"))
    assert result.evidence.facts["mends"] is False
    if not more:  # and that it does promise less, the run shows
        assert "which is no error" in result.verdicts["convergence"].reasons[0]


def test_where_one_node_has_anti_entropy_off_the_others_settle_without_it() -> None:
    result = clean(options={"nodes": {"n2": {"anti_entropy_ms": None}}})
    assert result.evidence.facts["mends"] is False


@pytest.mark.parametrize("level", ["sequential", "causal"])
def test_sessions_that_move_keep_their_order(level: str) -> None:
    clean(workload="sessions", parameters={"level": level})


def test_causes_are_seen_before_their_effects() -> None:
    clean(workload="causal-chains")


@pytest.mark.parametrize("merge_by", ["siblings", "merge"])
def test_nothing_that_was_added_to_a_cart_is_lost(merge_by: str) -> None:
    clean(workload="cart", parameters={"merge_by": merge_by})


def strict(seed: int, promise: str = "regular") -> RunResult:
    """Run strict quorums under all faults together, while logs are compacted."""
    result = simulate(
        replace(
            PLAN,
            nemeses=("partition", "kill", "clock", "disk"),
            options={"compact_records": 50},
            parameters={"promise": promise},
            interval_s=2.0,
            time_limit_s=8.0,
            seed=seed,
        )
    )
    for checker in ("durability", "quorum", "convergence", "vector-clocks"):
        assert result.verdicts[checker].valid, (seed, why(result))
    acknowledged = result.verdicts["durability"].stats["acknowledged"]
    assert isinstance(acknowledged, int)
    assert acknowledged > 50
    return result


def test_no_acknowledged_write_of_a_strict_quorum_is_lost_with_disk_faults_too() -> None:
    result = strict(1)
    assert result.valid, why(result)
    records = [
        record for trace in (result.evidence.traces or {}).values() for record in trace.records
    ]
    assert any(record["event"] == "compacted" for record in records)


@pytest.mark.slow
@pytest.mark.parametrize("promise", ["regular", "strong"])
def test_no_acknowledged_write_of_a_strict_quorum_is_lost_at_length(promise: str) -> None:
    for seed in range(10, 22):
        # That a kind of fault found nobody to hit says nothing of what was lost.
        assert strict(seed, promise).status is not Status.INVALID


@pytest.mark.parametrize("level", ["eventual", "strong"])
def test_what_was_deleted_stays_gone(level: str) -> None:
    result = clean(workload="deletions", parameters={"level": level})
    deletes = result.verdicts["deletions"].stats["deletes"]
    assert isinstance(deletes, int)
    assert deletes > 20


def test_sloppy_quorums_deliver_in_the_end_what_stand_ins_acknowledged() -> None:
    clean(workload="cart", options={"sloppy": True, "write_availability": "any"})


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_by_its_directed_schedule(name: str) -> None:
    bug = catalog.bug(name)
    for seed in range(1, 4):
        result = simulate(catalog.plan_of_bug(bug, seed=seed, cluster="sim"))
        assert result.failure is None
        assert result.status is Status.INVALID, (seed, why(result))
        found = {anomaly.name for anomaly in result.verdicts[bug.checker].anomalies}
        assert bug.anomaly in found, (seed, why(result))
