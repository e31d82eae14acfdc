"""The checkers `regular` and `staleness`: specimens, bounds, the definitions tried out."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import session_definitions as definitions
from hypothesis import given, settings
from hypothesis import strategies as st
from session_histories import drawn, overlapping, sessions

from splitbrain.checkers.regular import Regular
from splitbrain.checkers.staleness import Staleness
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import from_history
from splitbrain.core.history import History
from splitbrain.core.verdict import Status, worst

SPECIMENS = {
    "stale-read": "w x 1, w x 2, r x 1",
    "future-read": "r x 1, w x 1",
    "thin-air-read": "w x 1, r x 2",
    "failed-write-observed": "w x 1~, r x 1",
}


def check(checker, history):
    return checker.check(from_history(history))


@pytest.mark.parametrize("name", SPECIMENS)
def test_each_specimen_is_rejected_under_its_name(name):
    verdict = check(Regular(), sessions(SPECIMENS[name]))
    (anomaly,) = verdict.anomalies
    assert anomaly.name == name
    assert verdict.stats["found"] == {name: 1}


def test_a_stale_read_is_explained():
    (anomaly,) = check(Regular(), sessions(SPECIMENS["stale-read"])).anomalies
    assert anomaly.explanation == (
        'process 2\'s read of key "x" returned 1, although process 1\'s write of 2 to key "x" '
        'had completed 9 us before it began, and process 0\'s write of 1 to key "x" had ended '
        "before that began"
    )


def test_new_and_then_old_at_the_time_of_a_write_is_regular_and_counted():
    one, two, new, old = sessions("w x 1, w x 2, r x 2, r x 1")
    slow = replace(two, process=900, session=9, complete_index=99)
    verdict = check(Regular(), History.of([one, slow, new, old]))
    assert verdict.valid
    assert verdict.stats["new_old_inversions"] == 1


def test_a_write_of_unknown_outcome_makes_nothing_stale():
    assert check(Regular(), sessions("w x 1, w x 2!, r x 1, r x 2, r x 1")).valid
    assert check(Regular(), sessions("w x 1, w x 2, r x 1")).status is Status.INVALID


def test_staleness_without_bounds_gives_figures_and_judges_nothing():
    verdict = check(Staleness(), sessions("w x 1, w x 2, w x 3, r x 1"))
    assert worst([verdict]) is Status.UNKNOWN
    assert not verdict.judges
    assert verdict.stats["k_at_least"] == verdict.stats["k_at_most"] == 3
    assert verdict.stats["delta_ms"] == 0.019
    assert verdict.stats["stale_reads"] == 1


def test_staleness_judges_by_the_bounds_that_are_given():
    history = sessions("w x 1, w x 2, w x 3, r x 1")
    assert check(Staleness(k=3, delta_ms=0.019), history).valid
    verdict = check(Staleness(k=2), history)
    assert [anomaly.name for anomaly in verdict.anomalies] == ["k-exceeded"]
    assert len(verdict.anomalies[0].operations) == 4
    verdict = check(Staleness(delta_ms=0.018), history)
    assert [anomaly.name for anomaly in verdict.anomalies] == ["staleness-exceeded"]
    assert "even if every read began 0.018 ms earlier" in verdict.anomalies[0].explanation


@pytest.mark.parametrize("late_ns", [1022, 1023, 999_999_999_999_997])
def test_a_bound_of_what_was_measured_is_kept(late_ns):
    old, new, read = sessions("w x 1, w x 2, r x 1")
    old = replace(old, start_ns=1, end_ns=2)
    new = replace(new, start_ns=3, end_ns=4)
    history = History.of([old, new, replace(read, start_ns=4 + late_ns, end_ns=5 + late_ns)])
    measured = check(Staleness(), history).stats["delta_ms"]
    assert measured == late_ns / 1e6
    assert check(Staleness(delta_ms=measured), history).valid
    assert not check(Staleness(delta_ms=(late_ns - 1) / 1e6), history).valid


def test_without_times_nothing_is_known_of_delta():
    bare = History.of(replace(o, start_ns=0, end_ns=None) for o in sessions("w x 1, r x 1"))
    verdict = check(Staleness(delta_ms=5), bare)
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == ("the history has no times, so that nothing is known of delta",)
    assert check(Staleness(k=1), bare).valid


def test_what_bounds_cannot_be_is_refused():
    strange = ({"delta_ms": -1}, {"delta_ms": float("nan")}, {"delta_ms": True}, {"delta_ms": "5"})
    for parameters in (*strange, {"k": 0}, {"k": 1.5}, {"k": True}):
        with pytest.raises(UsageError, match="delta_ms of 0 or more and a whole k of 1 or more"):
            Staleness(**parameters)
    made = Staleness(delta_ms=2.5, k=3)
    assert Staleness(**made.parameters()).parameters() == made.parameters()


def world_of(seed, size):
    rng = random.Random(seed)
    rows = drawn(
        rng,
        size=rng.randint(2, size),
        sessions=rng.randint(1, 3),
        keys=rng.randint(1, 2),
        cas=rng.random() < 0.3,
    )
    rows = overlapping(rng, rows)
    return definitions.World(rows), History.of(rows), rng


def agree_on_regularity(seed, size=9):
    world, history, _ = world_of(seed, size)
    verdict = check(Regular(), history)
    if world.thin:
        expected = Status.INVALID
    elif not world.source:
        expected = Status.UNKNOWN
    else:
        expected = Status.VALID if definitions.regular(world) else Status.INVALID
    assert verdict.status is expected, list(history)
    for anomaly in verdict.anomalies:
        proof = definitions.World(anomaly.operations)
        assert proof.thin or not definitions.regular(proof), anomaly
    return verdict.status


def agree_on_staleness(seed, size=7):
    """The bounds hold the true k, delta is the smallest, and verdicts follow."""
    world, history, rng = world_of(seed, size)
    reads = [r for r in world.source if world.rows[r].f == "read"]
    if world.thin or not reads or not definitions.regular(_without_stale(world)):
        return None
    k = definitions.smallest_k(world, definitions.places(world))
    stats = check(Staleness(), history).stats
    assert stats["k_at_least"] <= k <= stats["k_at_most"], list(history)
    bound = rng.randint(1, 3)
    judged = check(Staleness(k=bound), history).status
    assert judged in (
        (Status.VALID, Status.UNKNOWN) if k <= bound else (Status.INVALID, Status.UNKNOWN)
    )
    delta = round(stats["delta_ms"] * 1e6)
    assert definitions.smallest_k(world, definitions.times(world, delta)) == 1, list(history)
    if delta:
        assert definitions.smallest_k(world, definitions.times(world, delta - 1)) > 1
    limit_ms = rng.choice([0, 0.0005, 0.001, 0.002])
    verdict = check(Staleness(delta_ms=limit_ms), history)
    assert verdict.valid is (delta <= limit_ms * 1e6)
    return verdict.status


def _without_stale(world):
    """Leave only reads of the future to be irregular: staleness has no measure for them."""
    future = [
        r
        for r, s in world.source.items()
        if s is not None and world.rows[r].complete_index < world.rows[s].invoke_index
    ]
    bare = definitions.World([])
    bare.rows = world.rows
    bare.source = {r: world.source[r] for r in future}
    return bare


def test_regular_agrees_with_the_definition():
    statuses = set()

    @settings(max_examples=150)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        statuses.add(agree_on_regularity(seed))

    agrees()
    assert statuses == set(Status)


def test_staleness_agrees_with_the_definitions():
    statuses = set()

    @settings(max_examples=80)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        statuses.add(agree_on_staleness(seed, 6))

    agrees()
    assert {Status.VALID, Status.INVALID} <= statuses


@pytest.mark.slow
def test_regular_agrees_with_the_definition_on_very_many_histories():
    @settings(max_examples=10_000)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        agree_on_regularity(seed, 12)

    agrees()


@pytest.mark.slow
def test_staleness_agrees_with_the_definitions_on_very_many_histories():
    @settings(max_examples=10_000)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        agree_on_staleness(seed)

    agrees()
