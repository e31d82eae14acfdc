"""Checkers of what replicas leave: a dumb store makes sound evidence, and each defect is found."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_store import NODES, N, Store, W, sound, told

from splitbrain.checkers.convergence import Convergence
from splitbrain.checkers.durability import Durability
from splitbrain.checkers.quorum import Quorum
from splitbrain.checkers.replicas.past import Contexts, Past
from splitbrain.checkers.replicas.stored import Kept, Stored
from splitbrain.checkers.replicas.trace import Traces
from splitbrain.checkers.replicas.version import Cell, Seen, Version
from splitbrain.checkers.ring import Ring, points_of, replicas_of, shares
from splitbrain.checkers.siblings import Siblings, Write, maximal
from splitbrain.checkers.vector_clocks import VectorClocks
from splitbrain.core.evidence import Evidence, Trace
from splitbrain.core.history import History
from splitbrain.core.journal import Phase
from splitbrain.core.verdict import Status

ALL = (Convergence(), Durability(), Quorum(), Siblings(), VectorClocks(), Ring())


def found(checker, evidence):
    return sorted({anomaly.name for anomaly in checker.check(evidence).anomalies})


@given(st.integers(0, 10**6), st.sampled_from(["siblings", "lww"]))
def test_sound_evidence_is_valid(seed, conflict):
    evidence = sound(seed, conflict).evidence()
    for checker in ALL:
        verdict = checker.check(evidence)
        if isinstance(checker, Siblings) and conflict == "lww":
            assert verdict.status is Status.UNKNOWN
        else:
            assert verdict.status is Status.VALID, (checker.name, verdict)


dots = st.tuples(st.sampled_from("xy"), st.integers(1, 4))
EVERY_DOT = tuple((actor, number) for actor in "xy" for number in range(1, 5))


clocks = st.dictionaries(st.sampled_from("xy"), st.integers(1, 4))
dots_seen = st.frozensets(dots, max_size=2)
contexts_drawn = st.builds(Seen, clocks, dots_seen)


@given(st.dictionaries(dots, contexts_drawn, max_size=6))
def test_maximal_elements_against_their_definition(contexts):
    wanted = set(contexts)
    for one in contexts:
        for other, context in contexts.items():
            if one != other and context.covers(one):
                wanted.discard(one)
    assert maximal(Write(*item) for item in contexts.items()) == wanted


held = st.lists(st.tuples(dots, contexts_drawn), max_size=3)


@given(held, st.lists(st.tuples(dots, contexts_drawn), max_size=6))
def test_what_a_cell_replaced_against_its_definition(versions, writes):
    """From a write to any later one whose writer had seen it, until one is there or was seen."""

    def is_replaced(at, passed):
        if any(at == own or seen.covers(at) for own, seen in versions):
            return True
        later = [other for other, seen in writes if seen.covers(at) and other not in passed]
        return any(is_replaced(other, [*passed, other]) for other in later)

    record = {"level": "eventual", "key": "k", "stamp": 0, "value": 0, "deleted": False}
    rest = {"asked": [], "acks": [], "hints": {}, "needed": 1}
    acked = [
        {"event": "acked", **record, **rest, "dot": list(own),
         "context": {"clock": seen.clock, "dots": [list(one) for one in seen.dots]}}
        for own, seen in writes
    ]  # fmt: skip
    read = Traces.of([Trace(node="n1", records=tuple(acked))])
    cell = Cell("n1", "eventual", "k", "siblings", (), Seen({}, frozenset()),
                tuple(Version(own, 0, seen, 0, False) for own, seen in versions))  # fmt: skip
    past = Past.of(cell, Contexts.of(read.acked))
    for dot in EVERY_DOT:
        assert past.covers(dot) == is_replaced(dot, []), dot


versions_stored = st.lists(st.tuples(st.integers(0, 3), dots), max_size=2)


@given(st.lists(st.tuples(clocks, dots_seen, versions_stored), max_size=6), st.data())
def test_what_a_node_kept_against_every_cell_of_it(stored, data):
    """Each question is asked of each cell, one by one, as the definition has it."""
    cells = [
        Stored(2 * place, Seen(clock, seen), tuple((stamp, *dot) for stamp, dot in ranks))
        for place, (clock, seen, ranks) in enumerate(stored)
    ]
    kept = Kept()
    for cell in cells:
        kept.add(cell)
    burials = sorted(data.draw(st.sets(st.sampled_from([-1, 1, 3, 5, 7, 9, 11]), max_size=3)))

    def keeps(cell, dot, stamp, keeps_one):
        held = {rank[1:] for rank in cell.ranks}
        outranked = keeps_one in (True, None) and any(r > (stamp, *dot) for r in cell.ranks)
        seen = cell.seen.clock.get(dot[0], 0) >= dot[1] or dot in cell.seen.dots
        return dot in held or outranked or (keeps_one in (False, None) and seen)

    def buried_at(at, *question):
        old = [cell for cell in cells if cell.at < at]
        new = [rank[1:] for cell in cells if cell.at > at for rank in cell.ranks]
        return bool(old) and keeps(old[-1], *question) and question[0] not in new

    for question in product(EVERY_DOT, (0, 2), (True, False, None)):
        dot, stamp, keeps_one = question
        kept_at = [cell.at for cell in cells if keeps(cell, *question)]
        for before in (None, *range(-1, 13)):
            wanted = any(before is None or at < before for at in kept_at)
            assert kept.keeps(dot, stamp, before, keeps_one) == wanted
        buried = any(buried_at(at, *question) for at in burials)
        assert kept.buried(dot, stamp, burials, keeps_one) == buried


@given(st.integers(0, 10**6), st.data())
def test_a_version_dropped_anywhere_is_found(seed, data):
    """Brute force over single losses: whichever replica forgets whichever version."""
    store = sound(seed, data.draw(st.sampled_from(["siblings", "lww"])))
    evidence = store.evidence()
    cells = [(n, c) for n, dump in evidence.dumps.items() for c in dump["cells"] if c["versions"]]
    _, cell = data.draw(st.sampled_from(cells))
    gone = data.draw(st.sampled_from(cell["versions"]))
    cell["versions"] = [version for version in cell["versions"] if version is not gone]
    assert set(found(Durability(), evidence)) & {"forgotten-write", "under-replicated"}
    assert "diverged-replicas" in found(Convergence(), evidence)
    if store.conflict == "siblings":
        assert found(Siblings(), evidence) == ["lost-sibling"]


@given(st.integers(0, 10**6), st.booleans(), st.data())
def test_versions_dropped_anywhere_against_the_definition(seed, mends, data):
    """Whichever replicas forget whichever versions, each loss has the name that it must have."""
    store = sound(seed, data.draw(st.sampled_from(["siblings", "lww"])), writes=8)
    evidence = store.evidence()
    for dump in evidence.dumps.values():
        for cell in dump["cells"]:
            kept = [data.draw(st.integers(0, 2)) > 0 for _ in cell["versions"]]
            cell["versions"] = [v for v, k in zip(cell["versions"], kept, strict=True) if k]
    acked = [r for n in NODES for r in store.records[n] if r["event"] == "acked"]
    contexts = {tuple(r["dot"]): {tuple(d) for d in r["context"]["dots"]} for r in acked}
    names = set()
    for record in acked:
        dot = tuple(record["dot"])
        successors = {dot}
        for _ in acked:
            successors |= {d for d, context in contexts.items() if context & successors}
        holders = set()
        for node in store.replicas(record["key"]):
            (cell,) = (c for c in evidence.dumps[node]["cells"] if c["key"] == record["key"])
            ranks = {(v["stamp"], *v["dot"]): tuple(v["dot"]) for v in cell["versions"]}
            outranked = store.conflict == "lww" and max(ranks, default=()) > (record["stamp"], *dot)
            if outranked or successors & set(ranks.values()):
                holders.add(node)
        lacking = set(store.replicas(record["key"])) - holders
        if lacking and not holders:
            names.add("lost-write")
        elif lacking & set(record["acks"]):
            names.add("forgotten-write")
        elif lacking and mends:
            names.add("under-replicated")
    facts = {**evidence.facts, "mends": mends}
    assert set(found(Durability(), replace(evidence, facts=facts))) == names


def behind(evidence, store, node):
    """Let one replica never have heard of any write to its keys but the first."""
    for cell in evidence.dumps[node]["cells"]:
        first = store.first[cell["key"]]
        cell["versions"] = [first]
        cell["seen"] = {"clock": {}, "dots": [first["dot"]]}
    return evidence


@pytest.mark.parametrize("conflict", ["siblings", "lww"])
def test_a_replica_that_missed_writes_is_no_error_where_nothing_mends(conflict):
    claims = {
        True: (Convergence(), Durability(), Siblings()),
        False: (Convergence(), Durability()),
    }[conflict == "siblings"]
    seen = 0
    for seed in range(40):
        store = Store(seed, conflict)
        store.write("a")
        store.first = {"a": dict(store.cell("a")["versions"][0])}
        away = store.replicas("a")[-1]
        second = store.write("a")
        evidence = behind(store.evidence(), store, away)
        acks = next(
            r["acks"] for n in NODES for r in store.records[n] if r.get("dot") == list(second)
        )
        unmended = replace(evidence, facts={**evidence.facts, "mends": False})
        for checker in claims:
            assert checker.check(evidence).status is Status.INVALID, checker.name
            verdict = checker.check(unmended)
            if away in acks and not isinstance(checker, Convergence):
                assert verdict.status is Status.INVALID, checker.name
            else:
                seen += 1
                assert verdict.status is Status.VALID, (checker.name, verdict)
        assert "the replicas of 1 key differ" in Convergence().check(unmended).reasons[0]
    assert seen > 40


def test_the_level_causal_mends_by_itself():
    store = Store(3)
    store.place = lambda key: {"level": "causal", "key": key}
    store.write("a")
    evidence = store.evidence()
    evidence = replace(evidence, facts={**evidence.facts, "mends": False})
    holder = store.replicas("a")[0]
    evidence.dumps[holder]["cells"] = []
    assert found(Convergence(), evidence) == ["missing-replica"]
    assert found(Durability(), evidence) in (["forgotten-write"], ["under-replicated"])


def two_concurrent():
    """n writes that nobody had seen, then one that had seen the first."""
    store = Store(7)
    first = store.write("a", [])
    second = store.write("a", [])
    third = store.write("a", [first])
    return store, first, second, third


def edited(evidence, change, nodes=NODES):
    for node in nodes:
        for cell in evidence.dumps[node]["cells"]:
            change(cell)
    return evidence


def test_a_key_that_is_nowhere_is_lost():
    evidence = sound(1).evidence()
    for dump in evidence.dumps.values():
        dump["cells"] = [cell for cell in dump["cells"] if cell["key"] != "a"]
    assert found(Durability(), evidence) == ["lost-write"]
    anomaly = Durability().check(evidence).anomalies[0]
    assert "no replica holds the key" in anomaly.explanation
    assert anomaly.operations[0].key == "a"


def test_a_buried_tombstone_is_no_loss():
    store = Store(3)
    store.write("a")
    store.write("a", deleted=True)
    evidence = store.evidence()
    for dump in evidence.dumps.values():
        dump["cells"] = []
    assert found(Durability(), evidence) == ["lost-write"]
    for node in store.replicas("a"):
        store.record(node, "buried", **store.place("a"))
    buried = replace(evidence, traces=store.evidence().traces)
    assert Durability().check(buried).valid


def test_wall_clocks_lose_the_later_write():
    store = Store(5, "lww")
    store.write("a", [])
    store.write("a", [])
    evidence = store.evidence()
    early = store.records["n1"] + store.records["n2"] + store.records["n3"] + store.records["n4"]
    first = min((r for r in early if r["event"] == "acked"), key=lambda r: r["stamp"])
    winner = {
        "dot": first["dot"], "stamp": 10**6, "context": told([]), "value": first["value"],
        "deleted": False,
    }  # fmt: skip
    edited(evidence, lambda cell: cell.update(versions=[winner]))
    assert Durability().check(evidence).valid  # nothing says that stamps follow real time
    wall = replace(evidence, facts={**evidence.facts, "timestamps": "wall"})
    anomaly = Durability().check(wall).anomalies[0]
    assert anomaly.name == "lost-write"
    assert len(anomaly.operations) == 2
    assert "outranked" in anomaly.explanation
    weak = {**evidence.facts, "timestamps": "quorum", "r": 1, "w": 1}
    assert Durability().check(replace(evidence, facts=weak)).valid
    strict = {**evidence.facts, "timestamps": "quorum"}
    assert found(Durability(), replace(evidence, facts=strict)) == ["lost-write"]


def test_siblings_resurrected_in_false_conflict_and_invented():
    store, first, second, third = two_concurrent()
    evidence = store.evidence()
    assert Siblings().check(evidence).valid
    old = {"dot": list(first), "stamp": 0, "context": told([]), "value": "v0", "deleted": False}
    edited(evidence, lambda cell: cell["versions"].append(old))
    assert found(Siblings(), evidence) == ["false-conflict"]
    assert "dominated-version" in found(VectorClocks(), evidence)
    edited(
        evidence,
        lambda cell: cell.update(versions=[v for v in cell["versions"] if v["dot"] != list(third)]),
    )
    assert found(Siblings(), evidence) == ["lost-sibling", "resurrected-sibling"]
    evidence = store.evidence()
    edited(evidence, lambda cell: cell["versions"][0].update(value="nobody's"))
    assert found(Siblings(), evidence) == ["invented-sibling"]
    assert found(VectorClocks(), evidence) == ["duplicate-dot"]
    assert second != third


def test_hints_replicas_and_states_that_are_left():
    store = sound(2)
    evidence = store.evidence()
    evidence.dumps["n1"]["hints"] = [{**store.cell("a"), "for": "n2"}]
    assert found(Convergence(), evidence) == ["undelivered-hint"]
    evidence = store.evidence()
    holder = store.replicas("a")[0]
    evidence.dumps[holder]["cells"] = [
        c for c in evidence.dumps[holder]["cells"] if c["key"] != "a"
    ]
    assert found(Convergence(), evidence) == ["missing-replica"]
    evidence = store.evidence()
    evidence.dumps["n1"]["causal"] = {"applied": {"n1": 4}}
    assert found(Convergence(), evidence) == ["diverged-replicas"]


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"applied": 8, "store": [["sequential/x", 1]]}, Status.VALID),  # a new leader's no-op
        ({"applied": 7, "store": [["sequential/x", 2]]}, Status.INVALID),
        ({"applied": 8, "store": [["sequential/x", 2]]}, Status.INVALID),
        ({"applied": 7}, Status.VALID),
        ({"applied": 8}, Status.INVALID),
    ],
)
def test_one_log_must_come_to_the_same_values_at_all_nodes(other, status):
    evidence = sound(2).evidence()
    for dump in evidence.dumps.values():
        dump["sequential"] = {"applied": 7, "store": [["sequential/x", 1]]}
    evidence.dumps["n1"]["sequential"] = other
    assert Convergence().check(evidence).status is status


def only_trace(evidence, node, change):
    traces = dict(evidence.traces)
    traces[node] = replace(traces[node], records=tuple(change(list(traces[node].records))))
    return replace(evidence, traces=traces)


def test_quorums_that_are_none():
    store = Store(11)
    store.write("a")
    evidence = store.evidence()
    coordinator = next(n for n in NODES if store.records[n][-1]["event"] == "acked")
    replicas = store.replicas("a")

    def acked(**change):
        return only_trace(
            evidence, coordinator, lambda records: [*records[:-1], {**records[-1], **change}]
        )

    assert found(Quorum(), acked(asked=replicas[:2])) == ["replicas-left-out"]
    assert found(Quorum(), acked(acks=replicas[:1])) == ["too-few-acknowledgements"]
    assert found(Quorum(), acked(acks=replicas[:1] * 2)) == ["too-few-acknowledgements"]
    assert found(Quorum(), acked(acks=replicas[:1], needed=1)) == ["quorum-too-small"]
    stranger = next(node for node in NODES if node not in replicas)
    assert found(Quorum(), acked(acks=[*replicas[:2], stranger])) == ["acknowledged-by-strangers"]
    hinted = acked(acks=replicas[:1], hints={stranger: replicas[1]})
    assert found(Quorum(), hinted) == ["too-few-acknowledgements"]
    sloppy = replace(hinted, facts={**hinted.facts, "sloppy": True})
    assert found(Quorum(), sloppy) == ["acknowledged-before-durable"]


@pytest.mark.parametrize("seed", range(12))
def test_an_acknowledgement_before_the_disk(seed):
    store = Store(seed)
    store.write("a")
    acked = next(r for n in NODES for r in store.records[n] if r["event"] == "acked")
    victim = acked["acks"][0]
    coordinator = acked["dot"][0]
    bare = store.evidence()
    without = only_trace(
        bare, victim, lambda records: [r for r in records if r["event"] != "stored"]
    )
    verdict = Quorum().check(without)
    if len(acked["acks"]) > W:
        assert verdict.status is not Status.INVALID
        return
    if victim != coordinator:
        assert found(Quorum(), without) == ["acknowledged-before-durable"]
    gapped = replace(without.traces[victim], gaps=("a piece is missing",))
    unsure = replace(without, traces={**without.traces, victim: gapped})
    assert Quorum().check(unsure).status is Status.UNKNOWN
    absent = {node: trace for node, trace in without.traces.items() if node != victim}
    if victim != coordinator:
        assert Quorum().check(replace(without, traces=absent)).status is Status.UNKNOWN


def test_the_coordinators_own_disk_comes_first():
    """Its record stands after the acknowledgement in its own trace: that is no proof."""
    for seed in range(100):
        store = Store(seed)
        store.write("a")
        acked = next(r for n in NODES for r in store.records[n] if r["event"] == "acked")
        coordinator = acked["dot"][0]
        if coordinator in acked["acks"] and len(acked["acks"]) == W:
            break

    def swap(records):
        first, second = records[-2], records[-1]
        return [
            *records[:-2],
            {**second, "seq": first["seq"]},
            {**first, "seq": second["seq"]},
        ]

    evidence = only_trace(store.evidence(), coordinator, swap)
    assert found(Quorum(), evidence) == ["acknowledged-before-durable"]


def test_clocks_that_break_their_rules():
    store = Store(4)
    dot = store.write("a")
    node = dot[0]
    store.numbers[node] = 0
    store.boot(node)
    assert found(VectorClocks(), store.evidence()) == ["counter-went-back"]
    store, *_ = two_concurrent()
    evidence = edited(store.evidence(), lambda cell: cell.update(seen=told([])))
    assert found(VectorClocks(), evidence) == ["clock-behind-version"]
    store = Store(4)
    dot = store.write("a", [])
    evidence = store.evidence()
    full = told([dot])
    own = only_trace(
        evidence,
        dot[0],
        lambda records: [{**r, "context": full} if r["event"] == "acked" else r for r in records],
    )
    assert found(VectorClocks(), own) == ["clock-not-above-context"]


def ringed(change, nodes=NODES):
    evidence = sound(6).evidence()
    for node in nodes:
        change(evidence.dumps[node])
    return found(Ring(), evidence)


def test_rings():
    assert ringed(lambda dump: dump["ring"]["points"].pop(), ["n3"]) == ["rings-differ"]
    assert "points-of-others" in ringed(lambda dump: dump["ring"]["points"].pop(0))

    def twice(dump):
        for cell in dump["cells"]:
            cell["replicas"] = [cell["replicas"][0]] * N

    assert ringed(twice) == ["replicas-not-distinct"]

    def turned(dump):
        for cell in dump["cells"]:
            cell["replicas"] = [*cell["replicas"][1:], cell["replicas"][0]]

    assert ringed(turned, ["n1", "n2"]) == ["wrong-replicas"]

    def fewer(dump):
        for cell in dump["cells"]:
            cell["replicas"] = cell["replicas"][:-1]

    assert ringed(fewer) == ["wrong-number-of-replicas"]

    def crowded(dump):
        owned = [point for point in dump["ring"]["points"] if point[1] == "n1"]
        others = [[2**31 + place, node] for place, (_, node) in enumerate(dump["ring"]["points"])]
        dump["ring"]["points"] = sorted([*owned, *[p for p in others if p[1] != "n1"]])

    assert "unbalanced-ring" in ringed(crowded)


@given(st.integers(2, 8), st.integers(1, 40), st.integers(3, 64))
def test_shares_and_replicas_against_every_point(count, vnodes, bits):
    members = [f"node-{number}" for number in range(count)]
    points = points_of(members, vnodes, bits)
    assert abs(sum(shares(points, bits).values()) - 1) < 1e-9
    if bits > 10:
        return
    owned = {}
    for point in range(1 << bits):
        owner = next((node for at, node in points if at >= point), points[0][1])
        owned[owner] = owned.get(owner, 0) + 1
    assert shares(points, bits) == {n: part / (1 << bits) for n, part in sorted(owned.items())}
    smaller = points_of(members[:-1], vnodes, bits)
    for key in range(20):
        before = replicas_of(key, smaller, members[:-1], bits, 1)
        after = replicas_of(key, points, members, bits, 1)
        assert after in (before, [members[-1]])


def test_nothing_is_claimed_of_what_had_not_settled():
    evidence = sound(1).evidence()
    for dump in evidence.dumps.values():
        dump["cells"] = []
    for settled in (False, None):
        phases = ((0, Phase(name="final", time_ns=0, settled=settled)),)
        for checker in (Durability(), Convergence(), Siblings()):
            verdict = checker.check(replace(evidence, phases=phases))
            assert verdict.status is Status.UNKNOWN
            assert verdict.reasons[0].startswith("did-not-settle")


def test_missing_evidence_is_unknown_and_named():
    evidence = sound(1).evidence()
    for node in NODES:
        dumps = {name: dump for name, dump in evidence.dumps.items() if name != node}
        for checker in (Convergence(), Durability(), Siblings(), VectorClocks(), Ring()):
            verdict = checker.check(replace(evidence, dumps=dumps))
            assert verdict.status is Status.UNKNOWN, checker.name
            assert f"{node} left no dump" in verdict.reasons
        broken = only_trace(evidence, node, lambda records: records[:1] + records[2:])
        for checker in (Durability(), Quorum(), Siblings(), VectorClocks()):
            verdict = checker.check(broken)
            assert verdict.status is not Status.VALID, checker.name
            assert any(f"the trace of {node}" in reason for reason in verdict.reasons)
    for checker in ALL:
        verdict = checker.check(Evidence(history=History.of([]), dumps={}, traces={},
                                         phases=evidence.phases))  # fmt: skip
        assert verdict.status is Status.UNKNOWN


fields = st.sampled_from(["cells", "hints", "members", "ring", "key", "seen", "versions"])
anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner),
    max_leaves=6,
)


@given(anything)
def test_dumps_that_are_none_never_crash_a_checker(value):
    evidence = sound(1).evidence()
    for checker in ALL:
        checker.check(replace(evidence, dumps={**evidence.dumps, "n1": value}))


@given(st.integers(0, 10**6), anything, st.sampled_from(["dot", "seen", "versions", "acks", "for"]))
def test_records_that_are_none_never_crash_a_checker(seed, value, name):
    store = sound(1, writes=5)
    node = NODES[seed % len(NODES)]
    records = store.records[node]
    place = seed % len(records)
    damaged = {**records[place], name: value}
    evidence = only_trace(
        store.evidence(), node, lambda own: [*own[:place], damaged, *own[place + 1 :]]
    )
    for checker in ALL:
        checker.check(evidence)


def ring_dumps(names, vnodes, bits=32, n=3, points=None):
    points = points_of(names, vnodes, bits) if points is None else points
    shown = {"bits": bits, "vnodes": vnodes, "n": n, "points": [list(point) for point in points]}
    replicas = replicas_of("k", points, names, bits, n)
    cell = {"level": "eventual", "key": "k", "conflict": "lww", "replicas": replicas,
            "seen": told([]), "versions": []}  # fmt: skip
    dump = {"cells": [cell], "hints": [], "members": names, "ring": shown}
    return dict.fromkeys(names, dump)


def test_points_that_the_rule_gives_are_never_unbalanced():
    """They depend on the names alone: their shares are figures, however far apart."""
    for count in range(1, 51):
        names = [f"n{number}" for number in range(1, count + 1)]
        for vnodes in (1, 2, 3, 16, 32):
            verdict = Ring().check(Evidence(dumps=ring_dumps(names, vnodes, n=min(3, count))))
            assert verdict.status is Status.VALID, (count, vnodes, verdict.anomalies)


@given(st.integers(2, 30), st.integers(1, 64), st.integers(0, 10**6))
def test_points_by_another_hash_are_those_of_others_and_not_unbalanced(count, vnodes, seed):
    names = [f"n{number}" for number in range(1, count + 1)]
    chance = random.Random(seed)
    points = sorted((chance.getrandbits(32), name) for name in names for _ in range(vnodes))
    assert found(Ring(), Evidence(dumps=ring_dumps(names, vnodes, points=points))) == [
        "points-of-others"
    ]


def test_a_node_without_points_is_unbalanced():
    names = ["n1", "n2", "n3"]
    points = [point for point in points_of(names, 16, 32) if point[1] != "n3"]
    told = found(Ring(), Evidence(dumps=ring_dumps(names, 16, points=points)))
    assert told == ["points-of-others", "unbalanced-ring"]


def test_the_ring_is_the_one_that_was_promised():
    names = ["n1", "n2", "n3", "n4", "n5"]
    promised = {"n": 3, "vnodes": 16, "ring_bits": 32, "replication": "ring"}

    def judged(**other):
        return found(Ring(), Evidence(dumps=ring_dumps(names, **other), facts=promised))

    assert judged(vnodes=16) == []
    assert judged(vnodes=16, n=2) == ["ring-not-promised", "wrong-number-of-replicas"]
    assert judged(vnodes=1) == ["ring-not-promised"]
    assert judged(vnodes=16, bits=16) == ["ring-not-promised"]
    assert judged(vnodes=16, points=()) == ["ring-not-promised"]
    simple = {**promised, "replication": "simple"}
    for points, status in ((None, Status.INVALID), ((), Status.VALID)):
        dumps = ring_dumps(names, 16, points=points)
        assert Ring().check(Evidence(dumps=dumps, facts=simple)).status is status
    few = {**promised, "n": 7}
    assert Ring().check(Evidence(dumps=ring_dumps(names, 16, n=5), facts=few)).valid


def test_no_points_are_what_simple_replication_promises_and_else_nothing_to_look_at():
    dumps = ring_dumps(["n1", "n2", "n3"], 16, points=())
    for dump in dumps.values():
        dump["cells"] = []
    simple = {"n": 3, "vnodes": 16, "ring_bits": 32, "replication": "simple"}
    assert Ring().check(Evidence(dumps=dumps, facts=simple)).valid
    verdict = Ring().check(Evidence(dumps=dumps))
    assert verdict.reasons == ("there are neither points nor keys: there was nothing to look at",)


def test_a_dump_without_a_ring_is_unknown():
    evidence = sound(6).evidence()
    del evidence.dumps["n3"]["ring"]
    verdict = Ring().check(evidence)
    assert verdict.status is Status.UNKNOWN
    assert "the dump of n3 shows no ring" in verdict.reasons
