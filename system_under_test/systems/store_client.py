"""A client of the reference store: its session keeps context, and moves from node to node."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from splitbrain.core.client import Fail, Ok, Reply
from splitbrain.core.conversation import Answer, Ask, Conversation, Heard
from splitbrain.core.value import Value, canonical
from splitbrain.system_under_test.node.store.config import Conflict, Level
from splitbrain.system_under_test.systems.conversation import reply_of


class Sessions(StrEnum):
    """Whether a session stays at its node, or each of its operations goes to the next one."""

    STAY = "stay"
    MOVE = "move"


def level_of(key: Value, default: Level) -> Level:
    """Give the level of a key: its prefix may say so."""
    prefix, slash, _ = key.partition("/") if isinstance(key, str) else ("", "", "")
    if slash and prefix in list(Level):
        return Level(prefix)
    return Level.EVENTUAL if slash and prefix in list(Conflict) else default


@dataclass(slots=True, kw_only=True)
class StoreClient:
    """Talks to the nodes on behalf of one session.

    `add` and `remove` are what an application does with a cart: read it, change the union of what
    is there, and write that back with the context of the read.
    """

    nodes: Sequence[str]
    level: Level
    sessions: Sessions
    _place: int = 0
    _session: int | None = None
    _contexts: dict[str, Value] = field(default_factory=dict)

    def open(self, node: str, session: int) -> None:
        """Choose the node to begin with; a new session has seen nothing."""
        self._place = self.nodes.index(node)
        if session != self._session:
            self._session = session
            self._contexts.clear()

    def converse(self, f: str, key: Value, argument: Value) -> Conversation:
        """Perform one operation."""
        node = self.nodes[self._place % len(self.nodes)]
        if self.sessions is Sessions.MOVE:
            self._place += 1
        if f in ("add", "remove"):
            return (yield from self._change(node, f, key, argument))
        heard = yield from self._ask(node, f, key, argument)
        return self._reply(heard, key)

    def _change(self, node: str, f: str, key: Value, item: Value) -> Conversation:
        read = self._reply((yield from self._ask(node, "read", key, None)), key)
        if not isinstance(read, Ok):
            # Whatever became of the read, nothing was changed.
            return Fail(read.error)
        held = {canonical(value): value for value in _united(read.value)}
        if f == "add":
            held[canonical(item)] = item
        else:
            held.pop(canonical(item), None)
        items = [held[text] for text in sorted(held)]
        return self._reply((yield from self._ask(node, "write", key, items)), key)

    def _ask(self, node: str, f: str, key: Value, argument: Value) -> Generator[Ask, Heard, Heard]:
        level = level_of(key, self.level)
        place = self._context_place(key)
        request: dict[str, Value] = {"f": f, "level": str(level), "key": key}
        if f == "write":
            request["argument"] = argument
        request["context"] = self._contexts.get(place)
        heard = yield Ask(node, request)
        if isinstance(heard, Answer) and heard.body.get("ok") is True:
            self._contexts[place] = heard.body.get("context")
        return heard

    def _context_place(self, key: Value) -> str:
        """Say what a context is of: of a key, or of all keys of its level."""
        level = level_of(key, self.level)
        whole = level in (Level.CAUSAL, Level.SEQUENTIAL)
        return str(level) if whole else f"{level} {canonical(key)}"

    def _reply(self, heard: Heard, key: Value) -> Reply:
        reply = reply_of(heard)
        if isinstance(reply, Ok) and isinstance(heard, Answer):
            context = self._contexts.get(self._context_place(key))
            return Ok(
                value=reply.value,
                version=reply.version,
                context=context,
                served_by=reply.served_by,
            )
        return reply


def _united(value: Value) -> Sequence[Value]:
    """Give the items of a cart: of one list, or of several that stand side by side."""
    if not isinstance(value, list):
        return []
    if value and all(isinstance(item, list) for item in value):
        return [item for part in value for item in part]  # type: ignore[union-attr]
    return value
