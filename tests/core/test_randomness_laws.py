"""Randomness belongs to a key: what one draws does not depend on what others draw."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from splitbrain.core.randomness import Keyed

SEEDS = st.integers(0, 2**64 - 1)
PATHS = st.lists(st.text(max_size=5) | st.integers(0, 100), max_size=4)


@given(SEEDS, PATHS, st.integers(0, 1000))
def test_equal_keys_give_equal_numbers(seed: int, path: list[str | int], number: int):
    here, there = Keyed.of(seed, *path), Keyed.of(seed).child(*path)
    assert here == there
    assert here.bits(number) == there.bits(number)


def test_drawing_changes_nothing():
    rng = Keyed.of(7, "a")
    first = [rng.bits(n) for n in range(5)]
    rng.shuffled(range(100))
    rng.child("b").uniform(0, 1)
    assert [rng.bits(n) for n in range(5)] == first


def test_other_seeds_paths_and_numbers_give_other_bits():
    draws = {
        Keyed.of(seed, path, step).bits(number)
        for seed in range(5)
        for path in ("a", "b", 1, "1")
        for step in range(5)
        for number in range(20)
    }
    assert len(draws) == 5 * 4 * 5 * 20


def test_leaving_one_out_does_not_reshuffle_the_rest():
    def draw(names: list[str]) -> dict[str, tuple[int, float]]:
        return {
            name: (Keyed.of(3, "fault", name).integer(5), Keyed.of(3, "fault", name).uniform(0, 9))
            for name in names
        }

    every = draw(["a", "b", "c", "d"])
    for gone in "abcd":
        rest = [name for name in "abcd" if name != gone]
        assert draw(rest) == {name: every[name] for name in rest}


@given(SEEDS, st.lists(st.integers(), max_size=20), st.integers(0, 25))
def test_a_shuffle_keeps_the_items_and_a_sample_is_a_part(seed: int, items: list[int], count: int):
    rng = Keyed.of(seed)
    assert sorted(rng.shuffled(items)) == sorted(items)
    sample = rng.sample(list(range(len(items))), count)
    assert len(sample) == len(set(sample)) == min(count, len(items))


@given(SEEDS, st.floats(-100, 100), st.floats(0.001, 100), st.integers(1, 10**6))
def test_numbers_lie_in_their_ranges(seed: int, low: float, width: float, below: int):
    rng = Keyed.of(seed)
    assert low <= rng.uniform(low, low + width) < low + width
    assert 0 <= rng.integer(below) < below


def test_choices_are_even():
    """Each of 4 items 2000 times, within five standard deviations."""
    counts = Counter(Keyed.of(1, "even").choice("wxyz", number) for number in range(8000))
    assert set(counts) == set("wxyz")
    assert all(abs(count - 2000) < 5 * (8000 * 0.25 * 0.75) ** 0.5 for count in counts.values())
