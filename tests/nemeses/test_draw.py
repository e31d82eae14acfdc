from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbrain.core.errors import ContractError, UsageError
from splitbrain.core.fault import At, Fault, Schedule, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.nemeses.clock import Clock
from splitbrain.nemeses.draw import draw_schedule
from splitbrain.nemeses.partition import Partition
from splitbrain.nemeses.process import Kill, Pause

NEMESES = (Partition(), Kill(), Pause(), Clock())

shapes = st.builds(
    lambda count, limit, interval, leads: Shape(
        nodes=tuple(f"n{n}" for n in range(1, count + 1)),
        time_limit_s=limit,
        interval_s=interval,
        powers=frozenset({"primaries"} if leads else ()),
    ),
    st.integers(3, 9),
    st.floats(1.0, 600.0),
    st.floats(1.0, 60.0),
    st.booleans(),
)
seeds = st.integers(0, 2**64)


@settings(deadline=None)
@given(shapes, seeds)
def test_every_kind_starts_in_two_thirds_and_all_end_in_time(shape, seed):
    schedule = draw_schedule(NEMESES, seed, shape)
    assert set(schedule.kinds) == {"partition", "kill", "pause", "clock"}
    for kind in schedule.kinds:
        own = [fault for fault in schedule if fault.kind == kind]
        assert own[0].start.s <= shape.time_limit_s * 2 / 3
        for fault, following in itertools.pairwise(own):
            gap = following.start.s - fault.start.s - fault.duration_s
            assert gap >= 0.49 * min(shape.interval_s, 0.6 * shape.time_limit_s) - 0.01
    for fault in schedule:
        assert fault.start.s > 0
        assert fault.duration_s > 0
        assert fault.start.s + fault.duration_s <= shape.time_limit_s


@settings(deadline=None)
@given(shapes, seeds)
def test_every_drawn_fault_resolves_when_somebody_leads(shape, seed):
    table = {nemesis.kind: nemesis for nemesis in NEMESES}
    for fault in draw_schedule(NEMESES, seed, shape):
        leaders = shape.nodes[:1] if shape.powers else ()
        view = View(nodes=shape.nodes, primaries=leaders, rng=Keyed.of(seed, "resolve", fault.id))
        resolved = table[fault.kind].resolve(fault, view)
        assert resolved.nodes
        assert set(resolved.nodes) <= set(shape.nodes)


@settings(deadline=None)
@given(shapes, seeds, st.data())
def test_sublists_are_schedules_and_survive_json(shape, seed, data):
    schedule = draw_schedule(NEMESES, seed, shape)
    kept = data.draw(st.lists(st.sampled_from(schedule.faults), unique_by=lambda f: f.id))
    part = Schedule(tuple(kept))
    assert Schedule.from_value(json.loads(json.dumps(part.to_value()))) == part


@settings(deadline=None)
@given(shapes, seeds, st.sets(st.sampled_from(["partition", "kill", "pause", "clock"])))
def test_a_kind_more_or_less_leaves_the_others_as_they_were(shape, seed, kinds):
    everything = draw_schedule(NEMESES, seed, shape)
    some = draw_schedule([n for n in NEMESES if n.kind in kinds], seed, shape)
    assert list(some) == [fault for fault in everything if fault.kind in kinds]


def test_the_order_of_the_nemeses_does_not_matter_and_the_seed_does():
    shape = Shape(nodes=("n1", "n2", "n3"), time_limit_s=60.0)
    assert draw_schedule(NEMESES, 1, shape) == draw_schedule(NEMESES[::-1], 1, shape)
    assert draw_schedule(NEMESES, 1, shape) != draw_schedule(NEMESES, 2, shape)


class Drawing:
    kind = "odd"

    def __init__(self, *faults):
        self.faults = faults

    def draw(self, rng, shape):
        return self.faults


def odd(number, start_s, kind="odd"):
    return Fault(id=f"odd-{number}", kind=kind, start=At(start_s), duration_s=1.0)


@pytest.mark.parametrize(
    ("faults", "complaint"),
    [
        ((), "first two thirds of 30 s for n1, .*; take more nodes, or a longer time limit"),
        ((odd(1, 25.0),), "no fault that starts in the first two thirds"),
        ((odd(1, 1.0, "even"),), "of the kind 'even'"),
        ((odd(1, 1.0), odd(1, 9.0)), "second fault with the id 'odd-1'"),
    ],
)
def test_a_nemesis_that_draws_badly_is_named(faults, complaint):
    shape = Shape(nodes=("n1", "n2", "n3"), time_limit_s=30.0)
    with pytest.raises(ContractError, match=complaint):
        draw_schedule([Drawing(*faults)], 1, shape)


def test_two_nemeses_of_one_kind_are_refused():
    shape = Shape(nodes=("n1", "n2", "n3"), time_limit_s=30.0)
    with pytest.raises(UsageError, match="two nemeses"):
        draw_schedule([Kill(), Kill()], 1, shape)
