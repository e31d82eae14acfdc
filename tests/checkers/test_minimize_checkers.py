"""What each checker of histories finds is minimized: wrong under the same name, and no further."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_histories import drawn, overlapping, versioned

from splitbrain import catalog
from splitbrain.checkers.minimization.ties import Ties
from splitbrain.checkers.minimize import TIMELY, minimize
from splitbrain.core.evidence import from_history
from splitbrain.core.history import History
from splitbrain.core.operation import Outcome
from splitbrain.core.value import same
from splitbrain.core.verdict import Status

CHECKERS = {
    "linearizable": {},
    "regular": {},
    "staleness": {"k": 1, "delta_ms": 0},
    "sequential": {},
    "causal cc": {"model": "cc"},
    "causal ccv": {"model": "ccv"},
    "causal cm": {"model": "cm"},
    "read-your-writes": {},
    "monotonic-reads": {},
    "monotonic-writes": {},
    "writes-follow-reads": {},
}
MANY = 12


def checker_of(name):
    return catalog.checker(name.partition(" ")[0], CHECKERS[name])


def names_of(verdict):
    invalid = verdict.status is Status.INVALID
    return {anomaly.name for anomaly in verdict.anomalies} if invalid else set()


def made_up(operations):
    """Give the reads and compare-and-sets that saw what none of these operations left."""
    left = {
        (item.key, item.argument if item.f == "write" else item.argument[1])
        for item in operations
        if item.f != "read" and item.outcome is not Outcome.FAIL and item.applied
    }
    return [
        item
        for item in operations
        if item.outcome is Outcome.OK and item.f != "write" and item.applied
        for saw in [item.result if item.f == "read" else item.argument[0]]
        if saw is not None and (item.key, saw) not in left
    ]


def minimized(seed, name, size=MANY):
    """Minimize what is found in a drawn history; give the name of what was found, if anything."""
    rng = random.Random(seed)
    rows = drawn(
        rng,
        size=rng.randint(2, size),
        sessions=rng.randint(1, 3),
        keys=rng.randint(1, 2),
        cas=rng.random() < 0.3,
    )
    if name.partition(" ")[0] in TIMELY:
        rows = overlapping(rng, rows)
    rows = versioned(rng, rows) if rng.random() < 0.3 else rows
    checker, history = checker_of(name), History.of(rows)
    verdict = checker.check(from_history(history))
    if verdict.status is not Status.INVALID:
        return None
    anomaly = rng.choice(verdict.anomalies)
    least = minimize(checker, from_history(history), anomaly, lambda: True)
    assert least is not None
    assert least.is_minimal
    assert least.anomaly == anomaly.name
    kept = list(least.history)
    assert [item for item in rows if item in kept] == kept
    assert least.anomaly in names_of(checker.check(from_history(least.history)))
    # Nothing seems made up that was not.
    whole = made_up(rows)
    assert all(any(same_operation(item, other) for other in whole) for item in made_up(kept))
    ties = Ties(kept, is_timely=checker.name in TIMELY)
    for number in range(len(kept)):
        gone = ties.closure(range(len(kept)), [number])
        rest = History.of(item for place, item in enumerate(kept) if place not in gone)
        assert least.anomaly not in names_of(checker.check(from_history(rest))), (rows, number)
    return anomaly.name


def same_operation(one, other):
    return one.invoke_index == other.invoke_index and same(one.argument, other.argument)


@pytest.mark.parametrize("name", CHECKERS)
def test_what_a_checker_finds_is_minimized(name):
    found = Counter()

    @settings(max_examples=100)
    @given(st.integers(0, 2**40))
    def minimizes(seed):
        found[minimized(seed, name)] += 1

    minimizes()
    assert found[None] > 0
    # Some anomalies are rare: a hundred drawn histories may hold none, these do.
    assert found.total() > found[None] or any(minimized(seed, name) for seed in range(1000))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKERS)
def test_what_a_checker_finds_is_minimized_in_very_many_histories(name):
    found = Counter()

    @settings(max_examples=3_000)
    @given(st.integers(0, 2**40))
    def minimizes(seed):
        found[minimized(seed, name)] += 1

    minimizes()
    assert len([kind for kind in found if kind]) >= 2, found
