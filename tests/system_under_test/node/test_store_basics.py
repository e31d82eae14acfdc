"""The store on a calm network: what each level answers, and what replicas then hold."""

from __future__ import annotations

import pytest
from store_cluster import SECOND, StoreCluster

from splitbrain.system_under_test.node.store.config import (
    Availability,
    Conflict,
    Replication,
    Timestamps,
)

LEVELS = ("strong", "sequential", "causal", "eventual")


def calm(**options) -> StoreCluster:
    cluster = StoreCluster(**options)
    cluster.run_for(2.0)
    return cluster


@pytest.mark.parametrize("level", LEVELS)
def test_a_session_reads_its_write_at_any_node(level: str) -> None:
    cluster = calm(conflict=Conflict.LWW)
    assert cluster.call("n1", "read", level=level)["value"] is None
    assert cluster.call("n1", "write", argument=[1], level=level)["ok"]
    for node in cluster.nodes:
        answer = cluster.call(node, "read", level=level)
        assert answer["ok"], answer
        assert answer["value"] == [1]


def test_replies_name_the_replicas_that_acknowledged() -> None:
    cluster = calm()
    answer = cluster.call("n1", "write", argument=1)
    (cell, *_) = cluster.cells("x").values()
    assert len(answer["acks"]) >= 2
    assert set(answer["acks"]) <= set(cell["replicas"])


def test_blind_writes_stand_side_by_side_and_a_write_that_saw_them_ends_it() -> None:
    cluster = calm()
    for session, node in enumerate(("n1", "n2", "n3"), 1):
        cluster.call(node, "write", argument=session, session=session)
    assert cluster.call("n4", "read", session=9)["value"] == [1, 2, 3]
    cluster.call("n5", "write", argument=4, session=9)
    assert cluster.call("n1", "read", session=8)["value"] == [4]


def test_a_session_overwrites_its_own_write_and_no_sibling_that_it_did_not_see() -> None:
    cluster = calm()
    # Both go to the same replica: its clock covers both, the first session saw only its own.
    cluster.call("n1", "write", argument="other", session=1)
    cluster.call("n1", "write", argument="mine", session=2)
    cluster.call("n1", "write", argument="mine again", session=2)
    assert cluster.call("n2", "read", session=3)["value"] == ["mine again", "other"]


def test_merge_gives_the_union() -> None:
    cluster = calm(conflict=Conflict.MERGE)
    assert cluster.call("n1", "read")["value"] is None
    cluster.call("n1", "write", argument=["milk"], session=1)
    cluster.call("n2", "write", argument=["bread", "milk"], session=2)
    assert cluster.call("n3", "read", session=3)["value"] == ["bread", "milk"]


def test_a_tombstone_hides_and_is_buried() -> None:
    cluster = calm(gc_grace_ns=2 * SECOND)
    cluster.call("n1", "write", argument=1)
    cluster.call("n2", "delete")
    assert cluster.call("n3", "read")["value"] == []
    assert cluster.cells("x")
    cluster.run_until(lambda: not cluster.cells("x"), within=30.0)
    cluster.run_for(5.0)
    assert cluster.cells("x") == {}
    assert len(cluster.traced("buried")) == 3


def test_a_replica_that_was_away_does_not_resurrect_what_was_deleted() -> None:
    cluster = calm(gc_grace_ns=2 * SECOND)
    cluster.call("n1", "write", argument=1)
    cluster.run_for(1.0)
    (away, *_) = cluster.cells("x")
    cluster.crash(away)
    cluster.run_for(1.0)
    asked = next(name for name in cluster.nodes if name != away)
    cluster.call(asked, "read")
    cluster.call(asked, "delete")
    cluster.run_for(10.0)
    cluster.restart(away)
    cluster.run_for(10.0)
    assert cluster.call(away, "read")["value"] == []
    cluster.run_until(lambda: not cluster.cells("x"), within=30.0)


def test_a_tombstone_of_a_key_that_a_replica_missed_altogether_makes_no_difference() -> None:
    cluster = calm(replication=Replication.SIMPLE, hinted_handoff=False, gc_grace_ns=60 * SECOND)
    cluster.crash("n3")
    cluster.call("n1", "delete")
    cluster.run_for(5.0)
    cluster.settle(within=5.0)
    assert set(cluster.cells("x")) == {"n1", "n2"}
    cluster.run_until(lambda: not cluster.cells("x"), within=90.0)
    cluster.run_for(10.0)
    assert [record["node"] for record in cluster.traced("buried")] == ["n1", "n2"]


def test_strong_needs_quorums_that_meet() -> None:
    cluster = calm(r=1, w=2)
    answer = cluster.call("n1", "write", argument=1, level="strong")
    assert (answer["error"], answer["definite"]) == ("weak-quorum", True)


def test_a_strict_quorum_refuses_without_replicas_and_a_sloppy_one_hands_off() -> None:
    for sloppy in (False, True):
        cluster = calm(sloppy=sloppy)
        cluster.call("n1", "write", argument=0)
        replicas = next(iter(cluster.cells("x").values()))["replicas"]
        others = [name for name in cluster.nodes if name not in replicas]
        cluster.split(replicas, others)
        cluster.run_for(1.0)
        answer = cluster.call(others[0], "write", argument=1, session=1)
        assert answer["ok"] is sloppy, answer
        if not sloppy:
            assert not answer["definite"]
            continue
        assert set(answer["hints"]) == set(others)
        cluster.settle()
        assert cluster.call("n1", "read", session=2)["value"] == [0, 1]
        assert set(cluster.cells("x")) == set(replicas)
        assert cluster.traced("handed-off")


def test_a_stand_in_for_a_replica_that_acknowledges_after_all_counts_no_second_time() -> None:
    slow = {"delay_ms": (2.0, 20.0), "hint_ns": 1, "w": 3}
    cluster = StoreCluster(7, replication=Replication.SIMPLE, sloppy=True, **slow)
    cluster.run_for(2.0)
    for number in range(20):
        answer = cluster.call("n1", "write", argument=number)
        assert len({*answer["acks"], *answer["hints"].values()}) >= 3, answer


def test_a_request_that_the_network_gives_twice_is_carried_out_once() -> None:
    cluster = calm(double=1.0)
    before = cluster.status("n1")["applied"]
    for number, node in enumerate(cluster.nodes):  # all but one pass it to the leader
        assert cluster.call(node, "write", argument=number, level="sequential")["ok"]
    cluster.settle()
    assert cluster.status("n1")["applied"] == before + len(cluster.nodes)


def test_a_write_that_still_waits_for_a_replica_is_not_over() -> None:
    cluster = calm()
    cluster.call("n1", "write", argument=0)
    replicas = next(iter(cluster.cells("x").values()))["replicas"]
    writer, away = replicas[0], replicas[-1]
    cluster.isolate(away)
    assert cluster.call(writer, "write", argument=1)["ok"]
    status = cluster.status(writer)
    assert (status["open"], status["hints"]) == (1, 0)  # answered, and it may yet leave a hint
    cluster.run_until(lambda: cluster.status(writer)["open"] == 0, 30.0)
    assert cluster.status(writer)["hints"] == 1


def test_stale_reads_are_allowed_or_not() -> None:
    for allowed in (False, True):
        cluster = calm(stale_reads=allowed, replication=Replication.SIMPLE, n=5, r=3, w=3)
        cluster.call("n1", "write", argument=1)
        cluster.isolate("n1")
        cluster.run_for(1.0)
        answer = cluster.call("n1", "read")
        assert answer["ok"] is allowed
        assert answer.get("stale", False) is allowed


@pytest.mark.parametrize(
    ("availability", "works"),
    [(Availability.ANY, True), (Availability.MAJORITY, False), (Availability.QUORUM, False)],
)
def test_write_availability(availability: Availability, works: bool) -> None:
    cluster = calm(write_availability=availability, replication=Replication.SIMPLE, n=5, w=4)
    cluster.isolate("n1")
    cluster.run_for(1.0)
    assert cluster.call("n1", "write", argument=1)["ok"] is works


def test_wall_clocks_lose_a_later_write_and_quorum_stamps_do_not() -> None:
    for timestamps in (Timestamps.WALL, Timestamps.QUORUM):
        cluster = calm(conflict=Conflict.LWW, timestamps=timestamps, n=5, r=3, w=3)
        cluster.nodes["n1"].skew_ns = 60 * SECOND
        cluster.call("n1", "write", argument="early", session=1)
        cluster.call("n2", "write", argument="late", session=2)
        found = cluster.call("n3", "read", session=3)["value"]
        assert found == ("early" if timestamps is Timestamps.WALL else "late")


def test_nothing_is_forgotten_by_restarts() -> None:
    cluster = calm(conflict=Conflict.LWW)
    for level in LEVELS:
        assert cluster.call("n1", "write", argument=level, level=level)["ok"]
    for name in cluster.nodes:
        cluster.crash(name)
    for name in cluster.nodes:
        cluster.restart(name)
    cluster.run_for(3.0)
    for level in LEVELS:
        assert cluster.call("n4", "read", level=level)["value"] == level


def test_a_cut_off_node_is_partitioned_and_the_others_say_so() -> None:
    cluster = calm()
    cluster.isolate("n1")
    cluster.run_for(1.0)
    assert cluster.status("n1")["status"]["n1"] == "partitioned"
    assert cluster.status("n2")["status"] == {
        "n1": "offline", "n2": "online", "n3": "online", "n4": "online", "n5": "online",
    }  # fmt: skip
