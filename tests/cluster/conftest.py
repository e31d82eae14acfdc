"""Clusters and small daemons for the tests of clusters."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from splitbrain.cluster.embedded import Embedded
from splitbrain.cluster.keys import KeyPair
from splitbrain.cluster.user_namespace import is_inside
from splitbrain.core.system import DaemonSpec

_CLOCK_DAEMON = """
import socket, sys, time
server = socket.create_server(("0.0.0.0", 7000))
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    peer.sendall(f"{time.time_ns()} {time.monotonic_ns()}".encode())
    peer.close()
"""


@pytest.fixture(scope="module")
def five() -> Iterator[Embedded]:
    """Five hosts, up for a module; the tests run in their network."""
    yield from _up(5)


@pytest.fixture(scope="module")
def one() -> Iterator[Embedded]:
    """One host, up for a module; the tests run in its network."""
    yield from _up(1)


@pytest.fixture(scope="session")
def clock_daemon() -> DaemonSpec:
    """A daemon that tells its wall clock and its monotonic clock to whoever connects."""
    argv = ("/usr/bin/python3", "-ISc", _CLOCK_DAEMON)
    return DaemonSpec(name="clock", argv=argv, ready_port=7000, ready_line="ready")


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Wait for a condition, with a deadline."""

    def wait(condition: Callable[[], bool], what: str, limit_s: float = 20.0) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
            time.sleep(0.01)

    return wait


def _up(count: int) -> Iterator[Embedded]:
    cluster = Embedded(node_count=count)
    with cluster.entered():
        try:
            cluster.up()
            yield cluster
        finally:
            cluster.down()


_SECOND_SSHD = """Port 2222
HostKey /etc/foreign/hostkey
AuthorizedKeysFile /etc/foreign/authorized_keys
StrictModes no
PidFile none
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding yes
"""
_USERS = """set -e
useradd -M -s /bin/sh free
useradd -M -s /bin/sh careful
useradd -M -s /bin/sh powerless
usermod -p '*' free
usermod -p '*' powerless
echo 'careful:open sesame' | chpasswd -c SHA256
echo 'free ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/free
echo 'careful ALL=(ALL) ALL' > /etc/sudoers.d/careful
chmod 440 /etc/sudoers.d/free /etc/sudoers.d/careful
/usr/sbin/sshd -f /etc/foreign/sshd_config
"""


class BareHosts(Embedded):
    """Embedded hosts on which nothing of the harness runs: the machines of somebody else."""

    def _equip(self, node: str) -> None:
        """Leave the host as it booted."""

    def _prepare(self, node: str) -> None:
        """Leave the host as it booted."""


class ForeignHosts:
    """Three hosts and a gate, with a key and known hosts of their own.

    Port 2222 lets in root, free (sudo without a password), careful (sudo with one) and powerless
    (no sudo).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = BareHosts(node_count=4)
        self.key = folder / "id_ed25519"
        self.known_hosts = folder / "known_hosts"

    @property
    def nodes(self) -> tuple[str, ...]:
        return ("n1", "n2", "n3")

    def address(self, node: str) -> str:
        return self.cluster.topology.addresses[node]

    def up(self) -> None:
        self.cluster.up()
        self.cluster._running.lease.end()
        pair = KeyPair.generate()
        self.key.touch(mode=0o600)
        self.key.write_text(pair.private)
        lines = []
        for node in self.cluster.topology.nodes:
            own = KeyPair.generate()
            host = self.cluster.host(node)
            host.put(_SECOND_SSHD.encode(), "/etc/foreign/sshd_config")
            host.put(own.private.encode(), "/etc/foreign/hostkey", mode=0o600)
            host.put(f"{pair.public}\n".encode(), "/etc/foreign/authorized_keys")
            host.run(["sh", "-c", _USERS])
            lines.append(f"[{self.address(node)}]:2222 {own.public}\n")
        self.known_hosts.write_text("".join(lines))

    def file(self, name: str, *, user: str = "root", nodes=None, **fields: str) -> str:
        """Write an inventory; fields are TOML, for all nodes; nodes: those with more of their own.

        Give its path.
        """
        shared = {
            "user": f'"{user}"',
            "port": "2222",
            "key": '"id_ed25519"',
            "known_hosts": '"known_hosts"',
            **fields,
        }
        lines = ["[defaults]", *(f"{field} = {value}" for field, value in shared.items())]
        for node, own in (nodes or {key: {} for key in self.nodes}).items():
            lines += [f"[nodes.{node}]"]
            rows = {"address": f'"{self.address(node)}"', **own}
            lines += [f"{field} = {value}" for field, value in rows.items()]
        lines += ["[jumps.gate]", f'address = "{self.address("n4")}"', 'user = "powerless"']
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def remains(self) -> dict[str, str]:
        """Give what lies on the hosts that the harness may have put there."""
        script = (
            "ls -d /run/splitbrain /var/*/splitbrain /usr/local/lib/splitbrain /opt/splitbrain"
            " /etc/splitbrain/raft.json 2>/dev/null; nft list ruleset;"
            " pgrep -fa 'splitbrain-node|on_node' | grep -v pgrep"
        )
        found = {}
        for node in self.nodes:
            said = self.cluster.host(node).run(["sh", "-c", script], check=False).stdout.decode()
            if said.strip():
                found[node] = said
        return found


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignHosts]:
    """Hosts of somebody else, up for a module; the tests run in their network."""
    if is_inside():
        pytest.skip("hosts of somebody else have users and sudo, which a user namespace has not")
    if shutil.which("sudo") is None and "SPLITBRAIN_CI" not in os.environ:
        pytest.skip("hosts of somebody else need sudo: apt-get install sudo")
    hosts = ForeignHosts(tmp_path_factory.mktemp("foreign"))
    with hosts.cluster.entered():
        try:
            hosts.up()
            yield hosts
        finally:
            hosts.cluster.down()
