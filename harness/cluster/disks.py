"""The disks beneath daemons' data folders: full, read-only, slow, failing; and damage to files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

from splitbrain.cluster.agent import Conversing, ask
from splitbrain.cluster.layers import NodeLayers
from splitbrain.cluster.parallel import on_nodes
from splitbrain.core.cluster import DiskDamage, DiskTrouble
from splitbrain.core.errors import HarnessError
from splitbrain.core.value import Value

_MARGIN_S = 30.0
_PROBE_STEPS = 4


class SshDisks:
    """The `disks` facet over SSH: a file system of ours over each data folder, once armed."""

    def __init__(self, host: Callable[[str], Conversing], nodes: Iterable[str]) -> None:
        self._host = host
        self._nodes = tuple(nodes)
        self._layers: NodeLayers[DiskTrouble] = NodeLayers()
        self._armed = False
        self._lock = threading.RLock()

    def cannot_trouble(self) -> str | None:
        """Say which node's disks cannot be troubled, and why, or None when all can."""
        answers = on_nodes(self._nodes, lambda node: ask(self._host(node), "disks-reason", {}))
        reasons = [f"{node}: {item['reason']}" for node, item in answers.items() if item["reason"]]
        return reasons[0] if reasons else None

    def arm(self) -> None:
        """Let the data folders of daemons that start from now on lie on disks of ours."""
        with self._lock:
            self._armed = True
            on_nodes(self._nodes, lambda node: ask(self._host(node), "disks-arm", {}))

    def trouble(self, layer: str, troubles: Mapping[str, DiskTrouble]) -> Value:
        """Trouble the disks of these nodes; return what a write to each data folder comes to.

        Raises: HarnessError for a node that is not there, RemoteError where no daemon has data on
        such a disk.
        """
        self._require_known(troubles)
        with self._lock:
            self._layers.set(layer, troubles)
            return dict(on_nodes(troubles, lambda node: self._write(node)["folders"]))

    def release(self, layer: str) -> None:
        """Take this layer's troubles away; idempotent; what fails stays to be retried."""
        with self._lock:
            on_nodes(self._layers.nodes(layer), lambda node: self._let_go(node, layer))

    def damage(self, damages: Mapping[str, DiskDamage]) -> Value:
        """Damage a file on each of these nodes; return which, and how."""
        self._require_known(damages)

        def act(node: str) -> Value:
            asked: dict[str, Value] = asdict(damages[node])
            limit_s = _MARGIN_S + damages[node].wait_s
            return ask(self._host(node), "damage", asked, timeout_s=limit_s)

        return dict(on_nodes(damages, act))

    def apply_again(self, node: str) -> None:
        """Arm a node that came back, before its daemons start, and trouble it as the layers do."""
        with self._lock:
            if self._armed:
                ask(self._host(node), "disks-arm", {})
            if self._layers.on(node):
                self._write(node, required=False)

    def _let_go(self, node: str, layer: str) -> None:
        self._write(node, without=layer, required=False)
        self._layers.remove(layer, node)

    def _write(
        self, node: str, *, without: str | None = None, required: bool = True
    ) -> dict[str, Value]:
        """Give a node the union of its layers, but for one."""
        held = [item for name, item in self._layers.on(node).items() if name != without]
        passing = 1.0
        for item in held:
            passing *= 1.0 - item.error
        troubles: dict[str, Value] = {
            "full": any(item.full for item in held),
            "read_only": any(item.read_only for item in held),
            "slow_ms": sum(item.slow_ms for item in held),
            "error": 1.0 - passing,
        }
        limit_s = _MARGIN_S + _PROBE_STEPS * sum(item.slow_ms for item in held) / 1000
        request: dict[str, Value] = {"troubles": troubles, "required": required}
        return ask(self._host(node), "disks", request, timeout_s=limit_s)

    def _require_known(self, nodes: Iterable[str]) -> None:
        strange = sorted(set(nodes) - set(self._nodes))
        if strange:
            message = f"a disk fault names {strange[0]!r}, which is no node of the cluster"
            raise HarnessError(message)
