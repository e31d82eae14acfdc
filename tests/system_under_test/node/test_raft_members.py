"""Membership change and leadership transfer (thesis, chapter 4 and 3.10), sentence by sentence."""

from __future__ import annotations

import pytest
from lone import Lone, sent, traced
from virtual import VirtualCluster

from splitbrain.system_under_test.node.errors import RequestError
from splitbrain.system_under_test.node.raft.membership import Kind
from splitbrain.system_under_test.node.raft.messages import Append, AppendReply, TimeoutNow, Vote


def led(**options: object) -> Lone:
    """Make a leader that has committed an entry of its own term."""
    node = Lone(**options).lead()  # type: ignore[arg-type]
    node.agree("n2", node.core.log.last_index)
    node.agree("n3", node.core.log.last_index)
    assert node.core.commit == node.core.log.last_index
    return node


def test_no_change_before_an_entry_of_the_leaders_own_term_is_committed() -> None:
    """Ongaro, raft-dev, 2015: the bug in single-server membership changes."""
    node = Lone().lead()
    with pytest.raises(RequestError, match="not-ready"):
        node.core.ask_change(Kind.REMOVE, "n3")


def test_one_change_at_a_time() -> None:
    """Thesis 4.1."""
    node = led(size=5)
    node.agree("n4", 1)
    node.core.ask_change(Kind.REMOVE, "n5")
    node.wait(1)
    with pytest.raises(RequestError, match="change-in-progress"):
        node.core.ask_change(Kind.REMOVE, "n4")
    node.agree("n2", 2)
    node.agree("n3", 2)
    assert node.core.ask_change(Kind.REMOVE, "n4") == {"done": False}


def test_a_configuration_is_in_force_once_it_is_in_the_log() -> None:
    """Thesis 4.1: of four who stay, three are a majority."""
    node = led(size=4)
    node.core.ask_change(Kind.REMOVE, "n4")
    done = node.wait(1)
    assert traced(done, "config")[0]["members"] == ["n1", "n2", "n3"]
    assert not sent(node.wait(100), Append, "n4")
    node.agree("n2", 2)
    assert node.core.commit == 2


def test_what_is_cut_from_the_log_is_in_force_no_more() -> None:
    """Thesis 4.1: a node falls back to the configuration before."""
    node = led(size=3)
    node.core.ask_change(Kind.REMOVE, "n3")
    node.wait(1)
    assert node.core.membership.members == ("n1", "n2")
    from lone import append, entries

    node.hear("n2", append(9, (1, 1), entries(9, 9)[:1]))
    assert node.core.membership.members == ("n1", "n2", "n3")


def test_a_new_node_catches_up_before_it_counts() -> None:
    """Thesis 4.2.1."""
    node = led(size=4, voters=("n1", "n2", "n3"))
    node.core.ask_change(Kind.ADD, "n4")
    assert sent(node.wait(1), Append, "n4")
    assert node.core.membership.members == ("n1", "n2", "n3")
    node.ask("write", 7)
    node.agree("n4", 2)
    assert node.core.commit == 1, "a learner counts for nothing"
    node.agree("n4", 2)
    assert node.core.membership.members == ("n1", "n2", "n3", "n4")


def test_a_new_node_that_does_not_catch_up_is_given_up() -> None:
    """Thesis 4.2.1."""
    node = led(size=4, voters=("n1", "n2", "n3"), check_quorum=False)
    node.core.ask_change(Kind.ADD, "n4")
    node.wait(10_000)
    assert node.core.members()["change"] is None
    assert not sent(node.wait(100), Append, "n4")


def test_a_leader_that_removes_itself_does_not_count_itself_and_then_steps_down() -> None:
    """Thesis 4.2.2."""
    node = led(size=3)
    node.core.ask_change(Kind.REMOVE, "n1")
    node.wait(1)
    node.agree("n2", 2)
    assert node.core.commit == 1, "n2 alone is no majority of n2 and n3"
    done = node.agree("n3", 2)
    assert traced(done, "step-down")[0]["reason"] == "removed"
    assert len(sent(done, TimeoutNow)) == 1
    node.wait(10_000)
    assert node.core.role == "follower", "who was removed does not stand"


def test_removed_nodes_do_not_disturb() -> None:
    """Thesis 4.2.3: pre-vote and check-quorum keep them out."""
    cluster = VirtualCluster(4, seed=3)
    leader = cluster.elect()
    gone = next(name for name in cluster.nodes if name != leader)
    cluster.wish("remove", gone)
    cluster.run_for(5.0)
    assert cluster.leaders() == [leader]
    assert gone not in cluster.core(leader).membership.members


def test_leadership_is_handed_over_once_the_successor_has_the_log() -> None:
    """Thesis 3.10."""
    node = led(size=3)
    node.core.ask_change(Kind.TRANSFER, "n2")
    token = node.ask("write", 1)
    answer = node.reply(token)
    assert answer is not None
    assert (answer["error"], answer["definite"]) == ("change-in-progress", True)
    assert sent(node.effects, TimeoutNow, "n2")
    cluster = VirtualCluster(3, seed=5)
    old = cluster.elect()
    new = next(name for name in cluster.nodes if name != old)
    cluster.wish("transfer", new)
    cluster.run_until(lambda: cluster.leaders() == [new], within=0.2)


def test_a_candidate_that_the_leader_chose_is_heard_although_the_leader_is() -> None:
    """Thesis 4.2.3."""
    from lone import append

    for transfer in (False, True):
        node = Lone()
        node.hear("n2", append(1))
        node.hear("n3", Vote(term=2, last_index=0, last_term=0, transfer=transfer))
        assert (node.core.vote == "n3") is transfer


@pytest.mark.parametrize(
    ("kind", "member", "error"),
    [
        (Kind.ADD, "n9", "bad-request: there is no node 'n9'"),
        (Kind.TRANSFER, "n4", "bad-request: n4 is no member"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(kind: Kind, member: str, error: str) -> None:
    node = led(size=4, voters=("n1", "n2", "n3"))
    with pytest.raises(RequestError, match=error):
        node.core.ask_change(kind, member)
    assert node.core.ask_change(Kind.ADD, "n2") == {"done": True}
    with pytest.raises(RequestError, match="not-leader"):
        Lone().core.ask_change(Kind.ADD, "n2")


def test_answers_of_a_removed_node_are_passed_over() -> None:
    node = led(size=4)
    node.core.ask_change(Kind.REMOVE, "n4")
    node.wait(1)
    node.hear("n4", AppendReply(term=node.core.term, round=0, previous_index=0, matched=2))
    assert node.core.commit == 1
