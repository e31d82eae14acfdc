"""The checker `sequential`: specimens, routes, budget, the definition tried out."""

from __future__ import annotations

import random

import numpy as np
import pytest
from causal_definitions import consistent
from hypothesis import given, settings
from hypothesis import strategies as st
from session_histories import drawn, sessions, versioned

from splitbrain.checkers.causal import Causal
from splitbrain.checkers.linearizable import Linearizable
from splitbrain.checkers.order.accesses import accesses
from splitbrain.checkers.order.overwritten import overwriters
from splitbrain.checkers.order.past import Past
from splitbrain.checkers.sequence.search import Search
from splitbrain.checkers.sequential import Sequential
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import from_history
from splitbrain.core.history import History
from splitbrain.core.verdict import Status

SPECIMENS = {
    "cyclic-coherence": "w x 1 \n w x 2 \n , , r x 1, r x 2 \n , , r x 2, r x 1",
    "double-cas": "w x 1 \n , c x 1 2 \n , c x 1 3",
    "no-sequential-order": "w x 1, r y - \n w y 1, r x -",
    "cyclic-cf": "w x 1, w y 1, r y 2 \n w y 2, w x 2, r x 1",
    "write-co-read": "w x 1, w x 2, w y 3 \n r y 3, r x 1",
    "write-co-init-read": "w x 1, w y 2 \n r y 2, r x -",
    "cyclic-co": "r x 1, w y 2 \n r y 2, w x 1",
    "thin-air-read": "r x 7 \n w x 1",
}


def check(history, **parameters):
    return Sequential(**parameters).check(from_history(history))


@pytest.mark.parametrize("name", SPECIMENS)
def test_each_specimen_is_rejected_under_its_name(name):
    verdict = check(sessions(SPECIMENS[name]))
    (anomaly,) = verdict.anomalies
    assert anomaly.name == name, anomaly
    assert not consistent(anomaly.operations, "sequential")


def test_causality_accepts_what_only_one_order_forbids():
    for name in ("double-cas", "no-sequential-order"):
        assert Causal().check(from_history(sessions(SPECIMENS[name]))).valid
    coherence = from_history(sessions(SPECIMENS["cyclic-coherence"]))
    for model in ("cc", "cm"):
        assert Causal(model=model).check(coherence).valid


def test_reads_may_be_stale_as_long_as_the_sessions_agree():
    history = sessions("w x 1, w x 2 \n , , r x 1, r x 2")
    verdict = check(history)
    assert verdict.valid
    assert verdict.stats["route"] == "a guess by real time"
    assert Linearizable().check(from_history(history)).status is Status.INVALID


def test_versions_make_the_order_known():
    verdict = check(sessions("w x 1@1, w x 2@3 \n w x 3@2, r x 3@2, r x 2@3"))
    assert verdict.valid
    assert verdict.stats["route"] == "a guess by versions"


def test_a_write_of_unknown_outcome_stands_before_the_first_version_at_which_it_was_seen():
    history = sessions("w x 1@1, w x 2@3 \n w x 3!, r x 3@2, r x 3@2, r x 2@4")
    verdict = check(history)
    assert verdict.valid
    assert verdict.stats["route"] == "a guess by versions"
    unseen = check(sessions("w x 1@1, w x 2@3 \n w x 3!, r x 1@2, r x 2@4"))
    assert unseen.stats["route"] == "a guess by versions"
    taken = check(sessions("w x 1@1, w x 2@4 \n w x 3!, c x 3 5@2, r x 5@3, r x 2@4"))
    assert taken.stats["route"] == "a guess by versions"


def test_the_few_operations_that_no_order_explains_are_shown():
    noise = "w z 1, r z 1, w z 2, r z 2, "
    text = f"{noise} w x 1, r y - \n , , , , w y 1, r x -"
    verdict = check(sessions(text))
    (anomaly,) = verdict.anomalies
    assert len(anomaly.operations) == 4
    assert "none explains these 4 operations together" in anomaly.explanation


def test_out_of_budget_is_unknown_with_what_was_checked():
    verdict = check(sessions(SPECIMENS["no-sequential-order"]), budget=0)
    assert verdict.status is Status.UNKNOWN
    assert "gave up after 0 steps; each key by itself is in order" in verdict.reasons[0]
    with pytest.raises(UsageError, match="budget of 0 steps or more"):
        Sequential(budget=-1)


def test_an_operation_of_unknown_outcome_may_take_effect_late_in_its_session():
    text = "w x 1!, w y 2, r x - \n , , , r y 2, r x -, r x 1"
    assert check(sessions(text)).valid
    assert check(sessions(text.replace("!", ""))).status is Status.INVALID


def agree(seed, size):
    rng = random.Random(seed)
    rows = drawn(
        rng,
        size=rng.randint(2, size),
        sessions=rng.randint(1, 3),
        keys=rng.randint(1, 3),
        cas=rng.random() < 0.4,
    )
    rows = versioned(rng, rows)
    verdict = check(History.of(rows))
    if verdict.status is Status.UNKNOWN:
        assert not verdict.stats.get("route", "none").startswith("search")
        return {Status.UNKNOWN}
    assert verdict.valid is consistent(rows, "sequential"), rows
    for anomaly in verdict.anomalies:
        assert not consistent(anomaly.operations, "sequential"), anomaly
        if anomaly.name in ("cyclic-coherence", "double-cas"):
            assert not consistent(anomaly.operations, "coherent"), anomaly
    return {verdict.status, *(anomaly.name for anomaly in verdict.anomalies)}


def test_it_agrees_with_every_order_tried():
    seen = set()
    for seed in range(100):  # always the same, so that what must have been met is met
        seen.update(agree(seed, 8))
    assert set(Status) <= seen

    @settings(max_examples=200)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        agree(seed, 8)

    agrees()


@pytest.mark.slow
def test_it_agrees_with_every_order_tried_on_very_many_histories():
    seen = set()

    @settings(max_examples=10_000)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        seen.update(agree(seed, 9))

    agrees()
    assert {"cyclic-coherence", "double-cas", "write-co-read"} <= seen


def search_alone(seed):
    """Leave nothing to guesses; None where the search is never asked."""
    rng = random.Random(seed)
    rows = drawn(rng, size=rng.randint(4, 8), sessions=3, keys=rng.randint(1, 3), cas=seed % 3 == 0)
    found = accesses(History.of(rows), None)
    if found.thin_air or not len(found):
        return None
    past = Past(found)
    seen = overwriters(found, past.clocks, np.flatnonzero(found.reads))
    if len(past.clocks.stuck) or len(seen.stale):
        return None
    decided = Search(past, seen, 1_000_000).run()
    assert decided is consistent(rows, "sequential"), rows
    return decided


def test_the_search_agrees_with_every_order_tried():
    assert {search_alone(seed) for seed in range(250)} == {True, False, None}
