"""A frame becomes a history exactly, or is refused by column and row."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import splitbrain
from splitbrain.core.errors import MalformedHistoryError, UsageError
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome

SOUND = {
    "process": [0, 1],
    "f": ["write", "read"],
    "outcome": ["ok", "info"],
    "invoke_index": [0, 1],
    "complete_index": pd.array([2, None], dtype="Int64"),
}
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([1.0, 0.5, 2**53 + 1, "1", "", [1, None], {"a": 1}]),
)


@given(st.lists(st.tuples(values, values, values, st.none() | st.integers(0, 2**62)), max_size=5))
def test_a_frame_is_the_way_back(rows):
    history = History.of(
        Operation(
            process=number,
            session=number,
            f="txn",
            key=key,
            argument=argument,
            result=result,
            version=version,
            outcome=Outcome.OK,
            invoke_index=2 * number,
            complete_index=2 * number + 1,
        )
        for number, (key, argument, result, version) in enumerate(rows)
    )
    assert list(map(repr, History.from_frame(history.frame()))) == list(map(repr, history))


def test_what_may_be_left_out_has_its_usual_value():
    write, read = History.from_frame(pd.DataFrame(SOUND))
    assert (write.session, write.applied, write.complete_index) == (0, True, 2)
    assert (read.session, read.key, read.complete_index) == (1, None, None)
    named = pd.DataFrame({**SOUND, "node": pd.Series(["n1", None], dtype="str")})
    assert [item.node for item in History.from_frame(named)] == ["n1", None]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"f": None}, "there is no column 'f'"),
        ({"f": None, "process": None}, "there is no column 'process' and no 'f'"),
        ({"mine": [1, 2]}, "there is a column 'mine'; columns are process, f"),
        ({"complete_index": [2.0, np.nan]}, "'complete_index', row 0: the column is of floats"),
        ({"argument": [1.0, np.nan]}, "'argument', row 1: nan is not a JSON number: use the type"),
        ({"argument": pd.Series([1, np.nan], dtype=object)}, "'argument', row 1: nan"),
        ({"process": pd.array([0, None], dtype="Int64")}, "'process', row 1: nothing stands there"),
        ({"process": [True, False]}, "'process', row 0: True is no integer"),
        ({"process": [2**70, 1]}, "'process', row 0: 1180591620717411303424 has more than 64"),
        ({"f": [1, 2]}, "'f', row 0: 1 is no text"),
        ({"f": [None, "read"]}, "'f', row 0: nothing stands there"),
        ({"outcome": ["ok", "ok\n"]}, "'outcome', row 1: 'ok\\n' is no outcome"),
        ({"applied": [1, 1]}, "'applied', row 0: 1 is neither true nor false"),
        ({"key": [object(), 1]}, "'key', row 0: object is not null"),
        ({"invoke_index": [0, 0]}, "two events share its place"),
        ({"complete_index": pd.array([None, None], dtype="Int64")}, "has an outcome but no"),
        ({"process": [0, 0]}, "its process has another operation open"),
    ],
)
def test_what_is_no_history_is_refused_in_one_line(change, reason):
    columns = {name: items for name, items in {**SOUND, **change}.items() if items is not None}
    with pytest.raises(MalformedHistoryError) as refused:
        History.from_frame(pd.DataFrame(columns))
    assert reason in str(refused.value)
    assert str(refused.value).isprintable()


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame(SOUND)
    doubled = pd.concat([frame, frame[["f"]]], axis=1)
    with pytest.raises(MalformedHistoryError, match="'f' stands there twice"):
        History.from_frame(doubled)


def test_the_example_of_the_page_prints_what_it_says(repository, capsys):
    text = (repository / "docs" / "histories.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "docs/histories.md", "exec"), {})
    (said,) = re.findall(r"prints `([^`]+)`", text)
    assert capsys.readouterr().out.strip() == said


def test_every_checker_judges_a_bare_history():
    from splitbrain import catalog

    history = History.from_frame(pd.DataFrame(SOUND))
    for name in catalog.names("checker"):
        verdict = splitbrain.judge(history, name)
        assert verdict.status.value in ("valid", "unknown"), name
    assert splitbrain.judge(history, "ring").reasons
    with pytest.raises(UsageError, match="there is no checker 'nothing'"):
        splitbrain.judge(history, "nothing")


def test_a_history_without_operations_leaves_nothing_to_judge():
    from splitbrain import catalog

    for name in catalog.names("checker"):
        assert splitbrain.judge(History.of([]), name).status is splitbrain.Status.UNKNOWN, name


@pytest.mark.parametrize(
    ("items", "plain"),
    [
        ([np.int64(2**53 + 1), np.bool_(True), None], [2**53 + 1, True, None]),
        ([np.float64(0.5), np.str_("x"), np.uint8(7)], [0.5, "x", 7]),
    ],
)
def test_scalars_of_numpy_are_what_they_hold(items, plain):
    frame = pd.DataFrame(
        {
            "process": pd.Series([np.int32(0), np.int32(1), np.int32(2)], dtype=object),
            "f": "write",
            "argument": pd.Series(items, dtype=object),
            "outcome": "ok",
            "invoke_index": [0, 2, 4],
            "complete_index": [1, 3, 5],
        }
    )
    history = History.from_frame(frame)
    assert [(type(o.argument), o.argument) for o in history] == [(type(v), v) for v in plain]
    assert [o.process for o in history] == [0, 1, 2]
