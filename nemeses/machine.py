"""Machines that reboot, and machines whose power is cut: one, some, or all at one moment.

A reboot ends everything on a node and starts it again; what was written stays written. A power cut
also takes what the node had written and not synced, where its disk can lose data at all.
The fault takes hold once the machines and their daemons are back, and counts as active for its
duration from then on: that is the time in which the system finds itself again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from splitbrain.core.cluster import Bed, Hosts
from splitbrain.core.errors import HarnessError, RemoteError
from splitbrain.core.fault import Injection, Resolved
from splitbrain.core.value import Value
from splitbrain.nemeses.node_fault import NodeFault, pinned

_WIDTH = 16
_ANSWER_LIMIT_S = 5.0


class Reboot(NodeFault):
    """Restarts machines, with all that runs on them."""

    kind = "reboot"
    params: frozenset[str] = frozenset()

    def unavailable(self, bed: Bed) -> str | None:
        """Say why this bed's machines cannot be restarted."""
        return "this cluster cannot restart its hosts" if bed.hosts is None else None

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Restart them side by side; the proof is what each host tells, once all are back.

        Raises: HarnessError when one does not come back.
        """
        hosts, nodes = _hosts_of(bed), pinned(bed, resolved)
        return Injection(resolved=resolved, proof=_reboot_all(bed, hosts, nodes))

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Start what did not come back."""
        _revive(bed, injection)


class Power(NodeFault):
    """Cuts the power of machines; see the module for what that takes."""

    kind = "power"
    params: frozenset[str] = frozenset()

    def unavailable(self, bed: Bed) -> str | None:
        """Say why a power cut is not to be had here, or would prove nothing."""
        if bed.hosts is None:
            return "this cluster cannot restart its hosts"
        return bed.hosts.cannot_cut_power()

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Cut the power of all at one moment, and start them again.

        Raises: HarnessError where power cannot be cut, or when one does not come back.
        """
        hosts, nodes = _hosts_of(bed), pinned(bed, resolved)
        return Injection(resolved=resolved, proof=hosts.cut_power(nodes))

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Start what did not come back."""
        _revive(bed, injection)


def _hosts_of(bed: Bed) -> Hosts:
    if bed.hosts is None:
        message = "this cluster cannot restart its hosts"
        raise HarnessError(message)
    return bed.hosts


def _reboot_all(bed: Bed, hosts: Hosts, nodes: Sequence[str]) -> Value:
    """Restart side by side; in virtual time each call takes effect at once anyway."""
    if bed.later is not None:
        return {node: hosts.reboot(node) for node in nodes}
    with ThreadPoolExecutor(max_workers=min(_WIDTH, len(nodes))) as pool:
        futures = {node: pool.submit(hosts.reboot, node) for node in nodes}
    return {node: future.result() for node, future in futures.items()}


def _revive(bed: Bed, injection: Injection) -> None:
    """Restart the machines of a fault that failed half-way and do not answer."""
    if injection.proof is not None or bed.hosts is None:
        return
    for node in injection.resolved.nodes:
        if node not in bed.nodes:
            continue
        try:
            bed.host(node).run(("true",), timeout_s=_ANSWER_LIMIT_S)
        except RemoteError:
            bed.hosts.reboot(node)
