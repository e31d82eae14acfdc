"""Programs of ours that stay on this node after the command that started them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from . import places, processes

_STOP_LIMIT_S = 5.0
_OPEN_FILES = 256


def running(record: Path) -> int | None:
    """Give the process id of the program that a record names, or None when it does not run."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        named = json.loads(record.read_text(encoding="utf-8"))
        process = processes.look(named["pid"])
        if process is not None and process.start_ticks == named["start_ticks"]:
            return process.pid
    return None


def start(record: Path, act: Callable[[], None], keep: Iterable[int] = ()) -> int:
    """Let `act` run in a process of its own, and record it; give its process id.

    keep: descriptors that it goes on to use; all others are closed. A fork costs a millisecond,
    another interpreter thirty.
    """
    pid = os.fork()
    if pid == 0:
        _stand_alone(act, frozenset(keep))
    process = processes.look(pid)
    ticks = 0 if process is None else process.start_ticks
    places.write_whole(record, json.dumps({"pid": pid, "start_ticks": ticks}))
    return pid


def stop(record: Path) -> bool:
    """End a program, kindly first; tell whether it ran.

    Raises: TimeoutError when it does not die.
    """
    pid = running(record)
    if pid is None:
        record.unlink(missing_ok=True)
        return False
    deadline = time.monotonic() + _STOP_LIMIT_S
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    killed = False
    while running(record) is not None:
        late = time.monotonic() - deadline
        if late > _STOP_LIMIT_S:
            message = f"the process {pid} does not die"
            raise TimeoutError(message)
        if late > 0 and not killed:
            killed = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    record.unlink(missing_ok=True)
    return True


def _stand_alone(act: Callable[[], None], keep: frozenset[int]) -> None:
    """Become a session of its own without any stream of the parent's, and act."""
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        for descriptor in range(3, _OPEN_FILES):
            if descriptor not in keep:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        act()
    finally:
        os._exit(1)
