"""One Raft core alone, spoken to by hand: what each sentence of the paper is tested on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from splitbrain.system_under_test.node.effects import (
    Effect,
    Event,
    Persist,
    Persisted,
    Received,
    Reply,
    Requested,
    Send,
    Tick,
    Trace,
)
from splitbrain.system_under_test.node.raft.bugs import core_class
from splitbrain.system_under_test.node.raft.config import Options
from splitbrain.system_under_test.node.raft.core import RaftCore
from splitbrain.system_under_test.node.raft.log import Entry
from splitbrain.system_under_test.node.raft.messages import (
    Append,
    AppendReply,
    Message,
    PreVoteReply,
    VoteReply,
)
from splitbrain.system_under_test.node.raft.storage import Stored
from splitbrain.system_under_test.node.raft.store import command_of

MS = 1_000_000
M = TypeVar("M", bound=Message)


def entries(*terms: int) -> tuple[Entry, ...]:
    """Make entries of these terms, each writing its own index."""
    return tuple(Entry(term, text(f"{term}.{i}")) for i, term in enumerate(terms, 1))


def text(value: Any) -> str:
    """Give the command that writes a value under x."""
    return command_of({"f": "write", "key": "x", "argument": value}).text


class Lone:
    """The core of n1 among `size` members, and all it did since it was last asked."""

    def __init__(
        self,
        *,
        size: int = 3,
        term: int = 0,
        vote: str | None = None,
        log: tuple[Entry, ...] = (),
        **options: Any,
    ) -> None:
        members = tuple(f"n{i + 1}" for i in range(size))
        made = Options(node="n1", members=members, **options)
        stored = Stored(term=term, vote=vote, entries=log)
        self.now_ns = 0
        self.core: RaftCore = core_class(made.bugs)(made, stored, 0)
        self.effects: list[Effect] = list(self.core.start())
        self.tokens = 0

    def do(self, *events: Event) -> list[Effect]:
        """Hand in events, tell the core that the disk is done, and give all it did."""
        done = self.core.handle_batch(events)
        made = list(done)
        while marks := [e.mark for e in done if isinstance(e, Persist) and e.mark is not None]:
            done = self.core.handle_batch([Persisted(mark) for mark in marks])
            made += done
        self.effects += made
        return made

    def wait(self, ms: float) -> list[Effect]:
        """Let time pass."""
        self.now_ns += int(ms * MS)
        return self.do(Tick(self.now_ns))

    def hear(self, sender: str, message: Message) -> list[Effect]:
        """Let a message arrive."""
        return self.do(Received(sender, message))

    def ask(self, f: str, argument: Any = None, key: Any = "x") -> int:
        """Let a client ask, and give the token."""
        self.tokens += 1
        request = command_of({"f": f, "key": key, "argument": argument})
        self.do(Requested(self.tokens, request))
        return self.tokens

    def reply(self, token: int) -> Mapping[str, Any] | None:
        """Give the answer to a request, None when there is none yet."""
        found = [e.body for e in self.effects if isinstance(e, Reply) and e.token == token]
        assert len(found) <= 1, "answered twice"
        return found[0] if found else None

    def lead(self) -> Lone:
        """Make it the leader of the next term, elected by all."""
        self.wait(1000)
        term = self.core.term + 1
        if self.core.options.pre_vote:
            for other in self.core.options.others:
                self.hear(other, PreVoteReply(term=term - 1, proposed=term, granted=True))
        for other in self.core.options.others:
            self.hear(other, VoteReply(term=self.core.term, granted=True))
        assert self.core.role == "leader"
        self.effects.clear()
        return self

    def agree(self, sender: str, matched: int, round_: int = 0) -> list[Effect]:
        """Let a follower say that its log matches up to an index."""
        return self.hear(
            sender,
            AppendReply(term=self.core.term, round=round_, previous_index=0, matched=matched),
        )


def append(
    term: int,
    previous: tuple[int, int] = (0, 0),
    new: tuple[Entry, ...] = (),
    commit: int = 0,
    round_: int = 0,
) -> Append:
    """Make an Append. previous: index and term."""
    return Append(
        term=term,
        previous_index=previous[0],
        previous_term=previous[1],
        commit=commit,
        round=round_,
        entries=new,
    )


def sent(effects: list[Effect], kind: type[M], to: str | None = None) -> list[M]:
    """Give the messages of a kind among effects."""
    return [
        e.message
        for e in effects
        if isinstance(e, Send) and isinstance(e.message, kind) and to in (None, e.to)
    ]


def traced(effects: list[Effect], event: str) -> list[Mapping[str, Any]]:
    """Give the fields of the trace records of an event."""
    return [e.fields for e in effects if isinstance(e, Trace) and e.event == event]


def persisted(effects: list[Effect]) -> list[Any]:
    """Give the records made durable."""
    return [record for e in effects if isinstance(e, Persist) for record in e.records]
