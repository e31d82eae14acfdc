"""Where the state of embedded runs lies, and who sweeps it when a controller died.

One directory a run, in memory, under a parent that belongs to this user alone. A run's directory
names the controller's process; once that is dead, whatever the run left is swept.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from splitbrain.cluster.user_namespace import outer_uid
from splitbrain.core.errors import SetupError

_MEMORY = Path("/dev/shm")
_OWNER = "owner.json"
_NEW = ".new-"
_NEW_GRACE_S = 60.0
_SWEEP_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """A process for good: its id, and when it started, in clock ticks since the machine booted."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Identify a running process; None when there is none, or only its remains."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()
        if fields[0] in ("Z", "X"):
            return None
        return cls(pid=pid, start_ticks=int(fields[19]))

    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return ProcessId.of(self.pid) == self


def parent() -> Path:
    """Give the folder that holds the state of all runs of this user, in a user namespace or not."""
    return _MEMORY / f"splitbrain-{outer_uid()}"


class RunState:
    """The directory of one run: private, in memory, gone with the run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls) -> RunState:
        """Make a directory that names this process as its owner.

        Raises: SetupError when the parent is not ours, or there is no room.
        """
        try:
            folder = _own_parent()
            name = f"{os.getpid()}-{secrets.token_hex(4)}"
            fresh = folder / f"{_NEW}{name}"
            fresh.mkdir(mode=0o700)
            _write_process(fresh / _OWNER, os.getpid())
            fresh.rename(folder / name)
        except OSError as error:
            message = f"cannot make a directory for the run's state: {error}"
            raise SetupError(message) from error
        return cls(folder / name)

    def note_host(self, node: str, pid: int) -> None:
        """Remember a host's first process, for the sweep."""
        _write_process(self.path / f"{node}.pid", pid)

    def remove(self) -> None:
        """Remove everything."""
        _remove(self.path)


def sweep() -> list[str]:
    """Remove what dead controllers of this user left; give one line for each.

    Only directories under our own parent are looked at, and only processes that they name.
    """
    folder = parent()
    if not _is_ours(folder):
        return []
    lines = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(_NEW):
            if time.time() - path.stat().st_mtime > _NEW_GRACE_S:
                _remove(path)
        elif _abandoned(path):
            killed = _kill_hosts(path)
            _remove(path)
            hosts = f", {killed} host(s) ended" if killed else ""
            lines.append(f"removed the state of the dead run {path.name}{hosts}")
    return lines


def _own_parent() -> Path:
    folder = parent()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _is_ours(folder):
        message = f"{folder} is not a private directory of this user"
        raise SetupError(message, advice=f"look at it, and remove it: rm -r {folder}")
    return folder


def _is_ours(folder: Path) -> bool:
    try:
        about = folder.lstat()
    except OSError:
        return False
    private = stat.S_IMODE(about.st_mode) & 0o077 == 0
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and private


def _abandoned(path: Path) -> bool:
    owner = _read_process(path / _OWNER)
    return owner is not None and not owner.alive()


def _kill_hosts(path: Path) -> int:
    """Kill hosts that are still there; the kernel should have ended them with their controller."""
    killed = 0
    for file in path.glob("*.pid"):
        process = _read_process(file)
        if process is None:
            continue
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(process.pid)
            try:
                if process.alive():
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    killed += 1
            finally:
                os.close(descriptor)
    return killed


def _remove(path: Path) -> None:
    """Remove a tree; its hosts may be going down at this moment, so try for a while."""
    deadline = time.monotonic() + _SWEEP_LIMIT_S
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)
        if time.monotonic() > deadline:
            message = f"cannot remove {path}"
            raise SetupError(message, advice=f"look at what holds it: ls -lR {path}")
        if path.exists():
            time.sleep(0.02)


def _write_process(path: Path, pid: int) -> None:
    process = ProcessId.of(pid)
    if process is not None:
        text = json.dumps({"pid": process.pid, "start_ticks": process.start_ticks})
        path.write_text(text, encoding="utf-8")


def _read_process(path: Path) -> ProcessId | None:
    try:
        item = json.loads(path.read_text(encoding="utf-8"))
        return ProcessId(pid=int(item["pid"]), start_ticks=int(item["start_ticks"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
