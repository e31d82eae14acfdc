"""The journal on disk: a memory-mapped file that grows as records are appended, and its readers.

A record is in the page cache, and so safe from the death of this process, as soon as `append`
returns; no system call is made for it. Room is allocated before it is used, so that a full disk is
an error with a name and not a signal.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from splitbrain.core.errors import JournalError, StoreError
from splitbrain.core.journal import (
    FRAME,
    MAGIC,
    MARK,
    PAYLOAD_LIMIT,
    Complete,
    Decoded,
    FaultEvent,
    Note,
    Phase,
    Record,
    decode,
    encode,
    read_record,
)

CHUNK_BYTES = 4 * 1024 * 1024
RESERVE_BYTES = 128 * 1024
LEAST_CHUNK_BYTES = 64 * 1024
JOURNAL_LIMIT_BYTES = 8 * 1024 * 1024 * 1024

FIRST_READ_BYTES = 64 * 1024

_KEPT_FREE: Mapping[type, int] = {
    Complete: RESERVE_BYTES // 2,
    Note: RESERVE_BYTES // 4,
    FaultEvent: 0,
    Phase: 0,
}
"""On a full disk: how much of the reserve a record leaves to others; other kinds get none of it."""

_NO_MARK = b"\0" * len(MARK)


class Journal(Protocol):
    """Where records go; whoever appends holds `lock`."""

    lock: threading.Lock

    def append(self, record: Record) -> int:
        """Write one record and give its index. Raises: StoreError."""

    def append_frame(self, frame: bytes, kind: type[Record]) -> int:
        """Write one record that `encode` made already, and give its index. Raises: StoreError."""

    def close(self) -> None:
        """Write nothing any more. Raises: StoreError."""


class JournalWriter:
    """Appends records to a new file; whoever appends holds `lock`.

    When the disk is full the journal keeps what it has. No operation begins any more, but those
    under way can end and faults can heal: their records go into a small reserve.

    Raises: StoreError when the file exists already or there is no room for it.
    """

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        self._path = path
        self._failure: StoreError | None = None
        self._closed = False
        self._count = 0
        self._used = 0
        self._allocated = 0
        self._free_until = 0  # where the reserve begins; 0 once there has been a failure
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags, 0o644)
        except OSError as error:
            raise _cannot(path, "create", error) from error
        self._map: mmap.mmap
        self._map_begins = 0
        try:
            self._extend(RESERVE_BYTES + len(MAGIC))
        except StoreError:
            os.close(self._file)
            path.unlink(missing_ok=True)
            raise
        self._map[: len(MAGIC)] = MAGIC
        self._used = len(MAGIC)

    def append(self, record: Record) -> int:
        """Write one record and give its index; the caller holds the lock.

        Raises: StoreError when the disk is full, ValueError for a record that is too large.
        """
        return self.append_frame(encode(record), type(record))

    def append_frame(self, frame: bytes, kind: type[Record]) -> int:
        """Write one record that `encode` made already, and give its index."""
        if self._used + len(frame) > self._free_until:
            self._make_room(len(frame), kind)
        begin = self._used - self._map_begins
        end = begin + len(frame)
        # The mark goes last: until it stands there, nobody takes what is behind it for a record.
        self._map[begin:end] = _NO_MARK + frame[len(MARK) :]
        self._map[begin : begin + len(MARK)] = MARK
        self._used += len(frame)
        index = self._count
        self._count = index + 1
        return index

    def close(self) -> None:
        """Cut the file to the length used and bring it to the disk; closing twice does no harm.

        Raises: StoreError when the disk refuses it.
        """
        with self.lock:
            if self._closed:
                return
            self._closed = True
            self._allocated = self._free_until = 0
            self._failure = StoreError(f"the journal {self._path} is closed")
            try:
                self._map.flush()
                self._map.close()
                os.ftruncate(self._file, self._used)
                os.fsync(self._file)
            except OSError as error:
                raise _cannot(self._path, "finish", error) from error
            finally:
                os.close(self._file)

    def _make_room(self, length: int, kind: type[Record]) -> None:
        if self._failure is None:
            try:
                self._extend(self._used + length + RESERVE_BYTES)
            except StoreError as error:
                self._failure = error
                self._free_until = 0
            else:
                return
        kept = _KEPT_FREE.get(kind)
        if kept is None or self._allocated - self._used - length < kept:
            raise self._failure

    def _extend(self, needed: int) -> None:
        """Allocate up to `needed` bytes, better a chunk more, and map what is not used yet."""
        chunk = CHUNK_BYTES
        while True:
            target = _up(needed + chunk, mmap.PAGESIZE)
            try:
                os.posix_fallocate(self._file, self._allocated, target - self._allocated)
                break
            except OSError as error:
                if chunk == 0:
                    raise _cannot(self._path, "extend", error) from error
                chunk = chunk // 2 if chunk > LEAST_CHUNK_BYTES else 0
        self._remap(target)

    def _remap(self, target: int) -> None:
        begins = self._used - self._used % mmap.PAGESIZE
        try:
            fresh = mmap.mmap(self._file, target - begins, offset=begins)
        except (OSError, ValueError) as error:
            raise _cannot(self._path, "map", error) from error
        if self._allocated:
            self._map.close()
        self._map, self._map_begins, self._allocated = fresh, begins, target
        self._free_until = target - RESERVE_BYTES


class MemoryJournal:
    """A journal that no file keeps; it holds the same bytes as a file would."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data = bytearray(MAGIC)
        self._count = 0

    def append(self, record: Record) -> int:
        """Keep one record and give its index. Raises: ValueError for one that is too large."""
        return self.append_frame(encode(record), type(record))

    def append_frame(self, frame: bytes, kind: type[Record]) -> int:  # noqa: ARG002 - never full
        """Keep one record that `encode` made already, and give its index."""
        self.data += frame
        index = self._count
        self._count = index + 1
        return index

    def close(self) -> None:
        """Do nothing: there is no file."""

    def read(self) -> Decoded:
        """Read all of it."""
        return decode(bytes(self.data))

    def read_from(self, offset: int) -> tuple[tuple[Record, ...], int]:
        """Give the records from a byte offset on (0: from the start), and the next offset."""
        at = offset or len(MAGIC)
        records: list[Record] = []
        while (found := read_record(memoryview(self.data), at)) is not None:
            record, at = found
            records.append(record)
        return tuple(records), at


class JournalReader:
    """Follows a journal while it is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_from(self, offset: int) -> tuple[tuple[Record, ...], int]:
        """Give the whole records from a byte offset on (0: from the start), and the next offset.

        Raises: StoreError when the file cannot be read, JournalError when it is no journal.
        """
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _cannot(self._path, "read", error) from error
        try:
            if offset == 0:
                offset = self._skip_magic(file)
            return self._records(file, offset)
        except OSError as error:
            raise _cannot(self._path, "read", error) from error
        finally:
            os.close(file)

    def _skip_magic(self, file: int) -> int:
        magic = os.pread(file, len(MAGIC), 0)
        if magic == MAGIC:
            return len(MAGIC)
        if not magic.strip(b"\0"):
            return 0  # the writer is about to begin
        message = f"{self._path} is not a journal of a version that this program reads"
        raise JournalError(message, offset=0)

    def _records(self, file: int, offset: int) -> tuple[tuple[Record, ...], int]:
        records: list[Record] = []
        if offset == 0:
            return (), 0
        size = FIRST_READ_BYTES
        while True:
            data = os.pread(file, size, offset)
            at = 0
            while (found := read_record(data, at)) is not None:
                record, at = found
                records.append(record)
            offset += at
            if len(data) < size or (at == 0 and not _wants_more(data)):
                return tuple(records), offset
            size = min(size * 4, FRAME.size + PAYLOAD_LIMIT)


def read_journal(path: Path) -> Decoded:
    """Read a whole journal, also one whose writer died.

    Raises: StoreError when the file cannot be read, JournalError when it is no journal or is
    damaged in its middle.
    """
    try:
        with open(path, "rb", opener=_open_quickly) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                message = f"{path} is not a regular file"
                raise StoreError(message)
            if status.st_size > JOURNAL_LIMIT_BYTES:
                message = f"{path} has {status.st_size} bytes, more than the limit for a journal"
                raise StoreError(message)
            data = file.read(JOURNAL_LIMIT_BYTES)
    except OSError as error:
        raise _cannot(path, "read", error) from error
    return decode(data, name=str(path))


def _open_quickly(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)  # a fifo must not hold us up


def _wants_more(data: bytes) -> bool:
    """Tell whether the data begin a record that is longer than they are."""
    if len(data) < FRAME.size:
        return False
    mark, length, _ = FRAME.unpack_from(data, 0)
    return bool(mark == MARK) and length <= PAYLOAD_LIMIT and FRAME.size + length > len(data)


def _up(number: int, step: int) -> int:
    return (number + step - 1) // step * step


def _cannot(path: Path, what: str, error: OSError | ValueError) -> StoreError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    message = f"cannot {what} the journal {path}: {reason}"
    if what == "read":
        return StoreError(message)
    return StoreError(message, advice="free some space, or choose another place with --store")
