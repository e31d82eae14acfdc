"""The clocks of simulated nodes: monotonic ones of their own rate, and wall clocks that lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from splitbrain.cluster.layers import BasedSkew, NodeLayers, bent_ns
from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.cluster import Skew
from splitbrain.core.simulated import Moment
from splitbrain.core.value import Value

WALL_NS = 1_767_225_600_000_000_000
"""What a true wall clock shows at virtual time 0: the beginning of 2026."""

_MILLION = 1_000_000


@dataclass(slots=True, kw_only=True)
class NodeClock:
    """The clocks of one host. rate_ppm: by how much the monotonic one runs fast.

    began_ns: the virtual time of the host's last boot.
    """

    time: VirtualTime
    rate_ppm: int = 0
    began_ns: int = 0
    skews: tuple[BasedSkew, ...] = ()

    def monotonic_ns(self) -> int:
        """Give the monotonic clock."""
        passed = self.time.now_ns - self.began_ns
        return passed + passed * self.rate_ppm // _MILLION

    def delay_until(self, at_ns: int) -> int:
        """Give how long in virtual time until the monotonic clock shows this."""
        left = at_ns - self.monotonic_ns()
        return max(0, left * _MILLION // (_MILLION + self.rate_ppm) + 1)

    def wall_ns(self) -> int:
        """Give the wall clock, as bent by faults."""
        true_ns = WALL_NS + self.time.now_ns
        return true_ns + bent_ns(true_ns, self.skews) if self.skews else true_ns

    def moment(self) -> Moment:
        """Give both."""
        now_ns = self.time.now_ns
        passed = now_ns - self.began_ns
        wall_ns = self.wall_ns() if self.skews else WALL_NS + now_ns
        return Moment(passed + passed * self.rate_ppm // _MILLION, wall_ns)


class SimClocks:
    """Bends wall clocks, by layer."""

    def __init__(self, clocks: Mapping[str, NodeClock]) -> None:
        self._clocks = clocks
        self._layers: NodeLayers[BasedSkew] = NodeLayers()

    def skew(self, layer: str, skews: Mapping[str, Skew]) -> Value:
        """Bend; the proof says by how much before and after."""
        proof: dict[str, Value] = {}
        for node, skew in skews.items():
            before_ns, _ = self.sample(node)
            true_ns = WALL_NS + self._clocks[node].time.now_ns
            self._layers.set(layer, {node: BasedSkew(skew, true_ns)})
            self._bend(node)
            after_ns, uncertainty_ns = self.sample(node)
            asked: dict[str, Value] = asdict(skew)
            proof[node] = {
                "before_ns": before_ns,
                "after_ns": after_ns,
                "uncertainty_ns": uncertainty_ns,
                "asked": asked,
            }
        return proof

    def release(self, layer: str) -> None:
        """Take this layer away."""
        for node in self._layers.nodes(layer):
            self._layers.remove(layer, node)
            self._bend(node)

    def sample(self, node: str) -> tuple[int, int]:
        """Give the offset of a node's wall clock, and 0: nothing is uncertain here."""
        clock = self._clocks[node]
        return clock.wall_ns() - (WALL_NS + clock.time.now_ns), 0

    def _bend(self, node: str) -> None:
        self._clocks[node].skews = tuple(self._layers.on(node).values())
