"""Simulated hosts: control of one, and what happens when it restarts or loses its power."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from splitbrain.cluster.sim.node import SimNode
from splitbrain.core.cluster import Completed
from splitbrain.core.errors import RemoteError
from splitbrain.core.value import Value

LOG_PATH = "/daemon.log"


@dataclass(slots=True)
class SimHost:
    """Control of one node: nothing runs here but its daemon, and there are two files to read."""

    there: SimNode

    @property
    def node(self) -> str:
        """The node's name."""
        return self.there.name

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",  # noqa: ARG002 - nothing is run
        timeout_s: float = 30.0,  # noqa: ARG002
        check: bool = True,  # noqa: ARG002
    ) -> Completed:
        """Refuse: a simulated host runs no commands. Raises: RemoteError."""
        raise RemoteError(self.node, tuple(argv), reason="a simulated host runs no commands")

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:  # noqa: ARG002
        """Refuse: a simulated host keeps no files. Raises: RemoteError."""
        raise RemoteError(self.node, ("put", path), reason="a simulated host keeps no files")

    def get(self, path: str, *, limit_bytes: int = 64 * 1024 * 1024, offset: int = 0) -> bytes:
        """Read the daemon's log; any other path is the trace, which systems put where they like."""
        if path == LOG_PATH:
            text = "".join(f"{line}\n" for line in self.there.log)
            return text.encode(errors="surrogateescape")[offset : offset + limit_bytes]
        return bytes(self.there.trace[offset : offset + limit_bytes])


@dataclass(slots=True)
class SimHosts:
    """Restarts hosts. settle: starts a node's daemon again unless something holds it."""

    nodes: Mapping[str, SimNode]
    settle: Callable[[str], None]

    def reboot(self, node: str) -> Value:
        """End the node's daemon in order, and boot it anew."""
        there = self.nodes[node]
        there.stop()
        return self._begin(there)

    def cannot_cut_power(self) -> str | None:
        """Give None: what was not synced is lost here."""
        return None

    def cut_power(self, nodes: Sequence[str]) -> Value:
        """Crash these nodes at one moment, and boot them anew."""
        for node in nodes:
            self.nodes[node].crash()
        return {node: self._begin(self.nodes[node]) for node in nodes}

    def _begin(self, there: SimNode) -> Value:
        there.clock.began_ns = there.clock.time.now_ns
        self.settle(there.name)
        return {"booted_ns": there.clock.began_ns, "life": there.boots}
