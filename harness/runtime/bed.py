"""What the nemeses of a run act on, and which of them can work there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from splitbrain.core.cluster import Bed, Cluster, Later, Topology
from splitbrain.core.errors import UsageError
from splitbrain.core.fault import Nemesis
from splitbrain.core.system import ChangesMembers, Primaries, System


def bed_of(system: System, cluster: Cluster, later: Later | None = None) -> Bed:
    """Give the facets of a cluster that is up, and the powers of the system on it."""
    primaries = None
    if isinstance(system, Primaries):
        asked: Primaries = system

        def primaries() -> tuple[str, ...]:
            return asked.primaries(cluster.topology)

    return Bed(
        nodes=cluster.topology.nodes,
        host=cluster.host,
        daemons=cluster.daemons,
        network=cluster.network,
        clocks=cluster.clocks,
        hosts=cluster.hosts,
        burdens=getattr(cluster, "burdens", None),  # a plug-in may not know of these
        disks=getattr(cluster, "disks", None),
        primaries=primaries,
        members=_Asked(system, cluster.topology) if isinstance(system, ChangesMembers) else None,
        facts=system.facts,
        later=later,
    )


def left_out(
    nemeses: Mapping[str, Nemesis], optional: Collection[str], bed: Bed, cluster: Cluster
) -> Mapping[str, str]:
    """Give the kinds that cannot work here, each with its reason.

    Raises: UsageError for one that is not optional, and when none is left.
    """
    reasons = {
        kind: reason
        for kind, nemesis in nemeses.items()
        if (reason := nemesis.unavailable(bed)) is not None
    }
    for kind, reason in reasons.items():
        if kind not in optional:
            message = f"the nemesis {kind!r} cannot work here: {reason}{_limits(bed, cluster)}"
            raise UsageError(message)
    if reasons and len(reasons) == len(nemeses):
        message = f"none of the nemeses can work here: {next(iter(reasons.values()))}"
        raise UsageError(message)
    return reasons


def _limits(bed: Bed, cluster: Cluster) -> str:
    """Give why facets are absent, where the cluster knows."""
    absent = [name for name in ("network", "clocks", "hosts") if getattr(bed, name) is None]
    known = [getattr(cluster, f"{name}_reason", None) for name in absent]
    reasons = [reason for reason in known if reason]
    return f" ({'; '.join(reasons)})" if reasons else ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A system's members, as the bed has them."""

    system: ChangesMembers
    topology: Topology

    def current(self) -> tuple[str, ...]:
        return self.system.members(self.topology)

    def change(self, wish: str, node: str) -> str | None:
        return self.system.change_members(self.topology, wish, node)
