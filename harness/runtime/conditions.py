"""Conditions on which a fault starts: predicates over the journal and over nodes' traces.

Each watch looks only at what is new since it last looked, and counts what matches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from splitbrain.core.errors import RemoteError
from splitbrain.core.fault import Condition
from splitbrain.core.journal import Record
from splitbrain.core.value import Value

TRACE_CHUNK_BYTES = 4 * 1024 * 1024


class TraceSource(Protocol):
    """Where new bytes of a node's trace come from."""

    def __call__(self, node: str, offset: int) -> bytes:
        """Give the bytes of the node's trace from an offset on; none when there are no more."""


JournalSource = Callable[[int], tuple[Sequence[Record], int]]
"""Gives the records from a byte offset on, and the offset behind them."""


class Watch(Protocol):
    """Something that becomes true at some time, and stays so."""

    def look(self) -> bool:
        """Look at what is new and tell whether the condition holds by now."""


@dataclass(slots=True)
class TraceWatch:
    """Counts matching trace records of one node, or of several."""

    condition: Condition
    nodes: tuple[str, ...]
    source: TraceSource
    offsets: dict[str, int] = field(default_factory=dict)
    rest: dict[str, bytes] = field(default_factory=dict)
    seen: int = 0

    def skip(self) -> None:
        """Leave out what the traces hold already: look only at what comes after this."""
        self._read(lambda _record: None)
        self.seen = 0

    def look(self) -> bool:
        """Read on and tell whether enough records matched."""
        self._read(self._count)
        return self.seen >= self.condition.count

    def _count(self, record: Mapping[str, Value]) -> None:
        self.seen += self.condition.holds_for(record)

    def _read(self, take: Callable[[Mapping[str, Value]], None]) -> None:
        for node in self.nodes:
            try:
                data = self.source(node, self.offsets.get(node, 0))
            except RemoteError:
                continue  # the node is down or has not begun: there is nothing new to see
            self.offsets[node] = self.offsets.get(node, 0) + len(data)
            *lines, self.rest[node] = (self.rest.get(node, b"") + data).split(b"\n")
            for line in lines:
                record = _record_of(line)
                if record is not None:
                    take(record)


@dataclass(slots=True)
class JournalWatch:
    """Counts matching records of the journal."""

    condition: Condition
    source: JournalSource
    offset: int = 0
    seen: int = 0

    def skip(self) -> None:
        """Leave out what the journal holds already."""
        _, self.offset = self.source(self.offset)
        self.seen = 0

    def look(self) -> bool:
        """Read on and tell whether enough records matched."""
        records, self.offset = self.source(self.offset)
        for record in records:
            value: Mapping[str, Value] = msgspec.to_builtins(record)
            self.seen += self.condition.holds_for(value)
        return self.seen >= self.condition.count


def _record_of(line: bytes) -> Mapping[str, Value] | None:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
