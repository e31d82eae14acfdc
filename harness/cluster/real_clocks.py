"""The real wall clocks of machines that are the test's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from splitbrain.cluster.agent import ask
from splitbrain.cluster.clocks import LayeredClocks
from splitbrain.core.errors import RemoteError
from splitbrain.core.value import Value

logger = logging.getLogger(__name__)

NEAR_NS = 5_000_000
_BEND_LIMIT_S = 120.0
_ATTEMPTS = 3


class RealClocks(LayeredClocks):
    """Clocks bent for everything on the machine; its time synchronisation rests for as long."""

    def set_right(self, node: str) -> tuple[int, int]:
        """Set a clock by the controller's; give (offset_ns, uncertainty_ns) afterwards.

        A freshly started guest is off by seconds. Raises: RemoteError when it does not obey.
        """
        for _ in range(_ATTEMPTS):
            offset_ns, uncertainty_ns = self.sample(node)
            if abs(offset_ns) <= max(NEAR_NS, uncertainty_ns):
                break
            ask(self._host(node), "wall-step", {"step_ns": -offset_ns})
            logger.info("%s: its clock was off by %+.3f s", node, offset_ns / 1e9)
        else:
            offset_ns, uncertainty_ns = self.sample(node)
        return offset_ns, uncertainty_ns

    def _tell(self, node: str, rows: Sequence[Value]) -> dict[str, Value]:
        return ask(self._host(node), "wall-bend", {"layers": [*rows]}, timeout_s=_BEND_LIMIT_S)

    def _proof(self, node: str, answer: Mapping[str, Value]) -> dict[str, Value]:
        del node
        return {"synchronisation_stopped": answer.get("stopped")}

    def _read_ns(self, node: str) -> int:
        shown_ns = ask(self._host(node), "wall-now", {}, timeout_s=10.0).get("time_ns")
        if not isinstance(shown_ns, int):
            raise RemoteError(node, ("wall-now",), reason="it shows no time")
        return shown_ns
