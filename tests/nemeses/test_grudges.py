from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbrain.core.errors import HarnessError
from splitbrain.nemeses import grudges


def names(count):
    return [f"n{number}" for number in range(1, count + 1)]


def visible(grudge, nodes):
    """Whom each node exchanges packets with, both ways, itself included."""
    return {
        node: frozenset(
            other
            for other in nodes
            if other not in grudge.get(node, ()) and node not in grudge.get(other, ())
        )
        for node in nodes
    }


def symmetric(grudge):
    return all(victim in grudge.get(peer, ()) for victim, peers in grudge.items() for peer in peers)


def no_self(grudge):
    return all(victim not in peers for victim, peers in grudge.items())


@settings(deadline=None)
@given(st.integers(2, 40))
def test_halves_cut_both_ways_into_two_groups(count):
    nodes = names(count)
    grudge = grudges.halves(nodes)
    assert symmetric(grudge)
    assert no_self(grudge)
    views = set(visible(grudge, nodes).values())
    assert sorted(map(len, views)) == sorted([count // 2, count - count // 2])
    assert frozenset().union(*views) == set(nodes)


@settings(deadline=None)
@given(st.integers(2, 40), st.data())
def test_isolate_cuts_the_group_and_nothing_within(count, data):
    nodes = names(count)
    group = data.draw(st.sets(st.sampled_from(nodes), min_size=1, max_size=count - 1))
    grudge = grudges.isolate(nodes, group)
    assert symmetric(grudge)
    assert no_self(grudge)
    for node, seen in visible(grudge, nodes).items():
        assert seen == (group if node in group else set(nodes) - group)


@pytest.mark.parametrize("count", range(3, 41))
def test_every_node_of_a_majorities_ring_sees_a_majority_of_its_own(count):
    nodes = names(count)
    grudge = grudges.majorities_ring(nodes)
    assert symmetric(grudge)
    assert no_self(grudge)
    views = visible(grudge, nodes)
    smallest = grudges.majority_size(count)
    sizes = sorted(map(len, views.values()))
    assert sizes[:-1] == [smallest] * (count - 1)
    # one link more for a single node, and only where half a link would be needed otherwise
    assert sizes[-1] == smallest + (count % 2 and (count // 2) % 2)
    assert len(set(views.values())) == count
    assert all(node in seen for node, seen in views.items())


@pytest.mark.parametrize("count", range(3, 20))
def test_a_bridge_joins_two_halves_that_do_not_see_each_other(count):
    nodes = names(count)
    grudge = grudges.bridge(nodes)
    assert symmetric(grudge)
    views = visible(grudge, nodes)
    whole = [node for node in nodes if views[node] == set(nodes)]
    assert len(whole) == 1
    sides = {views[node] - set(whole) for node in nodes if node not in whole}
    assert len(sides) == 2
    left, right = sides
    assert not left & right
    assert abs(len(left) - len(right)) <= 1


@settings(deadline=None)
@given(st.integers(2, 20), st.data())
def test_one_way_partitions_drop_one_direction_only(count, data):
    nodes = names(count)
    group = data.draw(st.sets(st.sampled_from(nodes), min_size=1, max_size=count - 1))
    outside = set(nodes) - group
    deaf, mute = grudges.deaf(nodes, group), grudges.mute(nodes, group)
    assert deaf == dict.fromkeys(group, outside)
    assert mute == dict.fromkeys(outside, group)
    assert no_self(deaf)
    assert no_self(mute)


@pytest.mark.parametrize("make", [grudges.bridge, grudges.majorities_ring])
def test_shapes_that_need_three_nodes_say_so(make):
    with pytest.raises(HarnessError, match="needs three nodes, and there are 2"):
        make(names(2))


def test_a_node_cannot_be_in_two_groups():
    with pytest.raises(HarnessError, match="two groups"):
        grudges.split(["n1", "n2"], ["n2", "n3"])


@settings(deadline=None)
@given(st.integers(3, 12))
def test_a_grudge_survives_json(count):
    nodes = names(count)
    grudge = grudges.majorities_ring(nodes)
    assert grudges.from_value(grudges.to_value(grudge), nodes) == grudge


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "a grudge is an object"),
        ({}, "a grudge is an object"),
        ({"n1": "n2"}, "not a list of nodes"),
        ({"n1": [2]}, "not a list of nodes"),
        ({"n1": ["n9"]}, "no node 'n9'"),
        ({"n9": ["n1"]}, "no node 'n9'"),
        ({"n1": ["n1"]}, "cut off from itself"),
    ],
)
def test_what_is_no_grudge_is_refused(value, complaint):
    with pytest.raises(HarnessError, match=complaint):
        grudges.from_value(value, names(3))
