"""Load on hosts beside the system's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

from splitbrain.cluster.agent import Conversing, ask
from splitbrain.cluster.layers import NodeLayers
from splitbrain.cluster.network import chain_of
from splitbrain.cluster.parallel import on_nodes
from splitbrain.core.cluster import Burden
from splitbrain.core.errors import HarnessError
from splitbrain.core.value import Value


class SshBurdens:
    """The `burdens` facet over SSH: a program for each layer on each node."""

    def __init__(self, host: Callable[[str], Conversing], nodes: Iterable[str]) -> None:
        self._host = host
        self._nodes = frozenset(nodes)
        self._layers: NodeLayers[Burden] = NodeLayers()
        self._lock = threading.RLock()

    def burden(self, layer: str, burdens: Mapping[str, Burden]) -> Value:
        """Load these nodes; return what the load has used after a moment.

        Raises: HarnessError for a node that is not there, RemoteError for more than it can bear.
        """
        strange = sorted(set(burdens) - self._nodes)
        if strange:
            message = f"a burden names {strange[0]!r}, which is no node of the cluster"
            raise HarnessError(message)
        with self._lock:
            self._layers.set(layer, burdens)
            return dict(on_nodes(burdens, lambda node: self._lay(node, layer)))

    def release(self, layer: str) -> None:
        """Take this layer's load away; idempotent; what could not be undone can be retried."""
        with self._lock:
            on_nodes(self._layers.nodes(layer), lambda node: self._take(node, layer))

    def apply_again(self, node: str) -> None:
        """Load a node that came back as the layers do."""
        with self._lock:
            for layer in self._layers.on(node):
                self._lay(node, layer)

    def _lay(self, node: str, layer: str) -> Value:
        asked: dict[str, Value] = asdict(self._layers.on(node)[layer])
        return ask(self._host(node), "burden", {"layer": chain_of(layer), **asked})

    def _take(self, node: str, layer: str) -> None:
        ask(self._host(node), "unburden", {"layer": chain_of(layer)})
        self._layers.remove(layer, node)
