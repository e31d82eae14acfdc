"""What a Vagrant cluster is to be: nodes, memory, box, provider, addresses, folders."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from splitbrain.core.errors import UsageError

NODE_LIMIT = 9
STOCK_BOX = "debian/bookworm64"
OWN_BOX = "splitbrain/bookworm"
PROVIDERS = ("libvirt", "virtualbox")
DRIVERS = ("kvm", "qemu")

_MEMORY_MB = (128, 65536)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was asked for; None lets the cluster choose.

    box: `splitbrain/bookworm` is the one that we build, any other is Vagrant's to find. subnet: the
    first three numbers of the nodes' addresses. driver: kvm or qemu, on libvirt. folder: where all
    state lies. cache: where boxes and packages are kept.
    """

    node_count: int
    memory_mb: int | None
    box: str | None
    provider: str | None
    driver: str | None
    subnet: str
    folder: Path
    cache: Path

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return tuple(f"n{number}" for number in range(1, self.node_count + 1))


def settings_from(environment: Mapping[str, str], *, node_count: int) -> Settings:
    """Read SPLITBRAIN_MEMORY_MB, _BOX, _PROVIDER, _DRIVER, _SUBNET and _VAGRANT_STATE.

    Raises: UsageError naming the variable whose value cannot be used.
    """
    if not 1 <= node_count <= NODE_LIMIT:
        message = f"a vagrant cluster has 1 to {NODE_LIMIT} nodes, not {node_count}"
        raise UsageError(message, advice=f"use --nodes {min(NODE_LIMIT, max(1, node_count))}")
    state = environment.get("SPLITBRAIN_VAGRANT_STATE")
    folder = Path(state) if state else platformdirs.user_state_path("splitbrain") / "vagrant"
    return Settings(
        node_count=node_count,
        memory_mb=_memory(environment.get("SPLITBRAIN_MEMORY_MB")),
        box=environment.get("SPLITBRAIN_BOX") or None,
        provider=_one_of(environment, "SPLITBRAIN_PROVIDER", PROVIDERS),
        driver=_one_of(environment, "SPLITBRAIN_DRIVER", DRIVERS),
        subnet=_subnet(environment.get("SPLITBRAIN_SUBNET", "192.168.56")),
        folder=folder.absolute(),
        cache=platformdirs.user_cache_path("splitbrain") / "vagrant",
    )


def from_environment(node_count: int) -> Settings:
    """Read the settings from this process's environment. Raises: UsageError."""
    return settings_from(os.environ, node_count=node_count)


def _memory(text: str | None) -> int | None:
    if not text:
        return None
    low, high = _MEMORY_MB
    if not text.isdigit() or not low <= int(text) <= high:
        message = f"SPLITBRAIN_MEMORY_MB is {text!r}, and must be a number from {low} to {high}"
        raise UsageError(message)
    return int(text)


def _one_of(environment: Mapping[str, str], name: str, known: tuple[str, ...]) -> str | None:
    value = environment.get(name) or None
    if value is not None and value not in known:
        message = f"{name} is {value!r}, and must be {' or '.join(known)}"
        raise UsageError(message)
    return value


def _subnet(text: str) -> str:
    try:
        ipaddress.IPv4Network(f"{text}.0/24")
    except ValueError as error:
        message = f"SPLITBRAIN_SUBNET is {text!r}, and must be three numbers such as 192.168.56"
        raise UsageError(message) from error
    return text
