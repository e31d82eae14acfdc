"""Elections: the paper's figure 2 and 5.1, 5.2, 5.4.1; the thesis' 4.2.3, 6.2, 9.6."""

from __future__ import annotations

import pytest
from lone import Lone, append, entries, persisted, sent, traced

from splitbrain.system_under_test.node.effects import Persist, Send, SetTimer, Trace
from splitbrain.system_under_test.node.raft.messages import (
    AppendReply,
    PreVote,
    PreVoteReply,
    Vote,
    VoteReply,
)


def vote(term: int, last: tuple[int, int] = (0, 0)) -> Vote:
    return Vote(term=term, last_index=last[0], last_term=last[1])


def pre_vote(term: int, last: tuple[int, int] = (0, 0)) -> PreVote:
    return PreVote(term=term, last_index=last[0], last_term=last[1])


# Paper 5.1: terms


def test_a_higher_term_is_adopted_and_makes_a_leader_a_follower() -> None:
    node = Lone().lead()
    made = node.hear("n2", AppendReply(term=7, round=0, previous_index=0, matched=None))
    assert (node.core.term, node.core.role) == (7, "follower")
    assert traced(made, "step-down") == [{"term": 1, "reason": "higher-term"}]
    assert persisted(made) == [["state", 7, None]]


def test_a_request_of_an_older_term_is_refused() -> None:
    node = Lone(term=5)
    assert sent(node.hear("n2", vote(4)), VoteReply) == [VoteReply(term=5, granted=False)]
    (reply,) = sent(node.hear("n2", append(4)), AppendReply)
    assert (reply.term, reply.matched) == (5, None)
    assert node.core.leader is None


def test_a_reply_of_an_older_term_changes_nothing() -> None:
    node = Lone(term=4).lead()
    node.hear("n2", AppendReply(term=3, round=0, previous_index=0, matched=9))
    assert node.core.status()["match"] == {"n2": 0, "n3": 0}
    assert node.core.role == "leader"


# Paper 5.2: votes


def test_a_vote_is_durable_and_traced_before_the_answer_leaves() -> None:
    made = Lone().hear("n2", vote(1))
    order = [type(e) for e in made if isinstance(e, Persist | Trace | Send)]
    assert order == [Persist, Persist, Trace, Send]
    assert persisted(made)[-1] == ["state", 1, "n2"]
    assert traced(made, "vote") == [{"term": 1, "for": "n2"}]


def test_only_one_candidate_gets_the_vote_of_a_term_and_may_ask_again() -> None:
    node = Lone()
    assert sent(node.hear("n2", vote(1)), VoteReply) == [VoteReply(term=1, granted=True)]
    assert sent(node.hear("n3", vote(1)), VoteReply) == [VoteReply(term=1, granted=False)]
    assert sent(node.hear("n2", vote(1)), VoteReply) == [VoteReply(term=1, granted=True)]


def test_a_vote_survives_a_restart() -> None:
    node = Lone(term=3, vote="n2")
    assert sent(node.hear("n3", vote(3)), VoteReply) == [VoteReply(term=3, granted=False)]


@pytest.mark.parametrize(
    ("last", "granted"),
    [
        ((1, 3), True),  # a later last term wins, however short the log
        ((3, 2), True),  # equal logs
        ((4, 2), True),  # equal last term: the longer log wins
        ((2, 2), False),
        ((9, 1), False),
    ],
)
def test_votes_go_only_to_logs_that_are_up_to_date(last: tuple[int, int], granted: bool) -> None:
    # Paper 5.4.1
    node = Lone(term=3, log=entries(1, 2, 2))
    assert sent(node.hear("n2", vote(4, last)), VoteReply) == [VoteReply(term=4, granted=granted)]
    node = Lone(term=3, log=entries(1, 2, 2))
    (reply,) = sent(node.hear("n2", pre_vote(4, last)), PreVoteReply)
    assert reply.granted is granted


def test_a_majority_of_different_voters_elects_and_doubled_votes_do_not() -> None:
    node = Lone(size=5, pre_vote=False)
    node.wait(1000)
    for _ in range(3):
        node.hear("n2", VoteReply(term=1, granted=True))
    assert node.core.role == "candidate"
    made = node.hear("n3", VoteReply(term=1, granted=True))
    assert node.core.role == "leader"
    (lead,) = traced(made, "lead")
    assert lead["votes"] == ["n1", "n2", "n3"]
    assert lead["last_index"] == 0


def test_refused_votes_and_votes_of_another_term_do_not_count() -> None:
    node = Lone(term=4, pre_vote=False)
    node.wait(1000)
    node.hear("n2", VoteReply(term=5, granted=False))
    node.hear("n3", VoteReply(term=4, granted=True))
    assert node.core.role == "candidate"


def test_a_candidate_votes_for_itself_durably_before_it_asks() -> None:
    node = Lone(pre_vote=False)
    made = node.wait(1000)
    assert persisted(made) == [["state", 1, "n1"]]
    kinds = [type(e) for e in made if isinstance(e, Persist | Send)]
    assert kinds == [Persist, Send, Send]
    assert sent(made, Vote) == [vote(1), vote(1)]


def test_a_candidate_that_hears_the_leader_of_its_term_follows() -> None:
    node = Lone(pre_vote=False)
    node.wait(1000)
    node.hear("n2", append(1))
    assert (node.core.role, node.core.leader, node.core.term) == ("follower", "n2", 1)


def test_a_candidate_without_a_majority_tries_again_in_a_new_term() -> None:
    node = Lone(pre_vote=False)
    node.wait(1000)
    node.wait(1000)
    assert (node.core.role, node.core.term) == ("candidate", 2)


def test_election_timeouts_lie_in_the_range_and_differ_by_node_term_and_try() -> None:
    timeouts = set()
    for seed in range(50):
        node = Lone(seed=seed, pre_vote=False)
        timer = [e.at_ns for e in node.effects if isinstance(e, SetTimer)][-1]
        assert timer is not None
        assert 300_000_000 <= timer < 600_000_000
        timeouts.add(timer)
    assert len(timeouts) > 45
    assert Lone(seed=1).effects == Lone(seed=1).effects


def test_hearing_the_leader_puts_the_election_off() -> None:
    node = Lone()
    for _ in range(20):
        node.wait(250)
        node.hear("n2", append(1))
    assert node.core.role == "follower"


def test_a_node_without_election_timeout_never_stands_but_votes() -> None:
    node = Lone(election_ns=None)
    assert node.wait(1_000_000) == []
    assert sent(node.hear("n2", vote(1)), VoteReply) == [VoteReply(term=1, granted=True)]


def test_a_cluster_of_one_elects_itself_and_commits_alone() -> None:
    node = Lone(size=1)
    node.wait(1000)
    assert (node.core.role, node.core.commit) == ("leader", 1)
    token = node.ask("write", 5)
    assert node.reply(token) == {"ok": True, "value": None, "applied": True, "index": 2}


# Thesis 9.6: pre-vote


def test_a_pre_vote_changes_neither_the_candidates_term_nor_the_voters() -> None:
    node = Lone(term=3)
    made = node.wait(1000)
    assert (node.core.role, node.core.term) == ("pre-candidate", 3)
    assert persisted(made) == []
    assert sent(made, PreVote) == [pre_vote(4), pre_vote(4)]
    voter = Lone(term=3)
    made = voter.hear("n2", pre_vote(4))
    assert sent(made, PreVoteReply) == [PreVoteReply(term=3, proposed=4, granted=True)]
    assert (voter.core.term, voter.core.vote, persisted(made)) == (3, None, [])


def test_a_majority_of_pre_votes_leads_to_the_real_election() -> None:
    node = Lone(size=5)
    node.wait(1000)
    node.hear("n2", PreVoteReply(term=0, proposed=1, granted=True))
    assert node.core.role == "pre-candidate"
    made = node.hear("n3", PreVoteReply(term=0, proposed=1, granted=True))
    assert node.core.role == "candidate"
    assert len(sent(made, Vote)) == 4


def test_pre_votes_of_an_earlier_try_do_not_count() -> None:
    node = Lone(term=5)
    node.wait(1000)
    node.hear("n2", PreVoteReply(term=4, proposed=5, granted=True))
    assert node.core.role == "pre-candidate"


def test_no_pre_vote_is_given_while_a_leader_is_heard() -> None:
    node = Lone()
    node.hear("n2", append(1))
    node.wait(250)
    (reply,) = sent(node.hear("n3", pre_vote(2)), PreVoteReply)
    assert not reply.granted
    node.wait(60)  # now the least election timeout is over
    (reply,) = sent(node.hear("n3", pre_vote(2)), PreVoteReply)
    assert reply.granted


def test_a_leader_gives_no_pre_vote() -> None:
    node = Lone().lead()
    (reply,) = sent(node.hear("n3", pre_vote(2, (5, 5))), PreVoteReply)
    assert not reply.granted


def test_a_pre_candidate_behind_in_terms_catches_up() -> None:
    node = Lone(term=1)
    node.wait(1000)
    node.hear("n2", PreVoteReply(term=6, proposed=2, granted=False))
    assert (node.core.role, node.core.term) == ("follower", 6)


# Thesis 4.2.3 and 6.2: check-quorum


def test_with_check_quorum_candidates_are_ignored_while_a_leader_is_heard() -> None:
    node = Lone()
    node.hear("n2", append(1))
    assert sent(node.hear("n3", vote(9)), VoteReply) == []
    assert node.core.term == 1
    node.wait(310)
    assert sent(node.hear("n3", vote(9)), VoteReply) == [VoteReply(term=9, granted=True)]


def test_without_check_quorum_a_higher_term_wins_at_once() -> None:
    node = Lone(check_quorum=False)
    node.hear("n2", append(1))
    assert sent(node.hear("n3", vote(9)), VoteReply) == [VoteReply(term=9, granted=True)]


def test_a_leader_that_hears_no_majority_steps_down_and_tells_its_clients() -> None:
    node = Lone(size=5).lead()
    write, read = node.ask("write", 1), node.ask("read")
    for _ in range(11):
        node.wait(50)
        node.agree("n2", 1)  # one of five is no majority
    made = node.wait(100)
    assert traced(made, "step-down") == [{"term": 1, "reason": "quorum-lost"}]
    assert node.core.role == "follower"
    assert node.reply(write) == {"ok": False, "error": "lost-leadership", "definite": False}
    assert node.reply(read) == {
        "ok": False,
        "error": "not-leader",
        "definite": True,
        "leader": None,
    }


def test_a_leader_that_hears_a_majority_stays() -> None:
    node = Lone(size=5).lead()
    for _ in range(40):
        node.wait(50)
        node.agree("n2", 1)
        node.agree("n3", 1)
    assert node.core.role == "leader"


def test_without_check_quorum_a_leader_alone_stays() -> None:
    node = Lone(check_quorum=False).lead()
    node.wait(60_000)
    assert node.core.role == "leader"
