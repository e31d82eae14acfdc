"""What clusters of hosts that are reached by SSH have in common between `up` and `down`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from splitbrain.cluster.daemons import SshDaemons, log_paths
from splitbrain.cluster.expiry import expired_leases
from splitbrain.cluster.ssh import SshHost
from splitbrain.core.cluster import Topology
from splitbrain.core.errors import HarnessError, SetupError
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value


class Running(Protocol):
    """What exists between `up` and `down`."""

    @property
    def hosts(self) -> Mapping[str, SshHost]:
        """The control of each node."""


R = TypeVar("R", bound=Running)


class SshCluster(Generic[R]):
    """The part of a `Cluster` that asks hosts; how they come and go is for the heirs.

    _running: what exists, None before `up` and after `down`.
    """

    _running: R | None
    _topology: Topology
    daemons: SshDaemons

    @property
    def topology(self) -> Topology:
        """Who is where, as nodes see one another."""
        return self._topology

    def host(self, node: str) -> SshHost:
        """Give control of a node.

        Raises: SetupError when the cluster is not up, HarnessError for a node that there is not.
        """
        hosts = self._require_running().hosts
        if node not in hosts:
            message = f"there is no node {node!r}; there are {', '.join(hosts)}"
            raise HarnessError(message)
        return hosts[node]

    def stop(self) -> None:
        """Stop all daemons for good."""
        self.daemons.stop()

    def log_paths(self, node: str, spec: DaemonSpec) -> Sequence[str]:
        """Where on the node a daemon's logs lie."""
        del node
        return log_paths(spec)

    def expired(self) -> Mapping[str, Value]:
        """Give what watchdogs undid because the lease ran out, by node.

        A node that cannot be reached is left out, and logged.
        """
        if self._running is None:
            return {}
        return expired_leases(self._topology.nodes, self.host)

    def _require_running(self) -> R:
        if self._running is None:
            message = "the cluster is not up"
            raise SetupError(message)
        return self._running

    def _require_down(self) -> None:
        if self._running is not None:
            message = "the cluster is up already"
            raise SetupError(message)
