"""Checkers of what replicas leave, where some of it is missing: doubt, and no accusation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from toy_store import NODES, sound, told

from splitbrain.checkers.convergence import Convergence
from splitbrain.checkers.durability import Durability
from splitbrain.checkers.quorum import Quorum
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
