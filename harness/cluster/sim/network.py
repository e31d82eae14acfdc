"""The network between simulated nodes: what it does by itself, and what faults do, by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias, cast

from splitbrain.cluster.sim.record import Recorder
from splitbrain.cluster.sim.swarm import MS, Swarm
from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.cluster import Grudge, Trouble, Troubles
from splitbrain.core.randomness import Keyed
from splitbrain.core.simulated import Delivered, Event, NodeDied
from splitbrain.core.value import Value

SOON_NS = 10 * MS
"""How far ahead `take_next` looks."""

RETRANSMIT_NS = 200 * MS
"""How much later what was lost on the way comes over a link that keeps the order."""

_UNIT = 1 / (1 << 64)
_LOW = (1 << 32) - 1
_HALF_UNIT = 1 / (1 << 32)

Take = Callable[[Delivered], bool]
"""Takes what arrives, and says whether anybody was there to take it."""

_Arrival: TypeAlias = "tuple[_Link, str, str, bytes, int | None]"


@dataclass(slots=True)
class _Link:
    """One way between two nodes. last_ns: when the last message arrives. free_ns: of a slow line.

    cut: by how many layers. troubles: of all layers.
    """

    rng: Keyed
    number: int = 0
    last_ns: int = 0
    free_ns: int = 0
    cut: int = 0
    troubles: tuple[Trouble, ...] = ()


@dataclass(slots=True, kw_only=True)
class SimNetwork:
    """All links. takers: by node, what takes what arrives. ordered: links keep the order.

    troubled: whether the swarm lets anything befall messages but their latency.
    """

    time: VirtualTime
    nodes: Sequence[str]
    seed: int
    swarm: Swarm
    ordered: bool
    takers: Mapping[str, Take]
    recorder: Recorder | None = None
    troubled: bool = False
    _links: dict[tuple[str, str], _Link] = field(default_factory=dict)
    _cuts: dict[str, Grudge] = field(default_factory=dict)
    _troubles: dict[str, dict[tuple[str, str], Trouble]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        swarm = self.swarm
        self.troubled = bool(swarm.tail or swarm.loss or swarm.double)
        for sender in self.nodes:
            for receiver in self.nodes:
                rng = Keyed.of(self.seed, "link", sender, receiver)
                self._links[sender, receiver] = _Link(rng)

    # -- messages

    def send(self, sender: str, receiver: str, payload: bytes) -> None:
        """Put a message on its way. Raises: NodeDied for a receiver that there is not."""
        link = self._links.get((sender, receiver))
        if link is None:
            message = f"fatal error: a message to {receiver!r}; there are {', '.join(self.nodes)}"
            raise NodeDied(message)
        link.number = number = link.number + 1
        record = None
        if self.recorder is not None:
            record = self.recorder.sent(sender, receiver, payload)
        if link.cut:
            self._lost(record, "cut")
            return
        swarm, time = self.swarm, self.time
        bits = link.rng.bits(number)
        delay_ns = swarm.latency_ns + (swarm.jitter_ns * (bits & _LOW) >> 32)
        doubled = False
        if self.troubled or link.troubles:
            found = self._befall(link, bits, len(payload), delay_ns)
            if found is None:
                self._lost(record, "lost")
                return
            delay_ns, doubled = found
        if self.ordered:
            link.last_ns = at_ns = max(time.now_ns + delay_ns, link.last_ns + 1)
            delay_ns = at_ns - time.now_ns
        time.after(delay_ns, self._arrive, link, sender, receiver, payload, record)
        if doubled:
            if record is not None and self.recorder is not None:
                record = self.recorder.doubled(record)
            later_ns = Keyed(bits).integer(swarm.jitter_ns + delay_ns, 3)
            time.after(delay_ns + later_ns, self._arrive, link, sender, receiver, payload, record)

    def take_next(self, receiver: str) -> list[Event]:
        """Let the message that will reach a node next reach it now; none where that is not soon."""
        for entry in self.time.pending():
            at_ns, _, act, given = entry
            if at_ns > self.time.now_ns + SOON_NS:
                break
            if act == self._arrive:
                link, sender, to, payload, record = cast("_Arrival", given)
                if to == receiver and not link.cut:
                    self.time.withdraw(entry)
                    if record is not None and self.recorder is not None:
                        self.recorder.arrived(record)
                    return [Delivered(sender, payload)]
        return []

    def _befall(self, link: _Link, bits: int, size: int, delay_ns: int) -> tuple[int, bool] | None:
        """Give what becomes of a message beyond its latency; see `_suffer`."""
        swarm, draws = self.swarm, Keyed(bits)
        doubled = False
        if (bits >> 32) * _HALF_UNIT < swarm.tail:
            delay_ns += int(swarm.tail_ns * draws.bits(1) * _UNIT)
        if not self.ordered:
            both = draws.bits(2)
            if (both & _LOW) * _HALF_UNIT < swarm.loss:
                return None
            doubled = (both >> 32) * _HALF_UNIT < swarm.double
        if link.troubles:
            found = self._suffer(link, draws, size, delay_ns)
            if found is None:
                return None
            delay_ns, doubled = found[0], doubled or found[1]
        return delay_ns, doubled

    def _arrive(
        self, link: _Link, sender: str, receiver: str, payload: bytes, record: int | None
    ) -> None:
        if link.cut:
            self._lost(record, "cut")
            return
        taken = self.takers[receiver](Delivered(sender, payload))
        if not taken:
            self._lost(record, "nobody there")
        elif record is not None and self.recorder is not None:
            self.recorder.arrived(record)

    def _lost(self, record: int | None, fate: str) -> None:
        if record is not None and self.recorder is not None:
            self.recorder.lost(record, fate)

    def _suffer(
        self, link: _Link, draws: Keyed, size: int, delay_ns: int
    ) -> tuple[int, bool] | None:
        """Give the delay after all troubles, and whether it comes twice; None: it is lost."""
        doubled = False
        for place, trouble in enumerate(link.troubles):
            rng = draws.child("trouble", place)
            lost = rng.bits() * _UNIT < trouble.loss or rng.bits(1) * _UNIT < trouble.corrupt
            if lost:
                if not self.ordered:
                    return None
                delay_ns += RETRANSMIT_NS
            if not self.ordered and rng.bits(2) * _UNIT < trouble.reorder:
                continue  # it is not delayed, and overtakes
            delay_ns += _delay_ns(trouble, rng)
            doubled |= not self.ordered and rng.bits(3) * _UNIT < trouble.duplicate
            if trouble.rate_kbit:
                taken_ns = int(size * 8 * MS / trouble.rate_kbit)
                link.free_ns = max(link.free_ns, self.time.now_ns) + taken_ns
                delay_ns += link.free_ns - self.time.now_ns
        return delay_ns, doubled

    # -- faults

    def cut(self, layer: str, grudge: Grudge) -> Value:
        """Let victims drop what their peers send; the proof says who drops whose."""
        self._cuts[layer] = grudge
        self._update()
        return {victim: list[Value](sorted(peers)) for victim, peers in sorted(grudge.items())}

    def cannot_disturb(self) -> str | None:
        """Give None: packets can be disturbed here."""
        return None

    def disturb(self, layer: str, troubles: Troubles) -> Value:
        """Trouble the ways; the proof says which, and how."""
        held = self._troubles.setdefault(layer, {})
        proof: dict[str, Value] = {}
        for sender, ways in sorted(troubles.items()):
            told: dict[str, Value] = {}
            for receiver, trouble in sorted(ways.items()):
                held[sender, receiver] = trouble
                told[receiver] = asdict(trouble)
            proof[sender] = told
        self._update()
        return proof

    def mend(self, layer: str) -> None:
        """Take this layer away."""
        self._cuts.pop(layer, None)
        self._troubles.pop(layer, None)
        self._update()

    def _update(self) -> None:
        for (sender, receiver), link in self._links.items():
            link.cut = sum(
                sender in grudge.get(receiver, frozenset()) for grudge in self._cuts.values()
            )
            link.troubles = tuple(
                held[sender, receiver]
                for held in self._troubles.values()
                if (sender, receiver) in held
            )


def _delay_ns(trouble: Trouble, rng: Keyed) -> int:
    """Draw how late a packet is, as the distribution says."""
    delay_ms, jitter_ms = trouble.delay_ms, trouble.jitter_ms
    if jitter_ms:
        one, other = rng.uniform(1e-12, 1.0, 10), rng.uniform(0.0, 1.0, 11)
        if trouble.distribution == "uniform":
            delay_ms += jitter_ms * (2 * other - 1)
        elif trouble.distribution == "pareto":
            delay_ms += jitter_ms * (min(one ** (-1 / 3), 10.0) - 1)
        else:
            delay_ms += jitter_ms * math.sqrt(-2 * math.log(one)) * math.cos(2 * math.pi * other)
    return max(0, int(delay_ms * MS))
