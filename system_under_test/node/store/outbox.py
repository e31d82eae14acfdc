"""What the parts of a core share: the time, the numbers, and the effects of the step at hand."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..canonical import Json
from ..effects import Effect, Persist, Reply, Send, Trace
from ..errors import ERRORS
from .config import Options
from .messages import Forwarded, Message
from .storage import Stored, number_record

NUMBERS = 4096
"""How many numbers one record sets aside; a restart skips what is left of them."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who waits for an answer: a client of this node by its token, or another node's by its id."""

    token: int | None = None
    node: str = ""
    id: int = 0


class Outbox:
    """Collects effects in order; what stands behind a Persist leaves when that is durable."""

    def __init__(self, options: Options, now_ns: int, stored: Stored) -> None:
        self.options = options
        self.now_ns = now_ns
        self.wall_ns = 0
        self.number = stored.number
        self._aside = stored.number
        self._kept = stored.kept
        self._effects: list[Effect] = []

    def next_number(self) -> int:
        """Give a number that this node never gave before, in any of its lives.

        It is set aside on the disk before anything that carries it can leave.
        """
        if self.number >= self._aside:
            self._aside = self.number + NUMBERS
            self.persist(number_record(self._aside))
        self.number += 1
        return self.number

    def persist(self, *records: Json, mark: object = None) -> None:
        """Make records durable. mark: of the event that says that they are, None for no such."""
        for record in records:
            self._kept.take(record)
        self._effects.append(Persist(records, mark))

    def compact(self) -> None:
        """Let the log begin anew with what still counts, when the rest has become too much."""
        written = self._kept.written
        if self._kept.is_outgrown(self.options.compact_records):
            self._effects.append(Persist(self._kept.compacted(), replaces=True))
            self.trace("compacted", records=written, kept=len(self._kept))

    def send(self, to: str, message: Message) -> None:
        """Send a message to another node."""
        self._effects.append(Send(to, message))

    def trace(self, event: str, **fields: Json) -> None:
        """Write a record to the trace."""
        self._effects.append(Trace(event, fields))

    def add(self, effect: Effect) -> None:
        """Add any other effect."""
        self._effects.append(effect)

    def answer(self, asker: Asker, body: Mapping[str, Json]) -> None:
        """Answer whoever asked."""
        if asker.token is not None:
            self._effects.append(Reply(asker.token, body))
        else:
            self.send(asker.node, Forwarded(id=asker.id, body=body))

    def refuse(self, asker: Asker, code: str, detail: str = "") -> None:
        """Answer with an error of the table."""
        body: dict[str, Json] = {"ok": False, "error": code, "definite": ERRORS[code].definite}
        self.answer(asker, body | ({"detail": detail} if detail else {}))

    def take(self) -> list[Effect]:
        """Give the effects so far."""
        effects, self._effects = self._effects, []
        return effects
