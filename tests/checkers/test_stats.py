from __future__ import annotations

import json
from dataclasses import replace

import pytest

from splitbrain.checkers.stats import Stats, active_spans
from splitbrain.core.evidence import Evidence, from_history
from splitbrain.core.history import History
from splitbrain.core.journal import FaultEvent, Phase
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Status

MS = 1_000_000


def op(index, f="read", outcome="ok", process=None, length=1, ms=2):
    done = outcome != "info" or length
    return Operation(
        process=index if process is None else process, session=0, f=f, outcome=Outcome(outcome),
        invoke_index=index, complete_index=index + length if done else None,
        start_ns=index * MS, end_ns=(index + ms) * MS if done else None,
    )  # fmt: skip


def fault(index, state, name="p-1"):
    return index, FaultEvent(fault=name, kind="partition", state=state, time_ns=index * MS)


def phases(**starts):
    return tuple((index, Phase(name=name, time_ns=index * MS)) for name, index in starts.items())


RUN = phases(setup=1, main=10, heal=100, settle=101, final=110, collect=150)
FAULTS = (fault(11, "planned"), fault(20, "injecting"), fault(30, "active"), fault(60, "healing"))


def check(*operations, faults=FAULTS, when=RUN, **floors):
    evidence = Evidence(history=History.of(operations), faults=faults, phases=when)
    return Stats(**floors).check(evidence)


def test_figures_alone_when_enough_succeeded():
    verdict = check(
        op(12), op(32, ms=10), op(34, "write"), op(36, "write", "fail"), op(40, outcome="info"),
        op(112), op(114, "write"),
    )  # fmt: skip
    assert (verdict.status, verdict.judges, verdict.reasons) == (Status.VALID, False, ())
    stats = verdict.stats
    assert stats["by_f"] == {
        "read": {"ok": 3, "fail": 0, "info": 1},
        "write": {"ok": 2, "fail": 1, "info": 0},
    }
    assert stats["outcomes"] == {"ok": 5, "fail": 1, "info": 1}
    assert stats["during_faults"] == {"ok": 2, "fail": 1, "info": 1}
    assert stats["availability_during_faults"] == 0.5
    assert stats["final"] == {"ok": 2, "fail": 0, "info": 0}
    assert stats["latency_ms"]["read"] == {
        "p50": 2.0, "p95": 9.2, "p99": 9.84, "max": 10.0, "count": 3
    }  # fmt: skip
    assert stats["main"]["longest_outage_s"] == 0.022
    assert json.loads(json.dumps(stats)) == stats


def test_an_operation_that_never_succeeds_leaves_the_run_unknown():
    verdict = check(op(32), op(112), op(40, "cas", "fail"), op(42, "cas", "info"))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == ("no cas ever succeeded (2 were tried)",)


def test_what_never_succeeds_is_told_with_its_most_common_error():
    errors = ["ConnectionRefusedError: n1", "ValueError: oops", "ValueError: oops", None]
    tried = [
        replace(op(40 + 2 * number, "cas", "info"), error=error)
        for number, error in enumerate(errors)
    ]
    others = [replace(op(60, "write", "fail"), error="behind"), op(62, "write")]
    assert check(op(32), op(112), *tried, *others).reasons == (
        "no cas ever succeeded (4 were tried, 2 ended with: ValueError: oops)",
    )


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ((op(12), op(112)), "0 operations succeeded while a fault was active, and 1 are asked for"),
        ((op(28, length=4), op(59, length=4), op(112)), "while a fault was active"),
        ((op(32),), "0 operations succeeded in the final phase, and 1 are asked for"),
    ],
)
def test_too_few_successes_leave_the_run_unknown(operations, reason):
    verdict = check(*operations)
    assert (verdict.status, verdict.judges) == (Status.UNKNOWN, True)
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


def test_floors_are_the_workloads():
    assert check(op(12), floor_during=0, floor_after=0).status is Status.VALID
    assert check(op(32), op(112), floor_during=2).status is Status.UNKNOWN
    assert Stats(2, 3).parameters() == {"floor_during": 2, "floor_after": 3}


def test_without_faults_nothing_is_asked_for_during_them():
    verdict = check(op(32), op(112), faults=())
    assert verdict.status is Status.VALID
    assert verdict.stats["during_faults"] is None


def test_a_run_that_never_came_to_its_final_phase_is_unknown():
    verdict = check(op(32), when=RUN[:3])
    assert "which never came" in verdict.reasons[0]


def test_a_bare_history_has_no_floors():
    verdict = Stats().check(from_history(History.of([op(1), op(5, "write")])))
    assert (verdict.status, verdict.judges) == (Status.VALID, False)
    assert Stats().check(from_history(History.of([]))).status is Status.UNKNOWN


def test_no_times_no_latencies():
    timeless = Operation(
        process=0, session=0, f="read", outcome=Outcome.OK, invoke_index=0, complete_index=1,
        start_ns=0, end_ns=0,
    )  # fmt: skip
    stats = Stats().check(from_history(History.of([timeless]))).stats
    assert stats["latency_ms"] == {}
    assert stats["main"] is None


def test_faults_that_overlap_make_one_span():
    events = (
        fault(5, "active", "a"), fault(8, "active", "b"), fault(9, "healing", "a"),
        fault(10, "healed", "a"), fault(14, "healing", "b"), fault(20, "active", "c"),
    )  # fmt: skip
    assert active_spans(events, (7, 30)) == [(7, 14), (20, 30)]
    assert active_spans(events, (30, 40)) == [(30, 40)]
    assert active_spans(events[:5], (15, 40)) == []
