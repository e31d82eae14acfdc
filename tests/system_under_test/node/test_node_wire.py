"""Golden bytes of the wire: what is in use must not change unnoticed."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.system_under_test.node.raft.log import Entry
from splitbrain.system_under_test.node.raft.messages import (
    Append,
    AppendReply,
    Install,
    InstallReply,
    Message,
    PreVote,
    PreVoteReply,
    TimeoutNow,
    Vote,
    VoteReply,
    decode_message,
    encode_message,
)
from splitbrain.system_under_test.node.wire import (
    MAX_FRAME_BYTES,
    FrameDecoder,
    WireError,
    encode_frame,
)

GOLDEN: list[tuple[Message, str]] = [
    (
        PreVote(term=2, last_index=7, last_term=1),
        '{"type":"pre-vote","term":2,"last_index":7,"last_term":1}',
    ),
    (
        PreVoteReply(term=1, proposed=2, granted=True),
        '{"type":"pre-vote-reply","term":1,"proposed":2,"granted":true}',
    ),
    (
        Vote(term=2, last_index=7, last_term=1),
        '{"type":"vote","term":2,"last_index":7,"last_term":1,"transfer":false}',
    ),
    (VoteReply(term=2, granted=False), '{"type":"vote-reply","term":2,"granted":false}'),
    (
        Append(
            term=2,
            previous_index=7,
            previous_term=1,
            commit=6,
            round=3,
            entries=(Entry(2, '{"argument":1,"f":"write","key":"x"}'),),
        ),
        (
            '{"type":"append","term":2,"previous_index":7,"previous_term":1,"commit":6,"round":3,'
            '"entries":[[2,"{\\"argument\\":1,\\"f\\":\\"write\\",\\"key\\":\\"x\\"}"]]}'
        ),
    ),
    (
        AppendReply(term=2, round=3, previous_index=7, matched=8),
        (
            '{"type":"append-reply","term":2,"round":3,"previous_index":7,"matched":8,'
            '"conflict_term":null,"conflict_index":0}'
        ),
    ),
    (
        AppendReply(
            term=2, round=3, previous_index=7, matched=None, conflict_term=1, conflict_index=4
        ),
        (
            '{"type":"append-reply","term":2,"round":3,"previous_index":7,"matched":null,'
            '"conflict_term":1,"conflict_index":4}'
        ),
    ),
    (
        Install(
            term=2,
            round=3,
            index=8,
            entry_term=1,
            hash="0123456789abcdef",
            digest="fedcba9876543210",
            size=9,
            offset=4,
            piece='":[]}',
        ),
        (
            '{"type":"install","term":2,"round":3,"index":8,"entry_term":1,'
            '"hash":"0123456789abcdef","digest":"fedcba9876543210","size":9,"offset":4,'
            '"piece":"\\":[]}"}'
        ),
    ),
    (
        InstallReply(term=2, round=3, index=8, offset=4),
        '{"type":"install-reply","term":2,"round":3,"index":8,"offset":4}',
    ),
    (TimeoutNow(term=2), '{"type":"timeout-now","term":2}'),
]


@pytest.mark.parametrize(("message", "body"), GOLDEN, ids=lambda item: type(item).__name__)
def test_messages_look_as_ever_and_come_back_as_they_were(message: Message, body: str) -> None:
    frame = encode_frame(encode_message(message))
    assert frame == len(body).to_bytes(4, "big") + body.encode()
    (value,) = FrameDecoder().feed(frame)
    assert decode_message(value) == message


@given(
    st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans()), max_size=5),
    st.lists(st.integers(0, 400), max_size=10),
)
def test_frames_come_out_however_the_stream_is_cut(
    values: list[dict[str, Any]], cuts: list[int]
) -> None:
    data = b"".join(encode_frame(value) for value in values)
    decoder = FrameDecoder()
    found: list[Any] = []
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        found += decoder.feed(data[start:end])
    assert found == values


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ((MAX_FRAME_BYTES + 1).to_bytes(4, "big"), "longer than"),
        (b"\0\0\0\3abc", "not JSON"),
        (b"\0\0\0\2[]", "no JSON object"),
        (b'\0\0\0\x09{"a":NaN}', "not JSON"),
        (b"\0\0\0\4\xff\xff\xff\xff", "not JSON"),
        ((100_000).to_bytes(4, "big") + b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        list(FrameDecoder().feed(data))


def test_a_frame_beyond_the_limit_is_not_sent() -> None:
    with pytest.raises(WireError, match="longer than"):
        encode_frame({"x": "y" * MAX_FRAME_BYTES})


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"type": "gossip"},
        {"type": ["vote"]},
        {"type": "vote", "term": 1, "last_index": 0},
        {**json.loads(GOLDEN[2][1]), "more": 1},
        {**json.loads(GOLDEN[2][1]), "term": -1},
        {**json.loads(GOLDEN[2][1]), "term": True},
        {**json.loads(GOLDEN[2][1]), "term": 1.0},
        {**json.loads(GOLDEN[2][1]), "term": 1 << 63},
        {**json.loads(GOLDEN[7][1]), "hash": "0123"},
        {**json.loads(GOLDEN[7][1]), "piece": "é"},
        {**json.loads(GOLDEN[7][1]), "offset": -1},
        {"type": "vote-reply", "term": 1, "granted": 1},
        {**json.loads(GOLDEN[4][1]), "entries": [[0, "null"]]},
        {**json.loads(GOLDEN[4][1]), "entries": [[1, None]]},
        {**json.loads(GOLDEN[4][1]), "entries": [[1, "é"]]},
        {**json.loads(GOLDEN[4][1]), "entries": [[1]]},
        {**json.loads(GOLDEN[4][1]), "entries": {}},
        {**json.loads(GOLDEN[5][1]), "matched": "8"},
    ],
)
def test_what_is_no_message_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        decode_message(value)
