from __future__ import annotations

import pytest

from splitbrain.core.errors import HarnessError, NobodyToHitError, UsageError
from splitbrain.core.fault import View
from splitbrain.core.randomness import Keyed
from splitbrain.nemeses import targets

NODES = ("n1", "n2", "n3", "n4", "n5")


def view(*primaries, nodes=NODES, seed=1):
    return View(nodes=nodes, primaries=primaries, rng=Keyed.of(seed))


@pytest.mark.parametrize(
    ("target", "size"), [("one", 1), ("minority", 2), ("majority", 3), ("all", 5)]
)
def test_sizes(target, size):
    found = targets.resolve(target, view())
    assert len(found) == size
    assert list(found) == sorted(found)


def test_chance_reaches_every_node_and_repeats_itself():
    hit = [targets.resolve("one", view(seed=seed)) for seed in range(100)]
    assert {node for found in hit for node in found} == set(NODES)
    assert hit == [targets.resolve("one", view(seed=seed)) for seed in range(100)]


def test_those_who_lead():
    assert targets.resolve("leader", view("n4", "n2")) == ("n4",)
    assert targets.resolve("primaries", view("n4", "n2")) == ("n2", "n4")
    followers = {targets.resolve("one-follower", view("n4", "n2", seed=s)) for s in range(50)}
    assert followers == {("n1",), ("n3",), ("n5",)}


@pytest.mark.parametrize("target", targets.NEED_PRIMARIES)
def test_where_nobody_leads_such_targets_have_no_meaning(target):
    with pytest.raises(NobodyToHitError, match="nobody believes to lead"):
        targets.resolve(target, view())


def test_no_follower_and_no_minority():
    with pytest.raises(NobodyToHitError, match="no follower"):
        targets.resolve("one-follower", view(*NODES))
    with pytest.raises(HarnessError, match="no minority") as caught:
        targets.resolve("minority", view(nodes=("n1", "n2")))
    assert not isinstance(caught.value, NobodyToHitError), "waiting would not help"


def test_lists_are_taken_as_they_are():
    assert targets.resolve(["n5", "n1"], view()) == ("n1", "n5")


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("everyone", "no target; say one, minority"),
        (3, "no target"),
        ([], "empty list"),
        (["n1", "n7"], "no node 'n7'; there are n1"),
        ([1], "no node 1"),
    ],
)
def test_what_is_no_target_is_refused(target, complaint):
    with pytest.raises(UsageError, match=complaint):
        targets.resolve(target, view())
