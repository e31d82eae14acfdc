"""The skew file that the clock preload maps: written in place, never replaced.

Layout, all 64-bit little-endian: sequence (odd while it is being written), number of layers, then
for each layer base, offset, rate in parts per billion, strobe; times in nanoseconds.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any

from . import daemons, places

SIZE = 4096
LAYER_LIMIT = 8
_LAYER = struct.Struct("<qqqq")
_HEAD = struct.Struct("<qq")
_SEQUENCE = struct.Struct("<q")


def create() -> None:
    """Make an empty skew file, unless there is one."""
    if places.SKEW.exists() and places.SKEW.stat().st_size == SIZE:
        return
    descriptor = os.open(places.SKEW, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.ftruncate(descriptor, SIZE)
    os.fchmod(descriptor, 0o644)
    os.close(descriptor)


def write(request: dict[str, Any]) -> dict[str, Any]:
    """Replace all layers at once; give their bases.

    request: "layers": [{"base_ns": or null for now, "offset_ns", "rate_ppb", "strobe_ns"}],
    "preload": the library that daemons must have mapped. Also tells which daemons have it.
    """
    layers = request["layers"]
    if len(layers) > LAYER_LIMIT:
        message = f"at most {LAYER_LIMIT} layers bend a clock at once"
        raise ValueError(message)
    create()
    if layers:
        places.intend("clock")
    now = time.time_ns()
    rows = [
        (
            now if layer["base_ns"] is None else int(layer["base_ns"]),
            *(int(layer[name]) for name in ("offset_ns", "rate_ppb", "strobe_ns")),
        )
        for layer in layers
    ]
    _store(rows)
    if not layers:
        places.forget("clock")
    bent = {name: _has_mapped(name, request["preload"]) for name in daemons.known()}
    return {"bases_ns": [row[0] for row in rows], "daemons": bent}


def clear() -> bool:
    """Let every clock show the truth again; tell whether any did not."""
    if not places.SKEW.exists():
        places.forget("clock")
        return False
    with places.SKEW.open("rb") as file:
        _, count = _HEAD.unpack(file.read(_HEAD.size))
    _store([])
    places.forget("clock")
    return bool(count)


def _store(rows: list[tuple[int, ...]]) -> None:
    with places.SKEW.open("r+b") as file, mmap.mmap(file.fileno(), SIZE) as memory:
        (sequence,) = _SEQUENCE.unpack_from(memory, 0)
        writing = (sequence + 1) | 1  # another than that of a writer that died half-way
        _SEQUENCE.pack_into(memory, 0, writing)
        memory.flush()  # keeps the order of the stores, for processors that would not
        struct.pack_into("<q", memory, 8, len(rows))
        for number, row in enumerate(rows):
            _LAYER.pack_into(memory, _HEAD.size + number * _LAYER.size, *row)
        memory.flush()
        _SEQUENCE.pack_into(memory, 0, writing + 1)


def _has_mapped(name: str, library: str) -> bool | None:
    """Tell whether a daemon's processes see the bent clock; None when none runs."""
    pids = daemons.pids(name)
    if not pids:
        return None
    return any(_maps(pid, library) for pid in pids)


def _maps(pid: int, library: str) -> bool:
    try:
        with Path(f"/proc/{pid}/maps").open(encoding="utf-8", errors="replace") as file:
            return any(line.rstrip().endswith(library) for line in file)
    except OSError:
        return False
