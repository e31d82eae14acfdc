"""Which messages were sent, and what became of each: what diagrams are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from splitbrain.cluster.sim.clocks import NodeClock
from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.message import Message

MESSAGE_LIMIT = 1_000_000
"""How many messages a run keeps; later ones are left out."""

UNDER_WAY, DELIVERED = "under way", "delivered"


@dataclass(slots=True)
class Recorder:
    """Keeps messages. kind_of: names the kind of a message between nodes. clocks: of the nodes."""

    time: VirtualTime
    kind_of: Callable[[bytes], str]
    clocks: Mapping[str, NodeClock]
    _messages: list[Message] = field(default_factory=list)

    def sent(self, sender: str, receiver: str, payload: bytes, kind: str = "") -> int | None:
        """Note that a message was sent; give its number, None beyond the limit."""
        clock = self.clocks.get(sender)
        shown = None if clock is None else clock.moment()
        return self._keep(
            Message(
                number=0,
                sender=sender,
                receiver=receiver,
                kind=kind or self.kind_of(payload),
                sent_ns=self.time.now_ns,
                arrived_ns=None,
                fate=UNDER_WAY,
                boot_ns=None if shown is None else shown.now_ns,
                wall_ns=None if shown is None else shown.wall_ns,
            )
        )

    def doubled(self, number: int) -> int | None:
        """Note that a message under way will arrive twice; give the number of the second."""
        return self._keep(replace(self._messages[number], fate=f"{UNDER_WAY} a second time"))

    def _keep(self, message: Message) -> int | None:
        number = len(self._messages)
        if number >= MESSAGE_LIMIT:
            return None
        self._messages.append(replace(message, number=number))
        return number

    def arrived(self, number: int) -> None:
        """Note that it arrived."""
        message = self._messages[number]
        fate = message.fate.replace(UNDER_WAY, DELIVERED)
        self._messages[number] = replace(message, arrived_ns=self.time.now_ns, fate=fate)

    def lost(self, number: int, fate: str) -> None:
        """Note that it never will."""
        self._messages[number] = replace(self._messages[number], fate=fate)

    def all(self) -> tuple[Message, ...]:
        """Give all of them, in the order of sending."""
        return tuple(self._messages)
