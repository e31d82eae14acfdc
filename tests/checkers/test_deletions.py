"""The checker of deletions: each name by a specimen, and the plain definition beside it."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from splitbrain.checkers.deletions import Deletions
from splitbrain.core.evidence import from_history
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Verdict


def operation(number, f, value, begin, end, outcome="ok", key="k"):
    return Operation(
        process=number,
        session=number,
        f=f,
        key=key,
        argument=value if f == "write" else None,
        result=value if f == "read" and outcome == "ok" else None,
        outcome=Outcome(outcome),
        invoke_index=begin,
        complete_index=end,
    )


def judge(*steps, initial=None) -> Verdict:
    """Judge steps one after another: (f, value) or (f, value, outcome)."""
    operations = [
        operation(place, step[0], step[1], 2 * place, 2 * place + 1, *step[2:])
        for place, step in enumerate(steps)
    ]
    return check(operations, initial)


def check(operations, initial=None) -> Verdict:
    return Deletions().check(from_history(History.of(operations), initial=initial))


def names(verdict: Verdict) -> list[str]:
    return sorted({anomaly.name for anomaly in verdict.anomalies})


WRITE, DELETE, GONE, READ = ("write", 1), ("delete", None), ("read", None), ("read", 1)


def test_what_was_deleted_is_gone_and_may_be_written_again() -> None:
    assert judge(GONE, WRITE, READ, DELETE, GONE, ("write", 2), ("read", 2)).valid


def test_a_value_that_comes_back() -> None:
    verdict = judge(WRITE, DELETE, GONE, READ)
    assert names(verdict) == ["resurrected-value"]
    (anomaly,) = verdict.anomalies
    assert [item.f for item in anomaly.operations] == ["write", "delete", "read"]
    assert anomaly.explanation == (
        'process 3\'s read of key "k" returned 1, although process 1\'s delete of key "k" had '
        'completed before it began, and process 0\'s write of 1 to key "k" had ended before that '
        "began"
    )


def test_an_old_value_without_a_delete_between_is_stale() -> None:
    assert names(judge(WRITE, ("write", 2), READ, DELETE)) == ["stale-read"]


def test_nothing_although_something_was_written() -> None:
    assert names(judge(WRITE, GONE, DELETE)) == ["stale-read"]
    assert names(judge(WRITE, DELETE, ("write", 2), GONE)) == ["stale-read"]


def test_deletes_that_failed_or_are_unknown() -> None:
    assert names(judge(WRITE, ("delete", None, "fail"), GONE, DELETE)) == ["stale-read"]
    unknown = [
        operation(0, "write", 1, 0, 1),
        operation(1, "delete", None, 2, None, "info"),
        operation(2, "write", 2, 3, 4),
        operation(3, "read", None, 5, 6),
        operation(4, "delete", None, 7, 8),
    ]
    assert check(unknown).valid  # it may happen at any later time
    value = [*unknown[:3], operation(3, "read", 1, 5, 6), unknown[4]]
    assert names(check(value)) == [
        "stale-read"
    ]  # and need not have happened: 2 is what replaced it


def test_values_of_nobody_and_of_the_future() -> None:
    assert names(judge(DELETE, READ)) == ["thin-air-read"]
    assert names(judge(("write", 1, "fail"), READ, DELETE)) == ["failed-write-observed"]
    assert names(judge(READ, WRITE, DELETE)) == ["future-read"]


def test_what_cannot_be_judged_is_unknown_and_named() -> None:
    assert judge(WRITE, READ).reasons == ("nothing was deleted that could come back",)
    assert judge(WRITE, DELETE).reasons == ("no read succeeded: there was nothing to judge",)
    assert "not cas" in judge(("cas", [1, 2], "fail")).reasons[0]
    assert "may be from several writes" in judge(WRITE, WRITE, READ, DELETE).reasons[0]


def test_the_initial_value_is_one_more_source() -> None:
    start = ("read", 0)
    assert judge(start, DELETE, GONE, initial=0).valid
    verdict = judge(start, ("write", 0), DELETE, initial=0)
    assert "the value 0 may be from a write, or from the beginning" in verdict.reasons[0]
    assert judge(start, ("write", 0, "fail"), DELETE, initial=0).valid
    assert names(judge(DELETE, ("write", 0, "fail"), start, initial=0)) == ["resurrected-value"]
    assert names(judge(("write", 1), start, DELETE, initial=0)) == ["stale-read"]


def test_nothing_can_be_read_only_where_nothing_is_left() -> None:
    """A key that began with a value holds nothing once it was deleted, and not before."""
    assert names(judge(GONE, DELETE, initial=0)) == ["thin-air-read"]
    assert names(judge(("delete", None, "fail"), GONE, DELETE, initial=0)) == ["thin-air-read"]
    verdict = judge(WRITE, GONE, DELETE, initial=0)
    assert names(verdict) == ["thin-air-read"]
    assert "it was not so in the beginning" in verdict.anomalies[0].explanation
    assert names(judge(GONE, DELETE)) == []


def test_to_write_nothing_is_to_delete() -> None:
    assert judge(("write", None), GONE, WRITE, DELETE).valid
    assert names(judge(WRITE, ("write", None), READ, DELETE)) == ["resurrected-value"]
    assert names(judge(WRITE, ("write", None, "fail"), GONE, DELETE)) == ["stale-read"]
    assert judge(("write", 1), ("write", None), GONE).valid


def defined(operations, initial=None) -> set[str]:
    """Name each bad read by trying every source and every change between."""
    found = set()
    ends = {
        item.process: item.complete_index if item.outcome is Outcome.OK else 10**6
        for item in operations
    }

    def left(item):
        return item.argument if item.f == "write" else None

    changes = [item for item in operations if item.f != "read" and item.outcome is not Outcome.FAIL]
    for read in operations:
        if read.f != "read" or read.outcome is not Outcome.OK:
            continue
        value, done = read.result, ends[read.process]
        fits = [(i.invoke_index, ends[i.process]) for i in changes if left(i) == value]
        begun = [end for begin, end in fits if begin < done]
        if value == initial:
            begun.append(-1)
            if value is not None and fits:
                continue  # nobody knows where it is from
        if value is None and not begun:
            found.add("thin-air-read")
            continue
        if not fits and value != initial:
            failed = any(item.f == "write" and item.argument == value for item in operations)
            found.add("failed-write-observed" if failed else "thin-air-read")
            continue
        if not begun:
            found.add("future-read")
            continue
        between = [
            [
                left(item)
                for item in changes
                if item.invoke_index > end and ends[item.process] < read.invoke_index
            ]
            for end in begun
        ]
        if all(between):
            resurrected = value is not None and None in between[0]
            found.add("resurrected-value" if resurrected else "stale-read")
    return found


@st.composite
def histories(draw):
    count = draw(st.integers(1, 8))
    places = draw(st.permutations(range(2 * count)))
    operations = []
    for number in range(count):
        begin, end = sorted(places[2 * number : 2 * number + 2])
        f = draw(st.sampled_from(["read", "read", "write", "delete"]))
        outcome = draw(st.sampled_from(["ok", "ok", "ok", "fail", "info"]))
        # one write in so many writes nothing, which deletes
        drawn = [None, *range(count)] if f == "read" else [number, number, number, None]
        value = draw(st.sampled_from(drawn))
        done = None if outcome == "info" else end
        operations.append(operation(number, f, value, begin, done, outcome))
    return operations


@given(histories(), st.sampled_from([None, 0, 1, 2, 99]))
def test_every_read_against_the_definition(operations, initial) -> None:
    assert set(names(check(operations, initial))) == defined(operations, initial)


@given(histories(), st.integers(0, 9))
def test_keys_do_not_matter_to_each_other(operations, split) -> None:
    other = [
        operation(
            item.process,
            item.f,
            item.argument if item.f == "write" else item.result,
            item.invoke_index,
            item.complete_index,
            str(item.outcome),
            key="k" if item.process < split else "other",
        )
        for item in operations
    ]
    left = defined([item for item in other if item.key == "k"])
    right = defined([item for item in other if item.key == "other"])
    assert set(names(check(other))) == left | right
