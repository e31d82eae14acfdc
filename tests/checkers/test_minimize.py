"""A minimal history is part of the whole, wrong in the same way, and nothing of it can go."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from splitbrain.checkers.linearizable import Linearizable
from splitbrain.checkers.minimization.ties import Ties
from splitbrain.checkers.minimize import CALL_LIMIT, minimize
from splitbrain.core.delta_debugging import reduced
from splitbrain.core.evidence import Evidence, Need, from_history
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import same
from splitbrain.core.verdict import Anomaly, Status, invalid, valid

# Two dumb judges by definition. Both allow each unknown operation to have happened or not; one
# keeps "ended before the other began", the other the order of each session alone.


SETTERS = ("write", "cas", "append", "add", "enqueue")


def replays(order: Sequence[Operation]) -> bool:
    now: dict[object, object] = {}
    for item in order:
        held = now.get(item.key)
        if item.f == "read":
            if not same(item.result, held):
                return False
        elif item.f == "write":
            now[item.key] = item.argument
        elif item.f in ("append", "enqueue"):
            now[item.key] = [*(held or []), item.argument]
        elif item.f == "add":
            now[item.key] = sorted({*(held or []), item.argument})
        elif item.f == "dequeue":
            first, *now[item.key] = held or [None]
            if not same(item.result, first):
                return False
        else:
            old, new = item.argument
            if same(old, held) is not item.applied:
                return False
            now[item.key] = new if item.applied else held
    return True


def before_in_time(one: Operation, other: Operation) -> bool:
    return (
        one.outcome is Outcome.OK
        and one.complete_index is not None
        and one.complete_index < other.invoke_index
    )


def before_in_session(one: Operation, other: Operation) -> bool:
    return one.session == other.session and one.invoke_index < other.invoke_index


def explained(operations, precedes) -> bool:
    known = [item for item in operations if item.outcome is Outcome.OK]
    unknown = [item for item in operations if item.outcome is Outcome.INFO and item.f in SETTERS]
    return any(
        not any(precedes(later, one) for place, one in enumerate(order) for later in order[place:])
        and replays(order)
        for count in range(len(unknown) + 1)
        for chosen in combinations(unknown, count)
        for order in permutations([*known, *chosen])
    )


class Brute:
    """Names what was never written apart from what cannot be put into an order."""

    needs = frozenset({Need.HISTORY})

    def __init__(self, name, precedes):
        self.name, self.precedes = name, precedes

    def check(self, evidence):
        operations = list(evidence.history)
        if explained(operations, self.precedes):
            return valid()
        made_up = any(
            item.outcome is Outcome.OK and not all(value in left for value in seen_by(item))
            for left in [{left_by(other) for other in operations}]
            for item in operations
        )
        return invalid([Anomaly(name="phantom" if made_up else "disorder", explanation="no order")])


def left_by(item):
    if item.f == "cas":
        return item.argument[1] if item.applied else None
    return item.argument if item.f in SETTERS else None


def seen_by(item):
    if item.result is None:
        return ()
    return item.result if isinstance(item.result, list) else (item.result,)


TIMED = Brute("linearizable", before_in_time)
SESSIONS = Brute("sessions", before_in_session)


@st.composite
def histories(draw, functions=("read", "write", "cas"), least=2, most=6):
    """Operations of up to three sessions, each over before its session's next; few values."""
    sessions = draw(st.lists(st.integers(0, 2), min_size=least, max_size=most))
    events = draw(st.permutations([s for s in sessions for _ in range(2)]))
    begun: dict[int, int] = {}
    spans = []
    for place, session in enumerate(events):
        if session in begun:
            spans.append((begun.pop(session), place, session))
        else:
            begun[session] = place
    retired: dict[int, int] = {}
    rows = []
    for start, end, session in sorted(spans):
        f = draw(st.sampled_from(functions))
        outcome = draw(st.sampled_from([Outcome.OK] * 6 + [Outcome.INFO, Outcome.FAIL]))
        process = retired.get(session, session)
        small = st.integers(1, 3)
        argument, result, applied = None, None, True
        if f == "read":
            lists = st.lists(small, min_size=1, max_size=2, unique=True)
            lists = lists.map(sorted) if "add" in functions else lists
            result = draw(st.none() | (small if "write" in functions else lists))
        elif f == "dequeue":
            result = draw(st.none() | small)
        elif f == "cas":
            argument, applied = [draw(small), draw(small)], draw(st.booleans())
        else:
            argument = draw(small)
        if outcome is Outcome.INFO:
            retired[session] = process + 10
        rows.append(
            Operation(
                process=process,
                session=session,
                f=f,
                key=draw(st.sampled_from(["x", "x", "y"])),
                argument=argument,
                result=result if outcome is Outcome.OK else None,
                applied=applied if outcome is Outcome.OK else True,
                outcome=outcome,
                invoke_index=start,
                complete_index=end,
            )
        )
    return rows


@pytest.mark.parametrize(
    ("judge", "is_timely", "functions"),
    [
        (TIMED, True, ("read", "write", "cas")),
        (TIMED, False, ("read", "write", "cas")),
        (SESSIONS, False, ("read", "write", "cas")),
        (TIMED, True, ("read", "append")),
        (SESSIONS, False, ("read", "append")),
        (TIMED, True, ("read", "add")),
        (SESSIONS, False, ("read", "add")),
        (TIMED, True, ("enqueue", "dequeue")),
        (SESSIONS, False, ("enqueue", "dequeue")),
    ],
)
@given(data=st.data())
@settings(max_examples=60)
def test_what_is_left_of_a_right_history_is_right(judge, is_timely, functions, data):
    rows = data.draw(histories(functions))
    assume(explained(rows, judge.precedes))
    dropped = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    gone = Ties(rows, is_timely=is_timely).closure(range(len(rows)), dropped)
    assert gone >= dropped
    rest = [item for number, item in enumerate(rows) if number not in gone]
    assert explained(rest, judge.precedes)


@pytest.mark.parametrize("judge", [TIMED, SESSIONS])
@pytest.mark.parametrize(
    "functions",
    [("read", "write", "cas"), ("read", "append"), ("read", "add"), ("enqueue", "dequeue")],
    ids="-".join,
)
@given(data=st.data())
@settings(max_examples=60)
def test_a_minimal_history_is_part_of_the_whole_and_nothing_of_it_can_go(judge, functions, data):
    rows = data.draw(histories(functions))
    history = History.of(rows)
    verdict = judge.check(from_history(history))
    assume(verdict.status is Status.INVALID)
    least = minimize(judge, from_history(history), verdict.anomalies[0], lambda: True)
    assert least is not None
    assert least.is_minimal
    kept = list(least.history)
    assert [item for item in rows if item in kept] == kept
    assert judge.check(from_history(least.history)).anomalies[0].name == least.anomaly
    ties = Ties(kept, is_timely=judge is TIMED)
    for number in range(len(kept)):
        gone = ties.closure(range(len(kept)), [number])
        rest = History.of(item for place, item in enumerate(kept) if place not in gone)
        again = judge.check(from_history(rest))
        assert all(anomaly.name != least.anomaly for anomaly in again.anomalies)


def reads_and_writes(steps):
    """Make a history of `w1` and `r1` one after another, a session each."""
    return History.of(
        Operation(
            process=number,
            session=number,
            f="write" if step[0] == "w" else "read",
            argument=int(step[1:]) if step[0] == "w" else None,
            result=int(step[1:]) if step[0] == "r" else None,
            outcome=Outcome.OK,
            invoke_index=2 * number,
            complete_index=2 * number + 1,
        )
        for number, step in enumerate(steps.split())
    )


def written(history):
    return " ".join(
        f"w{item.argument}" if item.f == "write" else f"r{item.result}" for item in history
    )


@pytest.mark.parametrize(
    ("steps", "least"),
    [
        ("w1 r1 w2 r2 w3 r3 r2 w4 r4", "w2 w3 r2"),
        ("w1 r1 w2 r2 r9 w3 r3", "r9"),
    ],
)
def test_what_the_checker_proves_is_left(steps, least):
    history = reads_and_writes(steps)
    found = Linearizable().check(from_history(history)).anomalies[0]
    minimum = minimize(Linearizable(), from_history(history), found, lambda: True)
    assert minimum is not None
    assert minimum.anomaly == found.name
    assert written(minimum.history) == least


def test_a_read_does_not_seem_made_up_because_its_writer_went():
    """Both reads are of what nobody wrote, but one of them only once its writer is left out."""
    history = reads_and_writes("w1 r1 r9")
    phantom = TIMED.check(from_history(history)).anomalies[0]
    minimum = minimize(TIMED, from_history(history), phantom, lambda: True)
    assert minimum is not None
    assert written(minimum.history) == "r9"


def test_a_checker_without_a_witness_is_minimized_all_the_same():
    history = reads_and_writes("w1 r1 w2 r2 w3 r2")
    wordless = Anomaly(name="disorder", explanation="it cannot be")
    minimum = minimize(TIMED, from_history(history), wordless, lambda: True)
    assert minimum is not None
    assert written(minimum.history) == "w2 w3 r2"


def test_a_witness_without_its_writers_gets_them():
    history = reads_and_writes("w1 r1 w2 r2 r1")
    reads = tuple(item for item in history if item.f == "read")[1:]
    shown = Anomaly(name="disorder", explanation="it cannot be", operations=reads)
    minimum = minimize(TIMED, from_history(history), shown, lambda: True)
    assert minimum is not None
    assert written(minimum.history) == "w1 w2 r1"


class Counting:
    """Finds something wherever two operations of one f are left."""

    name, needs = "counting", frozenset({Need.HISTORY})

    def __init__(self):
        self.asked = 0

    def check(self, evidence):
        self.asked += 1
        if len(evidence.history) < 2:
            return valid()
        return invalid([Anomaly(name="pair", explanation="there are two")])


def test_an_operation_that_is_not_known_goes_with_its_whole_key():
    rows = [
        dataclasses.replace(item, f="juggle", key=number % 3)
        for number, item in enumerate(reads_and_writes("w1 w2 w3 w4 w5 w6"))
    ]
    pair = Anomaly(name="pair", explanation="there are two")
    minimum = minimize(Counting(), from_history(History.of(rows)), pair, lambda: True)
    assert minimum is not None
    assert [item.key for item in minimum.history] == [2, 2]


def test_when_time_is_up_what_there_is_is_given_and_said_not_to_be_minimal():
    history = reads_and_writes(" ".join(f"w{number}" for number in range(1, 30)))
    pair = Anomaly(name="pair", explanation="there are two")
    clock = iter(range(1000))
    checker = Counting()
    minimum = minimize(checker, from_history(history), pair, lambda: next(clock) < 5)
    assert minimum is not None
    assert not minimum.is_minimal
    assert minimum.calls == checker.asked <= 8


def test_the_checker_is_asked_so_often_and_no_more():
    class Never(Counting):
        def check(self, evidence):
            self.asked += 1
            if len(evidence.history) < 3000:
                return valid()
            return invalid([Anomaly(name="pair", explanation="none can go")])

    history = reads_and_writes(" ".join(f"w{number}" for number in range(1, 3001)))
    checker = Never()
    pair = Anomaly(name="pair", explanation="none can go")
    minimum = minimize(checker, from_history(history), pair, lambda: True)
    assert minimum is not None
    assert not minimum.is_minimal
    assert checker.asked <= CALL_LIMIT


def test_a_history_in_which_the_checker_finds_nothing_is_not_minimized():
    history = reads_and_writes("w1 r1")
    assert minimize(TIMED, from_history(history), Anomaly(name="a", explanation="b"), bool) is None


def test_a_checker_of_more_than_histories_is_not_asked():
    class Traces(Counting):
        needs = frozenset({Need.HISTORY, Need.TRACES})

    pair = Anomaly(name="pair", explanation="there are two")
    checker = Traces()
    evidence = Evidence(history=reads_and_writes("w1 w2 w3"))
    assert minimize(checker, evidence, pair, lambda: True) is None
    assert checker.asked == 0


@given(needed=st.sets(st.integers(0, 40), min_size=1, max_size=5), total=st.integers(41, 80))
def test_delta_debugging_leaves_exactly_what_is_needed(needed, total):
    asked = 0

    def without(kept, places):
        nonlocal asked
        asked += 1
        rest = tuple(item for place, item in enumerate(kept) if place not in places)
        return rest if needed <= set(rest) else None

    assert set(reduced(range(total), without, lambda: True)) == needed
    assert asked < 6 * (len(needed) + 1) * np.log2(total)
