"""A durable log of JSON records: checksummed frames, each on the disk before the next is written.

A frame is four bytes of magic, the length and the CRC-32 of its body (big-endian), and the body:
`{"n": number, "records": [...]}` in ASCII, numbers from 0. Frame n + 1 is written only after frame
n was fsynced. So a bad frame with a good one behind it was durable once and has been damaged since;
a bad frame with nothing good behind it is what a crash leaves, and nobody was told of it. (A last
frame that was durable and was damaged afterwards looks the same; no log in one file can tell.)
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .canonical import Json, compact_bytes, parse
from .errors import NodeError

_MAGIC = b"\xf5SB1"  # its first byte never stands in ASCII text, so no body holds a frame
_HEADER = struct.Struct(">4sII")

Parse = Callable[[bytes], Json]
Compact = Callable[[Json], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A log that is open. records: all it holds. notes: lines on what was mended, for the log."""

    log: DurableLog
    records: tuple[Json, ...]
    notes: tuple[str, ...]


def log_identity(protocol: str, node: str) -> dict[str, Json]:
    """Give what the first frame of a node's log says: whose it is."""
    return {"log": f"splitbrain-{protocol}", "version": 1, "node": node}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What the bytes of a log hold. frames: how many, the identity's included; 0 of a new log.

    end: where the torn tail begins, if there is one.
    """

    records: tuple[Json, ...]
    frames: int
    end: int


NOTHING = Image(records=(), frames=0, end=0)
"""The image of a new log."""


def read_image(
    path: Path,
    data: bytes,
    identity: Mapping[str, Json],
    *,
    known: Image = NOTHING,
    parse: Parse = parse,
) -> Image:
    """Read the bytes of a log; path: for messages alone.

    known: what an earlier reading gave, where the bytes up to its end are the same. parse: what
    reads JSON.

    Raises: NodeError when it is damaged in its middle, or belongs to another identity.
    """
    records, frames, place = list(known.records), known.frames, known.end
    while place < len(data):
        found = _frame_at(data, place, frames, parse)
        if found is None:
            _refuse_damage(path, data, place, frames, parse)
            break
        of_frame, place = found
        if frames:
            records.extend(of_frame)
        else:
            _require_identity(path, of_frame, identity)
        frames += 1
    return Image(records=tuple(records), frames=frames, end=place)


def encode_log_frame(
    number: int, records: Sequence[Json], compact: Compact = compact_bytes
) -> bytes:
    """Give the bytes of one frame of a log. compact: what writes JSON, in ASCII."""
    body = compact({"n": number, "records": records})
    return _HEADER.pack(_MAGIC, len(body), zlib.crc32(body)) + body


class DurableLog:
    """A file that only grows; `append` collects, `sync` writes and waits for the disk.

    After an error of `sync` the file must be opened anew: what an fsync that failed has left on
    the disk is unknown (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
    """

    def __init__(
        self, path: Path, descriptor: int, number: int, identity: Mapping[str, Json]
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        self._number = number
        self._identity = dict(identity)
        self._waiting: list[Json] = []
        self._replaces = False

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, Json]) -> Opened:
        """Open a log, or make one for this identity; cut off a torn tail.

        Raises: NodeError when the log is damaged in its middle, belongs to another identity, is in
        use by another daemon, or cannot be read or made.
        """
        try:
            return cls._open(path, identity)
        except OSError as error:
            message = f"the log {path} cannot be opened: {error.strerror or error}"
            raise NodeError(message) from error

    @classmethod
    def _open(cls, path: Path, identity: Mapping[str, Json]) -> Opened:
        path.parent.mkdir(parents=True, exist_ok=True)
        _beside(path).unlink(missing_ok=True)  # a replacement that a crash cut short
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _lock(path, descriptor)
            data = path.read_bytes()
            image = read_image(path, data, identity)
            notes = _cut_tail(path, descriptor, image.end, len(data))
            log = cls(path, descriptor, image.frames, identity)
            if not image.frames:
                log.append(dict(identity))
                log.sync()
                _sync_directory(path.parent)
            return Opened(log=log, records=image.records, notes=notes)
        except BaseException:
            os.close(descriptor)
            raise

    def append(self, *records: Json) -> None:
        """Add records to the frame that the next `sync` writes."""
        self._waiting.extend(records)

    def replace(self, *records: Json) -> None:
        """Let records stand for all that the log holds, and all that was appended, from `sync` on.

        `sync` then writes another file, waits until it is on the disk, and puts it in the place of
        the old one: a crash leaves the one or the other, whole.
        """
        self._waiting[:] = records
        self._replaces = True

    def sync(self) -> None:
        """Write what was appended as one frame and wait until it is on the disk.

        Raises: NodeError when the disk refuses.
        """
        if not self._waiting:
            return
        try:
            if self._replaces:
                self._rewrite()
            else:
                _write_all(self._descriptor, encode_log_frame(self._number, self._waiting))
                os.fdatasync(self._descriptor)
                self._number += 1
        except OSError as error:
            message = f"the log {self._path} cannot be written: {error.strerror or error}"
            raise NodeError(message) from error
        self._waiting.clear()
        self._replaces = False

    def _rewrite(self) -> None:
        """Write a new file beside the old one and rename it once it is durable.

        The order matters: the content, then the name, then the folder that holds the name.
        """
        beside = _beside(self._path)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(beside, flags, 0o644)
        try:
            _lock(self._path, descriptor)
            first, rest = encode_log_frame(0, [self._identity]), encode_log_frame(1, self._waiting)
            _write_all(descriptor, first + rest)
            os.fsync(descriptor)
            beside.rename(self._path)
            _sync_directory(self._path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor, self._number = descriptor, 2

    def close(self) -> None:
        """Let go of the file; what was not synced is dropped."""
        os.close(self._descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _lock(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        message = f"the log {path} is in use by another daemon"
        raise NodeError(message) from error


def _require_identity(path: Path, frame: tuple[Json, ...], identity: Mapping[str, Json]) -> None:
    if frame != (dict(identity),):
        message = f"the log {path} is of {list(frame)}, not of {dict(identity)}"
        raise NodeError(message)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cut_tail(path: Path, descriptor: int, end: int, size: int) -> tuple[str, ...]:
    if end == size:
        return ()
    os.ftruncate(descriptor, end)
    os.fsync(descriptor)
    return (f"the log {path} had a torn tail: {size - end} bytes cut off at byte {end}",)


def _frame_at(
    data: bytes, place: int, least_number: int, parse: Parse, *, exact: bool = True
) -> tuple[tuple[Json, ...], int] | None:
    """Give the records of the frame at a place and where it ends; None when it is no good frame."""
    if len(data) - place < _HEADER.size:
        return None
    magic, length, checksum = _HEADER.unpack_from(data, place)
    body = data[place + _HEADER.size : place + _HEADER.size + length]
    if magic != _MAGIC or len(body) != length or zlib.crc32(body) != checksum:
        return None
    try:
        value = parse(body)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("records"), list):
        return None
    number = value.get("n")
    if not isinstance(number, int) or number < least_number or (exact and number != least_number):
        return None
    return tuple(value["records"]), place + _HEADER.size + length


def _refuse_damage(path: Path, data: bytes, place: int, number: int, parse: Parse) -> None:
    """Refuse when a good frame stands behind the bad one.

    Raises: NodeError, with both places.
    """
    later = data.find(_MAGIC, place)
    while later >= 0:
        if _frame_at(data, later, number, parse, exact=False) is not None:
            message = (
                f"the log {path} is damaged at byte {place}, and good data follows at byte "
                f"{later}: this node has lost promises it made; give it back its data, or "
                f"replace it by a new member"
            )
            raise NodeError(message)
        later = data.find(_MAGIC, later + 1)
