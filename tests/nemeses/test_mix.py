from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbrain import catalog
from splitbrain.core.errors import ContractError
from splitbrain.core.fault import After, At, Condition, Fault, Schedule, Shape, When
from splitbrain.core.randomness import Keyed
from splitbrain.nemeses.mix import TOGETHER, draw_mix, stretches

NODES = ("n1", "n2", "n3", "n4", "n5")
KINDS = catalog.PACKAGES["all"]
NEMESES = [catalog.nemesis(kind) for kind in KINDS]

shapes = st.builds(
    lambda limit, interval: Shape(nodes=NODES, time_limit_s=limit, interval_s=interval),
    st.floats(5.0, 900.0),
    st.floats(1.0, 60.0),
)
seeds = st.integers(0, 2**64)


@settings(deadline=None)
@given(shapes, seeds, st.integers(1, len(KINDS)))
def test_stretches_follow_each_other_and_give_every_kind_its_turn_in_time(shape, seed, count):
    found = stretches(KINDS[:count], Keyed.of(seed), shape)
    end_s = 0.0
    for stretch in found:
        assert stretch.start_s >= end_s - 1e-6
        end_s = stretch.start_s + stretch.length_s
        assert len(stretch.kinds) <= TOGETHER
    assert end_s <= shape.time_limit_s + 1e-6
    early = [s for s in found if s.start_s < shape.time_limit_s * 2 / 3]
    assert {kind for stretch in early for kind in stretch.kinds} == set(KINDS[:count])
    assert any(not stretch.kinds for stretch in found)


@settings(deadline=None, max_examples=30)
@given(shapes, seeds)
def test_every_kind_is_drawn_few_at_a_time_and_all_end_in_time(shape, seed):
    schedule = draw_mix(NEMESES, seed, shape)
    assert draw_mix(NEMESES[::-1], seed, shape) == schedule
    assert set(schedule.kinds) == set(KINDS)
    assert Schedule.from_value(schedule.to_value()) == schedule
    for fault in schedule:
        assert fault.start.s + fault.duration_s <= shape.time_limit_s + 0.01
    for moment in [fault.start.s for fault in schedule]:
        at_work = {f.kind for f in schedule if f.start.s <= moment < f.start.s + f.duration_s}
        assert len(at_work) <= TOGETHER


def test_the_mix_changes_and_there_is_quiet():
    shape = Shape(nodes=NODES, time_limit_s=300.0)
    found = stretches(KINDS, Keyed.of(1), shape)
    assert len({stretch.kinds for stretch in found}) > 4
    quiet = [stretch for stretch in found if not stretch.kinds]
    schedule = draw_mix(NEMESES, 1, shape)
    for stretch in quiet:
        until_s = stretch.start_s + stretch.length_s
        assert not [f for f in schedule if stretch.start_s <= f.start.s < until_s]


class Waiting:
    kind = "waiting"

    def draw(self, rng, shape):
        condition = Condition("trace", {"event": "lead"})
        return [
            Fault(id="a", kind="waiting", start=At(0.5), duration_s=1.0),
            Fault(id="b", kind="waiting", start=After("a", 0.1), duration_s=1.0),
            Fault(id="c", kind="waiting", start=When(condition, 1.0, after="b"), duration_s=1.0),
        ]


def test_faults_that_wait_for_others_wait_for_those_of_their_stretch():
    schedule = draw_mix([Waiting()], 1, Shape(nodes=NODES, time_limit_s=60.0))
    by_id = {fault.id: fault for fault in schedule}
    assert by_id["waiting-2"].start == After("waiting-1", 0.1)
    assert by_id["waiting-3"].start.after == "waiting-2"
    assert by_id["waiting-5"].start == After("waiting-4", 0.1)
    assert by_id["waiting-4"].start.s > by_id["waiting-1"].start.s


def test_a_nemesis_that_draws_badly_is_named():
    class Odd(Waiting):
        kind = "odd"

    with pytest.raises(ContractError, match="drew a fault of the kind 'waiting'"):
        draw_mix([Odd()], 1, Shape(nodes=NODES, time_limit_s=60.0))
