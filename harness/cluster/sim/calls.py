"""What clients ask of simulated nodes: each question has one answer, at its deadline at the latest.

Clients are on the controller's own network, which no fault touches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from splitbrain.cluster.sim.node import SimNode
from splitbrain.cluster.sim.record import Recorder
from splitbrain.cluster.sim.swarm import Swarm
from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.conversation import Answer, Ask, Heard, Lost, Unreachable
from splitbrain.core.randomness import Keyed
from splitbrain.core.simulated import Asked, NodeDied, Simulated

Hear = Callable[[Heard], None]

NEVER_NS = 1 << 62


@dataclass(slots=True)
class _Call:
    asker: str
    node: str
    payload: bytes
    hear: Hear
    rng: Keyed
    sent: bool = False
    done: bool = False
    record: int | None = None


@dataclass(slots=True, kw_only=True)
class SimCalls:
    """All questions under way."""

    time: VirtualTime
    nodes: Mapping[str, SimNode]
    system: Simulated
    seed: int
    swarm: Swarm
    recorder: Recorder | None = None
    _token: int = 0
    _asked: int = 0
    _deadlines: list[tuple[int, int, _Call]] = field(default_factory=list)
    _sweep_ns: int = NEVER_NS
    _counts: dict[str, int] = field(default_factory=dict)
    _rngs: dict[str, Keyed] = field(default_factory=dict)
    _open: dict[str, dict[int, _Call]] = field(default_factory=dict)

    def ask(self, asker: str, ask: Ask, deadline_ns: int, hear: Hear) -> None:
        """Carry a question to a node."""
        self._asked += 1
        number = self._counts[asker] = self._counts.get(asker, 0) + 1
        askers = self._rngs.get(asker)
        if askers is None:
            askers = self._rngs[asker] = Keyed.of(self.seed, "client", asker)
        rng = Keyed(askers.bits(number))
        call = _Call(asker, ask.node, self.system.encode_request(ask.request), hear, rng)
        if self.recorder is not None:
            call.record = self.recorder.sent(asker, ask.node, b"", "request")
        self.time.after(self._latency_ns(call, 0), self._arrive, call)
        heappush(self._deadlines, (deadline_ns, self._asked, call))
        if deadline_ns < self._sweep_ns:
            self._sweep_at(deadline_ns)

    def answered(self, node: str, token: int, payload: bytes) -> None:
        """Take a node's reply to its client.

        Raises: NodeDied for a second reply, or one to a question that was never asked.
        """
        call = self._open.get(node, {}).pop(token, None)
        if call is None:
            message = (
                f"fatal error: a reply to question {token}, which nobody waits for: it was "
                "answered already, or never asked"
            )
            raise NodeDied(message)
        if call.done:
            return  # nobody waits for it any more
        if self.recorder is not None:
            call.record = self.recorder.sent(node, call.asker, b"", "reply")
        self.time.after(self._latency_ns(call, 1), self._hear, call, payload)

    def ended(self, node: str) -> None:
        """Let clients of a node notice that its life has ended."""
        for call in self._open.pop(node, {}).values():
            self.time.after(self._latency_ns(call, 2), self._close, call)

    def _arrive(self, call: _Call) -> None:
        if call.done:
            return
        there = self.nodes.get(call.node)
        if there is None or there.life is None:
            self._lost(call, "refused")
            reason = f"cannot connect to {call.node}: Connection refused"
            self.time.after(self._latency_ns(call, 3), self._done, call, Unreachable(reason))
            return
        if call.record is not None and self.recorder is not None:
            self.recorder.arrived(call.record)
        self._token += 1
        call.sent = True
        self._open.setdefault(call.node, {})[self._token] = call
        there.take(Asked(self._token, call.payload))

    def _hear(self, call: _Call, payload: bytes) -> None:
        if call.done:
            self._lost(call, "too late")
            return
        if call.record is not None and self.recorder is not None:
            self.recorder.arrived(call.record)
        self._done(call, Answer(self.system.decode_reply(payload)))

    def _close(self, call: _Call) -> None:
        self._done(call, Lost(f"{call.node}: the connection was closed"))

    def _sweep_at(self, at_ns: int) -> None:
        self._sweep_ns = at_ns
        self.time.after(at_ns - self.time.now_ns, self._sweep, at_ns)

    def _sweep(self, at_ns: int) -> None:
        """End the questions whose deadline has come, and wait for that of the next."""
        if at_ns != self._sweep_ns:
            return  # an earlier deadline came up meanwhile
        deadlines = self._deadlines
        while deadlines and (deadlines[0][2].done or deadlines[0][0] <= self.time.now_ns):
            # Whoever hears of it may ask again, to be answered by now: that is an event of its own.
            self.time.after(0, self._expire, heappop(deadlines)[2])
        self._sweep_ns = NEVER_NS
        if deadlines:
            self._sweep_at(deadlines[0][0])

    def _expire(self, call: _Call) -> None:
        if call.done:
            return
        if call.sent:
            self._done(call, Lost(f"{call.node}: timed out"))
        else:
            self._done(call, Unreachable(f"cannot connect to {call.node}: timed out"))

    def _done(self, call: _Call, heard: Heard) -> None:
        if not call.done:
            call.done = True
            call.hear(heard)

    def _lost(self, call: _Call, fate: str) -> None:
        if call.record is not None and self.recorder is not None:
            self.recorder.lost(call.record, fate)

    def _latency_ns(self, call: _Call, leg: int) -> int:
        return self.swarm.latency_ns + call.rng.integer(self.swarm.jitter_ns + 1, leg)
