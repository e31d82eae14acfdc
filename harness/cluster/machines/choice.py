"""Which provider, place and box machines get, where nobody has said so."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from splitbrain.cluster.machines.libvirt import URI
from splitbrain.cluster.machines.place import OpenPlace, Place, PrivatePlace, systemd_runs
from splitbrain.cluster.machines.settings import OWN_BOX, STOCK_BOX, Settings
from splitbrain.cluster.machines.virtualbox import PROGRAM as VIRTUALBOX

PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
OWN_BOX_MEMORY_MB = 256
STOCK_BOX_MEMORY_MB = 512
_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What machines are made of here.

    provider: None when there is none. private: whether libvirt's daemons are ours to start.
    """

    provider: str | None
    private: bool
    box: str
    memory_mb: int

    @property
    def builds_box(self) -> bool:
        """Whether the box is the one that we build."""
        return self.box == OWN_BOX

    def place(self, settings: Settings) -> Place:
        """Give the place where these machines live."""
        if not self.private:
            return OpenPlace()
        return PrivatePlace(settings.folder / "place", settings.folder / "vagrant" / "place.sh")


def choose(settings: Settings) -> Choice:
    """Choose what a person has left open.

    libvirt before VirtualBox; our own box where libvirt is ours to start, since such a machine is
    seldom one that fetches boxes; else the stock one.
    """
    provider = settings.provider or _provider()
    own_place = provider == "libvirt" and not systemd_runs()
    private = own_place and (_started(settings) or not libvirt_answers())
    direct = private and platform.machine() == "x86_64"
    box = settings.box or (OWN_BOX if direct else STOCK_BOX)
    usual_mb = OWN_BOX_MEMORY_MB if box == OWN_BOX else STOCK_BOX_MEMORY_MB
    memory_mb = settings.memory_mb or usual_mb
    return Choice(provider=provider, private=private, box=box, memory_mb=memory_mb)


def has(name: str) -> bool:
    """Tell whether a program is there."""
    return shutil.which(name, path=PATH) is not None


def libvirt_answers() -> bool:
    """Tell whether a libvirt of this machine answers, whoever has started it."""
    argv = ("virsh", "--connect", URI, "version")
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _provider() -> str | None:
    if has("virsh"):
        return "libvirt"
    return "virtualbox" if has(VIRTUALBOX) else None


def _started(settings: Settings) -> bool:
    """Tell whether our own place runs already."""
    return PrivatePlace(settings.folder / "place", Path()).running()
