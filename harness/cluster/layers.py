"""Which fault holds what: the state of a node is the union of its layers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Generic, TypeVar

from splitbrain.core.cluster import Skew

T = TypeVar("T")
Target = tuple[str, str]
"""A node and one of its daemons."""


class Hold(Enum):
    """What a layer does to a daemon."""

    DOWN = "down"
    PAUSED = "paused"


@dataclass(slots=True)
class DaemonLayers:
    """The layers that hold daemons down or paused."""

    _holds: dict[str, dict[Target, Hold]] = field(default_factory=dict)

    def add(self, layer: str, hold: Hold, targets: Iterable[Target]) -> None:
        """Let a layer hold daemons; down outweighs paused within one layer."""
        held = self._holds.setdefault(layer, {})
        for target in targets:
            if held.get(target) is not Hold.DOWN:
                held[target] = hold

    def targets(self, layer: str) -> tuple[Target, ...]:
        """Give what a layer holds."""
        return tuple(self._holds.get(layer, ()))

    def remove(self, layer: str, target: Target | None = None) -> None:
        """Let a layer go, or one of its targets; idempotent."""
        if target is None:
            self._holds.pop(layer, None)
            return
        held = self._holds.get(layer, {})
        held.pop(target, None)
        if not held:
            self._holds.pop(layer, None)

    def held(self, target: Target, *, apart_from: str | None = None) -> Hold | None:
        """Give what the union of the layers does to a daemon; None when it may run."""
        holds = {
            held[target]
            for layer, held in self._holds.items()
            if layer != apart_from and target in held
        }
        if Hold.DOWN in holds:
            return Hold.DOWN
        return Hold.PAUSED if holds else None


@dataclass(slots=True)
class NodeLayers(Generic[T]):
    """For each layer, what it does to each node."""

    _layers: dict[str, dict[str, T]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def set(self, layer: str, by_node: Mapping[str, T]) -> None:
        """Let a layer do this to these nodes, beside what it does to others."""
        if by_node:
            self._layers.setdefault(layer, {}).update(by_node)

    def nodes(self, layer: str) -> tuple[str, ...]:
        """Give the nodes that a layer touches."""
        return tuple(self._layers.get(layer, ()))

    def on(self, node: str) -> dict[str, T]:
        """Give what is done to a node, by layer, the oldest first."""
        return {name: held[node] for name, held in self._layers.items() if node in held}

    def remove(self, layer: str, node: str) -> None:
        """Let a layer leave a node; idempotent."""
        held = self._layers.get(layer, {})
        held.pop(node, None)
        if not held:
            self._layers.pop(layer, None)


@dataclass(frozen=True, slots=True)
class BasedSkew:
    """A skew, and since when: base_ns is on the node's true wall clock, None for not yet."""

    skew: Skew
    base_ns: int | None = None

    def based(self, base_ns: int) -> BasedSkew:
        """Give it with its base."""
        return replace(self, base_ns=base_ns)


def bent_ns(real_ns: int, layers: Iterable[BasedSkew]) -> int:
    """Give by how much layers bend a clock at a true time: what the preload computes."""
    total = 0
    for layer in layers:
        if layer.base_ns is None:
            continue
        passed = real_ns - layer.base_ns
        strobe = layer.skew.strobe_ns
        if not strobe or (passed // strobe) % 2 == 0:
            total += layer.skew.offset_ns
        total += passed * layer.skew.rate_ppb // 1_000_000_000
    return total
