"""Which messages were sent, and what became of each: what diagrams are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.message import Message

MESSAGE_LIMIT = 1_000_000
"""How many messages a run keeps; later ones are left out."""


@dataclass(slots=True)
class Recorder:
    """Keeps messages. kind_of: names the kind of a message between nodes."""

    time: VirtualTime
    kind_of: Callable[[bytes], str]
    _messages: list[Message] = field(default_factory=list)

    def sent(self, sender: str, receiver: str, payload: bytes, kind: str = "") -> int | None:
        """Note that a message was sent; give its number, None beyond the limit."""
        number = len(self._messages)
        if number >= MESSAGE_LIMIT:
            return None
        self._messages.append(
            Message(
                number=number,
                sender=sender,
                receiver=receiver,
                kind=kind or self.kind_of(payload),
                sent_ns=self.time.now_ns,
                arrived_ns=None,
                fate="under way",
            )
        )
        return number

    def arrived(self, number: int) -> None:
        """Note that it arrived."""
        message = self._messages[number]
        self._messages[number] = replace(message, arrived_ns=self.time.now_ns, fate="delivered")

    def lost(self, number: int, fate: str) -> None:
        """Note that it never will."""
        self._messages[number] = replace(self._messages[number], fate=fate)

    def all(self) -> tuple[Message, ...]:
        """Give all of them, in the order of sending."""
        return tuple(self._messages)
