"""Linearizability while operations arrive: as the whole is judged, at the first completion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitbrain.checkers.linearizability.register_route import Judgement, judge
from splitbrain.checkers.linearizability.stream import RegisterStream
from splitbrain.checkers.models import model_named
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome


def events(operations: Sequence[Operation]) -> Iterator[tuple[int, Operation]]:
    """Give invocations and completions in their order, each with its place."""
    told = []
    for item in operations:
        told.append((item.invoke_index, begun(item)))
        if item.complete_index is not None:
            told.append((item.complete_index, item))
    return iter(sorted(told, key=lambda event: event[0]))


def begun(item: Operation) -> Operation:
    return replace(item, outcome=Outcome.INFO, complete_index=None, result=None, applied=True)


def prefix(operations: Sequence[Operation], end: int) -> list[Operation]:
    """The history as it was known at a place."""
    return [
        item if item.complete_index is not None and item.complete_index <= end else begun(item)
        for item in operations
        if item.invoke_index <= end
    ]


def judgements(operations: Sequence[Operation]) -> set[int]:
    """What the judgement of all keys at once says."""
    history = History.of(operations)
    judged = judge(history, model_named("cas-register", history), None)
    return set(judged.judgement.tolist())


@st.composite
def histories(draw: st.DrawFn, functions: tuple[str, ...]) -> list[Operation]:
    """Reads and writes on two registers, by real ones that act at a moment of each, mostly."""
    count = draw(st.integers(2, 12))
    width = draw(st.sampled_from([1, 2, 6]))
    places = list(range(2 * count))
    for start in range(0, 2 * count, 2 * width):
        part = draw(st.permutations(places[start : start + 2 * width]))
        places[start : start + 2 * width] = part
    spans = sorted((sorted(places[2 * i : 2 * i + 2]) for i in range(count)), key=sum)
    now: dict[int, Any] = {1: None, 2: None}
    known: dict[int, list[Any]] = {1: [None], 2: [None]}
    rows = []
    for number, (begin, end) in enumerate(spans):
        key = draw(st.sampled_from([1, 1, 1, 2]))
        f = draw(st.sampled_from(functions))
        outcome = draw(st.sampled_from([Outcome.OK] * 8 + [Outcome.INFO, Outcome.FAIL]))
        lies = draw(st.integers(0, 9)) == 0
        argument, result, applied = None, None, True
        if f == "read":
            result = draw(st.sampled_from(known[key])) if lies else now[key]
        else:
            expected = draw(st.sampled_from([now[key], *known[key]]))
            applied = f == "write" or expected == now[key]
            argument = number if f == "write" else [expected, number]
            known[key].append(number)
            if applied and (outcome is not Outcome.FAIL) and not lies:
                now[key] = number
        is_ok = outcome is Outcome.OK
        rows.append(
            Operation(
                process=number,
                session=number,
                key=key,
                f=f,
                outcome=outcome,
                invoke_index=begin,
                complete_index=end,
                argument=argument,
                result=result if is_ok else None,
                applied=applied if is_ok else True,
            )
        )
    return rows


def follows(operations: Sequence[Operation], seen: Counter[bool]) -> None:
    """It speaks up at the completion that makes what is known so far illegal, and at no other."""
    stream = RegisterStream()
    for place, event in events(operations):
        is_broken = Judgement.BROKEN in judgements(prefix(operations, place))
        assert (stream.feed([event]) is not None) is is_broken, (place, operations)
        if is_broken:
            seen[True] += 1
            return
    seen[False] += 1


def test_registers_are_judged_at_the_earliest_completion():
    seen: Counter[bool] = Counter()

    @settings(max_examples=150)
    @given(histories(("read", "read", "write")))
    def run(operations):
        follows(operations, seen)

    run()
    assert seen[True]
    assert seen[False]


@pytest.mark.slow
def test_tens_of_thousands_of_registers_are_judged_at_the_earliest_completion():
    seen: Counter[bool] = Counter()

    @settings(max_examples=20_000)
    @given(histories(("read", "read", "write")))
    def run(operations):
        follows(operations, seen)

    run()
    assert min(seen[True], seen[False]) > 1000


@settings(max_examples=150)
@given(histories(("read", "write", "cas")))
def test_compare_and_set_never_makes_it_cry_wolf(operations):
    if RegisterStream().feed([event for _, event in events(operations)]) is not None:
        assert Judgement.BROKEN in judgements(operations)


def test_memory_does_not_grow_with_the_operations():
    stream, most = RegisterStream(), 0
    for number in range(5000):
        at = 10 * number
        write = operation("write", at, at + 8, argument=number)
        read = operation("read", at + 1, at + 9, result=number)
        assert stream.feed(event for _, event in events([write, read])) is None
        most = max(most, stream.held)
    assert most <= 3
    stale = operation("read", 60_000, 60_001, result=4000)
    assert stream.feed(event for _, event in events([stale])) is not None
    assert stream.violation is not None
    assert stream.violation.operations == (stale,)


def test_what_it_cannot_follow_it_leaves_alone():
    for other in (
        operation("write", 10, 11, argument=1),
        operation("append", 10, 11, argument=1),
        operation("cas", 10, 11, argument=1),
    ):
        stream = RegisterStream()
        rows = [
            operation("write", 0, 1, argument=1),
            operation("read", 2, 3, result=1),
            other,
            operation("write", 12, 13, argument=2),
            operation("read", 14, 15, result=1),
        ]
        assert stream.feed(event for _, event in events(rows)) is None


def test_a_failed_write_whose_value_was_seen_is_a_violation_when_it_fails():
    stream = RegisterStream()
    rows = [
        operation("write", 0, 50, argument=1, outcome=Outcome.FAIL),
        operation("read", 1, 2, result=1),
        operation("write", 3, 4, argument=2),
        operation("read", 5, 6, result=2),
        operation("read", 7, 8, result=2),
    ]
    told = list(events(rows))
    assert stream.feed(event for _, event in told[:-1]) is None
    assert stream.feed([told[-1][1]]) is not None


def operation(f, begin, end, argument=None, result=None, outcome=Outcome.OK):
    return Operation(
        process=begin,
        session=begin,
        f=f,
        outcome=outcome,
        invoke_index=begin,
        complete_index=end,
        argument=argument,
        result=result,
    )
