"""What is written is read as the same history, in every format."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from splitbrain.core import parquet
from splitbrain.core.errors import MalformedHistoryError, UsageError
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.foreign import read_history, write_history

texts = st.text(max_size=4).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.sampled_from([1.0, -0.0, 0.5, 1e300, 2**53 + 1]),
    texts,
    st.sampled_from(["true", "nil", ":a", '"', "\\", "; {", "\n", "\x00", "\u2028"]),
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=2), max_leaves=4
)


@st.composite
def histories(draw):
    """Histories of the vocabularies that there are, of up to 8 operations."""
    count = draw(st.integers(1, 8))
    places = draw(st.permutations(range(2 * count)))
    kinds = st.one_of(values, st.integers(0, 5))
    keys = draw(st.sampled_from([st.none(), st.integers(0, 2), st.sampled_from(["a", 1, None])]))
    operations = []
    for row in range(count):
        begun, done = sorted(places[2 * row : 2 * row + 2])
        f = draw(st.sampled_from(["read", "write", "cas", "append", "txn", "ta g"]))
        outcome = draw(st.sampled_from(list(Outcome)))
        is_open = outcome is Outcome.INFO and draw(st.booleans())
        returns = outcome is Outcome.OK and f not in ("write", "cas", "append")
        operations.append(
            Operation(
                process=row,
                session=draw(st.sampled_from([row, 7])),
                f=f,
                key=draw(keys),
                argument=None if f == "read" else draw(kinds),
                result=draw(kinds) if returns else None,
                outcome=outcome,
                applied=f != "cas" or outcome is not Outcome.OK or draw(st.booleans()),
                invoke_index=begun,
                complete_index=None if is_open else done,
                start_ns=draw(st.integers(0, 2**40)),
                end_ns=None if is_open else draw(st.none() | st.integers(0, 2**62)),
                node=draw(st.sampled_from([None, "n1", ":x"])),
                version=None if is_open else draw(st.none() | st.integers(0, 9)),
                error=None if is_open else draw(st.sampled_from([None, "a: b", ":timed-out"])),
            )
        )
    return History.of(operations)


def told(history):
    """Operations with the places of events counted from 0, and numbered processes.

    Texts stand for values, since 1 and True are equal in Python.
    """
    places = sorted(
        place
        for item in history
        for place in (item.invoke_index, item.complete_index)
        if place is not None
    )
    number = {place: count for count, place in enumerate(places)}
    return [
        repr(
            replace(
                item,
                invoke_index=number[item.invoke_index],
                complete_index=number.get(item.complete_index),
            )
        )
        for item in history
    ]


@settings(max_examples=40)
@given(histories())
def test_parquet_keeps_everything(tmp_path_factory, history):
    path = tmp_path_factory.getbasetemp() / "h.parquet"
    assert write_history(history, path, {"initial": [1, "a"]}) == ()
    imported = read_history(path)
    assert list(map(repr, imported.history)) == list(map(repr, history))
    assert imported.facts["initial"] == [1, "a"]
    for name in ("key", "argument", "result"):
        assert type(getattr(imported.history, name)) is type(getattr(history, name)) or not any(
            getattr(item, name) is not None for item in history
        )


@settings(max_examples=40)
@given(histories())
def test_json_lines_say_the_same(tmp_path_factory, history):
    path = tmp_path_factory.getbasetemp() / "h.jsonl"
    write_history(history, path, {})
    assert told(read_history(path, failed_cas="dropped").history) == told(history)


@settings(max_examples=20)
@given(histories())
@example(
    History.of(
        [
            Operation(
                process=0,
                session=0,
                f="cas",
                key=3,
                argument=[1, 2],
                outcome=Outcome.OK,
                applied=False,
                invoke_index=0,
                complete_index=1,
            ),
            Operation(
                process=1,
                session=1,
                f="read",
                key="k",
                result=[1, None],
                outcome=Outcome.OK,
                invoke_index=2,
                complete_index=3,
            ),
        ]
    )
)
def test_edn_says_the_same(tmp_path_factory, history):
    path = tmp_path_factory.getbasetemp() / "h.edn"
    write_history(history, path, {})
    assert told(read_history(path).history) == told(history)


def test_edn_is_as_jepsen_has_it(tmp_path):
    path = tmp_path / "h.edn"
    history = History.of(
        [
            Operation(
                process=0,
                session=0,
                f="read",
                key=3,
                result=2**70,
                outcome=Outcome.OK,
                invoke_index=0,
                complete_index=1,
                end_ns=5,
            )
        ]
    )
    write_history(history, path, {})
    assert path.read_text() == (
        "{:process 0, :type :invoke, :f :read, :value [3 nil], :time 0, :index 0}\n"
        f"{{:process 0, :type :ok, :f :read, :value [3 {2**70}N], :time 5, :index 1}}\n"
    )


def test_what_cannot_be_said_is_named(tmp_path):
    history = History.of(
        [
            Operation(
                process=0,
                session=0,
                f="write",
                argument=1,
                result="done",
                outcome=Outcome.OK,
                invoke_index=0,
                complete_index=1,
            )
        ]
    )
    notes = write_history(history, tmp_path / "h.jsonl", {"initial": ""})
    assert "held at first" in notes[0]
    assert notes[1].startswith("1 operation with a value")
    with pytest.raises(UsageError, match=r"written as \.edn, \.jsonl, \.parquet"):
        write_history(history, tmp_path / "h.csv", {})
    with pytest.raises(UsageError, match="there is no file"):
        read_history(tmp_path / "nothing.parquet")


COLUMNS = {
    "process": [0, 1],
    "f": ["write", "read"],
    "outcome": ["ok", "ok"],
    "invoke_index": [0, 1],
    "complete_index": [2, 3],
    "argument": [2**53 + 1, None],
    "result": [None, 2**53 + 1],
}


def test_files_of_others_need_few_columns(tmp_path):
    path = tmp_path / "h.parquet"
    pq.write_table(pa.table({**COLUMNS, "mine": ["x", "y"], "key": [{"a": 1}, {"a": 2}]}), path)
    write, read = read_history(path).history
    assert (write.argument, write.result, write.key) == (2**53 + 1, None, {"a": 1})
    assert (read.argument, read.result, read.session) == (None, 2**53 + 1, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"f": None}, "there is no column 'f'"),
        ({"process": [0.0, 1.0]}, "the column 'process' is of type double: it must be of integers"),
        ({"process": [0, None]}, "row 1: nothing stands in the column 'process'"),
        ({"outcome": ["ok", "fine"]}, 'row 1: the outcome is "fine"'),
        ({"complete_index": [None, 3]}, "operation 0: process 0 write: it has an outcome"),
        ({"result": [None, float("nan")]}, "row 1: the column 'result' holds what is no value"),
        ({"result": [None, 2.0**53]}, "the column 'result' has gaps and holds whole floats"),
        ({"f": [b"write", b"read"]}, "it must be of texts"),
        ({"applied": [1, 1]}, "it must be true or false"),
        ({"invoke_index": [0, 0]}, "two events share"),
        ({"version": pa.array([2**64 - 1, 1], pa.uint64())}, "more than 64 bits"),
        (
            {"key": pa.chunked_array([pa.array([["a"], ["b"]], pa.list_(pa.binary()))])},
            "row 0: the column 'key' holds what is no value",
        ),
    ],
)
def test_what_is_no_history_is_refused_with_its_place(change, reason, tmp_path):
    path = tmp_path / "h.parquet"
    columns = {name: items for name, items in {**COLUMNS, **change}.items() if items is not None}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(MalformedHistoryError) as refused:
        read_history(path)
    assert str(refused.value).startswith(str(path))
    assert reason in str(refused.value)
    assert str(refused.value).isprintable()


def test_floats_that_no_integers_became_are_kept(tmp_path):
    path = tmp_path / "h.parquet"
    pq.write_table(pa.table({**COLUMNS, "argument": [0.5, None], "result": [1.0, 0.5]}), path)
    write, read = read_history(path).history
    assert (write.argument, read.result) == (0.5, 0.5)


def test_a_column_that_stands_there_twice_is_refused(tmp_path):
    path = tmp_path / "h.parquet"
    pq.write_table(pa.table([[0], [1], ["read"]], names=["process", "process", "f"]), path)
    with pytest.raises(MalformedHistoryError, match="the column 'process' stands there twice"):
        read_history(path)


def test_limits_hold_before_anything_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "h.parquet"
    pq.write_table(pa.table(COLUMNS), path)
    for name, reason in (
        ("ROWS_LIMIT", "2 rows"),
        ("UNPACKED_LIMIT_BYTES", "bytes when unpacked"),
        ("COLUMNS_LIMIT", "7 columns"),
        ("DEPTH_LIMIT", "1 levels"),
        ("FILE_LIMIT_BYTES", "over the limit of"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(parquet, name, 0)
            patch.setattr(parquet, "from_arrow", None)
            with pytest.raises(MalformedHistoryError, match=reason):
                read_history(path)


@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=4)), max_size=4))
@example([(4657, b"\x01")])
@example([(733, b"\x80")])
def test_damage_is_read_or_refused_in_one_line(tmp_path_factory, edits):
    sound = tmp_path_factory.getbasetemp() / "sound.parquet"
    if not sound.exists():
        pq.write_table(pa.table(COLUMNS), sound)
    data = bytearray(sound.read_bytes())
    for place, new in edits:
        data[place % len(data) : place % len(data) + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    path.write_bytes(data)
    try:
        read_history(path).history.validate()
    except UsageError as error:
        assert str(path) in str(error)  # noqa: PT017 - or it was read
        assert str(error).isprintable()  # noqa: PT017


READS_PARQUET = """
import os, sys
from pathlib import Path
import pyarrow.parquet
from splitbrain.foreign import read_history
before = len(os.listdir("/proc/self/task"))
read_history(Path(sys.argv[1]))
print(len(os.listdir("/proc/self/task")) - before)
"""


def test_reading_parquet_starts_no_thread_that_could_abort_the_command_as_it_ends(tmp_path):
    path = tmp_path / "h.parquet"
    row = Operation(
        process=0, session=0, f="read", outcome=Outcome.OK, invoke_index=0, complete_index=1
    )
    write_history(History.of([row]), path, {})
    program = [sys.executable, "-c", READS_PARQUET, str(path)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    assert done.stdout == "0\n"
