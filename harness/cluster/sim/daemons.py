"""Daemons of simulated nodes: one a node, which runs only when no layer holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from splitbrain.cluster.layers import DaemonLayers, Hold
from splitbrain.cluster.sim.node import SimNode
from splitbrain.core.errors import HarnessError
from splitbrain.core.value import Value


@dataclass(slots=True, kw_only=True)
class SimDaemons:
    """Kills, pauses and starts. start: has a node start its daemon a little later.

    daemon: the name of the one daemon of each node.
    """

    nodes: Mapping[str, SimNode]
    start: Callable[[str], None]
    daemon: str = "node"
    ended: bool = False
    _layers: DaemonLayers = field(default_factory=DaemonLayers)

    def kill(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Kill and hold down; the proof says which life ended, None where none did."""
        return self._hold(layer, nodes, daemon, Hold.DOWN, SimNode.crash)

    def terminate(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Ask to end and hold down; the proof says which life ended."""
        return self._hold(layer, nodes, daemon, Hold.DOWN, SimNode.stop)

    def pause(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Stop; the proof says which life stands still."""
        return self._hold(layer, nodes, daemon, Hold.PAUSED, SimNode.pause)

    def release(self, layer: str) -> None:
        """Start or continue what nothing else holds."""
        targets = self._layers.targets(layer)
        self._layers.remove(layer)
        for node, _ in sorted(set(targets)):
            self.settle(node)

    def running(self, node: str) -> Mapping[str, bool]:
        """Tell whether the daemon of a node runs; one that is starting does, unless it is held."""
        there = self.nodes[node]
        starts = there.starting > 0 and self._layers.held((node, self.daemon)) is None
        return {self.daemon: there.runs or starts}

    def settle(self, node: str) -> None:
        """Let a node's daemon be as the layers have it, where nothing holds it down."""
        held = self._layers.held((node, self.daemon))
        if self.ended or held is Hold.DOWN:
            return
        there = self.nodes[node]
        if there.life is None:
            self.start(node)
        elif held is Hold.PAUSED:
            there.pause()
        else:
            there.go_on()

    def may_start(self, node: str) -> bool:
        """Tell whether nothing holds a node's daemon down."""
        held = self._layers.held((node, self.daemon))
        return not self.ended and held is not Hold.DOWN

    def is_paused(self, node: str) -> bool:
        """Tell whether a layer stops a node's daemon."""
        return self._layers.held((node, self.daemon)) is Hold.PAUSED

    def _hold(
        self,
        layer: str,
        nodes: Sequence[str],
        daemon: str | None,
        hold: Hold,
        act: Callable[[SimNode], None],
    ) -> Value:
        if daemon not in (None, self.daemon):
            message = f"{nodes[0]} has no daemon {daemon!r}; it has {self.daemon}"
            raise HarnessError(message)
        self._layers.add(layer, hold, [(node, self.daemon) for node in nodes])
        proof: dict[str, Value] = {}
        for node in nodes:
            there = self.nodes[node]
            proof[node] = {self.daemon: None if there.life is None else there.boots}
            act(there)
        return proof
