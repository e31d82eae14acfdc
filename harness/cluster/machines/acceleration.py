"""Finds out whether guests boot under KVM here: by booting one, with a time limit.

That /dev/kvm exists says little: in some nested machines guests hang under it for ever.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

QEMU = "qemu-system-x86_64"
KVM = Path("/dev/kvm")
SECTOR_LIMIT_S = 6.0
KERNEL_LIMIT_S = 25.0
EMULATED_PACE = 5.0

_EXIT_PORT = 0xF4
# A boot sector that writes 1 to the exit port: QEMU ends with 2 * 1 + 1 then.
_SECTOR = bytes([0xB0, 0x01, 0xE6, _EXIT_PORT, 0xF4, 0xEB, 0xFD]).ljust(510, b"\0") + b"\x55\xaa"
_SECTOR_STATUS = 3
_PASSED = "splitbrain-trial-passed"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceleration:
    """How guests run here. driver: as libvirt calls it. why: in a few words, for a person."""

    driver: str
    why: str

    @property
    def pace(self) -> float:
        """How much slower than plain hardware a guest is."""
        return EMULATED_PACE if self.driver == "qemu" else 1.0


def find_acceleration(remembered: Path, image: Path | None) -> Acceleration:
    """Give what guests run under, tried once for each boot of this machine.

    remembered: where the answer is kept. image: a folder with vmlinuz and initrd.img of our box to
    try with; without it a boot sector is tried.
    """
    seal = f"{_boot_id()} {'kernel' if image is not None else 'sector'}"
    try:
        item = json.loads(remembered.read_text(encoding="utf-8"))
        if item["seal"] == seal:
            return Acceleration(driver=item["driver"], why=item["why"])
    except (OSError, ValueError, KeyError):
        pass
    found = _try(image)
    remembered.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"seal": seal, "driver": found.driver, "why": found.why})
    remembered.write_text(text, encoding="utf-8")
    return found


def chosen(driver: str) -> Acceleration:
    """Give the acceleration that a person asked for."""
    return Acceleration(driver=driver, why="as asked for by SPLITBRAIN_DRIVER")


def _try(image: Path | None) -> Acceleration:
    if not KVM.exists():
        return Acceleration(driver="qemu", why=f"emulated, since there is no {KVM}")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Acceleration(driver="qemu", why=f"emulated, since this user may not use {KVM}")
    if not _sector_boots():
        why = f"emulated, since a guest did not boot under KVM within {SECTOR_LIMIT_S:g} s"
        return Acceleration(driver="qemu", why=why)
    if image is not None and not _kernel_boots(image):
        why = f"emulated, since Linux did not boot under KVM within {KERNEL_LIMIT_S:g} s"
        return Acceleration(driver="qemu", why=why)
    return Acceleration(driver="kvm", why="under KVM, which was tried")


def _sector_boots() -> bool:
    with tempfile.TemporaryDirectory(prefix="splitbrain-trial-") as folder:
        disk = Path(folder) / "sector.img"
        disk.write_bytes(_SECTOR)
        done = _qemu(
            SECTOR_LIMIT_S,
            *("-m", "64", "-device", f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=1"),
            *("-drive", f"file={disk},format=raw,if=floppy"),
        )
    return done is not None and done.returncode == _SECTOR_STATUS


def _kernel_boots(image: Path) -> bool:
    done = _qemu(
        KERNEL_LIMIT_S,
        *("-cpu", "host", "-m", "256", "-serial", "stdio"),
        *("-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.img")),
        *("-append", "console=ttyS0 quiet splitbrain.trial"),
    )
    return done is not None and _PASSED in done.stdout


def _qemu(limit_s: float, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run a guest under KVM; None when it had to be ended."""
    base = (QEMU, "-accel", "kvm", "-nodefaults", "-display", "none", "-no-reboot")
    try:
        return subprocess.run(
            (*base, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
