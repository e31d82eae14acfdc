"""Members that are removed and added again, through a system that takes its time."""

from __future__ import annotations

import pytest

from splitbrain.core.cluster import Bed
from splitbrain.core.errors import (
    HarnessError,
    NotHealedYetError,
    NotInjectedYetError,
    UsageError,
)
from splitbrain.core.fault import At, Fault, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.nemeses import membership
from splitbrain.nemeses.membership import Membership

NODES = ("n1", "n2", "n3", "n4", "n5")


class Slow:
    """Takes up one change at a time, and is done with it when it is asked again."""

    def __init__(self, *members):
        self.known = set(members or NODES)
        self.waiting = None
        self.log = []

    def current(self):
        if self.waiting is not None:
            wish, node = self.waiting
            self.waiting = None
            (self.known.add if wish == "add" else self.known.discard)(node)
            return ()
        return tuple(sorted(self.known))

    def change(self, wish, node):
        if self.waiting is not None:
            return "change-in-progress"
        if (node in self.known) == (wish == "add"):
            return None  # there is nothing to do, as Raft answers
        self.waiting = (wish, node)
        self.log.append(f"{wish} {node}")
        return None


def bed(members, later=None):
    return Bed(nodes=NODES, host=None, daemons=None, members=members, later=later)


def resolved(nemesis, target, **params):
    fault = Fault(id=f"on-{target}", kind="membership", start=At(0), target=target, params=params)
    return nemesis.resolve(fault, View(nodes=NODES, primaries=("n1",), rng=Keyed.of(1)))


def injected(nemesis, where, fault):
    """Inject as the scheduler does: again while it does not take hold."""
    for _ in range(20):
        try:
            return nemesis.inject(where, fault)
        except NotInjectedYetError:
            continue
    pytest.fail("it never took hold")


def test_nodes_are_removed_one_after_the_other_and_come_back():
    nemesis, members = Membership(), Slow()
    injection = injected(nemesis, bed(members), resolved(nemesis, ["n4", "n5"]))
    assert members.known == {"n1", "n2", "n3"}
    assert injection.proof == {
        "wish": "remove",
        "before": list(NODES),
        "after": ["n1", "n2", "n3"],
    }
    nemesis.heal(bed(members), injection)
    nemesis.heal(bed(members), injection)
    assert members.known == set(NODES)
    assert members.log == ["remove n4", "remove n5", "add n4", "add n5"]


def test_a_majority_of_all_stays_and_overlapping_faults_do_not_undo_each_other():
    nemesis, members = Membership(), Slow()
    first = injected(nemesis, bed(members), resolved(nemesis, ["n4"]))
    second = injected(nemesis, bed(members), resolved(nemesis, ["n5"]))
    with pytest.raises(HarnessError, match="there would be no majority of all"):
        nemesis.inject(bed(members), resolved(nemesis, ["n3"]))
    nemesis.heal(bed(members), first)
    assert members.known == set(NODES) - {"n5"}
    nemesis.heal(bed(members), second)
    assert members.known == set(NODES)


def test_in_virtual_time_the_rest_follows_later():
    members, due = Slow(), []
    virtual = bed(members, later=lambda s, act: due.append(act))
    nemesis = Membership()
    injection = nemesis.inject(virtual, resolved(nemesis, ["n4", "n5"]))
    while due:
        due.pop(0)()
    assert members.known == {"n1", "n2", "n3"}
    nemesis.heal(virtual, injection)
    while due:
        due.pop(0)()
    assert members.known == set(NODES)


def test_healing_lets_others_have_their_turn_soon_where_asking_takes_long(monkeypatch):
    nemesis, members, now_s = Membership(), Slow(), [0.0]

    def change(wish, node):
        now_s[0] += 1.0  # as long as paused nodes are waited for
        return "not-leader"

    monkeypatch.setattr(membership.time, "monotonic", lambda: now_s[0])
    injection = injected(nemesis, bed(members), resolved(nemesis, ["n5"]))
    members.change = change
    with pytest.raises(NotHealedYetError, match="the members are not all back: not-leader"):
        nemesis.heal(bed(members), injection)
    assert now_s[0] < 3.0


@pytest.mark.parametrize("is_virtual", [False, True])
def test_while_nobody_leads_others_have_their_turn_and_it_is_asked_for_again(is_virtual):
    nemesis, members, due = Membership(), Slow(), []
    where = bed(members, later=(lambda s, act: due.append(act)) if is_virtual else None)
    asked, lead = members.change, {"n1": False}
    members.change = lambda wish, node: asked(wish, node) if lead["n1"] else "not-leader"
    current = members.current
    members.current = lambda: current() if lead["n1"] else ()
    fault = resolved(nemesis, ["n5"])
    for _ in range(3):
        with pytest.raises(NotInjectedYetError, match="did not take it up: not-leader"):
            nemesis.inject(where, fault)
    assert not due
    lead["n1"] = True
    proof = injected(nemesis, where, fault).proof
    assert proof["before"] == list(NODES)
    assert members.log == ["remove n5"]


def test_a_node_that_the_system_began_without_is_added():
    nemesis, members = Membership(), Slow("n1", "n2", "n3", "n4")
    injected(nemesis, bed(members), resolved(nemesis, ["n5"], wish="add"))
    assert members.known == set(NODES)


def test_what_cannot_be_is_refused():
    nemesis = Membership()
    assert nemesis.unavailable(bed(None)) == "this system cannot change its members"
    with pytest.raises(UsageError, match="'wish' must be one of remove, add, transfer"):
        resolved(nemesis, ["n5"], wish="marry")
    with pytest.raises(HarnessError, match="cannot change its members"):
        nemesis.inject(bed(None), resolved(nemesis, ["n5"]))


def test_drawn_faults_leave_a_majority():
    shape = Shape(nodes=NODES, time_limit_s=120.0, powers=frozenset({"primaries"}))
    drawn = Membership().draw(Keyed.of(3), shape)
    assert {fault.target for fault in drawn} == {"one", "minority", "leader"}
    assert not Membership().draw(Keyed.of(3), Shape(nodes=("n1", "n2"), time_limit_s=60.0))
