from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitbrain.checkers.raft import Raft
from splitbrain.checkers.raft_traces.trace import complaint_about
from splitbrain.core.evidence import Evidence, Need, Trace
from splitbrain.core.verdict import Status

SPECIMENS = Path(__file__).parent.parent / "testdata" / "raft"

ALSO = {
    # what else the same records prove
    "two-leaders": set(),
    "double-vote": set(),
    "committed-entry-lost-at-restart": {"forgotten-entries"},
    "divergent-commit": set(),
    "divergent-apply": {"applied-uncommitted"},
}


def load(name):
    records = [json.loads(line) for line in (SPECIMENS / f"{name}.jsonl").read_text().splitlines()]
    nodes = sorted({record["node"] for record in records})
    return {
        node: Trace(node=node, records=tuple(r for r in records if r["node"] == node))
        for node in nodes
    }


def check(traces):
    return Raft().check(Evidence(traces=traces))


def bad_specimens():
    names = sorted(path.stem for path in SPECIMENS.glob("*.jsonl"))
    return [name for name in names if name not in ("clean", "clean-members", "gap", "no-leader")]


@pytest.mark.parametrize("specimen", bad_specimens())
def test_each_specimen_is_rejected_by_its_name(specimen):
    traces = load(specimen)
    verdict = check(traces)
    name = specimen.removesuffix("-at-restart")
    assert verdict.status is Status.INVALID
    assert {anomaly.name for anomaly in verdict.anomalies} == {name} | ALSO.get(specimen, set())
    anomaly = next(a for a in verdict.anomalies if a.name == name)
    assert 20 < len(anomaly.explanation) < 300
    assert 1 <= len(anomaly.evidence) <= 4
    written = {(r["node"], r["boot"], r["seq"]) for t in traces.values() for r in t.records}
    assert {(r["node"], r["boot"], r["seq"]) for r in anomaly.evidence} <= written


def test_every_anomaly_that_the_checker_knows_has_a_specimen_and_is_explained():
    import re

    folder = Path(__file__).parents[2]
    parts = [folder / "checkers" / "raft.py", *(folder / "checkers" / "raft_traces").glob("*.py")]
    sources = "".join(path.read_text() for path in parts)
    names = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', sources)) - {"step-down"}
    assert len(names) >= 18
    assert names <= set(bad_specimens())
    explained = (folder / "docs" / "guarantees.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in explained] == []


def test_snapshots_and_members_that_change_as_they_should_are_valid():
    verdict = check(load("clean-members"))
    assert verdict.status is Status.VALID, verdict
    assert verdict.stats["highest_apply"] == 3


def test_a_clean_trace_is_valid_and_told_in_figures():
    verdict = check(load("clean"))
    assert verdict.status is Status.VALID
    assert not verdict.reasons
    stats = verdict.stats
    assert stats["leaders"] == [{"term": 1, "node": "n1"}, {"term": 2, "node": "n2"}]
    assert (stats["highest_commit"], stats["highest_apply"], stats["boots"]) == (4, 4, 4)
    assert stats["found"] == {}


def test_a_gap_leaves_the_verdict_unknown_and_is_named():
    verdict = check(load("gap"))
    assert verdict.status is Status.UNKNOWN
    assert "the trace of n2: boot" in verdict.reasons[0]
    assert "leader completeness" in verdict.reasons[0]


def test_gaps_that_the_reader_named_count_and_a_proof_stands_beside_them():
    traces = load("clean")
    gapped = traces | {"n3": Trace(node="n3", records=(), gaps=("not collected: no such file",))}
    verdict = check(gapped)
    assert verdict.status is Status.UNKNOWN
    assert "n3: not collected" in verdict.reasons[0]
    bad = load("double-vote")
    verdict = check(bad | {"n1": Trace(node="n1", records=(), gaps=("not collected",))})
    assert verdict.status is Status.INVALID
    assert any("not collected" in reason for reason in verdict.reasons)


def test_nothing_to_judge_is_unknown():
    assert Raft().needs == {Need.TRACES}
    assert check({}).status is Status.UNKNOWN
    verdict = check(load("no-leader"))
    assert verdict.status is Status.UNKNOWN
    assert "no node ever led" in verdict.reasons[0]
    verdict = check({"n1": Trace(node="n1", records=())})
    assert "its trace is empty" in verdict.reasons[0]


@pytest.mark.parametrize(
    "change",
    [
        {"event": "append", "first": "1"},
        {"event": "append", "hashes": [1]},
        {"event": "append", "terms": []},
        {"event": "commit", "index": None},
        {"event": "commit", "hash": 7},
        {"event": "apply", "last": 0},
        {"event": "vote", "for": None},
        {"event": "lead", "term": -1},
        {"event": "lead", "votes": "n1"},
        {"event": "lead", "hash": 7},
        {"event": "boot", "vote": ["n1"]},
        {"event": "boot", "hash": None},
    ],
)
def test_records_that_make_no_sense_are_gaps_and_never_a_crash(change):
    traces = load("clean")
    records = [dict(record) for record in traces["n1"].records]
    hit = next(record for record in records if record["event"] == change["event"])
    hit.update(change)
    traces["n1"] = Trace(node="n1", records=tuple(records))
    verdict = check(traces)
    assert verdict.status is Status.UNKNOWN
    assert any(f"its {change['event']} record" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"event": None}, "a record has the event None"),
        ({"event": ["lead"]}, "a record has the event ['lead']"),
        ({"boot": None}, "a record has the boot None"),
        ({"boot": ["x"]}, "a record has the boot ['x']"),
        ({"seq": "3"}, "a record has the seq '3'"),
        ({"seq": True}, "a record has the seq True"),
        ({"node": "n2"}, "a record of 'n2' stands there"),
    ],
)
def test_records_without_a_place_are_gaps_and_hide_nothing_else(change, told):
    for name, status in (("clean", Status.UNKNOWN), ("double-vote", Status.INVALID)):
        traces = load(name)
        records = list(traces["n1"].records)
        records[2] = {key: v for key, v in (records[2] | change).items() if v is not None}
        traces["n1"] = Trace(node="n1", records=tuple(records))
        verdict = check(traces)
        assert verdict.status is status
        assert any(told in reason for reason in verdict.reasons)


def again(record, **change):
    return json.loads(json.dumps(record)) | change


def test_a_line_that_came_twice_is_no_second_leader():
    traces = load("clean")
    records = list(traces["n1"].records)
    at = next(n for n, record in enumerate(records) if record["event"] == "lead")
    records.insert(at + 1, again(records[at]))
    verdict = check(traces | {"n1": Trace(node="n1", records=tuple(records))})
    assert verdict.status is Status.UNKNOWN
    assert "was due" in verdict.reasons[0]


def test_a_trace_that_was_collected_twice_or_for_two_nodes_accuses_nobody():
    traces = load("clean")
    records = traces["n1"].records
    twice = records + tuple(again(record) for record in records)
    verdict = check(traces | {"n1": Trace(node="n1", records=twice)})
    assert verdict.status is Status.UNKNOWN
    copy = tuple(again(record) for record in records)
    verdict = check(traces | {"n2": Trace(node="n2", records=copy)})
    assert verdict.status is Status.UNKNOWN
    assert "a record of 'n1' stands there" in verdict.reasons[0]


def test_a_node_that_started_anew_in_a_gap_may_commit_less_than_before():
    node = {"node": "n2", "term": 1}
    entry = {"entry_term": 1}
    append = {"event": "append", "first": 1, "terms": [1, 1], "hashes": ["a", "b"]}
    records = [
        node | {"boot": "a", "seq": 0, "event": "boot", "last_index": 0},
        node | {"boot": "a", "seq": 1} | append,
        node | {"boot": "a", "seq": 2, "event": "commit", "index": 2, "hash": "b"} | entry,
        # the boot record of the second start is missing
        node | {"boot": "b", "seq": 1} | append,
        node | {"boot": "b", "seq": 2, "event": "commit", "index": 1, "hash": "a"} | entry,
    ]
    verdict = check({"n2": Trace(node="n2", records=tuple(records))})
    assert not verdict.anomalies
    assert verdict.status is Status.UNKNOWN


@pytest.mark.parametrize("index", [10**8, 10**30])
def test_an_index_beyond_all_bounds_costs_no_memory(index):
    traces = load("clean")
    records = list(traces["n1"].records)
    last = next(record for record in reversed(records) if record["event"] == "commit")
    seq, boot = records[-1]["seq"], records[-1]["boot"]
    records.append(again(last, boot=boot, seq=seq + 1, index=index))
    apply = {"event": "apply", "first": 1, "last": index, "entry_term": 1, "hash": "f" * 16}
    records.append(again(last, boot=boot, seq=seq + 2) | apply)
    verdict = check(traces | {"n1": Trace(node="n1", records=tuple(records))})
    assert "commit-beyond-log" in {anomaly.name for anomaly in verdict.anomalies}


def test_a_node_that_took_part_in_elections_and_left_no_trace_is_missed():
    traces = load("clean")
    del traces["n2"]
    verdict = check(traces)
    assert verdict.status is Status.UNKNOWN
    assert "n2 voted or was voted for, and there is no trace of it" in verdict.reasons


def test_a_commit_of_nothing_is_no_commit():
    boot = {"node": "n1", "boot": "a", "seq": 0, "event": "boot", "term": 0, "last_index": 0}
    vote = again(boot, seq=1, event="vote", term=1, **{"for": "n1"})
    lead = again(boot, seq=2, event="lead", term=1, votes=["n1"])
    commit = again(boot, seq=3, event="commit", term=1, index=0, entry_term=0, hash="0" * 16)
    verdict = check({"n1": Trace(node="n1", records=(boot, vote, lead, commit))})
    assert verdict.status is Status.UNKNOWN
    assert "nothing was ever committed" in verdict.reasons[0]


def test_the_proof_of_one_entry_does_not_drag_a_whole_batch_along():
    traces = load("clean")
    records = [dict(record) for record in traces["n1"].records]
    batch = next(r for r in records if r["event"] == "append" and len(r["terms"]) > 1)
    batch["hashes"] = [batch["hashes"][0], "f" * 16]
    traces["n1"] = Trace(node="n1", records=tuple(records))
    proof = next(a for a in check(traces).anomalies if a.name == "log-mismatch").evidence
    shown = next(r for r in proof if r["node"] == "n1")
    assert shown["hashes"] == ["f" * 16]
    assert shown["shortened"] == "one of 2 entries"


@pytest.mark.slow
def test_two_hundred_thousand_records_are_judged_whole():
    traces = long_run(40_000)
    assert sum(len(trace.records) for trace in traces.values()) > 200_000
    verdict = check(traces)
    assert verdict.status is Status.VALID
    assert verdict.stats["highest_commit"] == 40_000


def long_run(entries):
    """Give the traces of three nodes under one leader, an entry a record, and a restart at last."""
    hashes = [f"{index:016x}" for index in range(entries + 1)]
    traces = {}
    for node in ("n1", "n2", "n3"):
        records = [{"event": "boot", "term": 0, "vote": None, "last_index": 0, "hash": hashes[0]}]
        if node != "n3":
            records.append({"event": "vote", "term": 1, "for": "n1"})
        if node == "n1":
            records.append({"event": "lead", "term": 1, "last_index": 0, "votes": ["n1", "n2"]})
        for index in range(1, entries + 1):
            entry = {"first": index, "terms": [1], "hashes": [hashes[index]]}
            records.append({"event": "append", "term": 1, **entry})
            if index % 2 == 0:
                done = {"entry_term": 1, "hash": hashes[index]}
                records.append({"event": "commit", "index": index, "term": 1, **done})
                records.append({"event": "apply", "first": index - 1, "last": index, **done})
        written = [
            {"node": node, "boot": "a", "seq": seq} | record for seq, record in enumerate(records)
        ]
        again = [
            {"event": "boot", "term": 1, "last_index": entries, "hash": hashes[-1]},
            {
                "event": "append",
                "term": 1,
                "first": 1,
                "terms": [1] * entries,
                "hashes": hashes[1:],
            },
        ]
        written += [
            {"node": node, "boot": "b", "seq": seq} | record for seq, record in enumerate(again)
        ]
        traces[node] = Trace(node=node, records=tuple(written))
    return traces


def story(node, *events, gaps=()):
    """A trace of (boot, event, fields), numbered; None for an event is a record that is lost."""
    records, numbers = [], {}
    for boot, event, fields in events:
        seq = numbers[boot] = numbers.get(boot, -1) + 1
        if event is not None:
            records.append({"node": node, "boot": boot, "seq": seq, "event": event} | fields)
    return Trace(node=node, records=tuple(records), gaps=gaps)


def started(boot, term=0, last=0):
    return (boot, "boot", {"term": term, "vote": None, "last_index": last})


ENTRIES = {"first": 1, "terms": [1, 1], "hashes": ["a", "b"]}
LEAD = {"term": 1, "last_index": 0, "votes": ["n1", "n2"]}


def names_of(*traces):
    return {anomaly.name for anomaly in check({t.node: t for t in traces}).anomalies}


def test_a_vote_that_may_stand_in_a_gap_is_not_denied():
    leader = story("n1", started("a"), ("a", "vote", {"term": 1, "for": "n1"}), ("a", "lead", LEAD))
    voter = (started("a"), ("a", "vote", {"term": 2, "for": "n3"}))
    other = story("n3", started("a"))
    assert names_of(leader, story("n2", *voter), other) == {"elected-without-majority"}
    assert names_of(leader, story("n2", *voter, gaps=("cut",)), other) == set()


def test_entries_that_a_leader_in_a_gap_may_have_dropped_are_not_forgotten():
    node = story("n1", started("a"), ("a", "append", ENTRIES | {"term": 1}), started("b", term=1))
    other = (started("a"),)
    assert names_of(node, story("n2", *other)) == {"forgotten-entries"}
    assert names_of(node, story("n2", *other, gaps=("cut",))) == set()


def test_who_led_before_a_gap_may_follow_after_it():
    events = [started("a"), ("a", "vote", {"term": 1, "for": "n1"}), ("a", "lead", LEAD)]
    events += [("a", "append", ENTRIES | {"term": 1})]
    cut = ("a", "truncate", {"term": 1, "from": 2})
    other = story("n2", started("a"), ("a", "vote", {"term": 1, "for": "n1"}))
    assert names_of(story("n1", *events, cut), other) == {"leader-rewrote-log"}
    assert names_of(story("n1", *events, ("a", None, {}), cut), other) == set()


def test_a_step_down_names_the_term_that_is_over():
    votes = [("a", "vote", {"term": term, "for": "n1"}) for term in (3, 4)]
    node = story("n1", started("a"), votes[0], ("a", "step-down", {"term": 2}), votes[1])
    assert names_of(node) == set()


def test_what_was_known_stays_known_over_a_start_that_came_to_nothing():
    append = ("a", "append", ENTRIES | {"term": 1})
    node = story("n1", started("a"), append, started("b", 1, last=2), started("c", 1, last=0))
    assert names_of(node) == {"forgotten-entries"}


LATE_LEAD = {"term": 2, "last_index": 0, "votes": ["n2", "n3"]}


def test_entries_that_an_untraced_leader_may_have_dropped_are_not_forgotten():
    node = story("n1", started("a"), ("a", "append", ENTRIES | {"term": 1}), started("b", term=2))
    voter = story("n2", started("a"), ("a", "vote", {"term": 2, "for": "n3"}))
    leader = (started("a"), ("a", "vote", {"term": 2, "for": "n3"}), ("a", "lead", LATE_LEAD))
    assert names_of(node, voter, story("n3", *leader)) == set()
    assert names_of(node, voter, Trace(node="n3", records=(), gaps=("not collected",))) == set()
    assert names_of(node, voter) == set()


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("boot", {"members": ["n1", "n2", "n3", "n4"]}),
        ("lead", {"members": ["n1", "n2", "n3", "n4"]}),
        ("lead", {"votes": ["n1", "n2", "n3", "n4"]}),
        ("commit", {"by": ["n1", "n4"]}),
        ("config", {"term": 1, "index": 1, "members": ["n1", "n2", "n3", "n4"]}),
        ("snapshot", {"members": ["n1", "n4"]}),
        ("install", {"members": ["n1", "n4"]}),
    ],
)
def test_a_node_that_any_record_counts_as_a_member_and_left_no_trace_is_missed(event, fields):
    traces = load("clean-members" if event in ("snapshot", "install") else "clean")
    node, place = next(
        ((node, n) for node, trace in traces.items() for n, r in enumerate(trace.records)
         if r["event"] == ("append" if event == "config" else event))
    )  # fmt: skip
    records = list(traces[node].records)
    if event == "config":
        # behind the append of the entry; the numbers behind it move on by one
        late = [r | {"seq": r["seq"] + 1} for r in records[place + 1 :]]
        config = records[place] | fields | {"seq": records[place]["seq"] + 1, "event": "config"}
        records = [*records[: place + 1], config, *late]
    else:
        records[place] = records[place] | fields
    traces[node] = Trace(node=node, records=tuple(records))
    verdict = check(traces)
    assert any(
        reason.startswith("n4 ") and "no trace of it" in reason for reason in verdict.reasons
    )
    assert verdict.status is not Status.VALID
    assert "n4" not in " ".join(check(load("clean")).reasons)


def test_votes_that_an_untraced_member_may_have_given_are_not_missed():
    """A leader that names neither its votes nor the members: only traces tell who voted."""
    leader = story(
        "n1",
        started("a"),
        ("a", "vote", {"term": 1, "for": "n1"}),
        ("a", "lead", {"term": 1, "last_index": 0}),
        ("a", "vote", {"term": 2, "for": "n3"}),
    )
    others = [story(n, started("a"), ("a", "vote", {"term": 2, "for": "n3"})) for n in ("n2", "n3")]
    assert names_of(leader, *others) == {"elected-without-majority"}
    members = {"members": ["n1", "n2", "n3", "n4", "n5"]}
    boot = ("a", "boot", {"term": 0, "vote": None, "last_index": 0} | members)
    others[0] = story("n2", boot, ("a", "vote", {"term": 2, "for": "n3"}))
    assert names_of(leader, *others) == set()


def members(*names):
    return {"members": list(names)}


def change(index, *names, term=1):
    """An entry that is a configuration, and its record."""
    entry = {"term": term, "first": index, "terms": [term], "hashes": [f"{index}-{term}"]}
    return [
        ("a", "append", entry),
        ("a", "config", {"term": term, "index": index} | members(*names)),
    ]


@pytest.mark.parametrize("gap", [False, True])
def test_a_configuration_that_was_truncated_is_not_in_force_after_a_gap(gap):
    """The entry 1 is from before the gap, and the members too: the log goes back to them."""
    boot = ("a", "boot", {"term": 0, "vote": None, "last_index": 0} | members("n1", "n2"))
    first = ("a", "append", {"term": 1, "first": 1, "terms": [1], "hashes": ["a"]})
    node = story(
        "n2",
        boot,
        first,
        ("a", None if gap else "clock", {}),
        *change(2, "n1", "n2", "n3"),
        ("a", "truncate", {"term": 2, "from": 2}),
        ("a", "append", {"term": 2, "first": 2, "terms": [2], "hashes": ["c"]}),
        *change(3, "n1", "n2", "n4", term=2),
    )
    assert names_of(node) == set()
    step = [*change(3, "n1", "n2", "n4"), *change(4, "n1", "n5")]
    jump = story(
        "n2", boot, first, ("a", None if gap else "clock", {}), *change(2, "n1", "n2"), *step
    )
    assert names_of(jump) == {"disjoint-majorities"}


@pytest.mark.parametrize("gap", [False, True])
def test_a_leader_after_a_gap_is_not_held_to_a_configuration_that_was_truncated(gap):
    """Nor do its commits count by that one, nor is a change of it still under way."""
    boot = ("a", "boot", {"term": 0, "vote": None, "last_index": 0} | members("n1", "n2", "n3"))
    lead = {"term": 3, "last_index": 2, "votes": ["n1", "n2"]} | members("n1", "n2", "n3")
    node = story(
        "n1",
        boot,
        ("a", "append", {"term": 1, "first": 1, "terms": [1], "hashes": ["a"]}),
        ("a", None if gap else "clock", {}),
        *change(2, "n1", "n2", "n3", "n4"),
        ("a", "truncate", {"term": 2, "from": 2}),
        ("a", "append", {"term": 2, "first": 2, "terms": [2], "hashes": ["c"]}),
        ("a", "vote", {"term": 3, "for": "n1"}),
        ("a", "lead", lead),
        ("a", "append", {"term": 3, "first": 3, "terms": [3], "hashes": ["d"]}),
        ("a", "commit", {"index": 3, "term": 3, "entry_term": 3, "hash": "d", "by": ["n1", "n2"]}),
        *change(4, "n1", "n2", term=3),
    )
    assert names_of(node) == set()


def voted(boot, term, vote, **more):
    return (boot, "boot", {"term": term, "vote": vote, "last_index": 0} | more)


NOT_GIVEN = "elected-without-majority"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # whole, but for the vote: its tail went with the power, and the next start shows the vote
        ([voted("b", 1, "n1"), ("b", "vote", {"term": 2, "for": "n3"})], set()),
        # it shows none, but who loses records may have lost the vote as well
        ([voted("b", 1, None), ("b", "vote", {"term": 2, "for": "n3"})], set()),
        # the term went on in the tail that is lost: the vote may have been there as well
        ([voted("b", 2, "n3"), ("b", "vote", {"term": 3, "for": "n3"})], set()),
        # it went on before the end of a start that is known, and no term comes back
        ([("a", "vote", {"term": 2, "for": "n3"}), voted("b", 2, "n3")], {NOT_GIVEN}),
        ([voted("b", 0, None), ("b", "vote", {"term": 2, "for": "n3"})], {NOT_GIVEN}),
    ],
)
def test_a_vote_that_was_lost_with_the_tail_of_a_trace_is_not_denied(records, expected):
    leader = story("n1", started("a"), ("a", "vote", {"term": 1, "for": "n1"}), ("a", "lead", LEAD))
    assert (
        names_of(leader, story("n2", started("a"), *records), story("n3", started("a"))) == expected
    )


def test_a_vote_that_only_a_start_shows_is_a_vote_and_excuses_no_other():
    other = ("b", "vote", {"term": 1, "for": "n3"})
    assert names_of(story("n2", started("a"), voted("b", 1, "n1"), other)) == {"double-vote"}
    assert names_of(story("n2", started("a"), voted("b", 1, "n3"), other)) == set()
    given = ("a", "vote", {"term": 1, "for": "n1"})
    assert names_of(story("n2", started("a"), given, voted("b", 1, None))) == {"forgotten-vote"}
    twice = story("n2", started("a"), given, voted("b", 1, "n1"), other)
    assert names_of(twice) == {"double-vote"}
    lost = story("n2", started("a"), given, voted("b", 1, None), other)
    assert names_of(lost) == {"forgotten-vote", "double-vote"}
    told = story("n2", started("a"), voted("b", 1, "n1"), voted("c", 1, "n3"))
    assert names_of(told) == {"forgotten-vote"}


def test_entries_are_not_forgotten_where_power_cuts_may_have_taken_the_record_of_a_lead():
    append = ("a", "append", ENTRIES | {"term": 1})
    voter = story("n2", started("a"), ("a", "vote", {"term": 2, "for": "n3"}))
    node = story("n1", started("a"), append, started("b", 2))
    for behind, expected in (
        ([voted("b", 2, "n3")], set()),  # it led term 2, and restarted there
        ([voted("b", 3, None)], set()),  # it led term 2, and went on
        ([voted("b", 2, "n2")], {"forgotten-entries"}),  # it cannot have led without its own vote
        ([voted("b", 1, "n1")], {"forgotten-entries"}),
        ([], {"forgotten-entries"}),
    ):
        assert names_of(node, voter, story("n3", started("a"), *behind)) == expected
    # Who restarts in the term of the entries has heard no later leader.
    early = story("n1", started("a"), append, started("b", 1))
    for behind in ([voted("b", 2, "n3")], [voted("b", 3, None)]):
        other = story("n3", started("a"), *behind)
        assert names_of(early, voter, other) == {"forgotten-entries"}
    led = [("a", "vote", {"term": 2, "for": "n3"}), ("a", "lead", LATE_LEAD | {"last_index": 2})]
    known = [
        ("a", "append", ENTRIES | {"term": 1}),
        *led,
        ("b", "boot", {"term": 2, "vote": "n3", "last_index": 2}),
    ]
    leader = story("n3", started("a"), *known, ("b", "append", ENTRIES | {"term": 2}))
    assert names_of(node, voter, leader) == {"forgotten-entries"}


def test_bad_fields_are_told_by_their_place_and_once_with_their_number():
    traces = load("clean")
    records = [
        record | {"index": "x"} if record["event"] == "commit" else record
        for record in traces["n2"].records
    ]
    bad = [record for record in records if record["event"] == "commit"]
    assert len(bad) > 1
    traces["n2"] = Trace(node="n2", records=tuple(records))
    verdict = check(traces)
    assert verdict.status is Status.UNKNOWN
    told = [reason for reason in verdict.reasons if "commit record" in reason]
    more = f" ({len(bad)} such records, this is the first)"
    place = f"boot {bad[0]['boot']}: record {bad[0]['seq']}"
    assert [reason.partition("; log matching")[0] for reason in told] == [
        f"the trace of n2: {place}: its commit record has the index 'x'{more}"
    ]


def test_what_else_is_wrong_is_told_by_its_place_too():
    early = story("n1", started("a", last=1), ("a", "vote", {"term": 1, "for": "n1"}))
    (reason, _) = check({"n1": early}).reasons
    assert reason.startswith(
        "the trace of n1: boot a: record 1: contradicts itself: it acts before"
    )


NUMBER, TEXT, NUMBERS, TEXTS = (1, 0), ("a", ""), ([1], []), (["a"], [])
KINDS = (NUMBER, TEXT, NUMBERS, TEXTS, (None,), (-1,), (True,), (1.0,), ([True],), ([None],), ({},))


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("append", {"first": NUMBER, "terms": NUMBERS, "hashes": TEXTS}),
        ("commit", {"index": NUMBER, "entry_term": NUMBER, "hash": TEXT, "by": TEXTS}),
        ("apply", {"first": NUMBER, "last": NUMBER, "hash": TEXT}),
        ("boot", {"term": NUMBER, "last_index": NUMBER, "members": TEXTS}),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(event, fields):
    fine = {"event": event} | {name: values[0] for name, values in fields.items()}
    assert complaint_about(fine) is None
    for name, right in fields.items():
        for values in KINDS:
            told = complaint_about(fine | {name: values[0]})
            fits = values == right
            assert (told is None) == fits, (name, values, told)
            assert fits or told.startswith(f"its {event} record has the {name} ")
        without = complaint_about({key: v for key, v in fine.items() if key != name})
        assert (without is None) == (name in ("by", "members"))
