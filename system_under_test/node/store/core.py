"""One node of the store without any I/O: events in, effects out.

The core only gives each event to the part that it concerns: the coordinator and its replica for
STRONG and EVENTUAL, the causal part, the sequencer. What planted bugs override is in policy.py.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from ..canonical import Json
from ..effects import Effect, Event, Persisted, Received, Requested, SetTimer, Stop, Tick
from ..errors import RequestError
from .anti_entropy import AntiEntropy
from .bugs import policy_class
from .causal import Causal
from .config import Level, Options
from .coordinator import Coordinator
from .messages import (
    Beat,
    CausalHave,
    CausalWrites,
    Cells,
    Forward,
    Forwarded,
    Get,
    Got,
    Leaves,
    Order,
    Put,
    PutAck,
    Root,
)
from .order import Sequencer
from .outbox import Asker, Outbox
from .peers import Peers
from .replica import Replica
from .requests import Request, request_of
from .storage import Stored


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that another node carries out."""

    asker: Asker
    request: Request
    deadline_ns: int


class StoreCore:
    """One node. All state changes in `handle_batch`; what operators see is read between calls."""

    def __init__(self, options: Options, stored: Stored, now_ns: int) -> None:
        self.options = options
        self._outbox = outbox = Outbox(options, now_ns, stored)
        policy = policy_class(options.bugs)(options)
        self.peers = Peers(outbox)
        self.replica = Replica(outbox, policy, stored)
        self.coordinator = Coordinator(outbox, policy, self.replica, self.peers)
        self.anti_entropy = AntiEntropy(outbox, self.replica, self.peers)
        self.causal = Causal(outbox, policy, self.peers, stored)
        self.sequencer = Sequencer(outbox, stored.order)
        self._first_number = stored.number
        self._passed: dict[int, Passed] = {}
        self._taken: dict[tuple[str, int], int] = {}
        self._timer_ns: int | None = None
        self._others = frozenset(options.others)
        self._handlers: Mapping[type, Callable[[str, object], None]] = {
            Beat: lambda _sender, _message: None,
            Get: self.coordinator.on_get,  # type: ignore[dict-item]
            Got: self.coordinator.on_got,  # type: ignore[dict-item]
            Put: self.coordinator.on_put,  # type: ignore[dict-item]
            PutAck: self.coordinator.on_put_ack,  # type: ignore[dict-item]
            Forward: self._on_forward,
            Forwarded: self._on_forwarded,
            Root: self.anti_entropy.on_root,  # type: ignore[dict-item]
            Leaves: self.anti_entropy.on_leaves,  # type: ignore[dict-item]
            Cells: self.anti_entropy.on_cells,  # type: ignore[dict-item]
            CausalWrites: self.causal.on_writes,  # type: ignore[dict-item]
            CausalHave: self.causal.on_have,  # type: ignore[dict-item]
            Order: self.sequencer.on_message,  # type: ignore[dict-item]
        }

    # -- events

    def start(self) -> list[Effect]:
        """Say what the disk holds and set the first timer."""
        self._outbox.trace("boot", bugs=list(self.options.bugs), number=self._first_number)
        self.replica.restate()
        self.sequencer.start()
        self._arm_timer()
        self._outbox.compact()
        return self._outbox.take()

    def handle_batch(self, events: Sequence[Event]) -> list[Effect]:
        """Take events in order and say what is to be done."""
        for event in events:
            self._take(event)
        self.coordinator.on_time()
        self.causal.on_time()
        self.sequencer.on_time()
        self.anti_entropy.on_time()
        if self.peers.on_time():
            self.coordinator.hand_off()
        self.replica.bury()
        self._give_up_passed()
        self._forget_taken()
        self._arm_timer()
        self._outbox.compact()
        return self._outbox.take()

    def _take(self, event: Event) -> None:
        match event:
            case Received(sender, message):
                if sender in self._others:
                    self.peers.heard(sender)
                    self._handlers[type(message)](sender, message)
            case Requested(token, Request() as request):
                self._on_request(Asker(token=token), request, may_pass=True)
            case Persisted(("order", mark)):
                self.sequencer.on_persisted(mark)
            case Tick(now_ns, wall_ns):
                self._outbox.now_ns = max(self._outbox.now_ns, now_ns)
                self._outbox.wall_ns = wall_ns
            case Stop():
                self._on_stop()
            case _:
                message_text = f"no event of the store: {event!r}"
                raise TypeError(message_text)

    def _on_request(self, asker: Asker, request: Request, *, may_pass: bool) -> None:
        if request.level is Level.CAUSAL:
            self.causal.take(asker, request)
        elif request.level is Level.SEQUENTIAL:
            leader = self.sequencer.leader
            if not request.is_read and may_pass and leader not in (None, self.options.node):
                self._pass_on(asker, request, str(leader))
            else:
                self.sequencer.take(asker, request)
        elif self.coordinator.makes(request):
            self.coordinator.take(asker, request)
        else:
            node = self.coordinator.delegate(request) if may_pass else None
            if node is None:
                self.coordinator.take(asker, request)
            else:
                self._pass_on(asker, request, node)

    def _on_stop(self) -> None:
        self.coordinator.stop()
        self.causal.stop()
        self.sequencer.stop()
        for passed in self._passed.values():
            self._refuse_passed(passed)
        self._passed.clear()

    # -- requests that another node carries out

    def _pass_on(self, asker: Asker, request: Request, node: str) -> None:
        number = self._outbox.next_number()
        deadline_ns = self._outbox.now_ns + self.options.timeout_ns
        self._passed[number] = Passed(asker, request, deadline_ns)
        self._outbox.send(node, Forward(id=number, request=request.to_json()))

    def _on_forward(self, sender: str, message: object) -> None:
        assert isinstance(message, Forward)
        if (sender, message.id) in self._taken:
            return  # the network gave it twice: carried out again, an old write would come back
        self._taken[sender, message.id] = self._outbox.now_ns + self.options.timeout_ns
        asker = Asker(node=sender, id=message.id)
        try:
            request = request_of(message.request)
        except RequestError as error:
            self._outbox.refuse(asker, error.code, error.detail)
            return
        self._on_request(asker, request, may_pass=False)

    def _on_forwarded(self, _sender: str, message: object) -> None:
        assert isinstance(message, Forwarded)
        passed = self._passed.pop(message.id, None)
        if passed is not None:
            self._outbox.answer(passed.asker, message.body)

    def _forget_taken(self) -> None:
        """Forget the oldest requests that came from other nodes: they stand in order of time."""
        over = takewhile(lambda item: item[1] <= self._outbox.now_ns, self._taken.items())
        for request, _ in list(over):
            del self._taken[request]

    def _give_up_passed(self) -> None:
        for number, passed in list(self._passed.items()):
            if self._outbox.now_ns >= passed.deadline_ns:
                del self._passed[number]
                self._refuse_passed(passed)

    def _refuse_passed(self, passed: Passed) -> None:
        self._outbox.refuse(passed.asker, "unavailable" if passed.request.is_read else "timeout")

    # -- time

    def _arm_timer(self) -> None:
        times = [
            self.peers.beat_ns,
            self.causal.next_ns(),
            self.coordinator.next_ns(),
            self.sequencer.next_ns(),
            self.anti_entropy.due_ns,
            *(passed.deadline_ns for passed in self._passed.values()),
        ]
        at_ns = min(time for time in times if time is not None)
        if at_ns != self._timer_ns:
            self._timer_ns = at_ns
            self._outbox.add(SetTimer(at_ns))

    # -- what operators see

    def status(self) -> dict[str, Json]:
        """Say how this node sees the others, and what must agree before all is settled."""
        order = self.sequencer.status()
        roots: dict[str, Json] = {}
        if self.options.anti_entropy_ns is not None:
            roots = {node: f"{self.anti_entropy.root(node):016x}" for node in self.options.others}
        return {
            "node": self.options.node,
            "status": self.peers.statuses(),
            "hints": len(self.replica.hints),
            "open": self.coordinator.open + len(self._passed),
            "roots": roots,
            "causal": dict(self.causal.applied),
            "role": order["role"],
            "term": order["term"],
            "leader": order["leader"],
            "applied": order["applied"],
            "last": order["last"],
        }

    def dump(self) -> dict[str, Json]:
        """Give all that this node holds."""
        held = self.replica.dump()
        cells = held["cells"]
        assert isinstance(cells, list)
        return {
            **held,
            "cells": [*self.causal.shown_cells(), *cells],
            "causal": {"applied": dict(self.causal.applied)},
            "sequential": self.sequencer.dump(),
            "members": list(self.options.members),
            "status": self.peers.statuses(),
        }
