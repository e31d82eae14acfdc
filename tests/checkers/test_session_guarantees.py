"""The four session guarantees: specimens, versions, the definitions tried out."""

from __future__ import annotations

import random

import pytest
import session_definitions as definitions
from hypothesis import given, settings
from hypothesis import strategies as st
from session_histories import drawn, sessions, versioned

from splitbrain.checkers.monotonic_reads import MonotonicReads
from splitbrain.checkers.monotonic_writes import MonotonicWrites
from splitbrain.checkers.read_your_writes import ReadYourWrites
from splitbrain.checkers.writes_follow_reads import WritesFollowReads
from splitbrain.core.evidence import from_history
from splitbrain.core.history import History
from splitbrain.core.verdict import Status

GUARANTEES = {
    "read-your-writes": (ReadYourWrites(), definitions.read_your_writes),
    "monotonic-reads": (MonotonicReads(), definitions.monotonic_reads),
    "monotonic-writes": (MonotonicWrites(), definitions.monotonic_writes),
    "writes-follow-reads": (WritesFollowReads(), definitions.writes_follow_reads),
}

SPECIMENS = [
    ("read-your-writes", "w x 1, r x -"),
    ("read-your-writes", "w x 1 \n , r x 1, w x 2, r x 1"),
    ("read-your-writes", "w x 1@9, r x 2 \n w x 2@5"),
    ("monotonic-reads", "w x 1 \n r x 1, r x -"),
    ("monotonic-reads", "w x 1@1 \n w x 2@2 \n r x 2, r x 1"),
    ("monotonic-writes", "w x 1, w y 2 \n , , r y 2, r x -"),
    ("monotonic-writes", "w x 1@1, w y 2@3 \n w x 3@2 \n , w x 4@9, , r y 2, r x 3"),
    ("writes-follow-reads", "w x 1 \n r x 1, w y 2 \n , , , r y 2, r x -"),
]


@pytest.mark.parametrize(("name", "text"), SPECIMENS)
def test_each_specimen_breaks_its_guarantee_and_no_other(name, text):
    if "w x 4@9" in text:
        text = text.replace("w x 1@1", "w x 1@5").replace(" w x 4@9,", " ,")
    for other, (checker, _) in GUARANTEES.items():
        verdict = checker.check(from_history(sessions(text)))
        if other == name:
            (anomaly,) = verdict.anomalies
            assert anomaly.name == f"{name}-violation"
            proof = checker.check(from_history(History.of(anomaly.operations)))
            assert proof.status is Status.INVALID
        else:
            assert verdict.valid, (other, verdict)


def explanation(name, text):
    return GUARANTEES[name][0].check(from_history(sessions(text))).anomalies[0].explanation


def test_a_violation_is_told_with_how_it_is_known_what_is_newer():
    assert explanation("read-your-writes", "w x 1, r x -") == (
        'process 1\'s read of key "x" returned null, the initial value, although the same session '
        'had done process 0\'s write of 1 to key "x" before'
    )
    assert explanation("monotonic-reads", "w x 1@1 \n w x 2@2 \n r x 2, r x 1") == (
        'process 201\'s read of key "x" returned 1, which is older than 2 (version 1, and the '
        'other 2), although in the same session process 200\'s read of key "x" returned 2 before'
    )


def test_concurrent_writes_without_versions_are_not_compared():
    text = "w x 1 \n w x 2 \n r x 2, r x 1"
    verdict = MonotonicReads().check(from_history(sessions(text)))
    assert verdict.valid
    assert verdict.stats["keys_by_version"] == 0


def test_versions_that_lie_are_not_used_and_that_is_said():
    verdict = MonotonicReads().check(from_history(sessions("w x 1@1 \n w x 2@2 \n r x 2@1, r x 1")))
    assert verdict.valid
    (reason,) = verdict.reasons
    assert reason.startswith("the versions of 1 keys are not used: a read returned another write")


def test_operations_in_a_circle_leave_it_unknown():
    verdict = MonotonicReads().check(from_history(sessions("r x 1, w y 2 \n r y 2, w x 1")))
    assert verdict.status is Status.UNKNOWN
    assert "come before themselves" in verdict.reasons[0]


def agree(seed, name, size=20):
    rng = random.Random(seed)
    rows = drawn(
        rng,
        size=rng.randint(2, size),
        sessions=rng.randint(1, 3),
        keys=rng.randint(1, 2),
        cas=rng.random() < 0.3,
    )
    rows = versioned(rng, rows)
    world = definitions.World(rows)
    checker, definition = GUARANTEES[name]
    verdict = checker.check(from_history(History.of(rows)))
    if world.thin:
        expected = Status.INVALID
    elif not world.source or world.cyclic:
        expected = Status.UNKNOWN
    else:
        expected = Status.VALID if definition(world) else Status.INVALID
    assert verdict.status is expected, (rows, verdict)
    for anomaly in verdict.anomalies:
        if not any(o.version is not None for o in rows):
            proof = definitions.World(anomaly.operations)
            assert proof.thin or not definition(proof), anomaly
    return {verdict.status, *(anomaly.name for anomaly in verdict.anomalies)}


@pytest.mark.parametrize("name", GUARANTEES)
def test_it_agrees_with_the_definition(name):
    seen = set()
    for seed in range(250):  # always the same, so that what must have been met is met
        seen.update(agree(seed, name))
    assert {*Status, f"{name}-violation"} <= seen

    @settings(max_examples=120)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        agree(seed, name)

    agrees()


@pytest.mark.slow
@pytest.mark.parametrize("name", GUARANTEES)
def test_it_agrees_with_the_definition_on_very_many_histories(name):
    seen = set()

    @settings(max_examples=10_000)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        seen.update(agree(seed, name))

    agrees()
    assert f"{name}-violation" in seen
