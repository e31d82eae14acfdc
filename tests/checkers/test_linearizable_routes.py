"""Every route of `linearizable` against a brute force from the definition, and what it proves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbrain.checkers.linearizability.phrases import Phrases
from splitbrain.checkers.linearizability.register_route import Judgement, judge
from splitbrain.checkers.linearizability.versions import confirmed_by_versions
from splitbrain.checkers.linearizability.witness import Witness
from splitbrain.checkers.linearizable import Linearizable
from splitbrain.checkers.models import model_named
from splitbrain.core.evidence import from_history
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Status

KEYS = 6
INITIAL = (None, 0, 1, "")

NAMES = {
    "stale-read",
    "lost-update",
    "phantom-value",
    "failed-write-observed",
    "future-read",
    "double-cas",
    "broken-cas-chain",
}


@st.composite
def register_histories(draw: st.DrawFn, key: int, initial: Any) -> list[Operation]:
    """A few operations on one register, by a real object that acts at a moment of each, mostly.

    Most values are written once; some histories write few values again and again. Lies and
    operations that fail although they were seen make many histories illegal.
    """
    count = draw(st.integers(1, 6))
    places = draw(st.permutations(range(2 * count)))
    spans = sorted((sorted(places[2 * i : 2 * i + 2]) for i in range(count)), key=sum)
    repeats = draw(st.integers(0, 5)) == 0
    names = draw(st.sampled_from([("read", "write"), ("read", "write", "cas", "cas")]))
    now, version, known, rows = initial, 0, [initial], []
    for number, (begin, end) in enumerate(spans):
        f = draw(st.sampled_from(names))
        outcome = draw(st.sampled_from([Outcome.OK] * 5 + [Outcome.INFO, Outcome.FAIL]))
        lies = draw(st.integers(0, 3)) == 0
        fresh = draw(st.sampled_from((1, 2))) if repeats else number + 10
        argument, result, applied = None, None, True
        acts = outcome is Outcome.OK or (outcome is Outcome.INFO and not lies)
        if f == "read":
            to_come = number + 11  # what the next write may write
            result = draw(st.sampled_from([*known, to_come, 99])) if lies else now
        elif f == "cas":
            expected = draw(st.sampled_from([now, now, now, *known]))
            same = draw(st.integers(0, 9)) == 0
            argument = [expected, expected if same else fresh]
            applied = (expected == now) != (lies and draw(st.booleans()))
            acts = acts and applied
        else:
            argument = fresh
        if acts and f != "read":
            now, version = (argument[1] if f == "cas" else argument), version + 1
        if f != "read":
            known.append(argument[1] if f == "cas" else argument)
        is_ok = outcome is Outcome.OK
        rows.append(
            Operation(
                process=key * 100 + number,
                session=key * 100 + number,
                key=key,
                f=f,
                outcome=outcome,
                invoke_index=key * 1000 + begin,
                complete_index=key * 1000 + end if outcome is not Outcome.INFO or lies else None,
                argument=argument,
                result=result if is_ok else None,
                applied=applied if is_ok else True,
                version=version if is_ok else None,
            )
        )
    return rows


def batches(initial: Any) -> st.SearchStrategy[list[list[Operation]]]:
    return st.tuples(*(register_histories(key, initial) for key in range(KEYS))).map(list)


@st.composite
def judged_batches(draw: st.DrawFn) -> tuple[Any, list[list[Operation]]]:
    initial = draw(st.sampled_from(INITIAL))
    return initial, draw(batches(initial))


def agree(explained: Any, initial: Any, batch: list[list[Operation]], seen: Counter[Any]) -> None:
    """All keys at once, and each is what trying every order says; what is broken is proved."""
    history = History.of(operation for rows in batch for operation in rows)
    model = model_named("cas-register", history)
    judged = judge(history, model, initial)
    confirmed = set(confirmed_by_versions(history, judged, model, initial).tolist())
    for rows in batch:
        place = int(np.searchsorted(history.invoke_index, rows[0].invoke_index))
        key = int(judged.parts.key[place])
        found = Judgement(judged.judgement[key])
        expected = explained(rows, initial)
        seen[found, key in confirmed, expected] += 1
        if found in (Judgement.HOLDS, Judgement.BROKEN):
            assert (found is Judgement.HOLDS) is expected, rows
        elif key in confirmed:
            assert expected, rows
        if found is Judgement.BROKEN:
            anomaly = Witness(history, judged, initial, Phrases()).anomaly(key)
            assert anomaly.name in NAMES
            assert 1 <= len(anomaly.operations) <= 6
            assert not explained(anomaly.operations, initial), (anomaly, rows)
            seen[anomaly.name] += 1


def test_the_columns_agree_with_every_order_tried(explained):
    seen: Counter[Any] = Counter()

    @settings(max_examples=80)
    @given(judged_batches())
    def run(drawn):
        agree(explained, *drawn, seen)

    run()
    for expected in (True, False):
        assert seen[Judgement.HOLDS if expected else Judgement.BROKEN, False, expected]
    assert sum(count for what, count in seen.items() if what[0] is Judgement.OTHERS)


@pytest.mark.slow
def test_the_columns_agree_with_every_order_of_tens_of_thousands_of_histories(explained):
    seen: Counter[Any] = Counter()

    @settings(max_examples=3500)
    @given(judged_batches())
    def run(drawn):
        agree(explained, *drawn, seen)

    run()
    assert sum(count for what, count in seen.items() if isinstance(what, tuple)) >= 20_000
    assert seen[Judgement.REFUSALS, True, True]
    assert seen[Judgement.OTHERS, True, True]
    assert {what for what in seen if isinstance(what, str)} == NAMES


@settings(max_examples=25)
@given(judged_batches())
def test_all_routes_together_agree_with_every_order_tried(explained, drawn):
    initial, batch = drawn
    history = History.of(operation for rows in batch for operation in rows)
    verdict = Linearizable().check(from_history(history, initial=initial, minimum_ok=0))
    expected = all(explained(rows, initial) for rows in batch)
    assert verdict.status is (Status.VALID if expected else Status.INVALID)
    broken = sum(not explained(rows, initial) for rows in batch)
    assert verdict.stats["keys_illegal"] == len(verdict.anomalies) == broken
    routes = verdict.stats["routes"]
    assert sum(route["keys"] for route in routes.values()) == KEYS
    assert sum(route["operations"] for route in routes.values()) == len(history)
