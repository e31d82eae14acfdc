"""Why an ordinary user cannot have embedded hosts on this machine, and the one line that mends it.

Distributions keep user namespaces from ordinary users in several ways, and the kernel's answer is
the same EPERM to all of them: the signs of each are looked for once the attempt has failed.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from splitbrain.cluster.user_namespace import works

_SYSCTL = Path("/proc/sys")
_WHAT = "root, or user namespaces for ordinary users"
_AS_ROOT = "run it as root, or with sudo"
_CONTAINER_ADVICE = (
    "start the container with --privileged, or --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined --security-opt systempaths=unconfined"
)
_ELSEWHERE = "use a Linux virtual machine, or --cluster vagrant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What can be seen of this machine.

    system: as Python names it ("linux"). release: the kernel's. The sysctls are None where there is
    no such switch. container: what kind of container this is in, or None. chrooted: whether / is
    no mount of its own. works: whether becoming root of a user namespace was tried with success.
    """

    system: str
    release: str
    max_user_namespaces: int | None
    unprivileged_clone: int | None
    apparmor_restricts: int | None
    container: str | None
    chrooted: bool
    works: bool


def signs() -> Signs:
    """Look at this machine."""
    return Signs(
        system=sys.platform,
        release=platform.release(),
        max_user_namespaces=_switch("user/max_user_namespaces"),
        unprivileged_clone=_switch("kernel/unprivileged_userns_clone"),
        apparmor_restricts=_switch("kernel/apparmor_restrict_unprivileged_userns"),
        container=container(),
        chrooted=_chrooted(),
        works=works(),
    )


def no_linux(seen_system: str, release: str) -> tuple[str, str] | None:
    """Say what is missing where there are no namespaces at all, for nobody; None elsewhere."""
    if seen_system == "darwin":
        return "Linux: macOS has no namespaces", _ELSEWHERE
    if seen_system != "linux":
        return f"Linux: {seen_system} has no namespaces", _ELSEWHERE
    if "microsoft" in release.lower() and "wsl2" not in release.lower():
        return "a Linux kernel: WSL 1 has no namespaces", "wsl --set-version DISTRIBUTION 2"
    return None


def refusal(seen: Signs) -> tuple[str, str] | None:
    """Give what keeps an ordinary user from having hosts, and what mends it; None if nothing does.

    The line that mends is for somebody who may become root; without, running as root is the way.
    """
    if seen.works:
        return None
    for applies, why, advice in _reasons(seen):
        if applies:
            return f"{_WHAT}: {why}", advice
    return f"{_WHAT}: the kernel refuses them, as it does within a chroot", _AS_ROOT


def _reasons(seen: Signs) -> Sequence[tuple[bool, str, str]]:
    """Give everything that may be the reason, the surest first: applies, reason, what mends it."""
    return (
        (
            seen.max_user_namespaces == 0,
            "their number is limited to 0",
            "sudo sysctl -w user.max_user_namespaces=15000",
        ),
        (
            seen.unprivileged_clone == 0,
            "this kernel is told to keep them for root",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            seen.chrooted,
            "the kernel gives none within a chroot",
            "leave the chroot, or run it as root",
        ),
        (
            seen.container is not None,
            f"this {seen.container} container forbids them",
            _CONTAINER_ADVICE,
        ),
        (
            seen.apparmor_restricts == 1,
            "AppArmor takes their rights away",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            "microsoft" in seen.release.lower(),
            "this kernel of WSL 2 has none",
            "wsl --update, or run it as root",
        ),
        (seen.max_user_namespaces is None, "this kernel was built without", _AS_ROOT),
    )


def container() -> str | None:
    """Tell what kind of container this is in, as far as containers say; None for a machine."""
    if Path("/run/.containerenv").exists():
        return "Podman"
    if Path("/.dockerenv").exists():
        return "Docker"
    try:
        return Path("/run/systemd/container").read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _chrooted() -> bool:
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return all(line.split()[4] != "/" for line in lines)


def _switch(name: str) -> int | None:
    try:
        return int((_SYSCTL / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
