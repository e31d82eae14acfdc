"""Verdicts have three values, the worst wins, and unknown is never green."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.core.verdict import (
    Anomaly,
    Status,
    Verdict,
    figures,
    invalid,
    unknown,
    valid,
    worst,
    worst_status,
)

ANOMALY = Anomaly(name="lost-update", explanation="an update was lost")
ONE_OF_EACH = {
    Status.VALID: valid(),
    Status.UNKNOWN: unknown("too few"),
    Status.INVALID: invalid([ANOMALY]),
}
ORDER = [Status.VALID, Status.UNKNOWN, Status.INVALID]


@given(st.lists(st.sampled_from(ORDER), min_size=1, max_size=6))
def test_the_worst_wins_in_any_order(statuses: list[Status]):
    wanted = ORDER[max(ORDER.index(status) for status in statuses)]
    assert worst(ONE_OF_EACH[status] for status in statuses) is wanted
    assert worst(ONE_OF_EACH[status] for status in reversed(statuses)) is wanted
    assert worst_status(statuses) is wanted


def test_nothing_checked_is_unknown():
    assert worst([]) is Status.UNKNOWN
    assert worst_status([]) is Status.UNKNOWN


def test_statistics_have_no_opinion():
    assert worst([figures(count=1)]) is Status.UNKNOWN
    for status, verdict in ONE_OF_EACH.items():
        assert worst([figures(count=1), verdict]) is status


@pytest.mark.parametrize("verdict", [*ONE_OF_EACH.values(), figures()])
def test_a_verdict_is_neither_true_nor_false(verdict: Verdict):
    with pytest.raises(TypeError, match="three values"):
        bool(verdict)
    with pytest.raises(TypeError):
        assert verdict
    with pytest.raises(TypeError):
        not verdict  # noqa: B018 - it must raise


def test_valid_is_true_for_valid_alone():
    assert [ONE_OF_EACH[status].valid for status in ORDER] == [True, False, False]


def test_a_verdict_that_contradicts_itself_cannot_be_made():
    for status, anomalies, reasons in itertools.product(ORDER, [(), (ANOMALY,)], [(), ("r",)]):
        good = (status is Status.INVALID) == bool(anomalies) and (
            status is not Status.UNKNOWN or bool(reasons)
        )
        if good:
            Verdict(status=status, anomalies=anomalies, reasons=reasons)
        else:
            with pytest.raises(ValueError, match="verdict"):
                Verdict(status=status, anomalies=anomalies, reasons=reasons)
