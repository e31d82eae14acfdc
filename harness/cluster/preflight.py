"""What this machine lacks for embedded hosts, and the one line that mends each.

Looks, and changes nothing: mounts and rules are tried in namespaces that end with the attempt.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from splitbrain.cluster import unpacked
from splitbrain.cluster.preload import ADVICE as COMPILER_ADVICE
from splitbrain.cluster.preload import compiler
from splitbrain.cluster.rootless import container, no_linux, refusal, signs
from splitbrain.cluster.user_namespace import (
    entering,
    has_one_id,
    has_subordinate_ids,
    is_inside,
    subordinate,
    works,
)

OK, DEGRADED, MISSING = "OK", "DEGRADED", "MISSING"
_PROBE_LIMIT_S = 20.0
_ROOM_MB = 512
_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
_MEMORY = Path("/dev/shm")

# openssh-server's own start of a service is kept away by a policy that forbids it.
_SSHD_ADVICE = "RUNLEVEL=1 apt-get install --no-install-recommends openssh-server"
_DEVICES = (("/dev/net/tun", "faults of packets"), ("/dev/fuse", "faults of disks"))
_PROGRAMS = (
    ("unshare", "apt-get install util-linux"),
    ("setpriv", "apt-get install util-linux"),
    ("mount", "apt-get install mount"),
    ("ip", "apt-get install iproute2"),
    ("tar", "apt-get install tar"),
)

# Arguments: a folder, what to lay over, and further options.
_OVERLAY = """set -e; mount -t tmpfs none {0}; mkdir {0}/u {0}/w {0}/r
mount -t overlay overlay -o {2}lowerdir={1},upperdir={0}/u,workdir={0}/w {0}/r"""
_KERNEL_FILES = "set -e; mount -t proc proc {0}; mount -t sysfs sysfs {0}"
_BRIDGE = "ip link add br0 type bridge && ip link add a0 type veth peer name b0"
_NFT = "nft add table inet splitbrain"

Missing = tuple[str, str]
"""What is missing, and the one line that mends it."""


def preflight() -> list[Missing]:
    """Give everything that is missing, the indispensable first."""
    return [*_indispensable(), *_helpful()]


def status() -> tuple[str, list[Missing]]:
    """Give OK, DEGRADED (some faults are not to be had) or MISSING, with what is missing."""
    essential, helpful = _indispensable(), _helpful()
    verdict = MISSING if essential else DEGRADED if helpful else OK
    return verdict, [*essential, *helpful]


def _indispensable() -> list[Missing]:
    elsewhere = no_linux(sys.platform, platform.release())
    if elsewhere is not None:
        return [elsewhere]
    missing: list[Missing] = []
    if os.geteuid() != 0 and (refused := refusal(signs())) is not None:
        missing.append(refused)
    if not any(Path(folder, "sshd").is_file() for folder in ("/usr/sbin", *_unpacked("sbin"))):
        missing.append(("the program /usr/sbin/sshd", _SSHD_ADVICE))
    missing += [(f"the program {name}", line) for name, line in _PROGRAMS if not _has(name)]
    if not Path("/usr/bin/python3").exists():
        missing.append(("the program /usr/bin/python3", "apt-get install python3-minimal"))
    if not (_MEMORY.is_dir() and os.path.ismount(_MEMORY)):
        missing.append((f"memory at {_MEMORY}", f"mount -t tmpfs tmpfs {_MEMORY}"))
    return missing or _refused_by_kernel()


def _refused_by_kernel() -> list[Missing]:
    """Try what hosts are made of."""
    missing: list[Missing] = []
    if not _works("true", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork"):
        advice = "use a kernel or a container that lets root make them"
        if container() is not None:
            advice = "start the container with --privileged"
        return [("namespaces", advice)]
    plain = os.geteuid() == 0 and not is_inside()
    with tempfile.TemporaryDirectory(prefix="splitbrain-probe-") as folder:
        script = _OVERLAY.format(folder, *(("/", "") if plain else ("/usr", "userxattr,")))
        if not _works(script, "--mount"):
            missing.append(_no_overlay(plain=plain))
        if not plain and not _works(
            _KERNEL_FILES.format(folder), "--net", "--mount", "--pid", "--fork"
        ):
            what = "a /proc and a /sys of their own: parts of this machine's are covered"
            advice = "start the container with --security-opt systempaths=unconfined"
            missing.append((what, advice))
    if not _works(_BRIDGE, "--net"):
        missing.append(("bridges and virtual cables", "modprobe -a bridge veth"))
    return missing


def _no_overlay(*, plain: bool) -> Missing:
    if plain:
        return "the overlay file system", "modprobe overlay"
    what = "the overlay file system for ordinary users, of Linux 5.11 and newer"
    return what, "sudo modprobe overlay, or run it as root"


def _helpful() -> list[Missing]:
    missing: list[Missing] = []
    possible = os.geteuid() == 0 or works()
    if not _has("nft"):
        missing.append(("nft, for partitions", "apt-get install nftables"))
    elif possible and _has("unshare") and not _works(_NFT, "--net"):
        missing.append(("nftables in the kernel, for partitions", "modprobe nf_tables"))
    if (room_mb := _room_mb()) < _ROOM_MB:
        what = f"room at {_MEMORY}: {room_mb} MB are free"
        missing.append((what, f"mount -o remount,size=2g {_MEMORY}"))
    if compiler() is None and not any(_has(name) for name in ("cc", "gcc", "clang")):
        missing.append(("a C compiler, for clock faults", COMPILER_ADVICE))
    missing += [
        (f"the right to use {device}, for {faults}", f"sudo chmod 666 {device}")
        for device, faults in _DEVICES
        if Path(device).exists() and not os.access(device, os.R_OK | os.W_OK)
    ]
    if possible and _one_user():
        missing.append(("users beside root on the hosts", _uidmap_advice()))
    return missing


def _one_user() -> bool:
    """Tell whether the hosts will know no user but root; programs that drop root fail there."""
    if os.geteuid() == 0:
        return has_one_id()
    return not has_subordinate_ids()


def _uidmap_advice() -> str:
    line = "sudo apt-get install uidmap"
    if all(subordinate(Path(file)) for file in ("/etc/subuid", "/etc/subgid")):
        return line
    ranges = "--add-subuids 100000-165535 --add-subgids 100000-165535"
    return f"{line} && sudo usermod {ranges} $(id -un)"


def _room_mb() -> int:
    try:
        about = os.statvfs(_MEMORY)
    except OSError:
        return 0
    return about.f_bavail * about.f_frsize // 2**20


def _has(name: str) -> bool:
    path = os.pathsep.join((_PATH, *_unpacked("bin"), *_unpacked("sbin")))
    return shutil.which(name, path=path) is not None


def _unpacked(kind: str) -> tuple[str, ...]:
    """Give where programs lie that only a user namespace shows; none for root, who has others."""
    shown = os.geteuid() != 0 and unpacked.exist()
    return (str(unpacked.folder() / "usr" / kind),) if shown else ()


def _works(script: str, *namespaces: str) -> bool:
    """Tell whether a script succeeds in namespaces of its own."""
    command: Sequence[str] = (*entering(), "unshare", *namespaces, "sh", "-c", script)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_LIMIT_S,
            check=False,
            env={**os.environ, "PATH": _PATH},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
