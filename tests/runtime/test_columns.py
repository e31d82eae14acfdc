"""Columns beside a journal tell what the journal tells, or are not believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.core.evidence import from_journal
from splitbrain.core.journal import (
    MAGIC,
    Complete,
    Header,
    Invoke,
    Note,
    Phase,
    decode,
    decode_but_operations,
    encode,
)
from splitbrain.core.run import Plan
from splitbrain.runtime import store as store_module
from splitbrain.runtime.store import RunDirectory, create_run, load_run

RECORDS = (
    Header(run="r"),
    Phase(name="main", time_ns=1),
    Invoke(process=0, session=0, f="write", time_ns=2, key=1, argument=2**70),
    Complete(invoke=2, outcome="ok", time_ns=3, version=7),
    Invoke(process=1, session=0, f="read", time_ns=4, key=1),
    Note(text='{"type":"invoke"', time_ns=5),
    Complete(invoke=4, outcome="ok", time_ns=6, result=2**53 + 1),
    Phase(name="done", time_ns=7),
)


@pytest.fixture
def run(tmp_path):
    created = create_run(tmp_path / "store", Plan(system="raft", workload="register"))
    created.journal_path.write_bytes(MAGIC + b"".join(map(encode, RECORDS)))
    return created


def told(evidence):
    return [repr(item) for item in evidence.history], evidence.phases, evidence.notes


def test_columns_tell_what_the_journal_tells(run, monkeypatch):
    whole = load_run(run.path).evidence
    run.write_evidence(whole)
    monkeypatch.setattr(store_module, "from_journal", None)
    assert told(load_run(run.path).evidence) == told(whole)
    assert told(whole)[0] == told(from_journal(RECORDS))[0]


@pytest.mark.parametrize("name", ["journal", "history.parquet"])
def test_where_either_was_changed_the_journal_counts(run, name):
    run.write_evidence(load_run(run.path).evidence)
    file = run.path / name
    if name == "journal":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        file.write_bytes(b"PAR1")
    evidence = load_run(run.path).evidence
    journal = decode(run.journal_path.read_bytes())
    assert told(evidence) == told(from_journal(journal.records))


def test_columns_of_another_run_are_not_believed(run, tmp_path):
    run.write_evidence(load_run(run.path).evidence)
    other = RunDirectory(tmp_path / "other")
    other.path.mkdir()
    other.journal_path.write_bytes(MAGIC + b"".join(map(encode, RECORDS[:4])))
    (other.path / "history.parquet").write_bytes((run.path / "history.parquet").read_bytes())
    assert len(load_run(other.path).evidence.history) == 1


@given(st.lists(st.sampled_from(RECORDS), max_size=6), st.integers(0, 400), st.binary(max_size=3))
def test_the_quick_reading_agrees_or_gives_up(records, place, new):
    data = bytearray(MAGIC + b"".join(map(encode, records)))
    data[place : place + len(new)] = new
    quick = decode_but_operations(bytes(data))
    if quick is not None:
        whole = enumerate(decode(bytes(data)).records)
        assert quick.records == tuple(
            (index, item) for index, item in whole if not isinstance(item, (Invoke, Complete))
        )
