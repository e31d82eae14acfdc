"""Hosts of the user's own, reached over SSH: nothing is brought up, and nothing is left behind.

Each host is claimed by a lease, so that two runs never meet on one. What the harness puts there is
noted, and taken away in the end; a host whose controller died heals itself, and is put in order by
the next run or by `splitbrain cleanup`.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

import platformdirs

from splitbrain.cluster.agent import PRELOAD, ask, put_agent
from splitbrain.cluster.burdens import SshBurdens
from splitbrain.cluster.clocks import ENVIRONMENT, LayeredClocks, PreloadClocks
from splitbrain.cluster.daemons import SshDaemons
from splitbrain.cluster.disks import SshDisks
from splitbrain.cluster.inventory_file import NodeEntry, read_hosts
from splitbrain.cluster.inventory_name import is_inventory
from splitbrain.cluster.inventory_preflight import Condition, Lack, look_at, require_ready, told
from splitbrain.cluster.keeper import KeeperThread
from splitbrain.cluster.lease import LEASE_S, LeaseKeeper
from splitbrain.cluster.login import Ways
from splitbrain.cluster.network import NftNetwork
from splitbrain.cluster.parallel import on_nodes
from splitbrain.cluster.preload import clock_preload
from splitbrain.cluster.real_clocks import RealClocks
from splitbrain.cluster.ssh import SshHost
from splitbrain.cluster.ssh_cluster import SshCluster
from splitbrain.core.cluster import Burdens, Clocks, Disks, Hosts, Network, Topology
from splitbrain.core.errors import HarnessError, RemoteError, SetupError, UsageError
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value

logger = logging.getLogger(__name__)

OWN_FOLDERS = (
    "/run/splitbrain/",
    "/var/lib/splitbrain/",
    "/var/log/splitbrain/",
    "/usr/local/lib/splitbrain/",
)
REBOOT_LIMIT_S = 300.0
_POLL_S = 0.25
_CLAIM_LIMIT_S = 30.0
_WITHDRAW_LIMIT_S = 120.0
_PYTHON = "/usr/bin/python3"
_ALIVE = "/run/splitbrain/alive"

# The command must be answered before the machine goes down with it.
_REBOOT = """touch "$1" && setsid sh -c 'sleep 0.3; reboot' >/dev/null 2>&1 </dev/null &"""


class InventoryHost(SshHost):
    """A host that remembers what is put on it outside the harness's own folders."""

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file, whole or not at all, and make its folders."""
        if not path.startswith(OWN_FOLDERS):
            ask(self, "note", {"files": [path], "trees": []})
        super().put(data, path, mode=mode)


@dataclass(slots=True, kw_only=True)
class _Running:
    """What exists between `up` and `down`.

    claimed: the hosts that are ours. equipped: those that have our program.
    """

    hosts: Mapping[str, InventoryHost]
    keeper: KeeperThread
    claimed: set[str] = field(default_factory=set)
    equipped: set[str] = field(default_factory=set)
    lease: LeaseKeeper | None = None


class Inventory(SshCluster[_Running]):
    """The `Cluster` of hosts that a TOML file lists, or `ssh:HOST,HOST`.

    clocks_reason, network_reason, hosts_reason: why there is no such facet, or None.
    """

    name = "inventory"

    def __init__(self, source: str = "", node_count: int | None = None) -> None:
        if not is_inventory(source):
            message = "hosts of your own are listed in a file"
            raise UsageError(message, advice="name it as in --cluster HOSTS.toml, or ssh:HOST,HOST")
        self._list = read_hosts(source, limit=node_count)
        self._entries: Mapping[str, NodeEntry] = {entry.name: entry for entry in self._list.nodes}
        self._real_clock = all(entry.real_clock for entry in self._list.nodes)
        self._ways = Ways()
        self._running: _Running | None = None
        self._token = secrets.token_hex(8)
        self._lives = {node: threading.RLock() for node in self._entries}
        self.clocks_reason: str | None = None
        self.network_reason: str | None = None
        self.hosts_reason: str | None = None
        self._library: bytes | None = None
        self._lay_out({node: entry.peer_address for node, entry in self._entries.items()})

    def _lay_out(self, addresses: Mapping[str, str | None]) -> None:
        """Make every facet anew, without a layer."""
        known = {
            node: address or self._entries[node].login.address
            for node, address in addresses.items()
        }
        self._topology = Topology(addresses=known, pace=self._list.pace)
        self._nft = NftNetwork(self.host, known)
        self._wall: LayeredClocks = (RealClocks if self._real_clock else PreloadClocks)(self.host)
        self.network: Network | None = self._nft
        self.clocks: Clocks | None = self._wall
        self._burdens = SshBurdens(self.host, known)
        self.burdens: Burdens | None = self._burdens
        self._disks = SshDisks(self.host, known)
        self.disks: Disks | None = self._disks
        self.daemons = SshDaemons(self.host, known, {} if self._real_clock else ENVIRONMENT)
        allowed = any(entry.reboot for entry in self._entries.values())
        self.hosts: Hosts | None = InventoryHosts(self) if allowed else None
        self.hosts_reason = None if allowed else "no host of the inventory says `reboot = true`"

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """Stay where we are: the hosts are reached from anywhere."""
        return contextlib.nullcontext()

    def preflight(self) -> Mapping[str, Condition]:
        """Look at all hosts, and at who holds them; changes nothing."""
        conditions = look_at(self._list, self._ways)
        sound = [node for node, item in conditions.items() if _sound(item)]

        def holder(node: str) -> Lack | None:
            with contextlib.closing(self._open(node)) as host:
                return _held(node, _claim(host, {"command": "look"}))

        for node, lack in on_nodes(sound, holder).items():
            if lack is not None:
                conditions[node].lacks.append(lack)
        return conditions

    def up(self) -> None:
        """Claim the hosts, and put on them what faults and daemons need.

        Raises: SetupError naming everything that is missing, by host; what was begun is taken down
        by `down`.
        """
        self._require_down()
        conditions = self.preflight()
        require_ready(conditions.values(), self._list.source)
        helpful = [lack for item in conditions.values() for lack in item.lacks]
        if helpful:
            logger.warning("%s", told(helpful))
        self._lay_out({node: item.address for node, item in conditions.items()})
        self._find_facets(conditions)
        hosts = {node: self._open(node) for node in self._entries}
        self._running = running = _Running(hosts=hosts, keeper=KeeperThread("inventory-keeper"))
        on_nodes(self._entries, self._take)
        running.lease = running.keeper.call(lambda: self._renew(running))
        on_nodes(self._entries, self._equip)
        self._try_preload()

    def down(self) -> None:
        """Undo every fault, and take everything of ours away; idempotent.

        Raises: SetupError naming a host that could not be put in order.
        """
        running, self._running = self._running, None
        if running is None:
            return
        with contextlib.ExitStack() as stack:  # in reverse order, whatever fails
            stack.callback(self._ways.close)
            stack.callback(running.keeper.end)
            for host in running.hosts.values():
                stack.callback(host.close)
            if running.lease is not None:
                stack.callback(running.lease.end)
            on_nodes(sorted(running.claimed), lambda node: self._leave(running, node))

    def cleanup(self) -> Iterator[str]:
        """Put hosts in order whose controller died; give a line for each host.

        Hosts that a live run holds are not touched, and said. Raises: SetupError in the end when
        some host could not be looked at.
        """
        lines = on_nodes(self._entries, self._clean)
        yield from (line for line, _ in lines.values())
        failed = [node for node, (_, fine) in lines.items() if not fine]
        if failed:
            message = f"not every host is in order: {', '.join(failed)}"
            raise SetupError(message)

    def start(self, specs: Mapping[str, Sequence[DaemonSpec]]) -> None:
        """Start the daemons of all nodes and wait until each is ready."""

        def note(node: str) -> None:
            folders = [folder for spec in specs[node] for folder in spec.data_dirs]
            foreign: list[Value] = [f for f in folders if not f"{f}/".startswith(OWN_FOLDERS)]
            if foreign:
                ask(self.host(node), "note", {"files": [], "trees": foreign})

        on_nodes(specs, note)
        self.daemons.start(specs)

    def may_reboot(self, node: str) -> bool:
        """Tell whether the inventory allows to restart this host."""
        return self._entries[node].reboot

    def reboot(self, node: str) -> Value:
        """Restart a host by its own command, and put back what the layers do to it.

        Raises: SetupError when it does not come back.
        """
        host = self.host(node)
        with self._lives[node]:
            began_s = time.monotonic()
            host.run(("sh", "-c", _REBOOT, "reboot", _ALIVE))
            self._await_return(node, began_s + REBOOT_LIMIT_S * self._topology.pace)
            self._take(node, again=True)
            ask(host, "prepare", {"lease_s": LEASE_S})
            if self.network is not None:
                self._nft.apply_again(node)
            if self.clocks is not None:
                self._wall.apply_again(node)
            self._burdens.apply_again(node)
            self._disks.apply_again(node)
            self.daemons.start_again(node)
            return {"away_s": round(time.monotonic() - began_s, 3)}

    def _await_return(self, node: str, deadline_s: float) -> None:
        """Wait until the host has lost what only a reboot makes it lose."""
        host, reason = self.host(node), "it did not go down"
        while time.monotonic() < deadline_s:
            host.close()
            try:
                done = host.run(("test", "-e", _ALIVE), timeout_s=5.0, check=False)
                if done.exit_status == 1:
                    return
            except RemoteError as error:
                reason = str(error)
            time.sleep(_POLL_S)
        message = f"{node} did not come back from its reboot: {reason}"
        raise SetupError(message)

    def _open(self, node: str) -> InventoryHost:
        entry = self._entries[node]
        return self._ways.host(entry.login, sudo=entry.sudo, kind=InventoryHost)

    def _find_facets(self, conditions: Mapping[str, Condition]) -> None:
        """Drop the facets that some host cannot give."""
        without = [node for node, item in conditions.items() if not item.nft]
        self.network_reason = None
        if without:
            self.network_reason = f"{', '.join(without)}: there is no nftables"
            self.network = None
        if self._real_clock:
            return
        machine = os.uname().machine
        others = [node for node, item in conditions.items() if item.machine != machine]
        if others:
            kind = conditions[others[0]].machine
            self._lose_clocks(
                f"{', '.join(others)}: the clock library is for {machine}, not {kind}"
            )
            return
        try:
            self._library = clock_preload()
            self.clocks_reason = None
        except SetupError as error:
            self._lose_clocks(str(error))

    def _lose_clocks(self, reason: str) -> None:
        logger.warning("clocks cannot be bent: %s", reason)
        self._library, self.clocks_reason, self.clocks = None, reason, None
        self.daemons = SshDaemons(self.host, self._topology.addresses, {})

    def _try_preload(self) -> None:
        """See whether every host's loader takes the clock library."""
        if self.clocks is None or self._real_clock:
            return
        pairs = [f"{name}={value}" for name, value in ENVIRONMENT.items()]

        def complaint(node: str) -> str:
            done = self.host(node).run(("env", *pairs, "date"), check=False)
            lines = done.stderr.decode(errors="replace").splitlines()
            return next((line for line in lines if PRELOAD in line), "")

        for node, text in on_nodes(self._entries, complaint).items():
            if text:
                self._lose_clocks(f"{node}: {text}")
                return

    def _take(self, node: str, *, again: bool = False) -> None:
        """Claim a host; one that a dead controller left is put in order first."""
        host = self.host(node)
        request: dict[str, Value] = {
            "command": "take",
            "owner": self._owner(),
            "lease_s": LEASE_S,
            "directory": self._entries[node].directory,
            "again": again,
        }
        answer = _claim(host, request)
        if not answer["taken"] and _held(node, answer) is None:
            logger.warning("%s", _tidy(host, answer))
            answer = _claim(host, request)
        if not answer["taken"]:
            lack = _held(node, answer) or Lack(node=node, what="another run has just taken it")
            raise SetupError(told([lack]))
        self._require_running().claimed.add(node)

    def _leave(self, running: _Running, node: str) -> None:
        host = running.hosts[node]
        if node not in running.equipped:
            put_agent(host, None)
        _withdraw(host, self._token)

    def _owner(self) -> dict[str, Value]:
        return {
            "token": self._token,
            "user": getpass.getuser(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }

    def _equip(self, node: str) -> None:
        put_agent(self.host(node), self._library)
        self._require_running().equipped.add(node)
        ask(self.host(node), "prepare", {"lease_s": LEASE_S})

    def _renew(self, running: _Running) -> LeaseKeeper:
        folder = platformdirs.user_state_path("splitbrain")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"cannot make the directory {folder}: {error.strerror}"
            raise SetupError(message) from error
        logins = [
            {
                "login": entry.login.to_value(),
                "sudo": entry.sudo is not None,
                "password": None if entry.sudo is None else entry.sudo.password,
            }
            for entry in self._list.nodes
        ]
        assert running.lease is None
        return LeaseKeeper.start_for(logins, folder / "lease.log")

    def _clean(self, node: str) -> tuple[str, bool]:
        """Put one host in order; give what was done, and whether all is well."""
        try:
            with contextlib.closing(self._open(node)) as host:
                found = _claim(host, {"command": "look"})
                held = _held(node, found)
                if held is not None:
                    return told([held]), True
                if not found["remains"]:
                    return f"{node}: nothing was left behind", True
                return _tidy(host, found), True
        except HarnessError as error:
            text = str(error)
            return text if text.startswith(node) else f"{node}: {text}", False


class InventoryHosts:
    """The `hosts` facet, for those hosts that the inventory allows to restart."""

    def __init__(self, cluster: Inventory) -> None:
        self._cluster = cluster

    def reboot(self, node: str) -> Value:
        """Restart a node and its daemons (those that no layer holds); return once it is back.

        Raises: HarnessError for a host that may not be restarted.
        """
        if not self._cluster.may_reboot(node):
            message = f"{node} may not be restarted: its entry does not say `reboot = true`"
            raise HarnessError(message)
        return self._cluster.reboot(node)

    def cannot_cut_power(self) -> str | None:
        """Say that only somebody beside the machine can do so."""
        return "the power of your own machines cannot be cut over SSH"

    def cut_power(self, nodes: Sequence[str]) -> Value:
        """Refuse. Raises: HarnessError with the reason."""
        del nodes
        raise HarnessError(str(self.cannot_cut_power()))


def _sound(condition: Condition) -> bool:
    return not any(lack.essential for lack in condition.lacks)


def _claim(host: SshHost, request: Mapping[str, Value]) -> dict[str, Value]:
    """Ask a host, in one step, who holds it, or take it. Raises: RemoteError."""
    text = (resources.files("splitbrain.cluster.on_node") / "claim.py").read_text(encoding="utf-8")
    argv = (_PYTHON, "-ISc", text, json.dumps(request))
    done = host.run(argv, timeout_s=_CLAIM_LIMIT_S)
    try:
        answer: dict[str, Value] = json.loads(done.stdout)
    except ValueError as error:
        raise RemoteError(host.node, ("claim",), reason="its answer is not JSON") from error
    return answer


def _held(node: str, found: Mapping[str, Value]) -> Lack | None:
    """Say that a live run holds a host, if one does."""
    left_s = found["left_s"]
    assert isinstance(left_s, (int, float))
    if left_s <= 0:
        return None
    who = _name_of(found["owner"])
    what = f"it is in use by the run of {who}"
    advice = f"wait until that ends; if it is dead, its lease runs out within {LEASE_S} s"
    return Lack(node=node, what=what, advice=advice)


def _name_of(owner: Value) -> str:
    if not isinstance(owner, dict):
        return "somebody"
    return f"{owner.get('user')} on {owner.get('host')}, process {owner.get('pid')}"


def _tidy(host: SshHost, found: Mapping[str, Value]) -> str:
    """Remove what a dead run left on a host; give the line that says so."""
    put_agent(host, None)
    owner = found["owner"]
    token = owner.get("token") if isinstance(owner, dict) else None
    answer = _withdraw(host, token)
    parts: list[str] = []
    for word, what in (("undone", "healed"), ("ended", "ended")):
        items = answer.get(word)
        if isinstance(items, list) and items:
            parts.append(f"{what} {', '.join(map(str, items))}")
    rest = f": {'; '.join(parts)}" if parts else ""
    return f"{host.node}: removed what the dead run of {_name_of(found['owner'])} left{rest}"


def _withdraw(host: SshHost, token: Value) -> dict[str, Value]:
    """Let a host be as it was before the run of this token came.

    Raises: RemoteError, SetupError naming what could not be put back.
    """
    answer = ask(host, "withdraw", {"token": token}, timeout_s=_WITHDRAW_LIMIT_S)
    left = answer.get("left")
    if isinstance(left, list) and left:
        message = f"{host.node}: not everything could be put back: {', '.join(map(str, left))}"
        raise SetupError(message)
    return answer
