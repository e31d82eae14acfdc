"""Each planted bug is reachable by its scenario, and the correct core survives the same."""

from __future__ import annotations

from typing import Any

import pytest
from invariants import linearizability_errors, violations
from virtual import VirtualCluster

from splitbrain.system_under_test.node.raft.bugs import BUGS, core_class
from splitbrain.system_under_test.node.raft.core import RaftCore


def errors(cluster: VirtualCluster, node: str) -> list[str]:
    core = cluster.core(node)
    return linearizability_errors(cluster.calls, core.log, core.commit)


# stale-read: cut the leader off, with check-quorum off, while clients use both sides


def read_on_both_sides(**options: Any) -> tuple[VirtualCluster, str]:
    cluster = VirtualCluster(5, seed=1, check_quorum=False, **options)
    old = cluster.elect()
    assert cluster.call(old, "write", argument="old")["ok"]
    cluster.isolate(old)
    cluster.run_until(lambda: cluster.leaders()[0] != old)
    new = cluster.elect()
    assert cluster.call(new, "write", argument="new")["ok"]
    assert cluster.leaders() == [new, old]
    cluster.submit(old, "read")
    cluster.run_for(1.0)
    cluster.heal()
    cluster.run_for(2.0)
    return cluster, new


def test_a_leader_that_does_not_ask_serves_a_stale_read() -> None:
    cluster, new = read_on_both_sides(bugs=("stale-read",))
    read = cluster.calls[-1]
    assert read.ok
    assert read.body is not None
    assert read.body["value"] == "old"
    assert len(errors(cluster, new)) == 1
    assert violations(cluster.traces()) == set()  # only clients can see this one


def test_a_leader_that_asks_refuses_the_same_read() -> None:
    cluster, new = read_on_both_sides()
    assert cluster.calls[-1].definite_failure
    assert errors(cluster, new) == []


# forgotten-vote: vote twice in one term by a restart between the votes


def vote_and_forget(**options: Any) -> VirtualCluster:
    """n3 votes for n1 and is restarted; n2 asks it in the same term, n1 cut off from it."""
    never = {"election_ns": None}
    cluster = VirtualCluster(
        3,
        seed=3,
        pre_vote=False,
        check_quorum=False,
        per_node={
            "n1": {"election_ns": (300_000_000, 300_000_000)},
            "n2": {"election_ns": (400_000_000, 400_000_000)},
            "n3": never,
        },
        **options,
    )
    cluster.isolate("n2")
    cluster.run_until(lambda: cluster.leaders() == ["n1"])
    assert cluster.core("n3").vote == "n1"
    cluster.crash("n3")  # before the first entry of n1 reaches it
    cluster.heal()
    cluster.isolate("n1")
    cluster.restart("n3")
    cluster.run_for(3.0)
    return cluster


def test_a_forgotten_vote_elects_two_leaders_in_one_term() -> None:
    broken = violations(vote_and_forget(bugs=("forgotten-vote",)).traces())
    assert {"one vote a term", "election safety"} <= broken


def test_a_persisted_vote_is_given_once() -> None:
    cluster = vote_and_forget()
    assert violations(cluster.traces()) == set()
    assert cluster.core("n2").term > 1  # n2 was elected too, in a later term


# unverified-commit: cut the leader off while it takes writes, heal; the first empty append commits


def rejoin_with_a_stale_suffix(**options: Any) -> VirtualCluster:
    cluster = VirtualCluster(5, seed=2, check_quorum=False, **options)
    old = cluster.elect()
    assert cluster.call(old, "write", argument="before")["ok"]
    cluster.run_for(0.5)
    cluster.isolate(old)
    for i in range(5):
        cluster.submit(old, "write", argument=f"stale {i}")
    cluster.run_until(lambda: cluster.leaders()[0] != old)
    new = cluster.elect()
    for i in range(5):
        assert cluster.call(new, "write", argument=f"new {i}")["ok"]
    cluster.heal()
    cluster.run_for(2.0)
    return cluster


def test_an_unverified_commit_applies_the_stale_suffix() -> None:
    broken = violations(rejoin_with_a_stale_suffix(bugs=("unverified-commit",)).traces())
    assert "state-machine safety" in broken


def test_a_verified_commit_cuts_the_stale_suffix() -> None:
    cluster = rejoin_with_a_stale_suffix()
    assert violations(cluster.traces()) == set()
    dumps = [cluster.core(name).dump() for name in cluster.nodes]
    assert all(dump["store"] == [["x", "new 4"]] for dump in dumps)
    truncated = [
        r for records in cluster.traces().values() for r in records if r["event"] == "truncate"
    ]
    assert len(truncated) == 1
    assert all(call.body is not None and not call.body["definite"] for call in cluster.calls[1:6])


def test_names_lead_to_their_classes_and_several_go_together() -> None:
    assert core_class(()) is RaftCore
    assert core_class(["stale-read"]) is BUGS["stale-read"]
    both = core_class(["stale-read", "forgotten-vote"])
    assert issubclass(both, BUGS["stale-read"])
    assert issubclass(both, BUGS["forgotten-vote"])
    with pytest.raises(KeyError):
        core_class(["no-such-bug"])
