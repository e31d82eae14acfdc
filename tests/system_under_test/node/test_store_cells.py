"""Cells against a deliberately dumb model: sets of writes, and who has heard of which.

The model keeps for every replica the set of all writes it ever heard of, directly or by exchange,
each with the set of writes that its writer had read. A version is current when no write that the
replica heard of had read it. No clocks, no dots.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import given, settings

from splitbrain.system_under_test.node.store.cell import (
    EMPTY,
    Cell,
    Version,
    in_order,
    joined_newest,
    joined_siblings,
    packed,
    unpacked,
)
from splitbrain.system_under_test.node.store.clocks import NOTHING, Seen, covered, merged

REPLICAS, SESSIONS = 3, 3

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, SESSIONS - 1), st.integers(0, REPLICAS - 1)),
        st.tuples(st.just("write"), st.integers(0, SESSIONS - 1), st.integers(0, REPLICAS - 1)),
        st.tuples(st.just("blind"), st.integers(0, SESSIONS - 1), st.integers(0, REPLICAS - 1)),
        st.tuples(st.just("sync"), st.integers(0, REPLICAS - 1), st.integers(0, REPLICAS - 1)),
    ),
    max_size=25,
)


@dataclass
class World:
    """Both sides: cells and contexts as the store has them, sets of writes as the model has."""

    cells: list[Cell] = field(default_factory=lambda: [EMPTY] * REPLICAS)
    contexts: list[Seen] = field(default_factory=lambda: [NOTHING] * SESSIONS)
    heard: list[set[int]] = field(default_factory=lambda: [set() for _ in range(REPLICAS)])
    read: list[set[int]] = field(default_factory=lambda: [set() for _ in range(SESSIONS)])
    had_read: dict[int, set[int]] = field(default_factory=dict)

    def current(self, replica: int) -> set[int]:
        """Give the writes of the model that nothing heard of had read."""
        heard = self.heard[replica]
        return {w for w in heard if not any(w in self.had_read[other] for other in heard)}

    def step(self, kind: str, one: int, replica: int) -> None:
        if kind == "sync":
            whole = joined_siblings(self.cells[one], self.cells[replica])
            self.cells[one] = self.cells[replica] = whole
            self.heard[one] = self.heard[replica] = self.heard[one] | self.heard[replica]
        elif kind == "read":
            self.contexts[one] = self.cells[replica].seen
            self.read[one] = set(self.heard[replica])
        else:
            self.write(one, replica, blind=kind == "blind")

    def write(self, session: int, replica: int, *, blind: bool) -> None:
        number = len(self.had_read) + 1
        seen = NOTHING if blind else self.contexts[session]
        version = Version(dot=(f"r{replica}", number), stamp=0, context=seen)
        base = self.cells[replica]
        kept = [v for v in base.versions if not seen.covers(v.dot)]
        new = base.seen.merged(seen).up_to(version.dot)
        self.cells[replica] = Cell(in_order([*kept, version]), new)
        self.had_read[number] = set() if blind else set(self.read[session])
        # Whoever had read a write overwrites it, and what that had overwritten.
        self.heard[replica] = self.heard[replica] | {number} | self.had_read[number]
        self.contexts[session] = seen.with_dot(version.dot)
        self.read[session] = self.had_read[number] | {number}


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_siblings_are_the_writes_that_nobody_who_wrote_had_read(steps) -> None:
    world = World()
    for step in steps:
        world.step(*step)
        for replica, cell in enumerate(world.cells):
            assert {v.dot[1] for v in cell.versions} == world.current(replica)
            assert all(cell.seen.covers(v.dot) for v in cell.versions)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
def test_joining_is_a_lattice(steps, i, j, k) -> None:
    world = World()
    for step in steps:
        world.step(*step)
    a, b, c = world.cells[i], world.cells[j], world.cells[k]
    for join in (joined_siblings, joined_newest):
        once = join(EMPTY, a)
        assert join(once, once) == once
        assert join(a, b) == join(b, a)
        assert join(join(a, b), c) == join(a, join(b, c))
    assert unpacked(packed(a)) == a


def test_two_blind_writes_at_one_replica_are_both_kept() -> None:
    world = World()
    for step in [("blind", 0, 0), ("blind", 1, 0), ("sync", 0, 1)]:
        world.step(*step)
    assert len(world.cells[1].versions) == 2


def test_a_sibling_does_not_return_by_an_old_replica() -> None:
    world = World()
    for step in [("blind", 0, 0), ("sync", 0, 1), ("read", 1, 0), ("write", 1, 0), ("sync", 1, 0)]:
        world.step(*step)
    assert [v.dot for v in world.cells[1].versions] == [("r0", 2)]


CLOCKS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3))


@given(CLOCKS, CLOCKS)
def test_vector_clocks_compare_as_maps_in_which_absent_is_zero(one, other) -> None:
    full = [[clock.get(actor, 0) for actor in "abc"] for clock in (one, other)]
    assert covered(one, other) == all(x <= y for x, y in zip(*full, strict=True))
    both = merged(one, other)
    assert [both.get(actor, 0) for actor in "abc"] == list(map(max, *full))


DOTS = st.frozensets(st.tuples(st.sampled_from("abc"), st.integers(1, 4)))


@given(CLOCKS, DOTS, CLOCKS, DOTS)
def test_what_was_seen_is_a_set_of_dots(clock, dots, other_clock, other_dots) -> None:
    one = NOTHING.merged(Seen(clock, dots))
    other = NOTHING.merged(Seen(other_clock, other_dots))

    def members(seen: Seen) -> set[tuple[str, int]]:
        return {(actor, n) for actor in "abc" for n in range(1, 6) if seen.covers((actor, n))}

    assert members(one.merged(other)) == members(one) | members(other)
