"""Load on this node: processes that compute, hold memory, write and sync files; bounded, and ended.

Each layer has a program with a child for each worker. A child dies with the program, and the
program ends by itself when its time is up, or when somebody else stops it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import lasting, places

INTENT = "burden"
FILES = places.LASTING / "burden"
WORKER_LIMIT = 64
_PREFIX = "burden-"
_WARM_UP_S = 0.3
_MEMORY_SHARE = 0.8
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1 << 20
_PR_SET_PDEATHSIG = 1


class BurdenError(Exception):
    """The node cannot bear so much; the message is one line."""


def lay(request: dict[str, Any]) -> dict[str, Any]:
    """Start a layer's load; give what it has used after a moment.

    request: "layer" (letters and digits), "cpu_workers", "memory_mb", "io_workers", "io_mb",
    "limit_s". Raises: BurdenError.
    """
    workers = request["cpu_workers"] + request["io_workers"]
    if workers > WORKER_LIMIT:
        message = f"{workers} workers are more than {WORKER_LIMIT}"
        raise BurdenError(message)
    free_mb = _available_mb()
    if request["memory_mb"] > free_mb * _MEMORY_SHARE:
        message = f"{request['memory_mb']} MB are too much: {free_mb} MB are free"
        raise BurdenError(message)
    places.intend(INTENT)
    record = _record(request["layer"])
    lasting.stop(record)
    pid = lasting.start(record, lambda: _carry(request))
    time.sleep(_WARM_UP_S)
    return _used(pid, request["layer"])


def take(request: dict[str, Any]) -> dict[str, Any]:
    """End a layer's load; give how many layers are left."""
    _end(request["layer"])
    left = _layers()
    if not left:
        places.forget(INTENT)
    return {"layers": len(left)}


def clear() -> bool:
    """End all load; tell whether there was any."""
    layers = _layers()
    for layer in layers:
        _end(layer)
    places.forget(INTENT)
    return bool(layers)


def _end(layer: str) -> None:
    lasting.stop(_record(layer))
    shutil.rmtree(FILES / layer, ignore_errors=True)


def _layers() -> list[str]:
    return sorted(
        path.stem.removeprefix(_PREFIX) for path in places.VOLATILE.glob(f"{_PREFIX}*.json")
    )


def _record(layer: str) -> Path:
    return places.VOLATILE / f"{_PREFIX}{layer}.json"


def _carry(request: dict[str, Any]) -> None:
    """Start the workers, and wait until told to end or until time is up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    folder = FILES / request["layer"]
    work: list[Callable[[], None]] = [_compute] * request["cpu_workers"]
    if request["memory_mb"]:
        work.append(functools.partial(_hold, request["memory_mb"]))
    work += [
        functools.partial(_write, folder / str(number), request["io_mb"])
        for number in range(request["io_workers"])
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for act in work:
        _start_worker(os.getpid(), act)
    signal.sigtimedwait((signal.SIGTERM,), request["limit_s"])
    shutil.rmtree(folder, ignore_errors=True)


def _start_worker(parent: int, act: Callable[[], None]) -> None:
    """Let `act` run in a child that dies with this process."""
    if os.fork() != 0:
        return
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        if os.getppid() == parent:
            act()
    finally:
        os._exit(1)


def _compute() -> None:
    while True:
        sum(range(10_000))


def _hold(size_mb: int) -> None:
    """Hold memory, and touch every page of it again and again."""
    memory = bytearray(size_mb * _MB)
    for turn in itertools.count(1):
        for place in range(0, len(memory), _PAGE):
            memory[place] = turn & 0xFF
        time.sleep(0.1)


def _write(path: Path, size_mb: int) -> None:
    """Write a file and sync it, again and again; a full disk is waited out."""
    block = os.urandom(_MB)
    while True:
        try:
            with path.open("wb") as file:
                for _ in range(size_mb):
                    file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            time.sleep(0.1)


def _used(pid: int, layer: str) -> dict[str, Any]:
    """Give what a layer's workers have used so far.

    Raises: BurdenError when its program or a worker is gone.
    """
    found = {"workers": 0, "cpu_s": 0.0, "memory_mb": 0, "written_mb": 0}
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError as error:
        message = "the load ended at once"
        raise BurdenError(message) from error
    for child in children:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            found["workers"] += 1
            found["cpu_s"] += (int(fields[11]) + int(fields[12])) / _TICKS
            found["memory_mb"] += int(fields[21]) * _PAGE // _MB
            found["written_mb"] += _written(Path(f"/proc/{child}/io")) // _MB
    return {**found, "cpu_s": round(found["cpu_s"], 2), "layer": layer}


def _written(path: Path) -> int:
    lines = dict(line.split(": ") for line in path.read_text(encoding="ascii").splitlines())
    return int(lines.get("wchar", 0))


def _available_mb() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0
