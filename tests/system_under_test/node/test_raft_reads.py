"""Linearizable reads by ReadIndex (thesis 6.4)."""

from __future__ import annotations

from lone import Lone, append, sent

from splitbrain.system_under_test.node.raft.messages import Append, AppendReply


def settled() -> Lone:
    """Give a leader of three that has committed in its term."""
    node = Lone().lead()
    node.agree("n2", 0)
    node.agree("n2", 1)
    assert node.core.commit == 1
    return node


def test_a_read_waits_until_a_majority_confirms_a_round_begun_after_it() -> None:
    node = settled()
    node.effects.clear()
    token = node.ask("read")
    rounds = {message.round for message in sent(node.effects, Append)}
    assert rounds == {1}
    node.agree("n2", 1, round_=0)  # an answer to what was sent before the read
    assert node.reply(token) is None
    node.agree("n2", 1, round_=1)
    assert node.reply(token) == {"ok": True, "value": None, "applied": True, "index": 1}


def test_a_refusal_of_our_term_confirms_that_we_lead() -> None:
    node = settled()
    token = node.ask("read")
    node.hear("n3", AppendReply(term=1, round=1, previous_index=0, matched=None))
    assert node.reply(token) is not None


def test_a_read_waits_for_the_first_commit_of_the_term() -> None:
    # Thesis 6.4, step 1: before that, the commit index may be behind what clients have seen.
    node = Lone().lead()
    token = node.ask("read")
    node.agree("n2", 0)
    assert node.reply(token) is None
    node.agree("n2", 1, round_=0)
    assert node.core.commit == 1
    assert node.reply(token) is None
    node.agree("n2", 1, round_=1)
    assert node.reply(token) is not None


def test_a_read_sees_every_write_that_was_answered_before_it() -> None:
    node = settled()
    write = node.ask("write", 42)
    node.agree("n2", 2)
    assert node.reply(write) is not None
    read = node.ask("read")
    node.agree("n3", 0, round_=1)
    assert node.reply(read) == {"ok": True, "value": 42, "applied": True, "index": 2}


def test_reads_that_come_during_a_round_share_the_next_one() -> None:
    node = settled()
    first = node.ask("read")
    node.effects.clear()
    second, third = node.ask("read"), node.ask("read")
    assert sent(node.effects, Append) == []
    node.agree("n2", 1, round_=1)
    assert node.reply(second) is None
    assert {message.round for message in sent(node.effects, Append)} == {2}
    node.agree("n3", 1, round_=2)
    assert node.reply(second) is not None
    assert node.reply(third) is not None
    assert first != second


def test_a_leader_deposed_during_the_round_refuses_the_read() -> None:
    node = settled()
    token = node.ask("read")
    node.hear("n3", append(2))
    reply = node.reply(token)
    assert reply is not None
    assert (reply["error"], reply["definite"]) == ("not-leader", True)


def test_answers_of_followers_in_an_older_term_confirm_nothing() -> None:
    node = settled()
    token = node.ask("read")
    node.hear("n2", AppendReply(term=0, round=9, previous_index=0, matched=1))
    assert node.reply(token) is None


def test_reads_leave_the_log_alone() -> None:
    node = settled()
    node.ask("read")
    assert node.core.log.last_index == 1
