"""The journal's bytes: a torn tail is dropped, a damaged middle is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.core.errors import JournalError
from splitbrain.core.journal import (
    FRAME,
    MAGIC,
    ClockSample,
    Complete,
    FaultEvent,
    Header,
    Invoke,
    Note,
    Observe,
    Phase,
    Record,
    decode,
    encode,
    read_record,
)

RECORDS: list[Record] = [
    Header(run="r", wall_s=1.5, time_ns=3),
    Phase(name="main", time_ns=1, settled=True),
    Invoke(process=1, session=2, f="cas", time_ns=4, node="n1", key="k", argument=[None, 2**70]),
    Complete(
        invoke=2,
        outcome="ok",
        time_ns=5,
        result={"a": [1, True, 1.0]},
        applied=False,
        version=9,
        context=[1],
        served_by="n2",
    ),
    Observe(session=1, f="message", time_ns=6, key="t", value="\u2028"),
    FaultEvent(fault="f", kind="kill", state="missed", time_ns=7, proof={"pid": 3}, error="e"),
    ClockSample(node="n1", offset_ns=-5, uncertainty_ns=2, time_ns=8, daemon="raft"),
    Note(text="\u0000 text", time_ns=9, level="error", data=[None]),
]
FRAMES = [encode(record) for record in RECORDS]
WHOLE = MAGIC + b"".join(FRAMES)
STARTS = [len(MAGIC) + sum(map(len, FRAMES[:count])) for count in range(len(FRAMES) + 1)]


def test_every_kind_of_record_survives():
    decoded = decode(WHOLE)
    assert decoded.records == tuple(RECORDS)
    assert decoded.dropped_bytes == 0
    assert decoded.end_offset == len(WHOLE)
    complete = decoded.records[3]
    assert isinstance(complete, Complete)
    assert [type(item) for item in complete.result["a"]] == [int, bool, float]
    invoke = decoded.records[2]
    assert isinstance(invoke, Invoke)
    assert invoke.argument == [None, 2**70]


def test_room_that_was_not_used_is_no_torn_tail():
    decoded = decode(WHOLE + bytes(5000))
    assert decoded.records == tuple(RECORDS)
    assert decoded.dropped_bytes == 0
    assert decode(MAGIC + bytes(100)).records == ()


@pytest.mark.parametrize("room", [0, 300])
def test_a_tail_torn_at_any_byte_is_dropped_and_said(room: int):
    for cut in range(len(MAGIC), len(WHOLE)):
        whole = max(count for count, start in enumerate(STARTS) if start <= cut)
        decoded = decode(WHOLE[:cut] + bytes(room))
        assert decoded.records == tuple(RECORDS[:whole])
        assert decoded.end_offset == STARTS[whole]
        torn = WHOLE[STARTS[whole] : cut].rstrip(b"\0") if room else WHOLE[STARTS[whole] : cut]
        assert decoded.dropped_bytes == len(torn.rstrip(b"\0"))


def test_a_byte_flipped_in_the_middle_is_an_error_that_names_the_offset():
    last = STARTS[-2]
    for at in range(len(MAGIC), last):
        damaged = bytearray(WHOLE)
        damaged[at] ^= 0x40
        start = max(start for start in STARTS if start <= at)
        with pytest.raises(JournalError) as raised:
            decode(bytes(damaged), name="run/journal")
        assert raised.value.offset == start
        assert "run/journal is damaged" in str(raised.value)
        assert f"record {STARTS.index(start)} " in str(raised.value)
        assert f"at byte {start}" in str(raised.value)


def test_a_byte_flipped_in_the_last_record_drops_it():
    for at in range(STARTS[-2], len(WHOLE)):
        damaged = bytearray(WHOLE)
        damaged[at] ^= 0x01
        decoded = decode(bytes(damaged))
        assert decoded.records == tuple(RECORDS[:-1])
        assert decoded.dropped_bytes > 0


@pytest.mark.parametrize("data", [b"splitbrain journal 2\n", b"\0x", MAGIC[:-1]])
def test_what_is_no_journal_is_refused(data: bytes):
    with pytest.raises(JournalError, match="x is not a journal"):
        decode(data, name="x")


@pytest.mark.parametrize("data", [b"", b"\0" * 100])
def test_a_journal_in_which_nothing_stands_is_called_empty(data: bytes):
    with pytest.raises(JournalError, match=r"x is empty: .* ended before anything was recorded$"):
        decode(data, name="x")


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"other","x":1}',
        b'{"type":"note","text":"\xff","time_ns":1}',
        b'{"type":"note","text":"x","time_ns":1,"data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_a_payload_that_is_no_record_of_ours_is_none(payload: bytes):
    import zlib

    frame = FRAME.pack(b"\xa5\x5a", len(payload), zlib.crc32(payload)) + payload
    assert read_record(frame, 0) is None


def test_a_length_that_lies_is_no_record():
    frame = bytearray(FRAMES[0])
    frame[2:6] = (2**32 - 1).to_bytes(4, "little")
    assert read_record(bytes(frame), 0) is None


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_records_are_dropped_or_refused_but_never_believed(tail: bytes):
    try:
        decoded = decode(WHOLE + tail)
    except JournalError:
        return
    assert decoded.records == tuple(RECORDS)
    assert decoded.dropped_bytes == len(tail.rstrip(b"\0"))


def test_a_nan_is_never_written_as_one():
    """msgspec writes NaN as null: whoever appends checks values first, with `require_value`."""
    frame = encode(Observe(session=1, f="x", time_ns=1, value=float("nan")))
    assert b"NaN" not in frame
