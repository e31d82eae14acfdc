"""The checker `causal`: specimens, the definitions tried out, what it refuses to judge."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from causal_definitions import consistent
from hypothesis import given, settings
from hypothesis import strategies as st
from session_histories import drawn, sessions

from splitbrain.checkers.causal import Causal
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, Need, from_history
from splitbrain.core.history import History
from splitbrain.core.operation import Outcome
from splitbrain.core.value import canonical
from splitbrain.core.verdict import Status

MODELS = ("cc", "ccv", "cm")

SPECIMENS = {
    # name: (models that must reject it, the history); the other models accept it
    "thin-air-read": (MODELS, "r x 7 \n w x 1"),
    "failed-write-observed": (MODELS, "w x 1~ \n r x 1"),
    "cyclic-co": (MODELS, "r x 1, w y 2 \n r y 2, w x 1"),
    "write-co-init-read": (MODELS, "w x 1, w y 2 \n r y 2, r x -"),
    "write-co-read": (MODELS, "w x 1, w x 2, w y 3 \n r y 3, r x 1"),
    "cyclic-cf": (("ccv",), "w x 1, r x 2 \n w x 2, r x 1"),
    "write-hb-init-read": (("cm",), "w z 1, w x 1, w y 1 \n w x 2, r z -, r y 1, r x 2"),
    "cyclic-hb": (("cm",), "w x 1 \n w x 2 \n , , r x 1, r x 2, r x 1"),
}


def check(history, model="ccv", **facts):
    return Causal(model=model).check(from_history(history, **facts))


@pytest.mark.parametrize("name", SPECIMENS)
def test_each_specimen_is_rejected_under_its_name(name):
    rejecting, text = SPECIMENS[name]
    for model in rejecting:
        verdict = check(sessions(text), model)
        assert [anomaly.name for anomaly in verdict.anomalies] == [name]
        assert verdict.stats["found"] == {name: 1}
        (anomaly,) = verdict.anomalies
        assert 1 <= len(anomaly.operations) <= 7
        assert check(History.of(anomaly.operations), model).status is Status.INVALID or (
            name == "failed-write-observed"
        )


@pytest.mark.parametrize("name", ["cyclic-cf", "write-hb-init-read"])
def test_other_models_accept_what_one_rejects(name):
    rejecting, text = SPECIMENS[name]
    for model in set(MODELS) - set(rejecting):
        assert check(sessions(text), model).valid


def test_plain_causal_consistency_lets_a_session_see_concurrent_writes_in_turn():
    assert check(sessions(SPECIMENS["cyclic-hb"][1]), "cc").valid


def explanation(name):
    rejecting, text = SPECIMENS[name]
    return check(sessions(text), rejecting[0]).anomalies[0].explanation


def test_how_a_read_came_after_what_it_missed_is_told_step_by_step():
    assert explanation("write-co-init-read") == (
        'process 101\'s read of key "x" returned null, the initial value, although it comes after '
        'process 0\'s write of 1 to key "x": process 0\'s write of 1 to key "x" was followed in '
        "its session by process 1's write of 2 to key \"y\", which was seen by process 100's read "
        'of key "y", which was followed in its session by process 101\'s read of key "x"'
    )


def test_why_no_order_of_writes_agrees_is_told():
    told = explanation("cyclic-cf")
    assert "process 0's write of 1 to key \"x\" must stand before process 100's write" in told
    assert 'since process 1\'s read of key "x" returned 2 and yet knew of the former' in told


def test_an_operation_of_unknown_outcome_may_come_after_what_its_session_did_next():
    for text in ("w x 1!, w y 2 \n r y 2, r x -, r x 1", "w x 1!, w y 2 \n r y 2, r x -"):
        assert check(sessions(text)).valid
        known = check(sessions(text.replace("!", "")))
        assert [anomaly.name for anomaly in known.anomalies] == ["write-co-init-read"]


def test_what_saw_an_operation_of_unknown_outcome_comes_after_it():
    verdict = check(sessions("w z 3, w x 1!, w y 2 \n r x 1, r z -"))
    assert [anomaly.name for anomaly in verdict.anomalies] == ["write-co-init-read"]
    verdict = check(sessions("w x 1!, r x 1, w y 2 \n , , , r y 2, r x -"))
    assert [anomaly.name for anomaly in verdict.anomalies] == ["write-co-init-read"]


def test_a_compare_and_set_reads_and_writes():
    verdict = check(sessions("w x 1, c x 1 2, w y 3 \n r y 3, r x 1"))
    assert [anomaly.name for anomaly in verdict.anomalies] == ["write-co-read"]
    assert check(sessions("w x 1, c x 1 2, w y 3 \n r y 3, r x 2")).valid


def test_a_refused_compare_and_set_is_not_used_and_counted():
    history = sessions("w x 1, c x 5 6 \n r x 1")
    refused = History.of(replace(o, applied=False) if o.f == "cas" else o for o in history)
    verdict = check(refused)
    assert verdict.valid
    assert verdict.stats["not_used"] == {"refused compare-and-sets": 1}
    told = History.of(replace(o, applied=False, result=7) if o.f == "cas" else o for o in history)
    assert [anomaly.name for anomaly in check(told).anomalies] == ["thin-air-read"]


def test_a_value_that_was_written_twice_is_unknown_where_it_was_read():
    verdict = check(sessions("w x 1 \n w x 1 \n r x 1, r y -"))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == (
        '1 read of key "x" cannot be used: the value 1, for one, may be from several writes',
    )
    assert check(sessions("w x 1 \n w x 1 \n r y -")).valid
    both = check(sessions("w x 1, w z 2 \n w x 1, w y 3 \n r x 1, r y 3, r y -"))
    assert both.status is Status.INVALID
    assert check(sessions("w x 1 \n r x 1"), initial=1).status is Status.UNKNOWN


def test_sessions_whose_operations_overlap_are_taken_apart_and_that_is_said():
    write, read = sessions("w x 1, r x -")
    assert check(History.of([write, read])).status is Status.INVALID
    verdict = check(History.of([replace(write, complete_index=read.invoke_index + 5), read]))
    assert verdict.valid
    assert verdict.reasons == (
        "operations of one session overlap: there each process counts as a session",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("w x 1, w x 2", "no read and no compare-and-set was seen that could be wrong"),
        ("w x 1!", "no operations succeeded, 1 or more must have"),
    ],
)
def test_nothing_to_check_is_unknown(text, reason):
    verdict = check(sessions(text), minimum_ok=0)
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == (reason,)


def test_what_is_no_register_is_unknown_and_named():
    (first,) = sessions("w x 1")
    verdict = check(History.of([replace(first, f="append")]))
    assert verdict.status is Status.UNKNOWN
    assert "not append" in verdict.reasons[0]
    first, second = sessions("w x 1, w x 2")
    for argument in (5, [1, 2, 3]):  # integers alone take a route of their own
        verdict = check(History.of([first, replace(second, f="cas", argument=argument)]))
        told = f"the argument of a cas is [old, new], not {canonical(argument)}"
        assert verdict.reasons == (f"operation {second.invoke_index}: {told}",)


def test_values_compare_by_type_and_content():
    (write, read) = sessions("w x 1 \n r x 1")
    for value in (True, 1.0, "1", 2**70, [1]):
        fine = History.of([replace(write, argument=value), replace(read, result=value)])
        assert check(fine).valid, value
        assert check(History.of([write, replace(read, result=value)])).status is Status.INVALID


def test_its_contract():
    assert Causal.needs == {Need.HISTORY}
    assert Causal().parameters() == {"model": "ccv"}
    assert Causal().check(Evidence()).status is Status.UNKNOWN
    with pytest.raises(UsageError, match="knows the models cc, ccv, cm, not 'strong'"):
        Causal(model="strong")


def agree(seed, model, size):
    rng = random.Random(seed)
    rows = drawn(
        rng,
        size=rng.randint(2, size),
        sessions=rng.randint(1, 3),
        keys=rng.randint(1, 3),
        cas=rng.random() < 0.3,
    )
    verdict = check(History.of(rows), model)
    if verdict.status is Status.UNKNOWN:
        assert not any(o.f != "write" and o.outcome is Outcome.OK and o.applied for o in rows)
        return verdict
    assert verdict.valid is consistent(rows, model), rows
    for anomaly in verdict.anomalies:
        assert not consistent(anomaly.operations, model), anomaly
    return verdict


@pytest.mark.parametrize("model", MODELS)
def test_it_agrees_with_the_definition(model):
    statuses = set()

    @settings(max_examples=100)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        statuses.add(agree(seed, model, 6).status)

    agrees()
    assert statuses == set(Status)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_it_agrees_with_the_definition_on_very_many_histories(model):
    names = set()

    @settings(max_examples=10_000)
    @given(st.integers(0, 2**40))
    def agrees(seed):
        names.update(anomaly.name for anomaly in agree(seed, model, 8).anomalies)

    agrees()
    assert {"cyclic-co", "write-co-init-read", "write-co-read", "thin-air-read"} <= names


def test_long_histories_with_many_unknown_outcomes_stay_within_memory():
    rows = []
    for number in range(400):
        at = 100 * number
        unknown = sessions(f"w x {number + 1}!, w y {number + 1} \n , r x {number + 1}")
        rows += [
            replace(
                o,
                process=1000 * number + o.process,
                invoke_index=at + o.invoke_index,
                complete_index=at + o.complete_index,
            )
            for o in unknown
        ]
    assert check(History.of(rows)).valid
