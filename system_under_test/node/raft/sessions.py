"""Client sessions, so that a command that comes twice is carried out once (thesis 6.3).

A session is opened through the log and is named by the index of that entry. Its commands carry its
name and a number that only rises; the answer to the last of them is kept. The table is part of the
replicated state: every node drops the same session at the same entry.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..canonical import Json
from ..value import value


@value
class Outcome:
    """What came of a command. error: a row of ERRORS, None when it was carried out."""

    index: int
    applied: bool = True
    error: str | None = None


EXPIRED, OUT_OF_SEQUENCE = "session-expired", "out-of-sequence"


@dataclass(slots=True)
class _Session:
    """The last command of a session. number: 0 before the first. used: index of its last use."""

    number: int
    applied: bool
    index: int
    used: int


class Sessions:
    """The sessions by name."""

    def __init__(self) -> None:
        self._sessions: dict[int, _Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, index: int, limit: int) -> None:
        """Open a session at an entry, and drop the ones that were not used for longest.

        limit: how many there may be; it stands in the entry, so that all nodes go by the same.
        """
        while len(self._sessions) >= max(1, limit):
            oldest = min(self._sessions, key=lambda name: self._sessions[name].used)
            del self._sessions[oldest]
        self._sessions[index] = _Session(0, applied=False, index=0, used=index)

    def recall(self, name: int, number: int, index: int) -> Outcome | None:
        """Give what is to be answered to a command without carrying it out; None: carry it out.

        index: of the entry that brings the command.
        """
        session = self._sessions.get(name)
        if session is None:
            return Outcome(index, applied=False, error=EXPIRED)
        session.used = index
        if number == session.number:
            return Outcome(session.index, session.applied)
        if number < session.number:
            return Outcome(index, applied=False, error=OUT_OF_SEQUENCE)
        return None

    def record(self, name: int, number: int, outcome: Outcome) -> None:
        """Keep the answer to a command that was carried out."""
        session = self._sessions.get(name)
        if session is not None:
            session.number = number
            session.applied, session.index = outcome.applied, outcome.index

    def content(self) -> list[Json]:
        """Give all as [name, number, applied, index, used], sorted by name."""
        return [
            [name, item.number, item.applied, item.index, item.used]
            for name, item in sorted(self._sessions.items())
        ]

    def restore(self, content: Iterable[Json]) -> None:
        """Hold what another table's `content` gave. Raises: ValueError when it is none."""
        self._sessions.clear()
        for row in content:
            match row:
                case [int(name), int(number), bool(applied), int(index), int(used)]:
                    self._sessions[name] = _Session(number, applied, index, used)
                case _:
                    message = f"no session: {str(row)[:80]}"
                    raise ValueError(message)
