"""The wall clocks that daemons see: bent by a preloaded library, or the machine's own clock."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from splitbrain.cluster.agent import PRELOAD, Conversing, ask
from splitbrain.cluster.layers import BasedSkew, NodeLayers
from splitbrain.cluster.on_node.places import SKEW
from splitbrain.cluster.on_node.skew import LAYER_LIMIT
from splitbrain.cluster.parallel import on_nodes
from splitbrain.core.cluster import Skew
from splitbrain.core.errors import HarnessError, RemoteError
from splitbrain.core.value import Value

ENVIRONMENT: Mapping[str, str] = {"LD_PRELOAD": PRELOAD, "SPLITBRAIN_SKEW_FILE": str(SKEW)}
_EXCHANGES = 3
_READ_CLOCK = ("env", *(f"{name}={value}" for name, value in ENVIRONMENT.items()), "date", "+%s%N")


class LayeredClocks(ABC):
    """A `clocks` facet: an offset, a rate and a strobe for each layer, added up."""

    def __init__(self, host: Callable[[str], Conversing]) -> None:
        self._host = host
        self._layers: NodeLayers[BasedSkew] = NodeLayers()
        self._lock = threading.RLock()

    def skew(self, layer: str, skews: Mapping[str, Skew]) -> Value:
        """Bend the clocks of these nodes; return the offsets measured before and after.

        Raises: HarnessError when a clock is bent too often, or no daemon of a node would see it.
        """
        with self._lock:
            for node in skews:
                if len({*self._layers.on(node), layer}) > LAYER_LIMIT:
                    message = f"{node}: more than {LAYER_LIMIT} faults bend its clock at once"
                    raise HarnessError(message)
            self._layers.set(layer, {node: BasedSkew(skew) for node, skew in skews.items()})
            return dict(on_nodes(skews, lambda node: self._bend(node, layer)))

    def release(self, layer: str) -> None:
        """Take this layer away; idempotent; what could not be undone stays to be retried."""
        with self._lock:
            on_nodes(self._layers.nodes(layer), lambda node: self._straighten(node, layer))

    def sample(self, node: str) -> tuple[int, int]:
        """Measure (offset_ns, uncertainty_ns) of what daemons see against the controller's clock.

        The best of a few exchanges; the uncertainty is half its round trip.
        """
        measured = [self._exchange(node) for _ in range(_EXCHANGES)]
        return min(measured, key=lambda pair: pair[1])

    def apply_again(self, node: str) -> None:
        """Bend the clock of a node that has lost its skew file, as it was."""
        with self._lock:
            if self._layers.on(node):
                self._write(node)

    def _bend(self, node: str, layer: str) -> Value:
        before_ns, _ = self.sample(node)
        proof = self._proof(node, self._write(node))
        after_ns, uncertainty_ns = self.sample(node)
        asked = self._layers.on(node)[layer].skew
        return {
            "before_ns": before_ns,
            "after_ns": after_ns,
            "uncertainty_ns": uncertainty_ns,
            **proof,
            "asked": {
                "offset_ns": asked.offset_ns,
                "rate_ppb": asked.rate_ppb,
                "strobe_ns": asked.strobe_ns,
            },
        }

    def _straighten(self, node: str, layer: str) -> None:
        self._write(node, without=layer)
        self._layers.remove(layer, node)

    def _write(self, node: str, *, without: str | None = None) -> dict[str, Value]:
        """Write the union of the layers, and remember since when each bends the clock."""
        held = {name: item for name, item in self._layers.on(node).items() if name != without}
        rows: list[Value] = [_row(item) for item in held.values()]
        answer = self._tell(node, rows)
        bases = answer.get("bases_ns")
        if not isinstance(bases, list) or len(bases) != len(held):
            raise RemoteError(node, ("skew",), reason="its answer lacks the bases")
        for (name, item), base in zip(held.items(), bases, strict=True):
            assert isinstance(base, int)
            self._layers.set(name, {node: item.based(base)})
        return answer

    def _exchange(self, node: str) -> tuple[int, int]:
        sent_ns = time.time_ns()
        shown_ns = self._read_ns(node)
        received_ns = time.time_ns()
        half_ns = max(1, (received_ns - sent_ns) // 2)
        return shown_ns - (sent_ns + half_ns), half_ns

    @abstractmethod
    def _tell(self, node: str, rows: Sequence[Value]) -> dict[str, Value]:
        """Let a node bend its clock by these layers; give its answer, with "bases_ns"."""

    @abstractmethod
    def _proof(self, node: str, answer: Mapping[str, Value]) -> dict[str, Value]:
        """Give what the answer proves. Raises: RemoteError when it proves that nothing is bent."""

    @abstractmethod
    def _read_ns(self, node: str) -> int:
        """Read the clock of a node, in nanoseconds. Raises: RemoteError."""


class PreloadClocks(LayeredClocks):
    """Clocks bent by a library in the daemons: the machine's own is never touched."""

    def _tell(self, node: str, rows: Sequence[Value]) -> dict[str, Value]:
        return ask(self._host(node), "skew", {"layers": [*rows], "preload": PRELOAD})

    def _proof(self, node: str, answer: Mapping[str, Value]) -> dict[str, Value]:
        seen = answer.get("daemons")
        if isinstance(seen, dict):
            known = {name: bent for name, bent in seen.items() if bent is not None}
            if known and not any(known.values()):
                names = ", ".join(sorted(known))
                reason = f"the clock of {names} cannot be bent: the preload is not in it"
                raise RemoteError(node, ("skew",), reason=reason)
        return {"daemons": seen}

    def _read_ns(self, node: str) -> int:
        done = self._host(node).run(_READ_CLOCK, timeout_s=10.0)
        try:
            return int(done.stdout)
        except ValueError as error:
            raise RemoteError(node, ("date",), reason="it shows no time") from error


def _row(item: BasedSkew) -> Value:
    skew = item.skew
    return {
        "base_ns": item.base_ns,
        "offset_ns": skew.offset_ns,
        "rate_ppb": skew.rate_ppb,
        "strobe_ns": skew.strobe_ns,
    }
