"""Client sessions (thesis 6.3) and reads under a lease (thesis 6.4.1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lone import Lone, append, sent
from virtual import MS, VirtualCluster

from splitbrain.system_under_test.node.raft.lease import Lease
from splitbrain.system_under_test.node.raft.messages import Vote, VoteReply
from splitbrain.system_under_test.node.raft.sessions import Outcome, Sessions


def opened(cluster: VirtualCluster, leader: str) -> int:
    index: int = cluster.call(leader, "open-session", None)["index"]
    return index


def ask(cluster: VirtualCluster, node: str, session: tuple[int, int], argument: Any) -> Any:
    call = cluster.submit(node, "append", "x", argument, session)
    cluster.run_until(lambda: call.body is not None)
    return call.body


def test_a_command_that_comes_again_is_answered_as_before_and_done_once() -> None:
    cluster = VirtualCluster(3, seed=1)
    leader = cluster.elect()
    name = opened(cluster, leader)
    first = ask(cluster, leader, (name, 1), "a")
    assert ask(cluster, leader, (name, 1), "a") == first
    assert cluster.call(leader, "read", "x")["value"] == ["a"]
    ask(cluster, leader, (name, 2), "b")
    late = ask(cluster, leader, (name, 1), "a")
    assert (late["error"], late["definite"]) == ("out-of-sequence", True)
    assert cluster.call(leader, "read", "x")["value"] == ["a", "b"]


def test_sessions_outlive_their_leader_and_the_log() -> None:
    cluster = VirtualCluster(3, seed=2, snapshot_entries=3)
    leader = cluster.elect()
    name = opened(cluster, leader)
    first = ask(cluster, leader, (name, 1), "a")
    for value in range(5):
        cluster.call(leader, "write", "y", value)
    for node in cluster.nodes:
        cluster.crash(node)
    for node in cluster.nodes:
        cluster.restart(node)
    leader = cluster.elect()
    assert ask(cluster, leader, (name, 1), "a") == first
    assert cluster.call(leader, "read", "x")["value"] == ["a"]


def test_the_session_that_was_not_used_for_longest_expires() -> None:
    cluster = VirtualCluster(1, seed=1, session_limit=2)
    cluster.elect()
    one, two = opened(cluster, "n1"), opened(cluster, "n1")
    ask(cluster, "n1", (one, 1), "a")
    opened(cluster, "n1")
    gone = ask(cluster, "n1", (two, 1), "b")
    assert (gone["error"], gone["definite"]) == ("session-expired", True)
    assert ask(cluster, "n1", (one, 2), "c")["ok"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=40),
    st.integers(1, 3),
)
def test_sessions_agree_with_a_plain_record_of_all_that_was_done(
    commands: list[tuple[int, int]], limit: int
) -> None:
    """Brute force: remember everything; a table that is restored half-way goes on the same."""
    sessions = Sessions()
    used: dict[int, int] = {}
    done: dict[int, list[tuple[int, int]]] = {}
    for index, (name, number) in enumerate(commands, 100):
        again = Sessions()
        again.restore(sessions.content())
        sessions = again
        if name not in used:
            while len(used) >= limit:
                oldest = min(used, key=lambda one: used[one])
                del used[oldest], done[oldest]
            sessions.open(name, limit)
            used[name], done[name] = name, []
        found = sessions.recall(name, number, index)
        used[name] = index
        earlier = dict(done[name])
        if number in earlier and number == max(earlier):
            assert found == Outcome(earlier[number])
        elif earlier and number < max(earlier):
            assert found is not None
            assert found.error == "out-of-sequence"
        else:
            assert found is None
            sessions.record(name, number, Outcome(index))
            done[name].append((number, index))
        assert len(sessions) == len(used) <= limit


def test_a_lease_holds_from_when_the_round_was_sent() -> None:
    lease = Lease(length_ns=100)
    assert not lease.holds(0, 0)
    lease.sent(1, 1000)
    lease.sent(2, 1050)
    assert not lease.holds(0, 1001)
    assert lease.holds(1, 1089)
    assert not lease.holds(1, 1090), "a tenth of the time is not used"
    assert lease.holds(2, 1139)
    assert lease.holds(2, 5), "a clock that went back lengthens it: that is the price"


def test_reads_under_a_lease_ask_nobody_and_are_refused_a_leader_cut_off_for_long() -> None:
    cluster = VirtualCluster(3, seed=4, lease_reads=True)
    leader = cluster.elect()
    cluster.call(leader, "write", "x", 1)
    cluster.run_for(0.2)
    cluster.isolate(leader)
    began = cluster.now_ns
    assert cluster.call(leader, "read", "x")["value"] == 1
    assert cluster.now_ns - began < 2 * MS
    cluster.run_for(0.5)
    call = cluster.submit(leader, "read", "x")
    cluster.run_until(lambda: call.body is not None)
    assert not call.ok


@pytest.mark.parametrize("term", [2, 3])
def test_a_term_that_rises_does_not_end_the_lease_of_whom_a_node_had_answered(term: int) -> None:
    node = Lone(lease_reads=True, pre_vote=False)
    node.wait(1000)  # it stands, and n3 is slow to answer
    node.hear("n2", append(1))
    node.hear("n3", VoteReply(term=2, granted=False))
    assert node.core.term == 2
    node.wait(200)
    refused = node.hear("n3", Vote(term=term, last_index=0, last_term=0))
    assert not [reply for reply in sent(refused, VoteReply) if reply.granted]
    node.wait(150)
    granted = node.hear("n3", Vote(term=9, last_index=0, last_term=0))
    assert sent(granted, VoteReply) == [VoteReply(term=9, granted=True)]


def test_a_wall_clock_that_jumps_back_breaks_the_lease() -> None:
    cluster = VirtualCluster(3, seed=4, lease_reads=True, election_ns=(300 * MS, 3000 * MS))
    leader = cluster.elect()
    cluster.call(leader, "write", "x", "old")
    cluster.run_for(0.2)
    cluster.isolate(leader)
    cluster.nodes[leader].wall_offset_ns = -60_000 * MS
    cluster.run_until(lambda: len(cluster.leaders()) == 2)
    new = cluster.leaders()[0]
    cluster.call(new, "write", "x", "new")
    assert cluster.call(leader, "read", "x")["value"] == "old"
