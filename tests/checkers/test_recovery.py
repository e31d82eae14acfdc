from __future__ import annotations

import itertools

import pytest

from splitbrain.checkers.recovery import Recovery
from splitbrain.core.evidence import Evidence, Trace
from splitbrain.core.history import History
from splitbrain.core.journal import FaultEvent, Phase
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Status

S = 1_000_000_000
HEALED = 20


def op(number, start, end, outcome="fail"):
    return Operation(
        process=number, session=number, f="read", outcome=Outcome(outcome),
        invoke_index=1000 + 2 * number, complete_index=1001 + 2 * number if end else None,
        start_ns=round(start * S), end_ns=round(end * S) if end else None,
    )  # fmt: skip


def tries(*moments, outcome="fail", first=0):
    return [op(first + n, at, at + 0.1, outcome) for n, at in enumerate(moments)]


def fault(state, at, name="p-1"):
    return FaultEvent(fault=name, kind="partition", state=state, time_ns=at * S)


LIFE = (fault("planned", 1), fault("active", 5), fault("healing", 19), fault("healed", HEALED))


def check(operations, events=LIFE, bound=10.0, settled=True, **more):
    phases = (
        (1, Phase(name="main", time_ns=0)),
        (900, Phase(name="final", time_ns=25 * S, settled=settled, reason="nobody leads")),
    )
    evidence = Evidence(
        history=History.of(operations),
        faults=tuple(enumerate(events, 2)),
        phases=phases,
        facts={} if bound is None else {"recovery_bound_s": bound},
    )
    for name, value in more.items():
        object.__setattr__(evidence, name, value)
    return Recovery().check(evidence)


def test_a_success_within_the_bound_is_recovery():
    verdict = check([*tries(21, 22), *tries(23.4, outcome="ok", first=5)])
    assert verdict.status is Status.VALID
    assert verdict.stats["recovery_s"] == 3.5
    assert verdict.stats["bound_s"] == 10.0


def test_success_before_healing_does_not_count():
    verdict = check([*tries(18, outcome="ok"), *tries(31, 32, 33, first=5)])
    assert verdict.status is Status.INVALID


def test_nothing_works_after_the_bound():
    verdict = check(tries(31, 32, 33))
    assert verdict.status is Status.INVALID
    (anomaly,) = verdict.anomalies
    assert anomaly.name == "no-recovery"
    assert "nothing succeeded in 10 s after every fault was healed" in anomaly.explanation
    assert [item.start_ns // S for item in anomaly.operations] == [31, 32, 33]


def test_a_system_that_never_worked_is_told_from_one_that_fell():
    fell = check([*tries(12, outcome="ok"), *tries(31, 32, 33, first=5)])
    never = check([*tries(12), *tries(31, 32, 33, first=5)])
    assert fell.anomalies[0].explanation.endswith("though 3 operations were tried")
    assert never.anomalies[0].explanation.endswith("; nothing had succeeded before that either")


def test_tries_all_over_the_bound_prove_a_late_recovery():
    steady = [20 + number for number in range(11)]
    verdict = check([*tries(*steady), *tries(33, outcome="ok", first=20)])
    assert verdict.status is Status.INVALID
    assert "the first success came 13.1 s after" in verdict.anomalies[0].explanation


@pytest.mark.parametrize(
    "operations",
    [
        [],
        tries(21, 22, 23, 24),  # given up long before the bound was over
        tries(31, 32),  # too few
        [op(n, 31 + n, None, "info") for n in range(5)],  # still open when the run ended
        [*tries(21, 22), *tries(33, outcome="ok", first=20)],  # nobody tried in between
    ],
)
def test_too_little_was_tried_to_accuse(operations):
    verdict = check(operations, settled=False)
    assert verdict.status is Status.UNKNOWN
    assert "did-not-settle: nobody leads" in verdict.reasons
    assert "did-not-settle" not in " ".join(check(operations).reasons)


def test_a_flash_of_life_is_neither_recovery_nor_its_failure():
    verdict = check([*tries(21, outcome="ok"), *tries(31, 32, 33, first=20)])
    assert verdict.status is Status.UNKNOWN
    assert "none of the 3 operations" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (LIFE[:3], "p-1 was never healed"),
        ((*LIFE, fault("expired", 21, "lease-n1")), "the lease ran out"),
        ((*LIFE, fault("active", 15, "p-2")), "p-2 was never healed"),
        ((*LIFE, fault("injecting", 15, "p-2")), "p-2 was never healed"),
        ((*LIFE, fault("injecting", 15, "p-2"), fault("missed", 16, "p-2")), "p-2 was never"),
        ((*LIFE, fault("healing", 21)), "p-1 was never healed"),
        ((*LIFE, fault("active", 21)), "p-1 was never healed"),
    ],
)
def test_healing_must_be_proved(events, reason):
    verdict = check(tries(31, 32, 33), events)
    assert verdict.status is Status.UNKNOWN
    assert reason in verdict.reasons[0]


def test_the_last_healing_counts():
    events = (*LIFE, fault("active", 21, "p-2"), fault("healing", 29, "p-2"))
    events += (fault("healed", 30, "p-2"),)
    assert check(tries(31, 32, 33), events).status is Status.UNKNOWN
    assert check(tries(41, 42, 43), events).status is Status.INVALID
    early = check([*tries(25, outcome="ok"), *tries(41, 42, 43, first=5)], events)
    assert early.status is Status.INVALID


FIELDS = {
    "boot": {"term": 0, "last_index": 0},
    "vote": {"term": 1, "for": "n1"},
    "lead": {"term": 1, "last_index": 0},
}


def numbered(node, records):
    return tuple({"node": node, "boot": "a", "seq": n} | record for n, record in enumerate(records))


def trace(node, *events, gaps=()):
    records = numbered(node, [{"event": event} | FIELDS.get(event, {}) for event in events])
    return Trace(node=node, records=records, gaps=gaps)


def test_whole_traces_without_a_leader_say_so():
    silent = {"n1": trace("n1", "boot", "vote", "vote"), "n2": trace("n2", "boot")}
    verdict = check(tries(31, 32, 33), traces=silent)
    (anomaly,) = verdict.anomalies
    assert anomaly.name == "no-leader"
    assert anomaly.evidence == (silent["n1"].records[2],)
    gapped = silent | {"n2": trace("n2", "boot", gaps=("a hole",))}
    assert check(tries(31, 32, 33), traces=gapped).anomalies[0].name == "no-recovery"
    empty = silent | {"n2": trace("n2")}
    assert check(tries(31, 32, 33), traces=empty).anomalies[0].name == "no-recovery"
    led = silent | {"n2": trace("n2", "boot", "lead")}
    assert check(tries(31, 32, 33), traces=led).anomalies[0].name == "no-recovery"


def test_without_faults_only_what_never_worked_is_judged():
    works = check(tries(1, 2, outcome="ok"), ())
    assert (works.status, works.judges) == (Status.VALID, False)
    verdict = check(tries(11, 12, 13), ())
    assert verdict.status is Status.INVALID
    assert "after the load began" in verdict.anomalies[0].explanation


def test_bounds():
    assert check(tries(31, 32, 33), bound=None).status is Status.UNKNOWN
    slow = check(tries(31, 32, 33), facts={"recovery_bound_s": 10, "pace": 2.0})
    assert slow.status is Status.UNKNOWN
    assert slow.stats["bound_s"] == 20.0
    assert Recovery(3.0).parameters() == {"bound_s": 3.0}


def elections(*terms, node="n1", then=()):
    votes = [{"event": "vote", "term": term, "for": node} for term in terms]
    records = [{"event": "boot", "term": 0, "last_index": 0}, *votes, *then]
    starts = itertools.accumulate(int(record["event"] == "boot") for record in records)
    boots = [f"{node}-{number}" for number in starts]
    written = [
        {"node": node, "boot": boot, "seq": n - boots.index(boot), **record}
        for n, (boot, record) in enumerate(zip(boots, records, strict=True))
    ]
    return Trace(node=node, records=tuple(written), gaps=())


LED = {"event": "lead", "term": 2, "last_index": 0}
GONE = {"event": "step-down", "term": 2}


def again(*terms):
    return tuple({"event": "vote", "term": term, "for": "n1"} for term in terms)


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (elections(2, then=(LED, GONE, *again(4))), elections(3, 5, node="n2"), "no-leader"),
        # It led until it ended, and it knows its old term when it is back.
        (elections(2, then=(LED, {"event": "boot", "term": 2, "last_index": 0})),
         elections(3, 4, 5, node="n2"), "no-leader"),
        (elections(2, then=(LED, *again(6))), elections(3, 4, node="n2"), "no-leader"),
        # Who never gave up its term may lead to this hour, if nobody hears it.
        (elections(2, then=(LED,)), elections(3, 4, 5, node="n2"), "no-recovery"),
        # Two elections that failed are no proof that none succeeds.
        (elections(2, then=(LED, GONE)), elections(3, 4, node="n2"), "no-recovery"),
        # The others stand in terms that the leader has left behind.
        (elections(9, then=({**LED, "term": 9}, GONE)), elections(3, 4, 5, node="n2"),
         "no-recovery"),
    ],
)  # fmt: skip
def test_elections_that_nobody_wins_any_more_are_told_from_silence(one, other, name):
    verdict = check(tries(31, 32, 33), traces={"n1": one, "n2": other})
    (anomaly,) = verdict.anomalies
    assert anomaly.name == name
    if name == "no-leader":
        assert "nobody led after term 2" in anomaly.explanation
        assert {record["node"] for record in anomaly.evidence} == {"n1", "n2"}


SILENT = {"n1": trace("n1", "boot", "vote"), "n2": trace("n2", "boot", "vote")}


MEMBERS = SILENT["n2"].records[0] | {"members": ["n1", "n2", "n3"]}
STORE = [{"event": "boot", "bugs": []}, {"event": "order-lead", "term": 1}]


def of(node, records):
    return {node: Trace(node=node, records=tuple(records))}


@pytest.mark.parametrize(
    "traces",
    [
        {"n2": SILENT["n2"]},  # nobody knows what n1 did, for whom n2 voted
        SILENT | of("n2", SILENT["n2"].records[1:]),  # how it began is missing
        SILENT | of("n1", numbered("n1", STORE[1:])),  # not Raft: starts of a store have no term
        of("n1", numbered("n1", STORE)) | of("n2", numbered("n2", STORE)),
        SILENT | of("n2", [MEMBERS]),
    ],
)
def test_no_leader_is_told_only_by_whole_traces_of_all_members_of_a_raft(traces):
    assert check(tries(31, 32, 33), traces=SILENT).anomalies[0].name == "no-leader"
    assert check(tries(31, 32, 33), traces=traces).anomalies[0].name == "no-recovery"
