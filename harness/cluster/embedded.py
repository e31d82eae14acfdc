"""Hosts made of Linux namespaces on this machine, each with a root, a network and an sshd.

All hosts of a run hang on a bridge in a network namespace that only the run's threads are in, so
nothing leads out, and two runs never meet. The kernel ends every host with the controller.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitbrain.cluster.agent import ask, put_agent
from splitbrain.cluster.burdens import SshBurdens
from splitbrain.cluster.clocks import ENVIRONMENT, PreloadClocks
from splitbrain.cluster.daemons import SshDaemons
from splitbrain.cluster.disks import SshDisks
from splitbrain.cluster.embedded_disk import Canary, disk_reason
from splitbrain.cluster.embedded_host import (
    BOOT_LIMIT_S,
    PREFIX_LENGTH,
    REBOOT_STATUS,
    HostPlan,
    HostProcess,
    boot_script,
    last_lines,
    prepare_folder,
    require_tools,
)
from splitbrain.cluster.keeper import KeeperThread
from splitbrain.cluster.keys import KeyPair
from splitbrain.cluster.lease import LEASE_S, LeaseKeeper
from splitbrain.cluster.namespaces import PrivateNetwork
from splitbrain.cluster.network import NftNetwork
from splitbrain.cluster.parallel import on_nodes
from splitbrain.cluster.preflight import preflight, status
from splitbrain.cluster.preload import clock_preload
from splitbrain.cluster.setgroups import ignore_setgroups
from splitbrain.cluster.ssh import Endpoint, SshHost
from splitbrain.cluster.ssh_cluster import SshCluster
from splitbrain.cluster.state import RunState, sweep
from splitbrain.cluster.tool import run_tool
from splitbrain.cluster.user_namespace import has_one_id, is_inside
from splitbrain.core.cluster import Burdens, Clocks, Disks, Network, Topology
from splitbrain.core.errors import HarnessError, RemoteError, SetupError, UsageError
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value

__all__ = ["Embedded", "preflight", "status", "sweep"]

logger = logging.getLogger(__name__)

NODE_LIMIT = 200
DISKS = ("memory", "ext4")
CONTROLLER = "10.77.0.1"
_TOOLS = ("unshare", "setpriv", "ip", "sshd")
_SSH_LIMIT_S = 20.0
_WATCH_S = 0.2


@dataclass(slots=True)
class _Running:
    """What exists between `up` and `down`. boots: how often each host was launched."""

    state: RunState
    keeper: KeeperThread
    client_key: KeyPair
    host_keys: Mapping[str, KeyPair]
    plans: Mapping[str, HostPlan]
    processes: dict[str, HostProcess]
    hosts: Mapping[str, SshHost]
    boots: dict[str, int]
    lease: LeaseKeeper | None = None


class Embedded(SshCluster[_Running]):
    """The `Cluster` of embedded hosts; needs root, be it that of a user namespace.

    disk: where the hosts' files lie: "memory", or "ext4" for a disk of its own each, which loses
    what was not synced when its power is cut. clocks_reason, network_reason: why there is no such
    facet, or None.
    """

    name = "embedded"

    def __init__(self, node_count: int = 5, disk: str = "memory") -> None:
        if disk not in DISKS:
            message = f"the disk of an embedded host is one of {', '.join(DISKS)}, not {disk!r}"
            raise UsageError(message)
        if not 1 <= node_count <= NODE_LIMIT:
            message = f"an embedded cluster has 1 to {NODE_LIMIT} nodes, not {node_count}"
            raise UsageError(message)
        addresses = {f"n{n}": f"10.77.0.{n + 10}" for n in range(1, node_count + 1)}
        self._topology = Topology(addresses=addresses)
        self._own_disks = disk == "ext4"
        self._place = PrivateNetwork()
        self._running: _Running | None = None
        self._library: bytes | None = None
        self._lives = {node: threading.RLock() for node in addresses}
        self._down = threading.Event()
        self.clocks_reason: str | None = None
        self.network_reason: str | None = None
        self._forget_facets()

    def _forget_facets(self) -> None:
        """Make every facet anew, without a layer."""
        addresses = self._topology.addresses
        self._nft: NftNetwork | None = NftNetwork(self.host, addresses)
        self._preload: PreloadClocks | None = PreloadClocks(self.host)
        self.network: Network | None = self._nft
        self.clocks: Clocks | None = self._preload
        self._burdens = SshBurdens(self.host, addresses)
        self.burdens: Burdens | None = self._burdens
        self._disks = SshDisks(self.host, addresses)
        self.disks: Disks | None = self._disks
        self.daemons = SshDaemons(self.host, addresses, ENVIRONMENT)
        self.hosts = EmbeddedHosts(self, own_disks=self._own_disks)

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """Enter the private network, for this thread and what it starts."""
        return self._place.entered()

    def up(self) -> None:
        """Bring the hosts up.

        Raises: SetupError naming the host and the reason; what was begun is taken down by `down`.
        """
        self._require_down()
        require_root()
        if self._own_disks and (reason := disk_reason()) is not None:
            message = f"the hosts cannot have disks of their own: {reason}"
            raise SetupError(message)
        require_tools(_TOOLS)
        for line in sweep():
            logger.info("%s", line)
        self._down.clear()
        self._forget_facets()
        with self._place.visited():
            self._wire()
            self._find_facets()
            self._running = running = self._begin(RunState.create())
            self._boot(self._topology.nodes)
            on_nodes(self._topology.nodes, self._equip)
            log = running.state.path / "lease.log"
            hosts = [self._lease_item(running, node) for node in self._topology.nodes]
            running.lease = running.keeper.call(
                lambda: LeaseKeeper.start(hosts, running.client_key.private, log)
            )
        threading.Thread(target=self._watch, name="embedded-hosts", daemon=True).start()

    def down(self) -> None:
        """Undo every fault by taking the hosts down, with all that is on them; idempotent.

        Raises: SetupError when something does not go away; the rest is taken down all the same.
        """
        running, self._running = self._running, None
        self._down.set()
        if running is None:
            return
        with contextlib.ExitStack() as stack:  # in reverse order, whatever fails
            stack.callback(self._unwire)
            stack.callback(running.state.remove)
            stack.callback(running.keeper.end)
            for process in running.processes.values():
                process.kill()  # also ends what a reboot under way is waiting for
            for lock in self._lives.values():
                stack.enter_context(lock)
            for process in running.processes.values():
                stack.callback(process.await_death)
                process.kill()
            for host in running.hosts.values():
                stack.callback(host.close)
            if running.lease is not None:
                stack.callback(running.lease.end)

    def start(self, specs: Mapping[str, Sequence[DaemonSpec]]) -> None:
        """Start the daemons of all nodes and wait until each is ready.

        What was installed so far is synced: the power may be cut from now on.
        """
        for process in self._require_running().processes.values():
            process.sync()
        self.daemons.start(specs)

    def reboot(self, node: str) -> Value:
        """Cut a node's power, start it again, and put back what the layers do to it.

        Raises: SetupError when it does not come back.
        """
        running = self._require_running()
        with self._lives[node]:
            began_s = time.monotonic()
            before = running.processes[node].pid
            running.processes[node].kill()
            self._bring_back(node)
            after = running.processes[node].pid
            away_s = round(time.monotonic() - began_s, 3)
            return {"first_process_before": before, "first_process_after": after, "away_s": away_s}

    def cut_power(self, nodes: Sequence[str]) -> Value:
        """Cut the power of nodes at one moment, start them again, and put back the layers.

        Raises: SetupError when one does not come back; HarnessError when one kept what was not
        synced, and the cut proves nothing.
        """
        running = self._require_running()
        chosen = [node for node in self._topology.nodes if node in set(nodes)]
        with contextlib.ExitStack() as stack:
            for node in chosen:
                stack.enter_context(self._lives[node])
            canaries = {node: Canary() for node in chosen}
            on_nodes(chosen, lambda node: canaries[node].write(self.host(node)))
            began_s = time.monotonic()
            lives = {node: running.processes[node] for node in chosen}
            for life in lives.values():
                life.kill()
            on_nodes(chosen, lambda node: lives[node].await_death(lose_unsynced=True))
            cut_s = round(time.monotonic() - began_s, 3)
            self._boot_again(chosen)
            kept = on_nodes(chosen, lambda node: canaries[node].survived(self.host(node)))
            on_nodes(chosen, self._put_back)
        away_s = round(time.monotonic() - began_s, 3)
        proof: dict[str, Value] = {
            node: {
                "first_process_before": lives[node].pid,
                "first_process_after": running.processes[node].pid,
                "unsynced_canary": "kept" if kept[node] else "lost",
                "cut_s": cut_s,
                "away_s": away_s,
            }
            for node in chosen
        }
        if any(kept.values()):
            names = ", ".join(node for node in chosen if kept[node])
            message = f"the power cut proves nothing: {names} kept what was not synced: {proof}"
            raise HarnessError(message)
        return proof

    def _unwire(self) -> None:
        with contextlib.suppress(SetupError), self._place.visited():
            if any(name == "br0" for _, name in socket.if_nameindex()):
                _ip("link delete br0")

    def _wire(self) -> None:
        self._unwire()
        _ip(
            "link set lo up",
            "link add br0 type bridge forward_delay 0",
            f"addr add {CONTROLLER}/{PREFIX_LENGTH} dev br0",
            "link set br0 up",
        )

    def _find_facets(self) -> None:
        """Drop the facets that this machine cannot give."""
        self.network_reason = nft_reason()
        if self.network_reason is not None:
            self.network = self._nft = None
        try:
            self._library = clock_preload()
            self.clocks_reason = None
        except SetupError as error:
            self._library = None
            self.clocks_reason = str(error)
            self.clocks = self._preload = None
            self.daemons = SshDaemons(self.host, self._topology.addresses, {})

    def _begin(self, state: RunState) -> _Running:
        """Prepare everything that hosts are booted from."""
        try:
            return self._prepare_state(state)
        except BaseException:
            state.remove()
            raise

    def _prepare_state(self, state: RunState) -> _Running:
        client_key = KeyPair.generate()
        key_file = state.path / "client_key"
        key_file.touch(mode=0o600)
        key_file.write_text(client_key.private, encoding="utf-8")
        boot_script(state.path)
        addresses = self._topology.addresses
        host_keys = {node: KeyPair.generate() for node in addresses}
        plans = {
            node: HostPlan(
                node=node,
                address=address,
                number=number,
                folder=state.path / node,
                as_root=not is_inside(),
                own_disk=self._own_disks,
            )
            for number, (node, address) in enumerate(addresses.items(), start=1)
        }
        names = _hosts_file(addresses)
        for node, plan in plans.items():
            prepare_folder(plan, host_key=host_keys[node], client_key=client_key, hosts=names)
        hosts = {node: self._ssh_host(node, client_key, host_keys[node]) for node in addresses}
        keeper = KeeperThread("embedded-keeper")
        if has_one_id():
            keeper.call(ignore_setgroups)
        return _Running(
            state=state,
            keeper=keeper,
            client_key=client_key,
            host_keys=host_keys,
            plans=plans,
            processes={},
            hosts=hosts,
            boots=dict.fromkeys(addresses, 0),
        )

    def _ssh_host(self, node: str, client_key: KeyPair, host_key: KeyPair) -> SshHost:
        endpoint = Endpoint(
            node=node,
            address=self._topology.addresses[node],
            host_key=host_key.for_paramiko(),
            client_key=client_key.for_paramiko(),
        )

        def obstacle() -> str | None:
            running = self._running
            process = None if running is None else running.processes.get(node)
            down = process is None or process.exit_status() is not None
            return "the host is down" if down else None

        return SshHost(endpoint, connect=self._connect, obstacle=obstacle)

    def _connect(self, endpoint: Endpoint, timeout_s: float) -> socket.socket:
        """Connect from inside the private network, whatever thread asks."""
        with self._place.visited():
            return socket.create_connection((endpoint.address, endpoint.port), timeout=timeout_s)

    def _boot(self, nodes: Sequence[str]) -> None:
        """Launch hosts, plug them in, and wait until their sshd answers."""
        running = self._require_running()
        deadline_s = time.monotonic() + BOOT_LIMIT_S
        self._unplug([running.processes[node] for node in nodes if node in running.processes])
        running.keeper.call(lambda: self._launch(running, nodes))
        lives = [running.processes[node] for node in nodes]
        for life in lives:
            life.await_plug(deadline_s)
            assert life.pid is not None
            running.state.note_host(life.plan.node, life.pid)
        with self._place.visited():
            _ip(*(line for life in lives for line in life.cable()))
        for life in lives:
            life.go_on()
        for life in lives:
            life.await_up(deadline_s)
        on_nodes(nodes, self._await_ssh)

    def _unplug(self, lives: Sequence[HostProcess]) -> None:
        """Take the cables of dead hosts away.

        A connection that had something to send when its daemon died keeps the network of the host
        for minutes, and that would go on to refuse, in the host's name, whatever is sent to it.
        """
        with self._place.visited():
            for life in lives:
                with contextlib.suppress(SetupError):  # it went by itself this very moment
                    if life.interface in {name for _, name in socket.if_nameindex()}:
                        _ip(f"link delete {life.interface}")

    def _launch(self, running: _Running, nodes: Sequence[str]) -> None:
        script = running.state.path / "embedded_boot.sh"
        for node in nodes:
            running.boots[node] += 1
            plan = running.plans[node]
            running.processes[node] = HostProcess.launch(plan, running.boots[node], script)

    def _await_ssh(self, node: str) -> None:
        running = self._require_running()
        deadline_s = time.monotonic() + _SSH_LIMIT_S
        while True:
            try:
                running.hosts[node].run(("true",), timeout_s=5.0)
            except RemoteError as error:
                if time.monotonic() > deadline_s:
                    log = running.plans[node].folder / "sshd.log"
                    tail = "; ".join(last_lines(log)) or "its sshd said nothing"
                    message = f"the host {node} is not to be reached by ssh: {error}: {tail}"
                    raise SetupError(message) from error
                self._down.wait(0.01)
            else:
                return

    def _equip(self, node: str) -> None:
        """Put on a new host what faults and daemons need, and take the lease."""
        put_agent(self.host(node), self._library)
        self._prepare(node)

    def _prepare(self, node: str) -> None:
        ask(self.host(node), "prepare", {"lease_s": LEASE_S})

    def _bring_back(self, node: str) -> None:
        """Start a dead host again, and put back what the layers do to it."""
        self._require_running().processes[node].await_death()
        self._boot_again([node])
        self._put_back(node)

    def _boot_again(self, nodes: Sequence[str]) -> None:
        for node in nodes:
            self.host(node).close()
        self._boot(nodes)

    def _put_back(self, node: str) -> None:
        """Do to a node that came back what the layers do to it, and start its daemons."""
        self._prepare(node)
        if self._nft is not None:
            self._nft.apply_again(node)
        if self._preload is not None:
            self._preload.apply_again(node)
        self._burdens.apply_again(node)
        self._disks.apply_again(node)
        self.daemons.start_again(node)

    def _watch(self) -> None:
        """Start hosts again that rebooted by themselves."""
        while not self._down.wait(_WATCH_S):
            for node in self._topology.nodes:
                with self._lives[node]:
                    self._look_after(node)

    def _look_after(self, node: str) -> None:
        running = self._running
        if running is None or running.processes[node].exit_status() != REBOOT_STATUS:
            return
        logger.info("%s reboots by itself", node)
        try:
            self._bring_back(node)
        except HarnessError as error:
            logger.warning("%s did not come back: %s", node, error)

    def _lease_item(self, running: _Running, node: str) -> Mapping[str, str | int]:
        return {
            "node": node,
            "address": self._topology.addresses[node],
            "port": 22,
            "user": "root",
            "host_key": running.host_keys[node].public,
        }


class EmbeddedHosts:
    """The `hosts` facet. own_disks: whether each host has a disk that can lose data."""

    def __init__(self, cluster: Embedded, *, own_disks: bool) -> None:
        self._cluster = cluster
        self._own_disks = own_disks

    def reboot(self, node: str) -> Value:
        """Restart a node and its daemons (those that no layer holds); return once it is back."""
        return self._cluster.reboot(node)

    def cannot_cut_power(self) -> str | None:
        """Say that memory takes every write at once, and loses none of them by a power cut."""
        if self._own_disks:
            return None
        return "the hosts' disks lie in memory, which loses nothing; --disk ext4 gives them others"

    def cut_power(self, nodes: Sequence[str]) -> Value:
        """Cut the power of these nodes at one moment and start them again; return the proof.

        Raises: HarnessError where disks lose nothing, SetupError when a node does not come back.
        """
        reason = self.cannot_cut_power()
        if reason is not None:
            raise HarnessError(reason)
        return self._cluster.cut_power(nodes)


def require_root() -> None:
    """Check that this process is root, be it of a user namespace. Raises: SetupError."""
    if os.geteuid() != 0:
        message = "embedded hosts need root, or a user namespace, and this process has neither"
        raise SetupError(message, advice="run it as root, or see `splitbrain doctor`")


def nft_reason() -> str | None:
    """Say why nftables cannot be used where the calling thread is, or None when it can."""
    script = "add table inet splitbrain\ndelete table inet splitbrain\n"
    try:
        done = run_tool(("nft", "-f", "-"), told=script)
    except OSError:
        return "there is no program nft; apt-get install nftables"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        return f"the kernel has no nftables: {lines[0]}"
    return None


def _hosts_file(addresses: Mapping[str, str]) -> str:
    lines = ["127.0.0.1 localhost", "::1 localhost", f"{CONTROLLER} controller"]
    lines += [f"{address} {node}" for node, address in addresses.items()]
    return "\n".join(lines) + "\n"


def _ip(*lines: str) -> None:
    """Run lines of `ip`. Raises: SetupError with the first complaint."""
    done = run_tool(("ip", "-batch", "-"), told="\n".join(lines) + "\n")
    if done.returncode != 0:
        complaint = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        message = f"the network of the hosts cannot be made: ip: {complaint}"
        raise SetupError(message)
