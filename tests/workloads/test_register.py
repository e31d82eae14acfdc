"""The register workload: what it asks of a system, by a model of one, in the simulator."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbrain.core.client import Fail, Info, Ok, Reply
from splitbrain.core.errors import UsageError
from splitbrain.core.generator import Context, Invocation
from splitbrain.core.history import History
from splitbrain.core.operation import REGISTER, Operation, Outcome
from splitbrain.core.randomness import Keyed
from splitbrain.core.workload import Load
from splitbrain.generators import Ending, Simulated, simulate
from splitbrain.workloads.register import FINAL_TRIES, Register

LOAD = Load(
    seed=1, nodes=("a", "b", "c", "d", "e"), concurrency=10, time_limit_s=4.0, rate_hz=1000.0
)


class Model:
    """Registers that take effect when they are asked; some answers get lost."""

    def __init__(self, lost: int = 0) -> None:
        self.values: dict[Any, Any] = {}
        self.lost = lost

    def __call__(self, invocation: Invocation, rng: Keyed) -> tuple[Reply, int]:
        latency = rng.integer(5_000_000, 1)
        if self.lost and rng.integer(self.lost, 2) == 0:
            return (Info("lost") if rng.integer(2, 3) else Fail("refused")), latency
        return self.perform(invocation), latency

    def perform(self, invocation: Invocation) -> Reply:
        f, key, argument = invocation.f, invocation.key, invocation.argument
        if f == "read":
            return Ok(self.values.get(key))
        if f == "cas":
            old, new = argument  # type: ignore[misc]
            if self.values.get(key) != old:
                return Ok(applied=False)
            argument = new
        self.values[key] = argument
        return Ok()


def run(load: Load, lost: int = 0) -> Simulated:
    return simulate(
        Register().main(load),
        workers=load.concurrency,
        answer=Model(lost),
        operation_limit=100_000,
        seed=load.seed,
    )


def by_key(done: Simulated) -> dict[Any, list[Operation]]:
    table: dict[Any, list[Operation]] = {}
    for op in done.operations:
        table.setdefault(op.key, []).append(op)
    return table


def test_it_uses_its_vocabulary_with_the_right_arguments():
    done = run(LOAD)
    assert Register().vocabulary is REGISTER
    assert {op.f for op in done.operations} == {function.name for function in REGISTER}
    for op in done.operations:
        if op.f == "read":
            assert op.argument is None
        elif op.f == "cas":
            assert isinstance(op.argument, list)
            assert len(op.argument) == 2
        else:
            assert type(op.argument) is int


def test_it_keeps_its_rate_and_its_time_limit():
    done = run(LOAD)
    assert done.ending is Ending.EXHAUSTED
    assert 3700 < len(done.operations) < 4300
    assert max(op.start_ns for op in done.operations) < 4_000_000_000


def test_without_a_rate_it_leaves_the_system_air_to_breathe():
    done = run(replace(LOAD, rate_hz=None))
    assert 3700 < len(done.operations) < 4300


def test_every_value_is_written_once_to_its_key():
    for operations in by_key(run(LOAD, lost=20)).values():
        written = [
            op.argument[1] if isinstance(op.argument, list) else op.argument
            for op in operations
            if op.f != "read"
        ]
        assert len(written) == len(set(map(repr, written)))


def test_some_compare_and_sets_match_and_some_are_refused():
    swaps = [op for op in run(LOAD).operations if op.f == "cas"]
    share = sum(op.applied for op in swaps) / len(swaps)
    assert 0.2 < share < 0.9
    for op in swaps:
        assert isinstance(op.argument, list)
        assert op.argument[0] is not None


def test_a_key_is_used_by_one_group_with_a_worker_at_every_node():
    keys = by_key(run(LOAD))
    used = {frozenset(op.process % 10 for op in ops) for ops in keys.values() if len(ops) > 90}
    assert used == {frozenset(range(5)), frozenset(range(5, 10))}
    assert all(len(ops) <= 100 for ops in keys.values())


def test_a_key_is_retired_after_two_unknown_outcomes():
    keys = by_key(run(LOAD, lost=10))
    for ops in keys.values():
        unknown = [op.invoke_index for op in ops if op.outcome is Outcome.INFO]
        assert len(unknown) <= 2 + 4, "two, and what its group had in flight"
    assert len(keys) > 60


@pytest.mark.parametrize("concurrency", [1, 2, 5, 7, 23])
def test_any_concurrency_works(concurrency: int):
    done = run(replace(LOAD, concurrency=concurrency, time_limit_s=1.0), lost=15)
    History.of(done.operations)
    assert len(done.operations) > 100


def test_parameters_are_kept():
    params = {"ops_per_key": 20, "concurrent_keys": 5, "reads": 1, "writes": 1, "cas": 0}
    done = run(replace(LOAD, params=params))
    counts = Counter(op.f for op in done.operations)
    assert counts["cas"] == 0
    assert abs(counts["read"] - counts["write"]) < 5 * len(done.operations) ** 0.5
    keys = by_key(done)
    assert max(map(len, keys.values())) == 20
    assert {len({op.process for op in ops}) for ops in keys.values()} <= {1, 2}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ops": 3}, "no parameter 'ops'"),
        ({"ops_per_key": 0}, "ops_per_key must be a whole number from 1 on"),
        ({"reads": -1}, "reads must be a whole number"),
        ({"cas": 1.5}, "cas must be"),
        ({"writes": True}, "writes must be"),
        ({"concurrent_keys": 11}, "11 concurrent keys"),
        ({"reads": 0, "writes": 0}, "must be more than 0"),
    ],
)
def test_parameters_that_cannot_be_used_are_named(params: dict[str, Any], message: str):
    for phase in (Register().setup, Register().main):
        with pytest.raises(UsageError, match=message):
            phase(replace(LOAD, params=params))


@settings(max_examples=5)
@given(st.integers(0, 2**32), st.integers(0, 30))
def test_equal_seeds_ask_the_same_and_what_a_key_is_asked_depends_on_it_alone(seed: int, lost: int):
    load = replace(LOAD, seed=seed, time_limit_s=0.2)
    done = run(load, lost)
    assert done == run(load, lost)
    slower = by_key(run(replace(load, rate_hz=500.0), lost))

    def reads(operations: list[Operation]) -> list[bool]:
        return [op.f == "read" for op in operations]

    for key, operations in by_key(done).items():
        both = list(zip(reads(operations), reads(slower.get(key, [])), strict=False))
        assert all(one == other for one, other in both)
    assert 0 in slower


def test_another_seed_asks_something_else():
    one, other = (run(replace(LOAD, seed=seed, time_limit_s=0.2)) for seed in (1, 2))
    assert [op.f for op in one.operations] != [op.f for op in other.operations]


def test_final_reads_read_each_key_once_the_last_used_first():
    final = Register().final(LOAD, ["a", "b", 3])
    assert final is not None
    done = simulate(final, workers=2)
    assert [(op.f, op.key) for op in done.operations] == [("read", 3), ("read", "b"), ("read", "a")]
    assert done.ending is Ending.EXHAUSTED


def test_final_reads_are_tried_again_but_not_for_ever():
    final = Register().final(LOAD, list(range(20)))
    assert final is not None
    done = simulate(final, workers=3, answer=lambda invocation, rng: (Info("down"), 10))
    assert Counter(op.key for op in done.operations) == dict.fromkeys(range(20), FINAL_TRIES)
    assert done.ending is Ending.EXHAUSTED
    some = simulate(final, workers=3, answer=Model(lost=3))
    read = {op.key for op in some.operations if op.outcome is Outcome.OK}
    assert len(read) >= 18
    for key in read:
        outcomes = [op.outcome for op in some.operations if op.key == key]
        assert outcomes[-1] is Outcome.OK
        assert Outcome.OK not in outcomes[:-1]


def test_no_keys_no_final_reads():
    final = Register().final(LOAD, [])
    assert final is not None
    assert final.step(Context(0, 0, 0, 1, 0))[0] is None


def test_it_asks_for_linearizability_and_for_enough_successes():
    names = [checker.name for checker in Register().checkers(LOAD)]
    assert names == ["linearizable", "stats"]
    assert Register().floor.during >= 1
    assert Register().floor.after >= 1
    assert Register().facts == {"initial": None}
