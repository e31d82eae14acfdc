"""What this machine lacks for machines by Vagrant, and the one line that mends each. Looks only."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from splitbrain.cluster.machines import libvirt, virtualbox
from splitbrain.cluster.machines.acceleration import QEMU
from splitbrain.cluster.machines.choice import PATH, Choice, has
from splitbrain.cluster.machines.settings import Settings

Missing = tuple[str, str]
"""What is missing, and the one line that mends it."""

ROOM_MB = 1024
ROOM_FOR_A_NODE_MB = 512
ROOM_FOR_THE_BOX_MB = 2048

LIBVIRT_LINE = (
    "apt-get install --no-install-recommends vagrant vagrant-libvirt libvirt-daemon-system "
    "libvirt-daemon-driver-qemu "
    "libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base"
)
_GEMS = ("/usr/share/rubygems-integration", "/var/lib/gems", "/opt/vagrant")


def lacks(settings: Settings, choice: Choice) -> list[Missing]:
    """Give everything without which no machine comes up, the first to be mended first."""
    missing: list[Missing] = []
    if not has("vagrant"):
        missing.append(("the program vagrant", "apt-get install --no-install-recommends vagrant"))
    if choice.provider is None:
        what = "a provider of machines: there is neither libvirt (virsh) nor VirtualBox"
        return [*missing, (what, LIBVIRT_LINE)]
    if choice.provider == "libvirt":
        missing += _libvirt_lacks(choice)
    elif not has(virtualbox.PROGRAM):
        missing.append((f"the program {virtualbox.PROGRAM}", "install VirtualBox from its makers"))
    if choice.builds_box:
        missing += _box_lacks()
    missing += _room_lacks(settings, choice)
    if not choice.private:
        missing += _clash(settings.subnet)
    return missing


def clashes(subnet: str, interfaces: Iterable[Mapping[str, object]]) -> str | None:
    """Give the interface, not of ours, that has an address in the machines' network.

    interfaces: as `ip -json address` shows them.
    """
    wanted = ipaddress.IPv4Network(f"{subnet}.0/24")
    for item in interfaces:
        name = str(item.get("ifname"))
        if name == libvirt.BRIDGE or name.startswith("vboxnet"):
            continue
        addresses = item.get("addr_info")
        for address in addresses if isinstance(addresses, list) else []:
            if address.get("family") != "inet":
                continue
            text = f"{address['local']}/{address['prefixlen']}"
            if ipaddress.IPv4Interface(text).network.overlaps(wanted):
                return f"{name} has {text}"
    return None


def _libvirt_lacks(choice: Choice) -> list[Missing]:
    missing: list[Missing] = []
    if has("vagrant") and not _has_plugin():
        line = "apt-get install --no-install-recommends vagrant-libvirt"
        missing.append(("Vagrant's plugin vagrant-libvirt", line))
    programs = [QEMU, "qemu-img", "virsh", "dnsmasq"]
    if choice.private:
        programs += ["libvirtd", "virtlogd", "dbus-daemon", "unshare", "nsenter", "ip"]
    absent = [name for name in programs if not has(name)]
    if absent:
        missing.append((f"for libvirt: {', '.join(absent)}", LIBVIRT_LINE))
    elif choice.private and os.geteuid() != 0:
        what = "root: without systemd, libvirt's daemons are started in a place of their own"
        missing.append((what, "run it as root, or with sudo"))
    elif not choice.private:
        missing += _silent_libvirt()
    return missing


def _silent_libvirt() -> list[Missing]:
    argv = ("virsh", "--connect", libvirt.URI, "version")
    done = _run(argv)
    if done is not None and done.returncode == 0:
        return []
    text = "no answer" if done is None else done.stderr
    if "ermission" in text or "uthentication" in text:
        return [("the right to use libvirt", "sudo usermod -aG libvirt $USER   # and log in anew")]
    return [("libvirt's daemon: it does not answer", "sudo systemctl start libvirtd")]


def _box_lacks() -> list[Missing]:
    missing: list[Missing] = []
    absent = [name for name in ("debootstrap", "mkfs.ext4", "apt-get") if not has(name)]
    if absent:
        line = "apt-get install debootstrap e2fsprogs"
        missing.append((f"for building the box: {', '.join(absent)}", line))
    if os.geteuid() != 0:
        line = "run it as root once, or use the stock box: SPLITBRAIN_BOX=debian/bookworm64"
        missing.append(("root, for building the box", line))
    return missing


def _room_lacks(settings: Settings, choice: Choice) -> list[Missing]:
    needed_mb = ROOM_MB + ROOM_FOR_A_NODE_MB * settings.node_count
    needed_mb += ROOM_FOR_THE_BOX_MB if choice.builds_box else 0
    folder = settings.folder
    while not folder.exists():
        folder = folder.parent
    about = os.statvfs(folder)
    free_mb = about.f_bavail * about.f_frsize // 2**20
    if free_mb >= needed_mb:
        return []
    what = f"disk space: {free_mb} MB are free at {folder}, and {needed_mb} MB are needed"
    return [(what, "make room, or name another folder: SPLITBRAIN_VAGRANT_STATE=/a/folder")]


def _clash(subnet: str) -> list[Missing]:
    done = _run(("ip", "-json", "address"))
    if done is None or done.returncode != 0:
        return []
    try:
        found = clashes(subnet, json.loads(done.stdout))
    except ValueError:
        return []
    if found is None:
        return []
    what = f"addresses: the machines' network {subnet}.0/24 is taken, since {found}"
    return [(what, "choose another: export SPLITBRAIN_SUBNET=192.168.57")]


def _has_plugin() -> bool:
    """Tell whether Vagrant knows libvirt, without starting Vagrant, which takes seconds."""
    home = Path(os.environ.get("VAGRANT_HOME", Path.home() / ".vagrant.d"))
    try:
        if "vagrant-libvirt" in (home / "plugins.json").read_text(encoding="utf-8"):
            return True
    except OSError:
        pass
    return any(
        next(Path(folder).glob("**/specifications/vagrant-libvirt-*.gemspec"), None) is not None
        for folder in _GEMS
        if Path(folder).is_dir()
    )


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C"}
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=20.0, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
