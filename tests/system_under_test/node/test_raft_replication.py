"""Replication and commitment: the paper's figure 2, 5.3, 5.4.2 and figures 7 and 8."""

from __future__ import annotations

import pytest
from lone import Lone, append, entries, persisted, sent, text, traced

from splitbrain.system_under_test.node.effects import Persist, Requested, Send, Trace
from splitbrain.system_under_test.node.raft.core import MAX_WAITING
from splitbrain.system_under_test.node.raft.log import NO_OP, Entry
from splitbrain.system_under_test.node.raft.messages import Append, AppendReply, VoteReply
from splitbrain.system_under_test.node.raft.progress import WINDOW
from splitbrain.system_under_test.node.raft.store import command_of


def refusal(at: int, term: int | None, index: int, of_term: int) -> AppendReply:
    return AppendReply(
        term=of_term,
        round=0,
        previous_index=at,
        matched=None,
        conflict_term=term,
        conflict_index=index,
    )


# The follower (figure 2, AppendEntries RPC, receiver implementation)


def test_entries_are_durable_and_traced_before_they_are_acknowledged() -> None:
    node = Lone()
    node.hear("n2", append(1))
    made = node.hear("n2", append(1, new=entries(1, 1)))
    order = [type(e) for e in made if isinstance(e, Persist | Trace | Send)]
    assert order == [Persist, Trace, Send]
    (reply,) = sent(made, AppendReply)
    assert reply.matched == 2
    (record,) = traced(made, "append")
    assert (record["first"], record["terms"]) == (1, [1, 1])
    assert record["hashes"] == [node.core.log.hash_at(1), node.core.log.hash_at(2)]


def test_an_append_is_refused_when_the_log_is_too_short() -> None:
    node = Lone(term=2, log=entries(1, 1))
    (reply,) = sent(node.hear("n2", append(2, (5, 2), entries(2))), AppendReply)
    assert (reply.matched, reply.conflict_term, reply.conflict_index) == (None, None, 3)


def test_an_append_is_refused_when_the_terms_differ_and_the_whole_term_is_named() -> None:
    node = Lone(term=4, log=entries(1, 2, 2, 2))
    (reply,) = sent(node.hear("n2", append(4, (4, 3))), AppendReply)
    assert (reply.matched, reply.conflict_term, reply.conflict_index) == (None, 2, 2)
    assert node.core.log.last_index == 4  # a refusal cuts nothing


def test_a_conflicting_entry_and_all_behind_it_are_cut() -> None:
    node = Lone(term=3, log=entries(1, 1, 2, 2))
    made = node.hear("n2", append(3, (2, 1), (Entry(3, text("new")),)))
    assert persisted(made)[-2:] == [["truncate", 3], ["append", 3, [[3, text("new")]]]]
    assert traced(made, "truncate") == [{"term": 3, "from": 3}]
    assert [node.core.log.term_at(i) for i in range(1, 4)] == [1, 1, 3]


def test_an_old_append_does_not_cut_what_came_after_it() -> None:
    # Figure 2, step 3: only an entry that conflicts is deleted
    node = Lone(term=1, log=entries(1, 1, 1))
    made = node.hear("n2", append(1, (0, 0), entries(1)))
    assert persisted(made) == []
    (reply,) = sent(made, AppendReply)
    assert reply.matched == 1
    assert node.core.log.last_index == 3


def test_a_follower_commits_no_further_than_what_the_append_verified() -> None:
    # Figure 2, step 5: "index of last new entry"
    node = Lone(term=2, log=entries(1, 1, 1, 1))
    node.hear("n2", append(2, (2, 1), commit=4))
    assert node.core.commit == 2
    made = node.hear("n2", append(2, (2, 1), (Entry(2, NO_OP),), commit=4))
    assert node.core.commit == 3
    (commit,) = traced(made, "commit")
    assert commit == {"index": 3, "term": 2, "entry_term": 2, "hash": node.core.log.hash_at(3)}


def test_the_commit_index_never_falls() -> None:
    node = Lone(term=1, log=entries(1, 1, 1))
    node.hear("n2", append(1, (3, 1), commit=3))
    made = node.hear("n2", append(1, (1, 1), commit=1))
    assert node.core.commit == 3
    assert traced(made, "commit") == []


def test_committed_entries_are_applied_once_and_in_order() -> None:
    node = Lone(term=1, log=entries(1, 1, 1))
    made = node.hear("n2", append(1, (3, 1), commit=2))
    assert [(r["first"], r["last"]) for r in traced(made, "apply")] == [(1, 2)]
    made = node.hear("n2", append(1, (3, 1), commit=3))
    assert [(r["first"], r["last"]) for r in traced(made, "apply")] == [(3, 3)]
    assert node.core.store.read('"x"') == "1.3"


# The leader


def test_a_leader_begins_with_an_empty_append_that_carries_the_commit_index() -> None:
    # Paper 5.2 and section 8; the first message to a rejoining follower holds no entries
    node = Lone(term=3, log=entries(1, 2, 3), pre_vote=False)
    node.wait(1000)
    made = node.hear("n2", VoteReply(term=4, granted=True))
    first, *_ = sent(made, Append, "n2")
    assert (first.previous_index, first.previous_term, first.entries) == (3, 3, ())
    assert persisted(made) == [["append", 4, [[4, NO_OP]]]]


def test_entries_follow_once_the_place_where_the_logs_meet_is_known() -> None:
    node = Lone().lead()
    node.ask("write", 1)
    node.ask("write", 2)
    (message,) = sent(node.agree("n2", 0), Append, "n2")
    assert (message.previous_index, len(message.entries)) == (0, 3)


def test_requests_of_one_batch_go_out_in_one_append_and_one_record() -> None:
    node = Lone().lead()
    node.agree("n2", 0)
    node.agree("n2", 1)
    requests = [command_of({"f": "write", "key": "x", "argument": i}) for i in range(5)]
    made = node.do(*(Requested(100 + i, request) for i, request in enumerate(requests)))
    (message,) = sent(made, Append, "n2")
    assert [entry.text for entry in message.entries] == [request.text for request in requests]
    assert len([e for e in made if isinstance(e, Persist)]) == 1


def test_batches_and_the_window_limit_what_is_on_its_way() -> None:
    node = Lone(batch_entries=2).lead()
    for i in range(40):
        node.ask("write", i)
    made = node.agree("n2", 0)
    batches = sent(made, Append, "n2")
    assert [len(message.entries) for message in batches] == [2] * WINDOW
    assert [message.previous_index for message in batches] == list(range(0, 2 * WINDOW, 2))
    (more,) = sent(node.agree("n2", 2), Append, "n2")
    assert more.previous_index == 2 * WINDOW


def test_lost_entries_are_found_by_the_next_heartbeat() -> None:
    node = Lone().lead()
    node.agree("n2", 0)  # the no-op goes out, and is lost
    (beat,) = sent(node.wait(50), Append, "n2")
    assert (beat.previous_index, beat.entries) == (1, ())
    made = node.hear("n2", refusal(1, None, 1, node.core.term))
    (probe,) = sent(made, Append, "n2")
    assert (probe.previous_index, probe.entries) == (0, ())
    (again,) = sent(node.agree("n2", 0), Append, "n2")
    assert len(again.entries) == 1


@pytest.mark.parametrize(
    ("follower", "probes"),
    [
        # Paper, figure 7: followers (a) to (f) of a leader of term 8
        ((1, 1, 1, 4, 4, 5, 5, 6, 6), [10, 9]),
        ((1, 1, 1, 4), [10, 4]),
        ((1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6), [10]),
        ((1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7), [10]),
        ((1, 1, 1, 4, 4, 4, 4), [10, 7, 5]),
        ((1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3), [10, 6, 3]),
    ],
)
def test_the_place_where_logs_meet_is_found_a_term_at_a_time(
    follower: tuple[int, ...], probes: list[int]
) -> None:
    # Paper 5.3, the optimization at its end
    leader = Lone(term=7, log=entries(1, 1, 1, 4, 4, 5, 5, 6, 6, 6), pre_vote=False)
    leader.wait(1000)
    made = leader.hear("n3", VoteReply(term=8, granted=True))
    other = Lone(term=7, log=entries(*follower))
    asked = []
    for _ in range(20):
        messages = sent(made, Append, "n2")
        if not messages:
            break
        made = []
        for message in messages:
            asked.append(message.previous_index)
            for reply in sent(other.hear("n3", message), AppendReply):
                made += leader.hear("n2", reply)
    assert asked[: len(probes)] == probes
    assert other.core.log.hash_at(11) == leader.core.log.hash_at(11)
    assert other.core.log.last_index == 11
    assert leader.core.status()["match"] == {"n2": 11, "n3": 0}


def test_old_refusals_do_not_move_the_leader_back() -> None:
    node = Lone().lead()
    node.agree("n2", 0)
    node.agree("n2", 1)
    assert sent(node.hear("n2", refusal(0, None, 1, node.core.term)), Append) == []
    assert sent(node.hear("n2", refusal(1, None, 1, node.core.term)), Append) == []


def test_an_entry_is_committed_when_a_majority_has_it_on_disk() -> None:
    node = Lone(size=5).lead()
    token = node.ask("write", 7)
    node.agree("n2", 2)
    assert node.core.commit == 0
    made = node.agree("n3", 2)
    assert node.core.commit == 2
    assert node.reply(token) == {"ok": True, "value": None, "applied": True, "index": 2}
    assert [r["index"] for r in traced(made, "commit")] == [2]


def test_the_leaders_own_copy_counts_only_once_it_is_durable() -> None:
    node = Lone().lead()
    node.core.handle(Requested(9, command_of({"f": "write", "key": "x", "argument": 1})))
    node.agree("n2", 2)  # the fsync of the leader is not over yet
    assert node.core.commit == 1
    assert node.reply(9) is None


def test_figure_8_entries_of_earlier_terms_are_not_committed_by_counting() -> None:
    # Paper 5.4.2, figure 8 (c): S1 leads term 4, index 2 of term 2 reaches a majority
    node = Lone(size=5, term=3, log=entries(1, 2)).lead()
    node.agree("n2", 2)
    node.agree("n3", 2)
    assert node.core.commit == 0
    # (e): once its own entry of term 4 is on a majority, everything before it is committed too
    node.agree("n2", 3)
    node.agree("n3", 3)
    assert node.core.commit == 3


def test_followers_refuse_and_name_the_leader() -> None:
    node = Lone()
    node.hear("n3", append(1))
    for f, argument in (("read", None), ("write", 1), ("cas", [1, 2]), ("append", 1)):
        assert node.reply(node.ask(f, argument)) == {
            "ok": False,
            "error": "not-leader",
            "definite": True,
            "leader": "n3",
        }


def test_too_many_waiting_requests_are_turned_away() -> None:
    node = Lone().lead()
    tokens = [node.ask("write", i) for i in range(MAX_WAITING + 1)]
    assert node.reply(tokens[0]) is None
    assert node.reply(tokens[-1]) == {"ok": False, "error": "overloaded", "definite": True}


def test_a_request_that_comes_with_the_end_of_leadership_is_refused_for_certain() -> None:
    node = Lone().lead()
    request = Requested(5, command_of({"f": "write", "key": "x", "argument": 1}))
    higher = AppendReply(term=9, round=0, previous_index=0, matched=None)
    from splitbrain.system_under_test.node.effects import Received

    node.do(request, Received("n2", higher))
    reply = node.reply(5)
    assert reply is not None
    assert (reply["error"], reply["definite"]) == ("not-leader", True)
    assert node.core.log.last_index == 1


def test_stopping_answers_whoever_waits() -> None:
    from splitbrain.system_under_test.node.effects import Stop

    node = Lone().lead()
    write, read = node.ask("write", 1), node.ask("read")
    made = node.do(Stop())
    assert node.reply(write) == {"ok": False, "error": "interrupted", "definite": False}
    assert node.reply(read) == {"ok": False, "error": "stopping", "definite": True}
    assert traced(made, "step-down") == [{"term": 1, "reason": "stopping"}]


# Boot


def test_a_boot_restates_what_the_disk_holds() -> None:
    node = Lone(term=4, vote="n3", log=entries(*[1] * 1500, 4))
    (boot,) = traced(node.effects, "boot")
    assert boot == {
        "term": 4,
        "vote": "n3",
        "last_index": 1501,
        "last_term": 4,
        "hash": node.core.log.hash_at(1501),
        "commit": 0,
        "base": 0,
        "base_hash": "0000000000000000",
        "digest": None,
        "members": ["n1", "n2", "n3"],
        "bugs": [],
    }
    restated = traced(node.effects, "append")
    assert [record["first"] for record in restated] == [1, 1025]
    assert [term for record in restated for term in record["terms"]] == [1] * 1500 + [4]


def test_messages_of_strangers_are_ignored() -> None:
    node = Lone()
    assert sent(node.hear("n9", append(5)), AppendReply) == []
    assert node.core.term == 0


def test_heartbeats_are_for_idle_periods() -> None:
    # Paper, figure 2: "repeat during idle periods to prevent election timeouts"
    node = Lone().lead()
    node.agree("n2", 0)
    node.agree("n3", 0)
    node.effects.clear()
    for number in range(10):
        node.wait(40)
        node.ask("write", number)
        node.agree("n2", node.core.log.last_index)
        node.agree("n3", node.core.log.last_index)
    assert all(message.entries for message in sent(node.effects, Append))
    assert sent(node.wait(49), Append) == []
    beats = sent(node.wait(1), Append)
    assert [message.entries for message in beats] == [(), ()]
    assert sent(node.wait(49), Append) == []
    assert len(sent(node.wait(1), Append)) == 2


def test_only_who_was_left_alone_gets_a_heartbeat() -> None:
    node = Lone().lead()
    node.agree("n2", 0)
    node.wait(30)
    node.agree("n3", 0)  # only now n3's log meets ours, and it gets the no-op
    made = node.wait(20)
    assert (len(sent(made, Append, "n2")), len(sent(made, Append, "n3"))) == (1, 0)
    made = node.wait(30)
    assert (len(sent(made, Append, "n2")), len(sent(made, Append, "n3"))) == (0, 1)
