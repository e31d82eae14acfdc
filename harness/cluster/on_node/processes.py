"""Finds and signals the processes of a daemon, and never any other.

A daemon is started as the leader of a session, with a mark in its environment. Its processes are
those of that session, and those that carry the mark.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

MARK = "SPLITBRAIN_DAEMON"
_GONE = ("Z", "X", "x")


class Process(NamedTuple):
    """A process; start_ticks tells it from a later one of the same id."""

    pid: int
    start_ticks: int
    state: str
    session: int


def look(pid: int) -> Process | None:
    """Look at a process; None when there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    if fields[0] in _GONE:
        return None
    return Process(pid, int(fields[19]), fields[0], int(fields[3]))


def of_daemon(name: str, leader: int | None) -> list[Process]:
    """Give the processes of a daemon. leader: the id of its session's leader, dead or alive."""
    mark = f"{MARK}={name}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (1, os.getpid()):
            continue
        process = look(int(entry.name))
        if process is not None and (process.session == leader or _is_marked(process.pid, mark)):
            found.append(process)
    return found


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def kill_all(name: str, leader: int | None, limit_s: float) -> list[int]:
    """Kill a daemon's processes, and wait until all are gone; give their ids.

    Raises: TimeoutError when some do not die.
    """
    deadline = time.monotonic() + limit_s
    killed: set[int] = set()
    while True:
        alive = of_daemon(name, leader)
        if not alive:
            return sorted(killed)
        if time.monotonic() > deadline:
            message = f"{name}: processes {[item.pid for item in alive]} do not die"
            raise TimeoutError(message)
        for process in alive:
            killed.add(process.pid)
            _signal(process, signal.SIGKILL)
        time.sleep(0.001)


def stop_all(name: str, leader: int | None, limit_s: float) -> list[int]:
    """Stop a daemon's processes, and wait until every thread stands; give their ids.

    Raises: TimeoutError when some do not stop.
    """
    deadline = time.monotonic() + limit_s
    while True:
        alive = of_daemon(name, leader)
        moving = [item for item in alive if not stands(item.pid)]
        if not moving:
            return sorted(item.pid for item in alive)
        if time.monotonic() > deadline:
            message = f"{name}: processes {[item.pid for item in moving]} do not stop"
            raise TimeoutError(message)
        for process in moving:
            _signal(process, signal.SIGSTOP)
        time.sleep(0.001)


def continue_all(name: str, leader: int | None) -> list[int]:
    """Let a daemon's stopped processes go on; give their ids."""
    stopped = [item for item in of_daemon(name, leader) if item.state in "Tt"]
    for process in stopped:
        _signal(process, signal.SIGCONT)
    return sorted(item.pid for item in stopped)


def end_all(
    name: str, leader: int | None, grace_s: float, limit_s: float
) -> tuple[list[int], list[int]]:
    """Ask a daemon to end, and kill what has not ended after the grace.

    Give the ids of what was asked, and of what was killed. Raises: TimeoutError as `kill_all`.
    """
    asked = of_daemon(name, leader)
    for process in asked:
        _signal(process, signal.SIGTERM)
        _signal(process, signal.SIGCONT)
    deadline = time.monotonic() + grace_s
    while of_daemon(name, leader) and time.monotonic() < deadline:
        time.sleep(0.005)
    killed = kill_all(name, leader, limit_s)
    return sorted(item.pid for item in asked), killed


def stands(pid: int) -> bool:
    """Tell whether every thread of a process is stopped."""
    try:
        threads = [path.name for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return True
    return all(_state(pid, thread) in "TtZXx" for thread in threads)


def _state(pid: int, thread: str) -> str:
    try:
        path = Path(f"/proc/{pid}/task/{thread}/stat")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]


def _signal(process: Process, number: int) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(process.pid)
        try:
            seen = look(process.pid)
            if seen is not None and seen.start_ticks == process.start_ticks:
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
