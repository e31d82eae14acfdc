"""Virtual machines by Vagrant, with real disks, real clocks and power that can be cut.

Machines that are up are used as they are, and stay up after the run: they come up in seconds or
minutes, and are put in order in less than one. `splitbrain cluster destroy` removes them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from splitbrain.cluster.agent import ask, put_agent
from splitbrain.cluster.burdens import SshBurdens
from splitbrain.cluster.daemons import SshDaemons
from splitbrain.cluster.disks import SshDisks
from splitbrain.cluster.embedded_disk import Canary
from splitbrain.cluster.keeper import KeeperThread
from splitbrain.cluster.lease import LEASE_S, LeaseKeeper
from splitbrain.cluster.machines.choice import choose
from splitbrain.cluster.machines.fleet import Fleet, Power
from splitbrain.cluster.machines.preflight import Missing, lacks
from splitbrain.cluster.machines.roster import Roster
from splitbrain.cluster.machines.settings import from_environment
from splitbrain.cluster.network import NftNetwork
from splitbrain.cluster.parallel import on_nodes
from splitbrain.cluster.real_clocks import RealClocks
from splitbrain.cluster.ssh import SshHost
from splitbrain.cluster.ssh_cluster import SshCluster
from splitbrain.core.cluster import Burdens, Clocks, Disks, Hosts, Network, Topology
from splitbrain.core.errors import HarnessError, RemoteError, SetupError
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value

logger = logging.getLogger(__name__)
progress = logging.getLogger("splitbrain.progress")

NODE_COUNT = 3
_BOOT_LIMIT_S = 60.0
_WITHDRAW_LIMIT_S = 120.0
_ANSWER_LIMIT_S = 10.0
_POLL_S = 0.2

# What the harness puts on a machine; where any of it is, an earlier run has not tidied up.
_REMAINS = ("/usr/local/lib/splitbrain", "/var/lib/splitbrain", "/var/log/splitbrain")
_OWN_FOLDERS = (*(f"{folder}/" for folder in _REMAINS), "/run/splitbrain/")
_MODULES = ("fuse", "nfnetlink_queue", "sch_netem", "tun")
_SYNC = ("sync",)
_SYNC_LIMIT_S = 60.0
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_REBOOT = """sync; setsid sh -c 'sleep 0.3; systemctl --force reboot || reboot -f' \
>/dev/null 2>&1 </dev/null &"""


@dataclass(slots=True, kw_only=True)
class _Running:
    """What exists between `up` and `down`. off: the machines without power at this moment."""

    hosts: Mapping[str, SshHost]
    power: Power
    keeper: KeeperThread
    held: contextlib.ExitStack
    off: set[str] = field(default_factory=set)
    lease: LeaseKeeper | None = None


class Vagrant(SshCluster[_Running]):
    """The `Cluster` of virtual machines, one to nine."""

    name = "vagrant"

    def __init__(self, node_count: int = NODE_COUNT) -> None:
        self._fleet = Fleet(from_environment(node_count), progress.info)
        self._running: _Running | None = None
        self._lives = {node: threading.RLock() for node in self._fleet.settings.nodes}
        self._lay_out(dict.fromkeys(self._fleet.settings.nodes, ""), pace=1.0)

    def _lay_out(self, addresses: Mapping[str, str], *, pace: float) -> None:
        """Make every facet anew, without a layer."""
        self._topology = Topology(addresses=addresses, pace=pace, loses_unsynced=True)
        self._nft = NftNetwork(self.host, addresses)
        self._clocks = RealClocks(self.host)
        self.network: Network | None = self._nft
        self.clocks: Clocks | None = self._clocks
        self._burdens = SshBurdens(self.host, addresses)
        self.burdens: Burdens | None = self._burdens
        self._disks = SshDisks(self.host, addresses)
        self.disks: Disks | None = self._disks
        self.daemons = SshDaemons(self.host, addresses, {})
        self.hosts: Hosts | None = MachineHosts(self)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Enter the network of the machines, which is made at first need.

        Raises: SetupError naming what this machine lacks, or the process that has the machines.
        """
        with self._fleet.held():
            self._fleet.prepare()
        with self._fleet.place.inside():
            yield

    def up(self) -> None:
        """Bring up the machines that are not, put all in order, and set their clocks right.

        Raises: SetupError naming the machine and the reason.
        """
        self._require_down()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._fleet.held())
            roster = self._fleet.up()
            self._lay_out(roster.peers, pace=roster.pace)
            self._running = running = self._begin(roster, stack.pop_all())
        began_s = time.monotonic()
        on_nodes(self._topology.nodes, self._equip)
        progress.info("machines put in order: %.1f s", time.monotonic() - began_s)
        log = self._fleet.settings.folder / "lease.log"
        hosts: list[Mapping[str, str | int]] = [
            {
                "node": node,
                "address": item.address,
                "port": item.port,
                "user": "root",
                "host_key": item.host_key,
            }
            for node, item in roster.entrances.items()
        ]
        private = self._fleet.key.private
        running.lease = running.keeper.call(lambda: LeaseKeeper.start(hosts, private, log))

    def down(self) -> None:
        """Undo every fault, end every daemon, and leave the machines up and clean; idempotent.

        Raises: SetupError naming the machine that could not be left as it should be.
        """
        running, self._running = self._running, None
        if running is None:
            return
        failed: list[str] = []
        with contextlib.ExitStack() as stack:  # in reverse order, whatever fails
            stack.callback(running.held.close)
            stack.callback(running.keeper.end)
            for host in running.hosts.values():
                stack.callback(host.close)
            if running.lease is not None:
                running.lease.end()  # it would go on writing into what is being removed

            def leave(node: str) -> None:
                try:
                    _withdraw(running.hosts[node])
                except HarnessError as error:
                    failed.append(str(error))

            on_nodes(running.hosts, leave)
        progress.info("the machines stay up; `splitbrain cluster destroy` removes them")
        if failed:
            advice = "start afresh: splitbrain cluster destroy"
            raise SetupError("; ".join(failed), advice=advice)

    def start(self, specs: Mapping[str, Sequence[DaemonSpec]]) -> None:
        """Start the daemons of all nodes and wait until each is ready."""

        def note(node: str) -> None:
            folders = [folder for spec in specs[node] for folder in spec.data_dirs]
            foreign: list[Value] = [f for f in folders if not f"{f}/".startswith(_OWN_FOLDERS)]
            if foreign:
                ask(self.host(node), "note", {"files": [], "trees": foreign})
            # A power cut is to take what the system has not synced, and not the system itself.
            self.host(node).run(_SYNC, timeout_s=_SYNC_LIMIT_S)

        on_nodes(specs, note)
        self.daemons.start(specs)

    def reboot(self, node: str) -> Value:
        """Restart a machine in good order, and put back what the layers do to it.

        Raises: SetupError when it does not come back.
        """
        host = self.host(node)
        with self._lives[node]:
            began_s = time.monotonic()
            before = _boot_id(host)
            host.run(("sh", "-c", _REBOOT))
            after = self._await_boot(node, before)
            self._put_back(node)
            return _life(before, after, began_s)

    def cut_power(self, nodes: Sequence[str]) -> Value:
        """Cut the power of machines at one moment, start them, and put back their layers.

        Raises: SetupError when one does not come back; HarnessError when one kept what was not
        synced, and the cut proves nothing.
        """
        running = self._require_running()
        canaries = {node: Canary() for node in nodes}
        with contextlib.ExitStack() as stack:
            for node in sorted(nodes):
                stack.enter_context(self._lives[node])
            before = on_nodes(nodes, lambda node: _boot_id(self.host(node)))
            on_nodes(nodes, lambda node: canaries[node].write(running.hosts[node]))
            began_s = time.monotonic()
            running.off |= set(nodes)
            try:
                running.power.cut_power(list(nodes))
                running.power.start(list(nodes))
            finally:
                running.off -= set(nodes)
            after = on_nodes(nodes, lambda node: self._await_boot(node, before[node]))
            kept = on_nodes(nodes, lambda node: canaries[node].survived(running.hosts[node]))
            on_nodes(nodes, self._put_back)
        proof: dict[str, Value] = {
            node: {
                **_life(before[node], after[node], began_s),
                "unsynced_canary": "kept" if kept[node] else "lost",
            }
            for node in nodes
        }
        if any(kept.values()):
            names = ", ".join(node for node in nodes if kept[node])
            message = f"the power cut proves nothing: {names} kept what was not synced: {proof}"
            raise HarnessError(message)
        return proof

    def _begin(self, roster: Roster, held: contextlib.ExitStack) -> _Running:
        key = self._fleet.key
        hosts = {
            node: self._fleet.host(item, key, lambda node=node: self._obstacle(node))  # type: ignore[misc]
            for node, item in roster.entrances.items()
        }
        power = self._fleet.power()
        return _Running(hosts=hosts, power=power, keeper=KeeperThread("vagrant-keeper"), held=held)

    def _obstacle(self, node: str) -> str | None:
        running = self._running
        return "the machine is off" if running is not None and node in running.off else None

    def _equip(self, node: str) -> None:
        """Remove what an earlier run left, put our program there, and set the clock right."""
        host = self.host(node)
        listed = host.run(("ls", "-d", *_REMAINS), check=False)
        if listed.stdout.strip():
            logger.info("%s: removing what an earlier run left", node)
            _withdraw(host)
        put_agent(host, None)
        self._prepare(node)
        host.run(_SYNC, timeout_s=_SYNC_LIMIT_S)

    def _prepare(self, node: str) -> None:
        # Debian loads these only when udev asks for them, and faults need them at once.
        self.host(node).run(("modprobe", "-aq", *_MODULES), check=False)
        ask(self.host(node), "prepare", {"lease_s": LEASE_S})
        offset_ns, uncertainty_ns = self._clocks.set_right(node)
        logger.info("%s: clock at %+d ± %d us", node, offset_ns // 1000, uncertainty_ns // 1000)

    def _await_boot(self, node: str, before: str) -> str:
        """Wait until a machine has booted anew; give the id of its boot."""
        host = self._require_running().hosts[node]
        deadline_s = time.monotonic() + _BOOT_LIMIT_S * self._topology.pace
        reason = "it did not go down"
        while time.monotonic() < deadline_s:
            host.close()
            try:
                if (after := _boot_id(host)) != before:
                    return after
            except RemoteError as error:
                reason = str(error)
            time.sleep(_POLL_S)
        message = f"{node} did not come back: {reason}"
        raise SetupError(message)

    def _put_back(self, node: str) -> None:
        self._prepare(node)
        self._nft.apply_again(node)
        self._clocks.apply_again(node)
        self._burdens.apply_again(node)
        self._disks.apply_again(node)
        self.daemons.start_again(node)


class MachineHosts:
    """The `hosts` facet."""

    def __init__(self, cluster: Vagrant) -> None:
        self._cluster = cluster

    def reboot(self, node: str) -> Value:
        """Restart a node and its daemons (those that no layer holds); return once it is back."""
        return self._cluster.reboot(node)

    def cannot_cut_power(self) -> str | None:
        """Say that power can be cut."""
        return None

    def cut_power(self, nodes: Sequence[str]) -> Value:
        """Cut the power of nodes at one moment, and start them again."""
        return self._cluster.cut_power(nodes)


def status(node_count: int = NODE_COUNT) -> tuple[str, list[Missing]]:
    """Give OK or MISSING, with what is missing and the line that mends it."""
    settings = from_environment(node_count)
    missing = lacks(settings, choose(settings))
    return ("MISSING" if missing else "OK"), missing


def _withdraw(host: SshHost) -> None:
    """Leave a machine as it was before: healed, without daemons, without anything of ours."""
    put_agent(host, None)
    answer = ask(host, "withdraw", {}, timeout_s=_WITHDRAW_LIMIT_S)
    host.close()  # the program that answered is gone from the disk
    left = answer.get("left")
    if isinstance(left, list) and left:
        message = f"{host.node}: not everything could be removed: {', '.join(map(str, left))}"
        raise SetupError(message)


def _boot_id(host: SshHost) -> str:
    done = host.run(("cat", _BOOT_ID), timeout_s=_ANSWER_LIMIT_S)
    return done.stdout.decode().strip()


def _life(before: str, after: str, began_s: float) -> dict[str, Value]:
    return {
        "boot_before": before,
        "boot_after": after,
        "away_s": round(time.monotonic() - began_s, 3),
    }
