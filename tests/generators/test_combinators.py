"""Each generator by itself, in the simulator: what it gives, when, and to whom."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from splitbrain.core.client import Fail, Ok
from splitbrain.core.errors import ContractError, UsageError
from splitbrain.core.generator import NEMESIS, PENDING
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.randomness import Keyed
from splitbrain.generators import (
    DONE,
    Context,
    Ending,
    Event,
    Generator,
    Invocation,
    Pending,
    Simulated,
    accepted,
    all_unknown,
    changed,
    clients,
    delay,
    each_process,
    each_worker,
    from_function,
    independent_keys,
    limit,
    mix,
    mixed,
    nemesis,
    once,
    perfect,
    phases,
    quick,
    rate,
    repeat,
    reserve,
    sequence,
    simulate,
    sleep,
    soonest,
    stagger,
    time_limit,
    until_ok,
)

MS = 1_000_000


def names(done: Simulated) -> list[str]:
    return [op.f for op in done.operations]


def forever(f: str) -> Generator:
    return repeat(once(f))


def numbers(f: str = "n") -> Generator:
    """Give operations whose argument says which one they are."""

    def give(context: Context, rng: Keyed) -> Invocation:
        return Invocation(f, None, rng.state)

    return from_function(give, Keyed.of(5))


def test_once_gives_one_operation():
    done = simulate(once("read", 1, 2))
    assert [(op.f, op.key, op.argument) for op in done.operations] == [("read", 1, 2)]
    assert done.ending is Ending.EXHAUSTED


def test_done_gives_nothing():
    assert simulate(DONE).operations == ()
    assert simulate(DONE).ending is Ending.EXHAUSTED


def test_a_sequence_goes_on_at_once_and_phases_wait_for_all_to_end():
    parts = [limit(forever(name), 4) for name in "abc"]
    one, other = simulate(sequence(*parts)), simulate(phases(*parts))
    assert names(one) == names(other) == list("aaaabbbbcccc")

    def last_end(done: Simulated, f: str) -> int:
        return max(op.complete_index or 0 for op in done.operations if op.f == f)

    def first_begin(done: Simulated, f: str) -> int:
        return min(op.invoke_index for op in done.operations if op.f == f)

    assert first_begin(one, "b") < last_end(one, "a")
    for before, after in ("ab", "bc"):
        assert last_end(other, before) < first_begin(other, after)


def test_repeat_begins_again_so_many_times():
    assert names(simulate(repeat(sequence(once("a"), once("b")), 3))) == list("ababab")
    assert names(simulate(repeat(once("a"), 0))) == []
    assert simulate(repeat(DONE)).operations == ()
    assert len(simulate(forever("a"), operation_limit=50).operations) == 50


@pytest.mark.parametrize("count", [0, 1, 7])
def test_limit_gives_so_many(count: int):
    assert len(simulate(limit(forever("a"), count)).operations) == count


def test_a_time_limit_begins_when_it_is_first_asked():
    done = simulate(phases(sleep(1.0), time_limit(delay(forever("a"), 0.1), 0.45)), workers=5)
    assert [op.start_ns // MS for op in done.operations] == [1000, 1100, 1200, 1300, 1400]
    assert done.ending is Ending.EXHAUSTED


def test_a_time_limit_ends_a_generator_that_only_waits():
    class Never:
        def step(self, context: Context) -> tuple[Pending, Generator]:
            return PENDING, self

        def update(self, context: Context, event: Event) -> Generator:
            return self

    assert simulate(Never()).ending is Ending.STUCK
    done = simulate(sequence(time_limit(Never(), 1.0), once("a")))
    assert [(op.f, op.start_ns) for op in done.operations] == [("a", 1000 * MS)]


def test_until_ok_ends_with_the_first_success_of_its_own():
    def answer(invocation: Invocation, rng: Keyed) -> tuple[Any, int]:
        return (Ok() if invocation.f == "other" or rng.integer(4) == 0 else Fail("no")), 10

    tried = until_ok(forever("try"))
    for seed in range(20):
        done = simulate(tried, workers=1, seed=seed, answer=answer)
        outcomes = [op.outcome for op in done.operations]
        assert outcomes == [Outcome.FAIL] * (len(outcomes) - 1) + [Outcome.OK]
        both = simulate(
            soonest(limit(forever("other"), 30), tried), workers=2, seed=seed, answer=answer
        )
        assert names(both).count("other") == 30


def test_delay_keeps_operations_apart():
    done = simulate(limit(delay(forever("a"), 0.01), 20), workers=3)
    assert [op.start_ns for op in done.operations] == [number * 10 * MS for number in range(20)]


def test_stagger_has_random_intervals_of_its_mean():
    done = simulate(limit(stagger(forever("a"), 0.01, Keyed.of(1)), 2000), workers=5)
    starts = [op.start_ns for op in done.operations]
    gaps = [later - sooner for sooner, later in itertools.pairwise(starts)]
    assert min(gaps) >= 0
    assert max(gaps) <= 20 * MS
    assert len(set(gaps)) > 1000
    assert 9.5 < sum(gaps) / len(gaps) / MS < 10.5


def test_a_rate_is_kept_over_all_workers_and_makes_no_burst_after_a_stall():
    done = simulate(rate(forever("a"), 100, Keyed.of(1)), workers=10, limit_s=20)
    assert 1900 < len(done.operations) < 2100

    def stalled(invocation: Invocation, rng: Keyed) -> tuple[Any, int]:
        return Ok(), int(5e9) if rng.integer(50) == 0 else 10

    slow = simulate(rate(forever("a"), 100, Keyed.of(1)), workers=2, limit_s=60, answer=stalled)
    seconds = Counter(op.start_ns // 1_000_000_000 for op in slow.operations)
    assert max(seconds.values()) < 140
    for hz in (0, -1, float("nan")):
        with pytest.raises(UsageError, match="more than 0"):
            rate(forever("a"), hz, Keyed.of(1))


def test_operations_are_chosen_when_they_are_sent_however_slow_the_rate():
    asked: list[tuple[int, int]] = []

    class Watched:
        def step(self, context: Context) -> Any:
            asked.append((context.time_ns, context.worker))
            return Invocation("a"), self

        def update(self, context: Context, event: Event) -> Watched:
            return self

    done = simulate(delay(Watched(), 1.0), workers=10, limit_s=10)
    assert len(done.operations) == 10
    assert {op.start_ns for op in done.operations} <= {time_ns for time_ns, _ in asked}


def test_spacing_ends_as_soon_as_there_is_nothing_left_to_space():
    for workers in (1, 2, 5):
        done = simulate(delay(limit(forever("a"), 3), 3600.0), workers=workers)
        assert len(done.operations) == 3
        assert done.time_ns <= 2 * 3600 * 10**9 + 10


def test_sleep_gives_nothing_for_a_time():
    done = simulate(sequence(once("a"), sleep(2.0), once("b")), workers=1)
    assert [(op.f, op.start_ns) for op in done.operations] == [("a", 0), ("b", 2000 * MS + 10)]


def test_a_mix_draws_by_weight():
    generator = mix(forever("a"), forever("b"), forever("c"), rng=Keyed.of(1), weights=(6, 3, 1))
    counts = Counter(names(simulate(generator, operation_limit=5000)))
    assert counts["a"] + counts["b"] + counts["c"] == 5000
    for name, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert abs(counts[name] / 5000 - share) < 5 * (share * (1 - share) / 5000) ** 0.5


def test_a_mix_leaves_out_what_is_exhausted_and_passes_over_what_waits():
    generator = mix(limit(forever("a"), 3), limit(forever("b"), 40), rng=Keyed.of(1))
    done = simulate(generator)
    assert Counter(names(done)) == {"a": 3, "b": 40}
    waiting = mix(
        sequence(sleep(1.0), limit(forever("a"), 5)), limit(forever("b"), 9), rng=Keyed.of(2)
    )
    assert names(simulate(waiting)) == ["b"] * 9 + ["a"] * 5


@pytest.mark.parametrize("weights", [(1,), (0, 0), (1, -1), (1, 2, 3)])
def test_a_mix_of_wrong_weights_is_refused(weights: tuple[int, ...]):
    with pytest.raises(UsageError, match="cannot be mixed"):
        mix(once("a"), once("b"), rng=Keyed.of(1), weights=weights)


def test_a_weight_of_zero_is_never_drawn_even_when_others_wait():
    generator = mix(sleep(1.0), forever("b"), rng=Keyed.of(1), weights=(1, 0))
    assert simulate(generator).operations == ()


def test_soonest_takes_what_is_due_first():
    every = soonest(delay(limit(forever("slow"), 3), 0.1), delay(limit(forever("fast"), 9), 0.03))
    done = simulate(every, workers=6)
    assert Counter(names(done)) == {"slow": 3, "fast": 9}
    assert [op.start_ns // MS for op in done.operations if op.f == "slow"] == [0, 100, 200]


def test_reserve_gives_shares_of_the_workers():
    seen: list[tuple[str, int, int]] = []

    def spy(name: str) -> Generator:
        def give(context: Context, rng: Keyed) -> Invocation:
            seen.append((name, context.worker, context.workers))
            return Invocation(name)

        return limit(from_function(give, Keyed.of(1)), 12)

    done = simulate(reserve((2, spy("a")), (3, spy("b")), rest=spy("c")), workers=9)
    by_name = {
        name: {op.process for op in done.operations if op.f == name} for name in ("a", "b", "c")
    }
    assert by_name == {"a": {0, 1}, "b": {2, 3, 4}, "c": {5, 6, 7, 8}}
    assert {(name, worker, workers) for name, worker, workers in seen} == (
        {("a", w, 2) for w in range(2)}
        | {("b", w, 3) for w in range(3)}
        | {("c", w, 4) for w in range(4)}
    )
    with pytest.raises(UsageError, match="at least one"):
        reserve((0, DONE), rest=DONE)


def test_each_worker_has_a_copy_and_each_process_begins_anew():
    generator = sequence(once("a"), once("b"))
    done = simulate(each_worker(generator), workers=4)
    assert {p: [o.f for o in done.operations if o.process == p] for p in range(4)} == {
        p: ["a", "b"] for p in range(4)
    }
    lost = simulate(each_worker(generator), workers=2, answer=all_unknown)
    assert len(lost.operations) == 4
    again = simulate(each_process(generator), workers=2, answer=all_unknown, operation_limit=30)
    assert names(again) == ["a"] * 30
    steady = simulate(each_process(generator), workers=2)
    assert sorted(names(steady)) == ["a", "a", "b", "b"]
    assert steady.ending is Ending.EXHAUSTED


def test_sides_keep_to_themselves():
    here = Context(0, 0, 0, 2, 0)
    there = Context(0, NEMESIS, NEMESIS, 2, 0)
    assert clients(once("a")).step(here)[0] == Invocation("a")
    assert clients(once("a")).step(there)[0] == PENDING
    assert nemesis(once("a")).step(here)[0] == PENDING
    step, after = nemesis(once("a")).step(there)
    assert step == Invocation("a")
    assert after.step(there)[0] is None
    assert len(simulate(clients(limit(forever("a"), 5))).operations) == 5


def test_operations_are_changed_and_left_out():
    doubled = changed(lambda i: replace(i, argument=[i.argument, i.argument]), once("w", None, 3))
    assert simulate(doubled).operations[0].argument == [3, 3]
    some = accepted(lambda i: i.f != "b", sequence(once("a"), once("b"), once("c")))
    assert names(simulate(some)) == ["a", "c"]
    with pytest.raises(ContractError, match="refused 10000"):
        simulate(accepted(lambda i: False, forever("a")))


def test_a_function_is_given_randomness_of_the_operation_alone():
    def give(context: Context, rng: Keyed) -> Invocation:
        return Invocation("w", None, rng.integer(10**9))

    one = simulate(limit(from_function(give, Keyed.of(3)), 50), workers=1)
    many = simulate(limit(from_function(give, Keyed.of(3)), 50), workers=7, answer=mixed)
    assert [op.argument for op in one.operations] == [op.argument for op in many.operations]
    assert len({op.argument for op in one.operations}) == 50
    with pytest.raises(ContractError, match="not an Invocation"):
        simulate(from_function(lambda context, rng: "read", Keyed.of(1)))  # type: ignore[arg-type, return-value]
    assert simulate(from_function(lambda context, rng: None, Keyed.of(1))).operations == ()


def keys_of(done: Simulated) -> dict[Any, list[Operation]]:
    table: dict[Any, list[Operation]] = {}
    for op in done.operations:
        table.setdefault(op.key, []).append(op)
    return table


def test_independent_keys_are_worked_on_by_one_group_each():
    generator = independent_keys(lambda number, key: numbers(), group_size=3, operations_per_key=10)
    done = simulate(limit(generator, 200), workers=6)
    for key, operations in keys_of(done).items():
        groups = {op.process // 3 for op in operations}
        assert len(groups) == 1, key
        assert len(operations) <= 10
    assert sorted(keys_of(done)) == list(range(len(keys_of(done))))


def test_workers_left_over_join_the_last_group():
    generator = independent_keys(lambda n, key: numbers(), group_size=2, operations_per_key=50)
    done = simulate(limit(generator, 100), workers=5)
    assert {frozenset(op.process for op in ops) for ops in keys_of(done).values()} == {
        frozenset({0, 1}),
        frozenset({2, 3, 4}),
    }
    alone = simulate(limit(generator, 20), workers=1)
    assert len(alone.operations) == 20


def test_a_key_is_retired_after_two_unknown_outcomes():
    generator = independent_keys(lambda n, key: numbers(), group_size=2, operations_per_key=1000)
    done = simulate(limit(generator, 300), workers=4, answer=mixed)
    for operations in keys_of(done).values():
        unknown = [op.outcome for op in operations].count(Outcome.INFO)
        assert unknown <= 3, "two, and what was in flight already"
    assert len(keys_of(done)) > 10


def test_keys_end_when_there_are_no_more():
    def make_key(number: int) -> Any:
        return f"k{number}" if number < 5 else None

    generator = independent_keys(
        lambda n, key: numbers(), group_size=2, operations_per_key=7, make_key=make_key
    )
    done = simulate(generator, workers=4)
    assert done.ending is Ending.EXHAUSTED
    assert {key: len(ops) for key, ops in keys_of(done).items()} == {f"k{n}": 7 for n in range(5)}
    with pytest.raises(ContractError, match="no operations"):
        simulate(independent_keys(lambda n, k: DONE, group_size=1, operations_per_key=1))
    with pytest.raises(UsageError, match="at least 1"):
        independent_keys(lambda n, k: DONE, group_size=0, operations_per_key=1)


COMBINED = phases(
    mix(limit(numbers("a"), 30), limit(forever("b"), 20), rng=Keyed.of(8)),
    time_limit(stagger(each_process(limit(numbers("c"), 4)), 0.001, Keyed.of(9)), 0.05),
    reserve((1, limit(forever("d"), 5)), rest=until_ok(forever("e"))),
    limit(independent_keys(lambda n, k: numbers("f"), group_size=2, operations_per_key=5), 40),
)


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_a_simulation_is_a_history_and_is_the_same_again(seed: int, workers: int):
    first = simulate(COMBINED, workers=workers, seed=seed, answer=mixed)
    assert first == simulate(COMBINED, workers=workers, seed=seed, answer=mixed)
    History.of(first.operations)
    assert names(first).count("a") == 30
    assert names(first).count("b") == 20
    assert names(first).count("f") == 40


@pytest.mark.parametrize("answer", [perfect, quick, all_unknown, mixed])
def test_every_answer_ends(answer: Any):
    done = simulate(limit(forever("a"), 100), answer=answer)
    assert len(done.operations) == 100
    outcomes = {op.outcome for op in done.operations}
    wanted = {perfect: {Outcome.OK}, quick: {Outcome.OK}, all_unknown: {Outcome.INFO}}
    assert outcomes == wanted.get(answer, set(Outcome))


@pytest.mark.parametrize(
    "generator",
    [
        COMBINED,
        soonest(forever("a"), sleep(1)),
        clients(forever("a")),
        accepted(lambda i: True, forever("a")),
        delay(forever("a"), 1.0),
    ],
)
def test_a_generator_is_a_value_that_stepping_does_not_change(generator: Generator):
    context = Context(5, 0, 0, 3, 0)
    event = Event(0, 0, "a", None, None, Outcome.OK, None)
    before = repr(generator)
    first = generator.step(context)
    generator.update(context, event)
    first[1].step(context)
    assert repr(generator) == before
    assert generator.step(context) == first


def test_once_exhausted_a_generator_stays_so():
    context = Context(0, 0, 0, 1, 0)
    for generator in (
        limit(forever("a"), 0),
        time_limit(forever("a"), 0),
        repeat(DONE),
        sequence(),
        mix(DONE, rng=Keyed.of(1)),
        soonest(DONE),
        until_ok(DONE),
        each_worker(DONE),
        reserve((1, DONE), rest=DONE),
        delay(DONE, 1),
        changed(lambda i: i, DONE),
        accepted(lambda i: True, DONE),
        clients(DONE),
    ):
        step, after = generator.step(context)
        assert step is None
        assert after.step(replace(context, time_ns=10**12))[0] is None
