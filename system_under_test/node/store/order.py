"""SEQUENTIAL: one log of all writes by Raft; reads are local, in the order of the log.

Give each operation a place: a write its index in the log, a read the index up to where its node had
applied when it answered. Put operations in the order of their places, at one place the write first,
then the reads. A read returns what the log up to its place makes of its key, so in this order each
read returns the newest write before it. A session's places never fall: a read waits until its node
has applied the place of the session's operation before; and a write that is committed was appended
behind all that was committed when it was asked for (leader completeness), so behind all that its
session saw. Hence that order has each session's operations in their order: sequential consistency
(Lamport 1979). It is not real time: a node that is behind answers with the past. Crashes and cuts
leave this as it is, for Raft's log does not depend on them. A write of unknown outcome may take its
place later; its session ends there.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..canonical import Json, parse
from ..effects import (
    Effect,
    Event,
    Persist,
    Persisted,
    Received,
    Reply,
    Requested,
    Send,
    SetTimer,
    Stop,
    Tick,
    Trace,
)
from ..raft.config import Options as RaftOptions
from ..raft.service import RaftService
from .clocks import NOTHING
from .config import Options
from .messages import Order
from .outbox import Asker, Outbox
from .requests import Request, context_to_json
from .storage import order_anew_record, order_record


@dataclass(slots=True)
class Waiting:
    """A read whose session saw more of the log than this node has applied."""

    asker: Asker
    request: Request
    deadline_ns: int


class Sequencer:
    """The Raft beneath, and the reads beside it."""

    def __init__(self, outbox: Outbox, records: Sequence[Json]) -> None:
        self._outbox = outbox
        self._service = RaftService(_raft_options(outbox.options), records, outbox.now_ns)
        self._core = self._service.core
        self._waiting: list[Waiting] = []
        self._askers: dict[int, tuple[Asker, Request]] = {}
        self._timer_ns: int | None = None

    @property
    def leader(self) -> str | None:
        """Who orders the writes, as far as this node knows."""
        return self._core.leader

    def start(self) -> None:
        """Begin."""
        self._perform(self._core.start())

    def take(self, asker: Asker, request: Request) -> None:
        """Carry out a request; a write that this node cannot order is refused."""
        if request.is_read:
            deadline_ns = self._outbox.now_ns + self._outbox.options.timeout_ns
            waiting = Waiting(asker, request, deadline_ns)
            if not self._serve(waiting):
                self._waiting.append(waiting)
            return
        token = self._outbox.next_number()
        self._askers[token] = (asker, request)
        command: dict[str, Json] = {"f": "write", "key": parse(request.key)}
        command["argument"] = parse(request.text)
        self._hand_in([Requested(token, self._service.decode_request(command))])

    def on_message(self, sender: str, message: Order) -> None:
        """Take a message of another node's Raft."""
        decoded = self._service.decode_message(message.body)
        self._hand_in([Received(sender, decoded)])

    def on_persisted(self, mark: object) -> None:
        """Take note of what is durable."""
        self._hand_in([Persisted(mark)])

    def on_time(self) -> None:
        """Let time pass for the Raft beneath, and serve who waited."""
        now_ns = self._outbox.now_ns
        if self._timer_ns is not None and now_ns >= self._timer_ns:
            self._timer_ns = None
            self._hand_in([])
        self._waiting = [waiting for waiting in self._waiting if not self._serve(waiting)]
        for waiting in [w for w in self._waiting if now_ns >= w.deadline_ns]:
            self._waiting.remove(waiting)
            self._outbox.refuse(waiting.asker, "behind")

    def stop(self) -> None:
        """Answer whoever waits."""
        self._hand_in([Stop()])
        for waiting in self._waiting:
            self._outbox.refuse(waiting.asker, "stopping")
        self._waiting.clear()

    def next_ns(self) -> int | None:
        """Give when `on_time` has something to do."""
        times = [waiting.deadline_ns for waiting in self._waiting]
        times += [] if self._timer_ns is None else [self._timer_ns]
        return min(times, default=None)

    def status(self) -> dict[str, Json]:
        """Say how far this node is."""
        return self._core.status()

    def dump(self) -> dict[str, Json]:
        """Give what the log came to so far."""
        return self._core.dump()

    def _serve(self, waiting: Waiting) -> bool:
        request, applied = waiting.request, self._core.applied
        if applied < request.least:
            return False
        self._outbox.answer(
            waiting.asker,
            {
                "ok": True,
                "value": self._core.store.read(request.key),
                "index": applied,
                "context": context_to_json(NOTHING, applied),
            },
        )
        return True

    def _hand_in(self, events: Sequence[Event]) -> None:
        self._perform(self._core.handle_batch([Tick(self._outbox.now_ns), *events]))

    def _perform(self, effects: Sequence[Effect]) -> None:
        """Let the Raft's effects be this node's, wrapped where they must be told apart."""
        for effect in effects:
            match effect:
                case Persist(records, mark, replaces):
                    wrapped = (
                        (order_anew_record(records),)
                        if replaces
                        else tuple(order_record(record) for record in records)
                    )
                    marked = None if mark is None else ("order", mark)
                    self._outbox.persist(*wrapped, mark=marked)
                case Send(to, message):
                    self._outbox.send(to, Order(body=self._service.encode_message(message)))
                case Trace(event, fields):
                    self._outbox.trace(f"order-{event}", **fields)
                case SetTimer(at_ns):
                    self._timer_ns = at_ns
                case Reply(token, body):
                    asker, request = self._askers.pop(token)
                    index = body.get("index")
                    least = max(request.least, index if isinstance(index, int) else 0)
                    context = {"context": context_to_json(NOTHING, least)} if body["ok"] else {}
                    self._outbox.answer(asker, {**body, **context})


def _raft_options(options: Options) -> RaftOptions:
    return RaftOptions(
        node=options.node,
        members=options.members,
        seed=options.seed,
        heartbeat_ns=options.heartbeat_ns,
        election_ns=options.election_ns,
        snapshot_entries=options.compact_records,
    )
