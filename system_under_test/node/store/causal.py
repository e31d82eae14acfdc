"""CAUSAL: every node holds all keys and applies every write after all that the writer had seen.

Lazy replication (Ladin, Liskov, Shrira, Ghemawat 1992) with vector clocks over nodes. A write has
the dot (origin, number), the number of the origin's write before it, and the clock of what its
session had seen. It is applied where the origin's writes before it and everything under that clock
were applied. So at any node the writes that were applied are closed under "happened before". A
session's request is served where all that it saw was applied; so what a session reads is never
older than what it saw, nor than what caused it. The stamp is a Lamport clock: above every stamp
that the origin had applied. Of all writes of a key that were applied the one with the greatest
(stamp, dot) is read; that order extends "happened before", and it is the same everywhere: causal
convergence (Bouajjani et al., POPL 2017).
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from ..canonical import Json, parse
from .cell import EMPTY, NULL, Cell, Version, cell_to_json, joined_newest
from .messages import CausalHave, CausalWrites
from .outbox import Asker, Outbox
from .peers import Peers
from .policy import Policy
from .replica import dots_of
from .requests import Request, context_to_json
from .storage import Stored, causal_record
from .write import CausalWrite

WRITES_AT_A_TIME = 128
"""How many writes one message sends anew."""


@dataclass(slots=True)
class Waiting:
    """A request whose session saw what was not applied here yet."""

    asker: Asker
    request: Request
    deadline_ns: int


@dataclass(slots=True)
class Unacked:
    """A write of this node that too few others have."""

    asker: Asker
    write: CausalWrite
    deadline_ns: int
    acks: set[str] = field(default_factory=set)


class Causal:
    """The causal part of one node."""

    def __init__(self, outbox: Outbox, policy: Policy, peers: Peers, stored: Stored) -> None:
        self._outbox = outbox
        self._policy = policy
        self._peers = peers
        self._me = outbox.options.node
        self.applied: dict[str, int] = {}
        self.cells: dict[str, Cell] = {}
        self._writes: dict[str, list[CausalWrite]] = {}
        self._stamp = 0
        self._pending: dict[tuple[str, int], CausalWrite] = {}
        self._waiting: list[Waiting] = []
        self._unacked: dict[int, Unacked] = {}
        self._turn = 0
        self.sync_ns = outbox.now_ns + outbox.options.causal_sync_ns
        for write in stored.writes:
            self._keep(write)

    # -- requests

    def take(self, asker: Asker, request: Request) -> None:
        """Carry out a request as soon as all that its session saw was applied."""
        deadline_ns = self._outbox.now_ns + self._outbox.options.timeout_ns
        waiting = Waiting(asker, request, deadline_ns)
        if not self._serve(waiting):
            self._waiting.append(waiting)

    def stop(self) -> None:
        """Answer whoever waits."""
        for waiting in self._waiting:
            self._outbox.refuse(waiting.asker, "stopping")
        for unacked in self._unacked.values():
            self._outbox.refuse(unacked.asker, "timeout")
        self._waiting.clear()
        self._unacked.clear()

    def _serve(self, waiting: Waiting) -> bool:
        request = waiting.request
        if not self._policy.session_is_served(request.seen, self.applied):
            return False
        if request.is_read:
            self._read(waiting.asker, request)
        else:
            self._write(waiting, request)
        return True

    def _read(self, asker: Asker, request: Request) -> None:
        cell = self.cells.get(request.key, EMPTY)
        version = cell.newest
        seen = request.seen
        if version is not None:
            seen = seen.merged(version.context).up_to(version.dot)
        dots = dots_of(cell)
        self._outbox.trace(
            "answered",
            level="causal",
            key=parse(request.key),
            dots=dots,
            nodes=[self._me],
            needed=1,
            stale=False,
        )
        body: dict[str, Json] = {
            "ok": True,
            "value": None if version is None else parse(version.text),
            "dots": dots,
            "answered": [self._me],
            "context": context_to_json(seen, 0),
        }
        self._outbox.answer(asker, body)

    def _write(self, waiting: Waiting, request: Request) -> None:
        version = Version(
            dot=(self._me, self._outbox.next_number()),
            stamp=self._stamp + 1,
            context=request.seen,
            text=NULL if request.deletes else request.text,
            deleted=request.deletes,
        )
        write = CausalWrite(
            key=request.key, previous=self.applied.get(self._me, 0), version=version
        )
        self._apply(write)
        for node in self._outbox.options.others:
            self._outbox.send(node, CausalWrites(writes=(write,)))
        self._unacked[write.number] = Unacked(
            waiting.asker, write, self._outbox.now_ns + self._outbox.options.timeout_ns, {self._me}
        )
        self._look_at_unacked()

    def _look_at_unacked(self) -> None:
        needed = self._outbox.options.write_quorum
        for number, unacked in list(self._unacked.items()):
            if len(unacked.acks) < needed:
                continue
            del self._unacked[number]
            version = unacked.write.version
            acks: list[Json] = [*sorted(unacked.acks)]
            self._outbox.trace(
                "acked",
                level="causal",
                key=parse(unacked.write.key),
                dot=list(version.dot),
                stamp=version.stamp,
                context=version.context.to_json(),
                value=parse(version.text),
                deleted=version.deleted,
                asked=[*self._outbox.options.members],
                acks=acks,
                hints={},
                needed=needed,
            )
            self._outbox.answer(
                unacked.asker,
                {
                    "ok": True,
                    "value": None,
                    "dot": list(version.dot),
                    "stamp": version.stamp,
                    "acks": acks,
                    "hints": {},
                    "context": context_to_json(version.context.up_to(version.dot), 0),
                },
            )

    # -- replication

    def on_writes(self, sender: str, message: CausalWrites) -> None:
        """Take writes, apply what can be applied, and say how far that led."""
        for write in message.writes:
            if write.number > self.applied.get(write.origin, 0):
                self._pending[write.origin, write.number] = write
        self._apply_pending()
        self._outbox.send(sender, CausalHave(applied=dict(self.applied), ask=bool(self._pending)))

    def on_have(self, sender: str, message: CausalHave) -> None:
        """Learn what another node has applied; send it what it lacks when it asks."""
        have = message.applied.get(self._me, 0)
        for number, unacked in self._unacked.items():
            if number <= have:
                unacked.acks.add(sender)
        self._look_at_unacked()
        if not message.ask:
            return
        lacking = [
            write
            for origin, writes in self._writes.items()
            for write in writes[
                bisect_right(
                    writes, message.applied.get(origin, 0), key=lambda write: write.number
                ) :
            ][:WRITES_AT_A_TIME]
        ]
        if lacking:
            self._outbox.send(sender, CausalWrites(writes=tuple(lacking)))

    def _apply_pending(self) -> None:
        """Apply what depends on nothing that is missing, as long as that frees more."""
        progress = True
        while progress:
            progress = False
            for place, write in sorted(self._pending.items()):
                if write.number <= self.applied.get(write.origin, 0):
                    del self._pending[place]
                elif self._policy.may_apply(write, self.applied):
                    del self._pending[place]
                    self._apply(write)
                    progress = True

    def _apply(self, write: CausalWrite) -> None:
        self._outbox.persist(causal_record(write))
        self._keep(write)
        version = write.version
        self._outbox.trace(
            "applied",
            dot=list(version.dot),
            stamp=version.stamp,
            key=parse(write.key),
            context=version.context.to_json(),
        )

    def _keep(self, write: CausalWrite) -> None:
        version = write.version
        self.applied[write.origin] = write.number
        self._writes.setdefault(write.origin, []).append(write)
        self._stamp = max(self._stamp, version.stamp)
        cell = Cell((version,), version.context.up_to(version.dot))
        self.cells[write.key] = joined_newest(self.cells.get(write.key, EMPTY), cell)

    # -- time

    def on_time(self) -> None:
        """Serve who waited, give up what took too long, and compare with another node."""
        now_ns = self._outbox.now_ns
        self._waiting = [waiting for waiting in self._waiting if not self._serve(waiting)]
        for waiting in [w for w in self._waiting if now_ns >= w.deadline_ns]:
            self._waiting.remove(waiting)
            self._outbox.refuse(waiting.asker, "behind")
        for number, unacked in list(self._unacked.items()):
            if now_ns >= unacked.deadline_ns:
                del self._unacked[number]
                self._outbox.refuse(unacked.asker, "timeout")
        if now_ns >= self.sync_ns:
            self.sync_ns = now_ns + self._outbox.options.causal_sync_ns
            self._compare()

    def _compare(self) -> None:
        others = [node for node in self._outbox.options.others if self._peers.is_online(node)]
        if others:
            self._turn += 1
            node = others[self._turn % len(others)]
            self._outbox.send(node, CausalHave(applied=dict(self.applied), ask=True))

    def next_ns(self) -> int:
        """Give when `on_time` has something to do."""
        times = [waiting.deadline_ns for waiting in self._waiting]
        times += [unacked.deadline_ns for unacked in self._unacked.values()]
        return min([*times, self.sync_ns])

    # -- what operators see

    def shown_cells(self) -> list[Json]:
        """Give the cells, sorted by the keys' text."""
        members: list[Json] = list(self._outbox.options.members)
        return [
            {"level": "causal", "key": parse(key), "conflict": None, "replicas": members}
            | cell_to_json(cell)
            for key, cell in sorted(self.cells.items())
        ]
