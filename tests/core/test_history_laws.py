"""Histories: the rules they keep, and the values and orders they keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.evidence import Evidence, Need, from_history, from_journal
from splitbrain.core.history import History
from splitbrain.core.journal import Complete, Invoke, Note, Observe, Phase, Record
from splitbrain.core.operation import Operation, Outcome


def op(process: int, begin: int, end: int | None, **more: Any) -> Operation:
    fields = {
        "f": "write",
        "session": process,
        "outcome": Outcome.OK if end is not None else Outcome.INFO,
        **more,
    }
    return Operation(process=process, invoke_index=begin, complete_index=end, **fields)


@st.composite
def operations(draw: st.DrawFn) -> list[Operation]:
    """Draw a well-formed history: workers that take turns, and retire processes after INFO."""
    workers = draw(st.integers(1, 4))
    processes = list(range(workers))
    open_ones: dict[int, tuple[int, int]] = {}
    made: list[Operation] = []
    for index in range(draw(st.integers(0, 40))):
        worker = draw(st.integers(0, workers - 1))
        if worker not in open_ones:
            open_ones[worker] = (index, processes[worker])
            continue
        begin, process = open_ones.pop(worker)
        outcome = draw(st.sampled_from(Outcome))
        if outcome is Outcome.INFO:
            processes[worker] += workers
        value = draw(st.none() | st.integers() | st.booleans() | st.floats(-3, 3) | st.text("ab"))
        made.append(
            op(
                process,
                begin,
                index,
                outcome=outcome,
                key=draw(st.sampled_from([None, 1, "1", True])),
                argument=value,
                result=draw(st.sampled_from([value, None, 2**53 + 1])),
                version=draw(st.none() | st.integers(-(2**63), 2**63 - 1)),
                applied=draw(st.booleans()),
                node=draw(st.sampled_from([None, "n1", "n2"])),
                start_ns=begin,
                end_ns=index,
                error=draw(st.sampled_from([None, "e"])),
            )
        )
    made += [op(process, begin, None) for begin, process in open_ones.values()]
    return made


def exact(operation: Operation) -> str:
    return repr(operation)


@given(operations(), st.randoms(use_true_random=False))
def test_operations_survive_their_columns_in_the_order_of_invocation(made, random):
    shuffled = list(made)
    random.shuffle(shuffled)
    history = History.of(shuffled)
    wanted = sorted(made, key=lambda operation: operation.invoke_index)
    assert [exact(operation) for operation in history] == [exact(operation) for operation in wanted]


@given(operations())
def test_every_part_of_a_history_by_process_is_a_history(made: list[Operation]):
    history = History.of(made)
    part = history.take(history.process % 2 == 0)
    part.validate()
    assert [exact(o) for o in part] == [exact(o) for o in history if o.process % 2 == 0]


@given(operations())
def test_splitting_by_key_loses_nothing_and_keeps_types_apart(made: list[Operation]):
    history = History.of(made)
    groups = list(history.by_key())
    assert sum(len(part) for _, part in groups) == len(history)
    for key, part in groups:
        assert {(type(o.key), o.key) for o in part} == {(type(key), key)}
    firsts = [part[0].invoke_index for _, part in groups]
    assert firsts == sorted(firsts)


def test_the_view_for_people_keeps_large_integers_beside_missing_ones():
    history = History.of([op(0, 0, 1, version=2**53 + 1, argument=2**53 + 1), op(0, 2, 3)])
    frame = history.frame()
    assert frame["version"].tolist()[0] == 2**53 + 1
    assert str(frame["version"].dtype) == "Int64"
    assert frame["version"].isna().tolist() == [False, True]
    assert frame["argument"].tolist() == [2**53 + 1, None]


GOOD = [op(0, 0, 2), op(1, 1, 3), op(0, 4, 5)]


@pytest.mark.parametrize(
    ("made", "message", "place"),
    [
        ([op(0, 5, 5)], "completes before it is invoked", 5),
        ([op(0, 5, 3)], "completes before it is invoked", 5),
        ([op(0, 0, None, outcome=Outcome.OK)], "an outcome but no completion", 0),
        ([op(0, 0, None, outcome=Outcome.FAIL)], "an outcome but no completion", 0),
        ([op(0, 0, 3), op(0, 1, 2)], "another operation open", 1),
        ([op(0, 0, None), op(0, 1, 2)], "another operation open", 1),
        ([op(0, 0, 1, outcome=Outcome.INFO), op(0, 2, 3)], "retired by an unknown outcome", 2),
        ([op(0, 0, 2), op(1, 2, 3)], "share its place", 0),
        ([op(0, 0, 2), op(1, 0, 3)], "share its place", 0),
    ],
)
def test_a_history_that_breaks_a_rule_is_refused_with_its_place(made, message, place):
    with pytest.raises(MalformedHistoryError, match=message) as raised:
        History.of(made)
    assert raised.value.operation == place
    assert f"operation {place}" in str(raised.value)


def test_malformed_input_is_named_with_file_and_line():
    error = MalformedHistoryError("a value is missing", path="h.jsonl", line=17)
    assert str(error) == "h.jsonl:17: a value is missing"


def test_good_histories_are_accepted():
    assert len(History.of(GOOD)) == 3
    assert len(History.of([])) == 0


RECORDS: list[Record] = [
    Phase(name="main", time_ns=0),
    Invoke(process=0, session=0, f="write", time_ns=1, key=1, argument=5, node="n1"),
    Invoke(process=1, session=1, f="read", time_ns=2, key=1, node="n2"),
    Complete(invoke=2, outcome="ok", time_ns=3, result=5, served_by="n3"),
    Note(text="n", time_ns=4),
    Observe(session=1, f="message", time_ns=4, value=1),
]


def test_a_journal_folds_into_evidence_and_open_invocations_are_info():
    evidence = from_journal(RECORDS)
    assert evidence.history is not None
    write, read = evidence.history
    assert (write.outcome, write.complete_index, write.end_ns) == (Outcome.INFO, None, None)
    assert write.applied
    assert (read.outcome, read.result, read.node) == (Outcome.OK, 5, "n3")
    assert (read.invoke_index, read.complete_index) == (2, 3)
    assert evidence.phases == ((0, RECORDS[0]),)
    assert evidence.notes == ((4, RECORDS[4]),)
    assert evidence.observations == ((5, RECORDS[5]),)


def test_every_beginning_of_a_journal_is_evidence():
    """Whenever the controller dies, what is there can be judged."""
    for length in range(len(RECORDS) + 1):
        evidence = from_journal(RECORDS[:length])
        assert evidence.history is not None
        assert len(evidence.history) == sum(isinstance(r, Invoke) for r in RECORDS[:length])


@pytest.mark.parametrize("invoke", [0, 3, 99, -1])
def test_a_completion_of_nothing_is_refused(invoke: int):
    with pytest.raises(MalformedHistoryError, match="not open"):
        from_journal([*RECORDS, Complete(invoke=invoke, outcome="ok", time_ns=9)])


def test_a_second_completion_is_refused():
    with pytest.raises(MalformedHistoryError, match="not open"):
        from_journal([*RECORDS, Complete(invoke=2, outcome="info", time_ns=9)])


def test_missing_evidence_is_named_and_is_not_the_same_as_none_found():
    bare = from_history(History.of(GOOD), initial=None)
    assert bare.missing([Need.HISTORY, Need.TRACES, Need.FAULTS]) == (Need.FAULTS, Need.TRACES)
    assert replace(bare, faults=()).missing([Need.FAULTS]) == ()
    assert set(Evidence().missing(list(Need))) == set(Need)
