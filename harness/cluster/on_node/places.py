"""Where things lie on a node. What a reboot must forget is under /run."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

VOLATILE = Path("/run/splitbrain")
LASTING = Path("/var/lib/splitbrain")
LOGS = Path("/var/log/splitbrain")

LEASE = VOLATILE / "lease"
SKEW = VOLATILE / "skew"
PIDS = VOLATILE / "daemons"
WATCHDOG = VOLATILE / "watchdog.json"
INTENT = LASTING / "intent"
EXPIRED = LASTING / "expired.jsonl"


def make_folders() -> None:
    """Make every folder; daemons of other users may read the skew file."""
    for folder in (VOLATILE, PIDS, LASTING, INTENT, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)


def intend(what: str) -> None:
    """Put on the disk that this node will have to be healed of something, before it is done."""
    INTENT.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(INTENT / what, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.fsync(descriptor)
    os.close(descriptor)


def forget(what: str) -> None:
    """Strike something from the intents: it is undone."""
    with contextlib.suppress(FileNotFoundError):
        (INTENT / what).unlink()


def intents() -> list[str]:
    """Give what this node may have to be healed of."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in INTENT.iterdir())
    return []


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def module_advice(error: OSError, module: str) -> str:
    """Say what mends a device that cannot be opened: the permission, or a kernel module."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return f": let this user read and write {error.filename}"
    return f": load the kernel module {module}"
