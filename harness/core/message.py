"""A message between nodes, or between a client and a node, as a simulator saw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from splitbrain.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a run, for diagrams.

    number: in the order of sending. kind: as the system names it; "request" and "reply" between
    clients and nodes. arrived_ns: None when it never did. fate: delivered, perhaps a second time,
    or why not. boot_ns, wall_ns: what the clocks of a node that sent it showed, as in its trace.
    """

    number: int
    sender: str
    receiver: str
    kind: str
    sent_ns: int
    arrived_ns: int | None
    fate: str
    boot_ns: int | None = None
    wall_ns: int | None = None

    def to_value(self) -> Value:
        """Give it as JSON."""
        return {
            "number": self.number,
            "sender": self.sender,
            "receiver": self.receiver,
            "kind": self.kind,
            "sent_ns": self.sent_ns,
            "arrived_ns": self.arrived_ns,
            "fate": self.fate,
            "boot_ns": self.boot_ns,
            "wall_ns": self.wall_ns,
        }

    @classmethod
    def from_value(cls, value: Value) -> Message:
        """Read it from JSON. Raises: ValueError when it is something else."""
        found: Any = msgspec.convert(value, type=cls)
        assert isinstance(found, cls)
        return found
