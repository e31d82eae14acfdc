"""Machines on libvirt: their network, and their power, by virsh."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from splitbrain.cluster.machines.command import run_program
from splitbrain.cluster.machines.place import Place
from splitbrain.cluster.machines.settings import NODE_LIMIT

URI = "qemu:///system"
NETWORK = "splitbrain"
BRIDGE = "splitbrain0"
FIRST_ADDRESS = 11
_LIMIT_S = 60.0
_POWER_LIMIT_S = 90.0


def network_definition(subnet: str, *, leads_out: bool) -> str:
    """Give the network of the machines, with an address for each by its hardware address."""
    hosts = "\n".join(
        f"      <host mac='52:54:00:5b:00:{number:02x}' name='n{number}' "
        f"ip='{subnet}.{FIRST_ADDRESS - 1 + number}'><lease expiry='0'/></host>"
        for number in range(1, NODE_LIMIT + 1)
    )
    forward = "  <forward mode='nat'/>\n" if leads_out else ""
    return f"""<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <name>{NETWORK}</name>
{forward}  <bridge name='{BRIDGE}' stp='off' delay='0'/>
  <ip address='{subnet}.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='{subnet}.100' end='{subnet}.200'><lease expiry='0'/></range>
{hosts}
    </dhcp>
  </ip>
  <dnsmasq:options><dnsmasq:option value='no-ping'/></dnsmasq:options>
</network>
"""


class Libvirt:
    """What virsh does for us. prefix: of the machines' names."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._place = place
        self._folder = folder
        self._log = folder / "virsh.log"

    def ensure_network(self, subnet: str, *, leads_out: bool) -> None:
        """Define and start the network as it is wanted. Raises: SetupError."""
        wanted = network_definition(subnet, leads_out=leads_out)
        file = self._folder / "network.xml"
        known = file.read_text(encoding="utf-8") if file.is_file() else ""
        names = self._virsh("net-list", "--all", "--name").split()
        if NETWORK in names and known != wanted:
            self.remove_network()
            names.remove(NETWORK)
        if NETWORK not in names:
            file.write_text(wanted, encoding="utf-8")
            self._virsh("net-define", str(file))
        if NETWORK not in self._virsh("net-list", "--name").split():
            self._virsh("net-start", NETWORK)

    def remove_network(self) -> None:
        """Remove the network if it is there."""
        if NETWORK in self._virsh("net-list", "--name").split():
            self._virsh("net-destroy", NETWORK)
        if NETWORK in self._virsh("net-list", "--all", "--name").split():
            self._virsh("net-undefine", NETWORK)

    def machines(self) -> dict[str, bool]:
        """Give our machines that are defined, by node, and whether each runs."""
        every = set(self._virsh("list", "--all", "--name").split())
        runs = set(self._virsh("list", "--name").split())
        return {
            name.removeprefix("splitbrain_"): name in runs
            for name in sorted(every)
            if name.startswith("splitbrain_")
        }

    def cut_power(self, nodes: Sequence[str]) -> None:
        """Cut the power of machines at one moment. Raises: SetupError.

        They are frozen first, which takes milliseconds; to end one takes longer.
        """
        self._each(nodes, "suspend")
        self._each(nodes, "destroy")

    def start(self, nodes: Sequence[str]) -> None:
        """Start machines that are off. Raises: SetupError."""
        self._each(nodes, "start")

    def remove_volumes(self, box: str) -> None:
        """Remove what a box has left in the default pool."""
        if "default" not in self._virsh("pool-list", "--name").split():
            return
        mark = f"{box.replace('/', '-VAGRANTSLASH-')}_vagrant_box_image"
        for line in self._virsh("vol-list", "default").splitlines():
            name = line.split()[0] if line.split() else ""
            if name.startswith(mark):
                self._virsh("vol-delete", "--pool", "default", name)

    def _each(self, nodes: Sequence[str], command: str) -> None:
        def act(node: str) -> None:
            self._virsh(command, f"splitbrain_{node}", limit_s=_POWER_LIMIT_S)

        with ThreadPoolExecutor(len(nodes) or 1) as pool:
            for done in [pool.submit(act, node) for node in nodes]:
                done.result()

    def _virsh(self, *arguments: str, limit_s: float = _LIMIT_S) -> str:
        argv = self._place.command(("virsh", "--connect", URI, *arguments))
        environment = {**os.environ, "LC_ALL": "C"}
        what = f"virsh {arguments[0]}"
        return run_program(argv, limit_s=limit_s, log=self._log, environment=environment, what=what)
