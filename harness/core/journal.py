"""The journal's records: a versioned, tagged union, and how a record becomes bytes and comes back.

A file is the `MAGIC` line, then records: a two-byte mark, the length and the CRC-32 of the payload,
and the payload, a JSON object with its tag under "type". The place of a record in the file, counted
from 0 with the header, is its index: the order of precedence of everything that happened.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec

from splitbrain.core.errors import JournalError

MAGIC = b"splitbrain journal 1\n"
MARK = b"\xa5\x5a"
FRAME = struct.Struct("<2sII")
PAYLOAD_LIMIT = 64 * 1024 * 1024


class Header(msgspec.Struct, tag="header", frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The first record: what run this is. wall_s: seconds since the epoch, for people."""

    run: str
    version: int = 1
    wall_s: float = 0.0
    time_ns: int = 0


class Invoke(msgspec.Struct, tag="invoke", frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A worker is about to send; written before it may."""

    process: int
    session: int
    f: str
    time_ns: int
    node: str | None = None
    key: Any = None
    argument: Any = None


class Complete(
    msgspec.Struct, tag="complete", frozen=True, omit_defaults=True, kw_only=True, gc=False
):
    """An operation ended. invoke: index of its Invoke; outcome: ok, fail or info."""

    invoke: int
    outcome: str
    time_ns: int
    result: Any = None
    applied: bool = True
    version: int | None = None
    context: Any = None
    served_by: str | None = None
    error: str | None = None


class Observe(
    msgspec.Struct, tag="observe", frozen=True, omit_defaults=True, kw_only=True, gc=False
):
    """A push that a subscriber received."""

    session: int
    f: str
    time_ns: int
    key: Any = None
    value: Any = None


class FaultEvent(
    msgspec.Struct, tag="fault", frozen=True, omit_defaults=True, kw_only=True, gc=False
):
    """A step in the life of a fault.

    state: planned, injecting, active, missed, healing, healed or expired. resolved: the targets
    that it resolved to. proof: what shows that it took hold. error: why it was missed, or what
    went wrong in healing.
    """

    fault: str
    kind: str
    state: str
    time_ns: int
    resolved: Any = None
    proof: Any = None
    error: str | None = None


class Phase(msgspec.Struct, tag="phase", frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A phase of the run begins. settled: whether the system had settled, where that is asked."""

    name: str
    time_ns: int
    settled: bool | None = None
    reason: str | None = None


class ClockSample(
    msgspec.Struct, tag="clock", frozen=True, omit_defaults=True, kw_only=True, gc=False
):
    """How far a node's (or daemon's) wall clock is from the controller's.

    offset_ns: node minus controller. uncertainty_ns: half the round trip of the measurement.
    """

    node: str
    offset_ns: int
    uncertainty_ns: int
    time_ns: int
    daemon: str | None = None


class Note(msgspec.Struct, tag="note", frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Something worth keeping that is no event of the history. level: info, warning or error."""

    text: str
    time_ns: int
    level: str = "info"
    node: str | None = None
    data: Any = None


_OPERATIONS = (b'{"type":"invoke"', b'{"type":"complete"')

Record = Header | Invoke | Complete | Observe | FaultEvent | Phase | ClockSample | Note

encode_payload = msgspec.json.Encoder().encode
_decode_payload = msgspec.json.Decoder(Record).decode


def encode(record: Record) -> bytes:
    """Give the bytes of one record.

    Raises: ValueError for a payload of more than `PAYLOAD_LIMIT` bytes.
    """
    payload = encode_payload(record)
    if len(payload) > PAYLOAD_LIMIT:
        message = f"a record of {len(payload)} bytes is over the limit of {PAYLOAD_LIMIT}"
        raise ValueError(message)
    return FRAME.pack(MARK, len(payload), zlib.crc32(payload)) + payload


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a journal held. dropped_bytes: length of a torn tail that was left out, 0 if none."""

    records: tuple[Record, ...]
    dropped_bytes: int
    end_offset: int


def decode(data: bytes | memoryview, *, name: str = "journal") -> Decoded:
    """Read a journal's bytes; the zeros behind the last record are room that was not used.

    Raises: JournalError when this is no journal, or when a record is damaged that others follow.
    """
    magic = bytes(data[: len(MAGIC)])
    if not magic.strip(b"\0"):
        message = f"{name} is empty: whoever made it ended before anything was recorded"
        raise JournalError(message)
    if magic != MAGIC:
        message = f"{name} is not a journal of a version that this program reads"
        raise JournalError(message, offset=0)
    records: list[Record] = []
    offset = len(MAGIC)
    while (found := read_record(data, offset)) is not None:
        record, offset = found
        records.append(record)
    tail = _nonzero_length(data, offset)
    if tail and _next_record(data, offset + 1) is not None:
        message = f"{name} is damaged: record {len(records)} cannot be read, but others follow it"
        raise JournalError(message, offset=offset)
    return Decoded(tuple(records), tail, offset)


@dataclass(frozen=True, slots=True)
class Rest:
    """What a journal held beside operations, by index; and how many began and ended."""

    records: tuple[tuple[int, Record], ...]
    invokes: int
    completes: int


def decode_but_operations(data: bytes) -> Rest | None:
    """Read what is no invocation and no completion.

    None where anything is out of the ordinary: `decode` says what it is.
    """
    counts = [0, 0]
    others: list[tuple[int, Record]] = []
    offset, index, end = len(MAGIC), 0, len(data)
    if data[:offset] != MAGIC:
        return None
    while offset < end:
        if end - offset < FRAME.size:
            return None
        mark, length, crc = FRAME.unpack_from(data, offset)
        begin = offset + FRAME.size
        offset = begin + length
        if mark != MARK or length > PAYLOAD_LIMIT or offset > end:
            return None
        if not data.startswith(_OPERATIONS, begin, offset):
            found = read_record(data, begin - FRAME.size)
            if found is None:
                return None
            others.append((index, found[0]))
        elif zlib.crc32(data[begin:offset]) != crc:
            return None
        else:
            counts[0 if data.startswith(_OPERATIONS[0], begin, offset) else 1] += 1
        index += 1
    return Rest(tuple(others), *counts)


def read_record(data: bytes | memoryview, offset: int) -> tuple[Record, int] | None:
    """Give the record at this offset and the offset behind it, or None if there is no whole one."""
    end = offset + FRAME.size
    if end > len(data):
        return None
    mark, length, crc = FRAME.unpack_from(data, offset)
    if mark != MARK or length > PAYLOAD_LIMIT or end + length > len(data):
        return None
    payload = data[end : end + length]
    if zlib.crc32(payload) != crc:
        return None
    try:
        return _decode_payload(payload), end + length
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _nonzero_length(data: bytes | memoryview, offset: int) -> int:
    return len(bytes(data[offset:]).rstrip(b"\0"))


def _next_record(data: bytes | memoryview, offset: int) -> int | None:
    rest = bytes(data[offset:])
    at = rest.find(MARK)
    while at >= 0:
        if read_record(rest, at) is not None:
            return offset + at
        at = rest.find(MARK, at + 1)
    return None
