"""Porcupine and our own small search against a brute force written from the definition."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.checkers.linearizability.anomaly import anomaly
from splitbrain.checkers.linearizability.encoding import Encoder
from splitbrain.checkers.linearizability.search import Budget, linearizable
from splitbrain.checkers.models import model_named
from splitbrain.checkers.porcupine.process import Answer, Request, ask
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome

VALUES = (None, 1, 2, 3)


def longer(now: Any, item: Any) -> Any:
    """A text grows by a text, anything else is a list that grows by one element."""
    return (now or "") + item if isinstance(item, str) else [*(now or []), item]


@st.composite
def histories(
    draw: st.DrawFn, functions: tuple[str, ...], key: int, initial: Any
) -> list[Operation]:
    """A few operations, each by a process of its own, that overlap at random.

    About half of the results come from a real object that acts at a moment of each operation, so
    that legal and illegal histories are both common.
    """
    count = draw(st.integers(1, 5))
    places = draw(st.permutations(range(2 * count)))
    now: Any = initial
    rows = []
    spans = [sorted(places[2 * i : 2 * i + 2]) for i in range(count)]
    for number, (begin, end) in enumerate(sorted(spans, key=sum)):
        f = draw(st.sampled_from(functions))
        outcome = draw(st.sampled_from([Outcome.OK] * 5 + [Outcome.INFO, Outcome.FAIL]))
        lies = draw(st.integers(0, 3)) == 0
        argument, result, applied = None, None, True
        if f == "read":
            result = draw(values(functions, initial)) if lies else now
        elif f == "cas":
            argument = [draw(values(functions, initial)), draw(values(functions, initial))]
            applied = (argument[0] == now) != lies
            now = argument[1] if applied and outcome is Outcome.OK else now
        else:
            argument = draw(items(initial) if f == "append" else values(functions, initial))
            applied = f != "append" or outcome is not Outcome.OK or not lies
            if applied and outcome is not Outcome.FAIL and not (outcome is Outcome.INFO and lies):
                now = longer(now, argument) if f == "append" else argument
        rows.append(
            Operation(
                process=key * 100 + number,
                session=key * 100 + number,
                key=key,
                f=f,
                outcome=outcome,
                invoke_index=key * 1000 + begin,
                complete_index=key * 1000 + end if outcome is not Outcome.INFO or lies else None,
                argument=argument,
                result=result if outcome is Outcome.OK else None,
                applied=applied if outcome is Outcome.OK else True,
            )
        )
    return rows


def values(functions: tuple[str, ...], initial: Any) -> st.SearchStrategy[Any]:
    """What a key can hold: where there are appends, lists or texts, and null for the empty one."""
    if "append" not in functions:
        return st.sampled_from(VALUES)
    if isinstance(initial, str):
        return st.text("ab", min_size=1, max_size=3)
    return st.one_of(st.none(), st.lists(items(initial), min_size=1, max_size=3))


def items(initial: Any) -> st.SearchStrategy[Any]:
    """What is appended."""
    return st.text("ab", min_size=1, max_size=2) if isinstance(initial, str) else st.integers(1, 3)


def batches(functions: tuple[str, ...], initial: Any) -> st.SearchStrategy[list[list[Operation]]]:
    """Many histories, each of its own key, for one call of the helper."""
    return st.tuples(*(histories(functions, key, initial) for key in range(12))).map(list)


def porcupine(
    batch: Sequence[Sequence[Operation]], model_name: str, initial: Any
) -> Iterator[tuple[Any, Answer]]:
    history = History.of(operation for rows in batch for operation in rows)
    model = model_named(model_name, history, initial)
    encoder = Encoder(model)
    keys = sorted(
        (encoder.encode(key, part, initial) for key, part in history.by_key()),
        key=lambda item: item.key,
    )
    assert not [item.problem for item in keys if item.problem]
    request = Request(
        time_limit_ms=60_000,
        memory_limit_bytes=2**30,
        partitions=[item.partition for item in keys],
        tokens=encoder.tokens,
    )
    return zip(keys, ask(request).partitions, strict=True)


MODELS = [
    ("register", ("read", "write"), None),
    ("cas-register", ("read", "write", "cas"), None),
    ("cas-register", ("read", "write", "cas"), 1),
    ("cas-register", ("read", "cas"), 2),
    ("keyed-store", ("read", "append"), None),
    ("keyed-store", ("read", "append"), [1]),
    ("keyed-store", ("read", "append"), ""),
    ("keyed-store", ("read", "write", "append"), "a"),
    ("keyed-store", ("read", "write", "cas", "append"), None),
]


@pytest.mark.parametrize(("model_name", "functions", "initial"), MODELS)
def test_porcupine_agrees_with_every_order_tried(explained, model_name, functions, initial):
    seen = set()

    @given(batches(functions, initial))
    def agree(batch):
        expected = [explained(rows, initial) for rows in batch]
        answers = [answer.answer for _, answer in porcupine(batch, model_name, initial)]
        assert answers == ["ok" if legal else "illegal" for legal in expected]
        seen.update(expected)

    agree()
    assert seen == {True, False}


@pytest.mark.parametrize(("model_name", "functions", "initial"), MODELS)
def test_the_small_search_agrees_with_every_order_tried(explained, model_name, functions, initial):
    @given(batches(functions, initial))
    def agree(batch):
        for rows in batch:
            model = model_named(model_name, History.of(rows), initial)
            assert linearizable(rows, model, initial, Budget(100_000)) is explained(rows, initial)

    agree()


@pytest.mark.parametrize(("model_name", "functions", "initial"), MODELS)
def test_the_operations_of_an_anomaly_cannot_be_explained_by_themselves(
    explained, model_name, functions, initial
):
    names = set()

    @given(batches(functions, initial))
    def proves(batch):
        for encoded, answer in porcupine(batch, model_name, initial):
            if answer.answer == "illegal":
                found = anomaly(encoded, answer, encoded.model, initial, origin_ns=0)
                assert found.operations
                assert not explained(found.operations, initial), found
                names.add(found.name)

    proves()
    assert names


def test_the_culprit_ends_the_shortest_illegal_prefix(explained):
    @given(batches(("read", "write", "cas"), None))
    def ends(batch):
        for encoded, answer in porcupine(batch, "cas-register", None):
            if answer.answer != "illegal":
                continue
            culprit = encoded.history[encoded.rows[answer.culprit]]
            assert not explained(known_at(encoded.history, culprit.complete_index), None)
            before = [
                o.complete_index
                for o in encoded.history
                if o.outcome is Outcome.OK and o.complete_index < culprit.complete_index
            ]
            if before:
                assert explained(known_at(encoded.history, max(before)), None)
            assert answer.checked == len(before)

    ends()


def known_at(history: History, end: int) -> list[Operation]:
    """The history as far as it was known at a place."""
    from dataclasses import replace

    cut = []
    for o in history:
        if o.invoke_index >= end:
            continue
        if o.complete_index is not None and o.complete_index > end and o.outcome is Outcome.OK:
            if o.f == "read" or not o.applied:
                continue
            o = replace(o, outcome=Outcome.INFO, complete_index=None)
        cut.append(o)
    return cut


def drawn(seed: int, functions: tuple[str, ...], initial: Any) -> list[Operation]:
    """A history of few values and little overlap: where names are easily given wrongly."""
    rng = random.Random(seed)
    now, rows = initial, []
    texts, is_store = isinstance(initial, str), "append" in functions
    some = ["a", "b", "ab"] if texts else [None, [1], [2], [1, 2]] if is_store else [None, 1, 2]
    for number in range(rng.randrange(3, 10)):
        f = rng.choice(functions)
        outcome = rng.choice([Outcome.OK] * 8 + [Outcome.INFO, Outcome.FAIL])
        lies = rng.random() < 0.15
        argument, result, applied = None, None, True
        if f == "read":
            result = rng.choice(some) if lies else now
        elif f == "cas":
            argument = [rng.choice([now, *some]), rng.choice(some)]
            applied = (argument[0] == now) != lies
        else:
            argument = rng.choice(["a", "b"] if texts else [1, 2]) if f == "append" else None
            argument = rng.choice(some) if f == "write" else argument
        done = outcome is Outcome.OK or (outcome is Outcome.INFO and not lies)
        if done and applied and f != "read":
            now = longer(now, argument) if f == "append" else argument
            now = argument[1] if f == "cas" else now
        begin = 100 * number - rng.choice([0, 0, 0, 90, 150])
        rows.append(
            Operation(
                process=100 * seed + number,
                session=0,
                key=seed,
                f=f,
                outcome=outcome,
                invoke_index=10_000 * seed + 1_000 + begin + number % 10,
                complete_index=None if outcome is Outcome.INFO
                else 10_000 * seed + 1_000 + 100 * number + 50,
                argument=argument,
                result=result if outcome is Outcome.OK else None,
                applied=applied if outcome is Outcome.OK else True,
            )
        )  # fmt: skip
    return rows


@pytest.mark.parametrize(("model_name", "functions", "initial"), MODELS)
def test_many_histories_of_few_values_are_judged_and_proved(model_name, functions, initial):
    batch = [drawn(seed, functions, initial) for seed in range(2000)]
    names = set()
    for encoded, answer in porcupine(batch, model_name, initial):
        rows = batch[encoded.key]
        legal = linearizable(rows, encoded.model, initial, Budget(100_000))
        assert answer.answer == ("ok" if legal else "illegal"), encoded.key
        if not legal:
            found = anomaly(encoded, answer, encoded.model, initial, origin_ns=0)
            proof = linearizable(found.operations, encoded.model, initial, Budget(100_000))
            assert proof is False, found
            names.add(found.name)
    assert len(names) > 1
