"""`--stop-on-violation`: the load ends when the journal proves a violation, and not before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from splitbrain.checkers.stats import Stats
from splitbrain.core.errors import UsageError
from splitbrain.core.verdict import Status
from splitbrain.early import require_streamed
from splitbrain.execute import execute, plan_of
from splitbrain.report.quiet import Quiet

LIMIT_S = 8.0


def run(tmp_path, bug):
    if bug:  # brings its own system, workload and schedule
        plan = plan_of(system=None, workload=None, nemeses=None, bug=bug, seed=7, cluster="sim")
    else:
        plan = plan_of(
            system="raft", workload="register", nemeses=(), bug=None, seed=7, cluster="sim"
        )
    plan = replace(plan, time_limit_s=LIMIT_S if bug else 1.0)
    return execute(plan, store=tmp_path, monitor=Quiet(), stop_on_violation=True)


def test_a_violation_stops_the_load_at_once_and_at_the_same_moment_each_time(tmp_path):
    results = [run(tmp_path, "stale-read") for _ in range(2)]
    for result in results:
        assert result.status is Status.INVALID
        assert result.interrupted
        assert result.failure is None
        found = {anomaly.name for anomaly in result.verdicts["linearizable"].anomalies}
        assert "stale-read" in found
        history = result.evidence.history
        assert int(history.start_ns.max() - history.start_ns.min()) < LIMIT_S / 2 * 1e9
    first, second = results
    assert first.trace_hash == second.trace_hash
    assert list(first.evidence.history) == list(second.evidence.history)


def test_without_a_violation_the_run_goes_on_to_its_end(tmp_path):
    result = run(tmp_path, None)
    assert not result.interrupted
    assert result.verdicts["linearizable"].status is Status.VALID


def test_there_must_be_a_checker_that_can_be_asked_meanwhile():
    with pytest.raises(UsageError, match=r"needs the checker linearizable; .* judged by stats"):
        require_streamed([Stats()])
