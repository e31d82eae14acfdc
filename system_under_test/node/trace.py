"""The trace that a node writes, and how it is read back; docs/raft.md has the format."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .canonical import Json, compact_text, parse
from .effects import Trace
from .errors import NodeError


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks of a record, in nanoseconds."""

    boot_ns: Callable[[], int]
    wall_ns: Callable[[], int]


def system_clocks() -> Clocks:
    """Give the clocks of this machine: CLOCK_BOOTTIME and CLOCK_REALTIME."""
    return Clocks(lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns)


class TraceEncoder:
    """Numbers and dates the records of one boot."""

    def __init__(self, node: str, boot: str, clocks: Clocks) -> None:
        self._node = node
        self._boot = boot
        self._clocks = clocks
        self._seq = 0

    def encode(self, traces: Sequence[Trace]) -> bytes:
        """Give the lines of some records."""
        head: dict[str, Json] = {"node": self._node, "boot": self._boot}
        lines = []
        for trace in traces:
            lines.append(
                compact_text(
                    head
                    | {
                        "seq": self._seq,
                        "boot_ns": self._clocks.boot_ns(),
                        "wall_ns": self._clocks.wall_ns(),
                        "event": trace.event,
                    }
                    | dict(trace.fields)
                )
            )
            self._seq += 1
        lines.append("")
        return "\n".join(lines).encode("ascii")


class TraceFile:
    """Appends records to a file, unbuffered: a killed process loses nothing that it wrote.

    synced: nor does a host that loses its power; each write then takes as long as the disk does.
    """

    def __init__(self, path: Path, encoder: TraceEncoder, *, synced: bool = False) -> None:
        """Open the file, and end a line that a crash cut short.

        Raises: NodeError when it cannot be opened.
        """
        self._path = path
        self._encoder = encoder
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            if synced:
                flags |= os.O_DSYNC
            self._descriptor = os.open(path, flags, 0o644)
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                os.write(self._descriptor, b"\n")
        except OSError as error:
            message = f"the trace {path} cannot be opened: {error.strerror or error}"
            raise NodeError(message) from error

    def write(self, traces: Sequence[Trace]) -> None:
        """Write records in one piece.

        Raises: NodeError when they cannot be written: a node without a trace must not go on.
        """
        view = memoryview(self._encoder.encode(traces))
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            message = f"the trace {self._path} cannot be written: {error.strerror or error}"
            raise NodeError(message) from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def parse_lines(lines: Sequence[bytes]) -> list[Json]:
    """Read JSON, a value a line; None also for a line that is no JSON."""
    return [_parsed(line) for line in lines]


def _parsed(line: bytes) -> Json:
    try:
        return parse(line)
    except ValueError:
        return None


def read_trace(
    data: bytes, parse_lines: Callable[[Sequence[bytes]], Sequence[Json]] = parse_lines
) -> tuple[list[dict[str, Json]], list[str]]:
    """Read the trace of one node: its records, and one line for each gap; never raises.

    A line that a crash cut short is no gap: it is the last of its boot, and its step never left.
    """
    reader = _Reader()
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, record in enumerate(parse_lines(lines), 1):
        reader.take(number, record)
    reader.end_of_boot()
    return reader.records, reader.gaps


class _Reader:
    """Follows the lines of a trace. unread: numbers of the lines not read since the last record."""

    def __init__(self) -> None:
        self.records: list[dict[str, Json]] = []
        self.gaps: list[str] = []
        self._boot: Json = None
        self._next = 0
        self._unread: list[int] = []

    def take(self, number: int, record: Json) -> None:
        """Take what stands in a line."""
        if not isinstance(record, dict) or not _well_formed(record):
            self._unread.append(number)
            return
        boot, seq = record["boot"], record["seq"]
        assert isinstance(seq, int)
        if boot != self._boot:
            self.end_of_boot()
            self._boot, self._next = boot, 0
        elif self._unread:
            self.gaps.append(f"line {self._unread[0]}: cannot be read, in the middle of a boot")
            self._unread.clear()
        if seq != self._next:
            self.gaps.append(f"line {number}: boot {boot}: seq {seq} where {self._next} was due")
        self._next = seq + 1
        self.records.append(record)

    def end_of_boot(self) -> None:
        """Judge the lines that could not be read before a new boot or the end: one may be torn."""
        if len(self._unread) > 1:
            self.gaps.append(
                f"line {self._unread[0]}: cannot be read, nor can {len(self._unread) - 1} more"
            )
        self._unread.clear()


def _well_formed(value: Mapping[str, Any]) -> bool:
    try:
        return (
            type(value["seq"]) is int
            and type(value["boot_ns"]) is int
            and type(value["wall_ns"]) is int
            and type(value["node"]) is str
            and type(value["boot"]) is str
            and type(value["event"]) is str
        )
    except KeyError:
        return False
