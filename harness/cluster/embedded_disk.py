"""A disk of its own for each embedded host, which loses what was not synced when power is cut.

It is ext4 in a file in memory, mounted by a loop device that the kernel frees with the mount. What
a program wrote and did not sync is in the page cache alone; shutting the file system down without
flushing its log throws that away, as a power cut does (EXT4_GOING_FLAGS_NOLOGFLUSH of Linux).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import secrets
import shutil
import struct
import time
from pathlib import Path

from splitbrain.cluster.tool import run_tool
from splitbrain.cluster.user_namespace import is_inside
from splitbrain.core.cluster import Host
from splitbrain.core.errors import HarnessError, SetupError

IMAGE = "disk.img"
SIZE_MB = 1024
DETACH_LIMIT_S = 10.0
# What must outlive a power cut, or the run would lose the evidence of what it did.
KEPT = ("var/log/splitbrain", "var/lib/splitbrain/trace")
_CANARY = "/var/lib/splitbrain/canary"
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_MKFS = (
    *("mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=16"),
    *("-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"),
)
_MKFS_ADVICE = "apt-get install e2fsprogs"
_libc = ctypes.CDLL(None, use_errno=True)


def disk_reason() -> str | None:
    """Say why hosts cannot have disks of their own here, or None when they can."""
    if os.geteuid() != 0 or is_inside():
        return "a disk that can lose data needs the machine's root: run it as root"
    if shutil.which(_MKFS[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        return f"there is no program mkfs.ext4; {_MKFS_ADVICE}"
    if not Path("/dev/loop-control").exists():
        return "the machine has no loop devices; modprobe loop"
    if "ext4" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        return "the kernel does not know ext4; modprobe ext4"
    return None


def prepare_disk(folder: Path) -> None:
    """Make the image of a host's disk, and the folders that are kept from it.

    Raises: SetupError when it cannot be made.
    """
    image = folder / IMAGE
    with image.open("wb") as file:
        file.truncate(SIZE_MB * 2**20)
    (folder / "disk").mkdir()
    for name in KEPT:
        (folder / "kept" / name).mkdir(parents=True)
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = run_tool((*_MKFS, str(image)), environment=environment)
    if done.returncode != 0:
        complaint = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        message = f"the disk {image} cannot be made: {complaint}"
        raise SetupError(message)


class HeldDisk:
    """The disk of a running host, held so that the kernel does not write it out at its death.

    Held are its root and the host's mounts: the end of an overlay on it would write it out as well.
    It must be let go before the same image is mounted again.
    """

    def __init__(self, image: Path, descriptor: int, mounts: int) -> None:
        self._image = image
        self._descriptor = descriptor
        self._mounts = mounts

    @classmethod
    def of(cls, folder: Path, pid: int) -> HeldDisk | None:
        """Hold the disk of a host whose first process is booting; None when it has none."""
        if not (folder / IMAGE).is_file():
            return None
        mounted = f"/proc/{pid}/root{folder}/disk"
        descriptor = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        return cls(folder / IMAGE, descriptor, mounts)

    def sync(self) -> None:
        """Write everything out, as if every program had synced. Raises: HarnessError."""
        if _libc.syncfs(self._descriptor) != 0:
            message = f"{self._image} cannot be synced: {os.strerror(ctypes.get_errno())}"
            raise HarnessError(message)

    def lose_what_was_not_synced(self) -> None:
        """Stop the file system as a power cut does; nobody may be running on it.

        Raises: HarnessError when the kernel refuses.
        """
        try:
            fcntl.ioctl(self._descriptor, _SHUTDOWN, struct.pack("=I", _NO_LOG_FLUSH))
        except OSError as error:
            message = f"the power of {self._image} cannot be cut: {error.strerror}"
            raise HarnessError(message) from error

    def let_go(self) -> None:
        """Unmount it, once nobody else holds it, and wait until its loop device is free.

        Raises: SetupError when somebody goes on holding it.
        """
        os.close(self._mounts)
        os.close(self._descriptor)
        deadline_s = time.monotonic() + DETACH_LIMIT_S
        while loop_devices(self._image):
            if time.monotonic() > deadline_s:
                message = f"{self._image} is still mounted by somebody"
                raise SetupError(message, advice="see `losetup -a`")
            time.sleep(0.002)


class Canary:
    """Something written and not synced, whose loss proves that a power cut loses data."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(16)

    def write(self, host: Host) -> None:
        """Write it, just before the cut. Raises: RemoteError."""
        host.run(("sh", "-c", 'echo "$2" > "$1"', "canary", _CANARY, self._token))

    def survived(self, host: Host) -> bool:
        """Tell whether it is still there after the cut. Raises: RemoteError."""
        done = host.run(("cat", _CANARY), check=False)
        return self._token.encode() in done.stdout


def loop_devices(image: Path) -> list[str]:
    """Give the loop devices that an image is attached to.

    The kernel shows the path as far as this process's mounts lead, so its end is what counts: the
    name of the run's directory is like no other.
    """
    end = "/" + "/".join(image.parts[-3:])
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it is being freed this moment
            if file.read_text(encoding="utf-8").strip().removesuffix(" (deleted)").endswith(end):
                found.append(file.parts[3])
    return found
