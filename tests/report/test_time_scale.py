"""Every event in a column of its own where there is room, and long gaps cut short."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from splitbrain.report.time_scale import scale

times = st.lists(st.integers(0, 10**13), min_size=1, max_size=60)


@given(times, st.integers(1, 200))
def test_columns_never_leave_the_line_nor_turn_back(times_ns, span):
    made = scale(times_ns, span)
    assert made.columns[0] == 0
    assert all(earlier <= later for earlier, later in pairwise(made.columns))
    assert made.columns[-1] <= max(0, span - 1)
    if len(times_ns) > 1:
        assert made.columns[-1] == span - 1


@given(st.lists(st.integers(0, 10**13), min_size=2, max_size=20))
def test_events_have_columns_of_their_own_where_there_is_room(times_ns):
    columns = scale(times_ns, 60).columns
    assert len(set(columns)) == len(columns)


@given(times, st.integers(1, 200), st.integers(-(10**13), 10**14))
def test_any_moment_has_a_column_that_follows_time(times_ns, span, moment):
    made = scale(times_ns, span)
    assert made.columns[0] <= made.column_at(moment) <= made.columns[-1]
    assert made.column_at(moment) <= made.column_at(moment + 1000)


def test_even_times_are_to_scale():
    assert scale([0, 10, 20, 30], 31).columns == (0, 10, 20, 30)


def test_a_gap_of_a_thousand_times_the_rest_is_cut_and_marked():
    made = scale([0, 1, 1001, 1002], 61)
    assert made.broken == (False, True, False)
    widths = [later - earlier for earlier, later in pairwise(made.columns)]
    assert min(widths) > 5
    assert made.break_columns() == ((made.columns[1] + made.columns[2]) // 2,)


def test_two_long_gaps_of_about_one_length_are_both_cut():
    assert scale([0, 1, 3001, 3002, 5502, 5503], 61).broken == (False, True, False, True, False)


def test_tiny_gaps_do_not_make_the_usual_ones_look_long():
    assert scale([0, 1, 3001, 5001, 9001], 61).broken == (False, False, False, False)


def test_histories_without_times_are_spread_evenly():
    assert scale([0, 0, 0, 0, 0], 41).columns == (0, 10, 20, 30, 40)
