"""What is known of the machines that are up, kept between one command and the next."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from splitbrain.cluster.machines.access import Entrance
from splitbrain.core.errors import SetupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The machines and what they were made with.

    entrances: where each is entered. peers: the addresses by which they know each other. driver,
    why: what they run under, and why that.
    """

    provider: str
    box: str
    box_seal: str
    memory_mb: int
    subnet: str
    driver: str
    why: str
    pace: float
    entrances: Mapping[str, Entrance]
    peers: Mapping[str, str]

    def made_like(self, other: Roster) -> bool:
        """Tell whether machines of another roster would be the same, apart from how many."""
        names = ("provider", "box", "box_seal", "memory_mb", "subnet")
        return all(getattr(self, name) == getattr(other, name) for name in names)


def read_roster(file: Path) -> Roster | None:
    """Read it; None when there is none that can be understood."""
    try:
        item = json.loads(file.read_text(encoding="utf-8"))
        item["entrances"] = {name: Entrance(**held) for name, held in item["entrances"].items()}
        return Roster(**item)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_roster(file: Path, roster: Roster) -> None:
    """Write it, whole or not at all."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(json.dumps(asdict(roster), indent=2), encoding="utf-8")
    fresh.replace(file)


@contextlib.contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Hold the machines for this process alone; nobody waits.

    Raises: SetupError naming the process that holds them.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"the state folder {folder} cannot be used: {error.strerror}"
        raise SetupError(message) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            who = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            message = f"the machines are in use by the process {who}"
            raise SetupError(message, advice="wait until it ends, or stop it") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
