"""A client that asks again where that is safe: in a session, a command has one effect at most."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from splitbrain.core.client import Fail, Info
from splitbrain.core.value import Value
from splitbrain.system_under_test.systems.conversation import (
    Answer,
    Ask,
    Conversation,
    Heard,
    Unreachable,
    ask_leader,
    reply_of,
)

ROUNDS = 2
"""How often every node is asked before a client gives up."""

_ELSEWHERE = ("not-leader", "stopping", "overloaded", "change-in-progress")
"""What a node answers that did nothing, where another may do it, or the same one later."""


@dataclass(slots=True, kw_only=True)
class SessionClient:
    """Talks to one node, to the leader that it names, and to the others when these do not help.

    A command carries the session's name and a number of its own, so the nodes carry it out once,
    however often it is asked for (Ongaro's thesis, 6.3). What was asked in vain and may yet happen
    stays of unknown outcome, whatever is heard later.
    """

    known: Sequence[str]
    _node: str = ""
    _session: int | None = None
    _number: int = 0

    def open(self, node: str, session: int) -> None:  # noqa: ARG002 - the nodes give the session
        """Choose the node to ask first."""
        self._node = node
        self._session = None

    def converse(self, f: str, key: Value, argument: Value) -> Conversation:
        """Perform one operation."""
        request: dict[str, Value] = {"f": f, "key": key, "argument": argument}
        if f != "read":
            if self._session is None:
                heard = yield from self._persist({"f": "open-session"})
                self._begin(heard)
            if self._session is None:
                return Fail("no session could be opened")  # so the command was never sent
            self._number += 1
            request |= {"session": self._session, "sequence": self._number}
        heard = yield from self._persist(request)
        if isinstance(heard, Answer) and heard.body.get("error") == "session-expired":
            self._session = None
        return reply_of(heard) if not isinstance(heard, _Doubtful) else Info(heard.reason)

    def _begin(self, heard: Heard | _Doubtful) -> None:
        index = heard.body.get("index") if isinstance(heard, Answer) else None
        if isinstance(index, int):
            self._session, self._number = index, 0

    def _persist(self, request: Mapping[str, Value]) -> Generator[Ask, Heard, Heard | _Doubtful]:
        """Ask one node after the other; give what settles it, or what is in doubt."""
        doubt: _Doubtful | None = None
        heard: Heard = Unreachable("there is no node")
        for node in self._nodes():
            heard = yield from ask_leader(node, request, self.known)
            if isinstance(heard, Unreachable):
                continue
            if not isinstance(heard, Answer):
                doubt = _Doubtful(heard.reason)
            elif heard.body.get("ok") is True:
                return heard
            elif heard.body.get("definite") is not True:
                doubt = _Doubtful(str(heard.body.get("error")))
            elif heard.body.get("error") not in _ELSEWHERE:
                break
        return heard if doubt is None else doubt

    def _nodes(self) -> Iterator[str]:
        first = self.known.index(self._node) if self._node in self.known else 0
        for number in range(ROUNDS * len(self.known)):
            yield self.known[(first + number) % len(self.known)]


@dataclass(frozen=True, slots=True)
class _Doubtful:
    """An earlier try may have had its effect, or may have it yet."""

    reason: str
