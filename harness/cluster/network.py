"""Cuts between nodes by rules of our own on each victim, and troubles on the way by detours."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict

from splitbrain.cluster.agent import Conversing, ask
from splitbrain.cluster.layers import NodeLayers
from splitbrain.cluster.parallel import on_nodes
from splitbrain.core.cluster import Grudge, Trouble, Troubles
from splitbrain.core.errors import HarnessError, RemoteError
from splitbrain.core.value import Value


class NftNetwork:
    """The `network` facet by nftables and detours over SSH.

    Rules and routes go by the addresses of nodes, so the controller is never cut off.
    """

    def __init__(self, host: Callable[[str], Conversing], addresses: Mapping[str, str]) -> None:
        self._host = host
        self._addresses = addresses
        self._layers: NodeLayers[frozenset[str]] = NodeLayers()
        self._troubles: NodeLayers[Mapping[str, Trouble]] = NodeLayers()
        self._lock = threading.RLock()

    def cut(self, layer: str, grudge: Grudge) -> Value:
        """Make each victim drop every packet from its peers; return the rules read back.

        Raises: HarnessError for a node that is not there, RemoteError when a rule did not take.
        """
        self._require_known(grudge)
        wanted = {victim: frozenset(peers - {victim}) for victim, peers in grudge.items()}
        wanted = {victim: peers for victim, peers in wanted.items() if peers}
        with self._lock:
            self._layers.set(layer, wanted)
            proof = on_nodes(wanted, lambda node: self._apply(node, layer, wanted[node]))
        return dict(proof)

    def cannot_disturb(self) -> str | None:
        """Say which node cannot disturb its packets, and why, or None when all can."""
        answers = on_nodes(self._addresses, lambda n: ask(self._host(n), "disturb-reason", {}))
        reasons = [
            f"{node}: {answer['reason']}" for node, answer in answers.items() if answer["reason"]
        ]
        return reasons[0] if reasons else None

    def disturb(self, layer: str, troubles: Troubles) -> Value:
        """Trouble what senders send; return, by sender, the way that its packets now take.

        Raises: HarnessError for a node that is not there, RemoteError when a detour did not take.
        """
        self._require_known({sender: frozenset(peers) for sender, peers in troubles.items()})
        wanted = {
            sender: {peer: trouble for peer, trouble in peers.items() if peer != sender}
            for sender, peers in troubles.items()
        }
        wanted = {sender: peers for sender, peers in wanted.items() if peers}
        with self._lock:
            self._troubles.set(layer, wanted)
            return dict(on_nodes(wanted, self._lead_astray))

    def mend(self, layer: str) -> None:
        """Take this layer's cuts and troubles away; idempotent; what fails can be retried."""
        with self._lock:
            on_nodes(self._layers.nodes(layer), lambda node: self._remove(node, layer))
            on_nodes(self._troubles.nodes(layer), lambda node: self._lead_back(node, layer))

    def apply_again(self, node: str) -> None:
        """Cut and trouble what the layers do on a node that has lost its rules and routes."""
        with self._lock:
            for layer, peers in self._layers.on(node).items():
                self._apply(node, layer, peers)
            if self._troubles.on(node):
                self._lead_astray(node)

    def _lead_astray(self, node: str, without: str | None = None) -> Value:
        """Give a node the union of its layers' troubles, but for one layer."""
        lanes: dict[str, list[Value]] = {}
        names: dict[str, str] = {}
        for layer, peers in self._troubles.on(node).items():
            for peer, trouble in peers.items() if layer != without else ():
                names[self._addresses[peer]] = peer
                lanes.setdefault(self._addresses[peer], []).append(asdict(trouble))
        answer = ask(self._host(node), "disturb", {"lanes": dict[str, Value](lanes)})
        detours = answer.get("detours")
        if not isinstance(detours, dict) or set(detours) != set(lanes):
            raise RemoteError(node, ("disturb",), reason=f"its packets go by {detours} instead")
        return {names[address]: device for address, device in sorted(detours.items())}

    def _lead_back(self, node: str, layer: str) -> None:
        self._lead_astray(node, without=layer)
        self._troubles.remove(layer, node)

    def _apply(self, node: str, layer: str, peers: frozenset[str]) -> Value:
        names: list[Value] = [*sorted(peers)]
        addresses: list[Value] = [self._addresses[peer] for peer in sorted(peers)]
        answer = ask(self._host(node), "cut", {"chain": chain_of(layer), "addresses": addresses})
        installed = answer.get("drops_from")
        if not isinstance(installed, list) or set(map(str, installed)) != set(addresses):
            raise RemoteError(node, ("cut",), reason=f"the kernel drops from {installed} instead")
        return {**answer, "peers": names}

    def _remove(self, node: str, layer: str) -> None:
        ask(self._host(node), "mend", {"chain": chain_of(layer)})
        self._layers.remove(layer, node)

    def _require_known(self, grudge: Grudge) -> None:
        for victim, peers in grudge.items():
            for name in (victim, *peers):
                if name not in self._addresses:
                    message = f"a network fault names {name!r}, which is no node of the cluster"
                    raise HarnessError(message)


def chain_of(layer: str) -> str:
    """Give the name of a layer's chain: a layer may have any name, a chain may not."""
    return f"layer_{hashlib.sha256(layer.encode()).hexdigest()[:16]}"
