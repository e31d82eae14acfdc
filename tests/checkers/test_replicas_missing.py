"""Checkers of what replicas leave, where some of it is missing: doubt, and no accusation."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_store import NODES, grave, sound, told

from splitbrain.checkers.convergence import Convergence
from splitbrain.checkers.durability import Durability
from splitbrain.checkers.quorum import Quorum
from splitbrain.checkers.replicas.trace import Traces
from splitbrain.checkers.ring import Ring
from splitbrain.checkers.siblings import Siblings
from splitbrain.checkers.vector_clocks import VectorClocks
from splitbrain.core.evidence import Evidence, Trace
from splitbrain.core.history import History
from splitbrain.core.journal import Phase
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Status

ALL = (Convergence(), Durability(), Quorum(), Siblings(), VectorClocks(), Ring())
TRACED = (Durability(), Quorum(), Siblings(), VectorClocks())
FINAL = ((0, Phase(name="final", time_ns=0, settled=True)),)
FACTS = {"n": 3, "r": 2, "w": 2, "conflict": "lww", "timestamps": "quorum", "level": "eventual"}
REPLICAS = ["n1", "n2", "n3"]
seeds = st.integers(0, 10**6)
conflicts = st.sampled_from(["siblings", "lww"])


def found(checker, evidence):
    return sorted({anomaly.name for anomaly in checker.check(evidence).anomalies})


def without(evidence, dumps=(), traces=()):
    return replace(
        evidence,
        dumps={node: dump for node, dump in evidence.dumps.items() if node not in dumps},
        traces={node: trace for node, trace in evidence.traces.items() if node not in traces},
    )


def is_judged(checker, conflict):
    return not (isinstance(checker, Siblings) and conflict == "lww")


# Evidence by hand: of one key, "a", on n1, n2 and n3.


def trace(node, *events):
    records = [{"boot": node, "seq": 0, "event": "boot", "bugs": [], "number": 0}]
    for event, fields in events:
        head = {"boot": node, "seq": len(records), "event": event, "level": "eventual"}
        records.append({**head, "key": "a", **fields})
    return Trace(node=node, records=tuple(records))


def stored(*dots, seen=None):
    versions = [[*dot, dot[1]] for dot in dots]
    return "stored", {"seen": told(seen or dots), "versions": versions, "for": None}


def acked(dot, value="v", context=(), acks=REPLICAS, asked=REPLICAS, **more):
    fields = {"dot": list(dot), "stamp": dot[1], "context": told(context), "value": value}
    rest = {"asked": list(asked), "acks": list(acks), "hints": {}, "needed": 2}
    return "acked", {**fields, "deleted": value is None, **rest, **more}


BURIED = ("buried", {})


def cell(*versions, conflict="lww", seen=None):
    """versions: dot and value each; None is a tombstone."""
    return {
        "level": "eventual",
        "key": "a",
        "conflict": conflict,
        "replicas": REPLICAS,
        "seen": told(seen or [dot for dot, _ in versions]),
        "versions": [
            {"dot": list(dot), "stamp": dot[1], "context": told([]), "value": value,
             "deleted": value is None}
            for dot, value in versions
        ],
    }  # fmt: skip


def dumped(**cells):
    return {
        node: {"cells": cells.get(node, []), "hints": [], "members": list(NODES), "ring": None}
        for node in NODES
    }


def history(*functions):
    """Operations on "a" one after the other, each a function and a value."""
    return History.of(
        Operation(process=i, session=i, f=f, key="a", argument=value, outcome=Outcome.OK,
                  invoke_index=2 * i, complete_index=2 * i + 1)
        for i, (f, value) in enumerate(functions)
    )  # fmt: skip


def evidence_of(traces, dumps, operations=(("write", "v"),), **facts):
    return Evidence(
        history=history(*operations),
        traces={item.node: item for item in traces},
        dumps=dumps,
        phases=FINAL,
        facts={**FACTS, **facts},
    )


def one_write(**facts):
    """One write, which all replicas have."""
    dot = ("n1", 1)
    traces = [
        trace("n1", stored(dot), acked(dot)),
        trace("n2", stored(dot)),
        trace("n3", stored(dot)),
        trace("n4"),
    ]
    full = {node: [cell((dot, "v"))] for node in REPLICAS}
    return evidence_of(traces, dumped(**full), **facts)


# What is missing is named.


def test_no_dump_at_all_is_unknown_and_named():
    for evidence in (one_write(), sound(3).evidence()):
        bare = replace(evidence, dumps={})
        for checker in ALL:
            verdict = checker.check(bare)
            assert verdict.status is Status.UNKNOWN, checker.name
            for node in NODES:
                assert f"{node} left no dump" in verdict.reasons, checker.name
    nothing = replace(one_write(), dumps={}, traces={})
    for checker in ALL:
        assert "no node left a dump" in checker.check(nothing).reasons, checker.name


@pytest.mark.parametrize("node", NODES)
def test_an_absent_trace_is_unknown_and_named(node):
    evidence = sound(1).evidence()
    for checker in TRACED:
        verdict = checker.check(without(evidence, traces=[node]))
        assert verdict.status is Status.UNKNOWN, checker.name
        assert f"the trace of {node} is missing" in verdict.reasons, checker.name


def test_nodes_that_only_acknowledgements_name_must_have_traces():
    """No dump is there to name the members."""
    evidence = without(replace(one_write(), dumps={}), traces=["n3", "n4"])
    for checker in TRACED:
        if not isinstance(checker, Siblings):
            assert "the trace of n3 is missing" in checker.check(evidence).reasons, checker.name
            assert "n3 left no dump" in checker.check(evidence).reasons, checker.name


def test_a_dump_that_cannot_be_used_is_not_used_in_part():
    """A cell stands there twice: nobody knows what the node holds, and nothing is said of it."""
    evidence = sound(1).evidence()
    node = next(name for name in NODES if len(evidence.dumps[name]["cells"]) == 2)
    first, second = evidence.dumps[node]["cells"]
    evidence.dumps[node]["cells"] = [first, first, second]
    for checker in (Convergence(), Durability(), Siblings(), VectorClocks()):
        verdict = checker.check(evidence)
        assert verdict.status is Status.UNKNOWN, (checker.name, verdict)
        assert any(f"the dump of {node}" in reason for reason in verdict.reasons)


# What was buried is gone rightly, and nothing else is.


@given(seeds, conflicts)
def test_tombstones_that_are_buried_one_at_a_time_are_sound(seed, conflict):
    evidence = grave(seed, conflict).evidence()
    for checker in ALL:
        verdict = checker.check(evidence)
        if is_judged(checker, conflict):
            assert verdict.status is Status.VALID, (checker.name, verdict)


def test_what_was_written_after_a_burial_is_not_buried():
    first, second = ("n1", 1), ("n1", 2)
    own = {
        "n1": [acked(first, None), BURIED, stored(second, seen=[first, second]),
               acked(second, context=[first])],
    }  # fmt: skip
    rest = [BURIED, stored(second, seen=[first, second])]
    traces = [trace(node, stored(first), *own.get(node, rest)) for node in REPLICAS]
    both = (("delete", None), ("write", "v"))
    evidence = evidence_of([*traces, trace("n4")], dumped(), both)
    verdict = Durability().check(evidence)
    assert found(Durability(), evidence) == ["lost-write"]
    assert "n1:2" in verdict.anomalies[0].explanation
    buried = [trace(node, stored(first), *own.get(node, rest), BURIED) for node in REPLICAS]
    assert Durability().check(evidence_of([*buried, trace("n4")], dumped(), both)).valid


def test_a_replica_that_loses_what_others_bury_forgot_it():
    dot = ("n1", 1)
    traces = [
        trace("n1", stored(dot), acked(dot, None), BURIED),
        trace("n2", stored(dot)),
        trace("n3", stored(dot), BURIED),
        trace("n4"),
    ]
    evidence = evidence_of(traces, dumped(), [("delete", None)])
    assert found(Durability(), evidence) == ["forgotten-write"]
    assert "n2" in Durability().check(evidence).anomalies[0].explanation


def test_a_sibling_is_not_excused_by_an_older_burial():
    """n1:1 was buried, n1:2 came after it and is lost; n1:3, which had not seen it, is there."""
    first, second, third = ("n1", 1), ("n1", 2), ("n1", 3)
    seen = [second, third]
    rest = [stored(first), BURIED, stored(second), stored(third, seen=seen)]
    own = [stored(first), acked(first, None), BURIED, stored(second), acked(second, "v")]
    traces = [
        trace("n1", *own, stored(third, seen=seen), acked(third, "w")),
        trace("n2", *rest),
        trace("n3", *rest),
        trace("n4"),
    ]
    cells = {node: [cell((third, "w"), conflict="siblings", seen=seen)] for node in REPLICAS}
    operations = [("delete", None), ("write", "v"), ("write", "w")]
    evidence = evidence_of(traces, dumped(**cells), operations)
    anomalies = Siblings().check(evidence).anomalies
    assert {anomaly.name for anomaly in anomalies} == {"lost-sibling"}
    assert all("n1:2" in anomaly.explanation for anomaly in anomalies)


# Loss is claimed only of what all can be seen of.


@pytest.mark.parametrize("gone", [["n1", "n2", "n3"], ["n1", "n2"], ["n3"]])
def test_a_write_is_not_lost_while_a_replica_has_no_dump(gone):
    evidence = without(one_write(), dumps=gone)
    assert Durability().check(evidence).status is Status.UNKNOWN


def test_a_write_is_not_lost_while_the_one_that_acknowledged_it_has_no_dump():
    """Nothing mends: n1 never heard of it, n2 holds an older one, and n3 alone has it."""
    old, new = ("n2", 1), ("n3", 2)
    traces = [
        trace("n1"),
        trace("n2", stored(old), acked(old, "u", acks=["n2"], needed=1)),
        trace("n3", stored(new), acked(new, "v", acks=["n3"], needed=1)),
        trace("n4"),
    ]
    dumps = dumped(n2=[cell((old, "u"))], n3=[cell((new, "v"))])
    operations = [("write", "u"), ("write", "v")]
    evidence = evidence_of(traces, dumps, operations, r=1, w=1, mends=False, timestamps="causal")
    assert Durability().check(evidence).valid
    assert Durability().check(without(evidence, dumps=["n3"])).status is Status.UNKNOWN


def test_a_replica_whose_dump_proves_that_it_forgot_is_told_though_others_have_none():
    evidence = one_write()
    evidence.dumps["n2"]["cells"] = []
    assert found(Durability(), evidence) == ["forgotten-write"]
    assert found(Durability(), without(evidence, dumps=["n1", "n3"])) == ["forgotten-write"]


def test_what_a_cell_has_seen_may_be_replaced_by_what_a_missing_trace_tells():
    """n3's write had seen n2's, and that n1's; nobody but n2 tells of the second step."""
    first, second, third = ("n1", 1), ("n2", 1), ("n3", 1)
    every = [first, second, third]
    rest = [stored(first), stored(second, seen=every[:2]), stored(third, seen=every)]
    traces = [
        trace("n1", *rest, acked(first)),
        trace("n2", *rest, acked(second, "w", context=[first])),
        trace("n3", *rest, acked(third, "x", context=[second])),
        trace("n4"),
    ]
    here = cell((third, "x"), conflict="siblings", seen=every)
    here["versions"][0]["context"] = told([second])
    dumps = dumped(**{node: [here] for node in REPLICAS})
    operations = [("write", "v"), ("write", "w"), ("write", "x")]
    evidence = evidence_of(traces, dumps, operations)
    unseen = evidence_of(
        traces,
        dumped(**{node: [{**here, "seen": told([second, third])}] for node in REPLICAS}),
        operations,
    )
    names = {Durability(): "lost-write", Siblings(): "lost-sibling"}
    for checker, name in names.items():
        assert checker.check(evidence).valid
        assert checker.check(without(evidence, traces=["n2"])).status is Status.UNKNOWN
        assert found(checker, without(unseen, traces=["n2"])) == [name]


@given(seeds, conflicts, st.booleans(), st.data())
def test_sound_evidence_of_which_some_is_missing_is_never_invalid(seed, conflict, mends, data):
    make = data.draw(st.sampled_from([sound, grave]))
    evidence = make(seed, conflict, writes=data.draw(st.integers(1, 8))).evidence()
    evidence = replace(evidence, facts={**evidence.facts, "mends": mends})
    less, names = lessened(evidence, data)
    for checker in ALL:
        verdict = checker.check(less)
        wanted = names if checker in TRACED else {line for line in names if "dump" in line}
        assert verdict.status is not Status.INVALID, (checker.name, verdict)
        if wanted:
            assert verdict.status is Status.UNKNOWN, checker.name
            assert all(any(name in line for line in verdict.reasons) for name in wanted)


@given(seeds, conflicts, st.booleans(), st.data())
def test_what_is_claimed_of_a_part_is_true_of_the_whole(seed, conflict, mends, data):
    """Versions and cells are dropped; what is found without some evidence, is found with it."""
    make = data.draw(st.sampled_from([sound, grave]))
    evidence = make(seed, conflict, writes=data.draw(st.integers(1, 8))).evidence()
    evidence = replace(evidence, facts={**evidence.facts, "mends": mends})
    for dump in evidence.dumps.values():
        dump["cells"] = [c for c in dump["cells"] if data.draw(st.integers(0, 4))]
        for c in dump["cells"]:
            c["versions"] = [v for v in c["versions"] if data.draw(st.integers(0, 4))]
    less, _ = lessened(evidence, data)
    for checker in ALL:
        if checker.check(less).status is Status.INVALID:
            assert checker.check(evidence).status is Status.INVALID, checker.name


def lessened(evidence, data):
    """Take dumps, traces and records away; give what is left, and the names of what is missing."""
    nodes = st.sampled_from(NODES)
    dumps, traces = data.draw(st.sets(nodes, max_size=3)), data.draw(st.sets(nodes, max_size=2))
    less = without(evidence, dumps, traces)
    kept = dict(less.traces)
    names = {f"{node} left no dump" for node in dumps}
    for node, whole in less.traces.items():
        if data.draw(st.integers(0, 3)) == 0 and len(whole.records) > 2:
            first = data.draw(st.integers(0, len(whole.records) - 2))
            last = data.draw(st.integers(first, len(whole.records) - 2))
            following = whole.records[last + 1]
            if following["boot"] == whole.records[first]["boot"] or following["seq"]:
                kept[node] = replace(
                    whole, records=(*whole.records[:first], *whole.records[last + 1 :])
                )
                names.add(f"the trace of {node}")
    names |= {f"the trace of {node} is missing" for node in traces}
    return replace(less, traces=kept), names


# Convergence: whoever holds a key, its replicas must.


def test_a_key_that_only_a_stranger_holds_is_missing():
    dot = ("n4", 1)
    evidence = evidence_of([trace("n4")], dumped(n4=[cell((dot, "v"))]))
    assert found(Convergence(), evidence) == ["missing-replica"]
    anomaly = Convergence().check(evidence).anomalies[0]
    assert "n1, n2, n3" in anomaly.explanation
    assert "n4, which is none of its replicas" in anomaly.explanation
    unmended = replace(evidence, facts={**FACTS, "mends": False})
    assert "the replicas of 1 key differ" in Convergence().check(unmended).reasons[0]
    assert Convergence().check(without(evidence, dumps=REPLICAS)).status is Status.UNKNOWN


def test_a_tombstone_may_be_missing_and_a_value_may_not():
    first, second = ("n1", 1), ("n1", 2)
    tombstone = cell((first, None))
    assert Convergence().check(evidence_of([], dumped(n1=[tombstone], n2=[tombstone]))).valid
    beside = cell((first, None), (second, "v"), conflict="siblings")
    evidence = evidence_of([], dumped(n1=[beside], n2=[beside]))
    assert found(Convergence(), evidence) == ["missing-replica"]
    differing = evidence_of([], dumped(n1=[tombstone], n2=[cell((second, None))]))
    assert found(Convergence(), differing) == ["diverged-replicas"]
    assert found(Convergence(), evidence_of([], dumped(n1=[cell()]))) == ["missing-replica"]
    at_causal = {**tombstone, "level": "causal"}
    evidence = evidence_of([], dumped(n1=[at_causal], n2=[at_causal]))
    assert found(Convergence(), evidence) == ["missing-replica"]


# Quorums.


def overwritten_by_a_lower_stamp(*last):
    """n3 heard of the delete, by a clock behind, before it heard of what that had seen."""
    first, delete = ("n1", 100), ("n2", 50)
    both = stored(delete, seen=[first, delete])
    traces = [
        trace("n1", stored(first), acked(first, needed=3), both, *last),
        trace("n2", stored(first), both, acked(delete, None, context=[first], needed=3), *last),
        trace("n3", both, *last),
    ]
    here = cell((delete, None), conflict="siblings", seen=[first, delete])
    cells = {} if last else {node: [here] for node in REPLICAS}
    dumps = {node: {**dump, "members": REPLICAS} for node, dump in dumped(**cells).items()}
    del dumps["n4"]
    return evidence_of(traces, dumps, [("write", "v"), ("delete", None)], w=3)


def test_of_a_key_that_was_buried_nobody_says_what_it_keeps():
    assert Quorum().check(overwritten_by_a_lower_stamp()).valid
    assert Quorum().check(overwritten_by_a_lower_stamp(BURIED)).valid


@pytest.mark.parametrize(
    ("facts", "needed"),
    [({"n": 3, "w": 3}, 2), ({"n": 5, "w": 3, "write_availability": "majority"}, 2)],
)
def test_there_are_no_more_replicas_than_nodes(facts, needed):
    """W is what the options say, as far as there are so many nodes."""
    nodes = ["n1", "n2", "n3"][: 2 if facts["n"] == 3 else 3]
    dot = ("n1", 1)

    def run(needed):
        own = acked(dot, acks=nodes[:needed], asked=nodes, needed=needed)
        traces = [trace("n1", stored(dot), own), *(trace(n, stored(dot)) for n in nodes[1:])]
        here = {**cell((dot, "v")), "replicas": nodes}
        dumps = dumped(**{node: [here] for node in nodes})
        members = {node: {**dumps[node], "members": nodes} for node in nodes}
        return evidence_of(traces, members, **facts)

    assert Quorum().check(run(needed)).valid
    assert found(Quorum(), run(needed - 1)) == ["quorum-too-small"]


# Records that cannot be read.


def test_a_malformed_record_is_told_by_node_boot_and_number():
    evidence = sound(1).evidence()
    records = list(evidence.traces["n2"].records)
    at = next(i for i, item in enumerate(records) if item["event"] == "stored")
    del records[at]["for"]
    traces = {**evidence.traces, "n2": replace(evidence.traces["n2"], records=tuple(records))}
    where = f"boot {records[at]['boot']}, record {records[at]['seq']}"
    line = f"the trace of n2: {where} (stored) cannot be read: it has no 'for'"
    assert line in Quorum().check(replace(evidence, traces=traces)).reasons


def test_records_that_fail_alike_are_told_in_one_line():
    spoilt = [stored(("n1", number)) for number in range(1, 31)]
    for _, fields in spoilt:
        fields["seen"] = 7
    evidence = one_write()
    traces = {**evidence.traces, "n3": trace("n3", *spoilt)}
    reasons = Quorum().check(replace(evidence, traces=traces)).reasons
    (line,) = [reason for reason in reasons if "cannot be read" in reason]
    assert line.startswith("the trace of n3: boot n3, record 1 (stored) cannot be read: 7 does not")
    assert line.endswith(", and 29 more like it")


# Traces are read once.


def test_checkers_of_one_evidence_share_one_reading_that_goes_with_it():
    evidence = sound(1).evidence()
    reading = Traces.shared(evidence.traces.values())
    assert Traces.shared(evidence.traces.values()) is reading
    other = sound(2).evidence()
    assert Traces.shared(other.traces.values()) is not reading
    mixed = {**other.traces, "n1": evidence.traces["n1"]}
    assert Traces.shared(mixed.values()).acked != Traces.shared(other.traces.values()).acked
    part = without(other, traces=["n4"]).traces
    assert Traces.shared(part.values()).nodes == {"n1", "n2", "n3"}
    kept = weakref.ref(Traces.shared(other.traces.values()))
    del other, mixed, part
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize(
    "junk",
    [{"level": "x"}, {"level": None}, {"deleted": "x"}, {"needed": True}, {"acks": [["n1"]]},
     {"stamp": 1.5}, {"hints": {"n4": 7}}, {"asked": [None]}],
)  # fmt: skip
def test_an_acknowledgement_in_another_format_is_a_gap(junk):
    evidence = one_write()
    own = trace("n1", stored(("n1", 1)), acked(("n1", 1), **junk))
    verdict = Quorum().check(replace(evidence, traces={**evidence.traces, "n1": own}))
    assert verdict.status is Status.UNKNOWN, verdict
    assert any("boot n1, record 2 (acked)" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    "junk",
    [{"members": ["n1", None]}, {"causal": {"applied": None}}, {"sequential": {"applied": "x"}}],
)
def test_a_dump_in_another_format_is_not_used(junk):
    evidence = sound(1).evidence()
    evidence.dumps["n2"] |= junk
    for checker in (Convergence(), Ring(), Durability()):
        verdict = checker.check(evidence)
        assert verdict.status is Status.UNKNOWN, (checker.name, verdict)
        assert any("the dump of n2" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("point", [-1, 2**32, True, None])
def test_a_ring_with_impossible_points_cannot_be_read(point):
    evidence = sound(1).evidence()
    evidence.dumps["n2"]["ring"]["points"][0][0] = point
    verdict = Ring().check(evidence)
    assert verdict.status is Status.UNKNOWN
    assert "the ring of n2 cannot be read" in verdict.reasons
