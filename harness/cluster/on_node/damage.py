"""Damage to files among the data of this node's daemons: it stays, and is written down first."""

from __future__ import annotations

import fnmatch
import json
import os
import random
import time
from pathlib import Path
from typing import Any

from . import daemons, places

RECORD = places.LASTING / "damaged.jsonl"


class DamageError(Exception):
    """Nothing can be damaged; the message is one line."""


def damage(request: dict[str, Any]) -> dict[str, Any]:
    """Damage one file; give its name and what was done to it.

    request: "what" ("bitflip", "truncate", "copy" or "rollback"), "files" (a pattern of names below
    the data folders), "daemon" (or null for any), "bits", "bytes", "chunk_bytes", "wait_s", "seed".
    Raises: DamageError.
    """
    rng = random.Random(request["seed"])
    candidates = [path for path in _files(request["daemon"], request["files"]) if _size(path)]
    if not candidates:
        message = f"no file with anything in it matches {request['files']!r} in the data folders"
        raise DamageError(message)
    path = rng.choice(candidates)
    act = {"bitflip": _flip, "truncate": _truncate, "copy": _copy, "rollback": _roll_back}
    _write_down({"file": str(path), "what": request["what"], "wall_time_s": round(time.time(), 3)})
    done: dict[str, Any] = act[request["what"]](path, request, rng)
    return {"file": str(path), **done, "stays": True}


def _files(daemon: str | None, pattern: str) -> list[Path]:
    """Give the regular files below the data folders that match, in order."""
    found = set()
    for folder in daemons.data_folders(daemon):
        for path in Path(folder).rglob("*"):
            below = str(path.relative_to(folder))
            matches = fnmatch.fnmatch(below, pattern) or fnmatch.fnmatch(path.name, pattern)
            if matches and path.is_file() and not path.is_symlink():
                found.add(path)
    return sorted(found)


def _size(path: Path) -> int:
    return path.stat().st_size


def _flip(path: Path, request: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Flip bits at places of chance."""
    places_hit = sorted(rng.randrange(_size(path) * 8) for _ in range(request["bits"]))
    with path.open("r+b", buffering=0) as file:
        for place in places_hit:
            byte = os.pread(file.fileno(), 1, place // 8)
            os.pwrite(file.fileno(), bytes([byte[0] ^ (1 << place % 8)]), place // 8)
        os.fsync(file.fileno())
    return {"flipped_bits": places_hit}


def _truncate(path: Path, request: dict[str, Any], _rng: random.Random) -> dict[str, Any]:
    """Drop bytes from the end."""
    before = _size(path)
    after = max(0, before - request["bytes"])
    with path.open("r+b", buffering=0) as file:
        os.ftruncate(file.fileno(), after)
        os.fsync(file.fileno())
    return {"bytes_before": before, "bytes_after": after}


def _copy(path: Path, request: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Write one chunk of the file over another: a write that went astray."""
    chunk = request["chunk_bytes"]
    chunks = -(-_size(path) // chunk)
    if chunks < 2:
        message = f"{path} has no two chunks of {chunk} bytes"
        raise DamageError(message)
    source, target = rng.sample(range(chunks), 2)
    size = _size(path)
    with path.open("r+b", buffering=0) as file:
        data = os.pread(file.fileno(), chunk, source * chunk)
        data = data[: size - target * chunk]
        os.pwrite(file.fileno(), data, target * chunk)
        os.fsync(file.fileno())
    return {"copied_bytes": len(data), "from_byte": source * chunk, "to_byte": target * chunk}


def _roll_back(path: Path, request: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Keep a copy of some chunks, wait, and write them back: writes that were lost."""
    chunk, size = request["chunk_bytes"], _size(path)
    chunks = -(-size // chunk)
    chosen = sorted(rng.sample(range(chunks), max(1, chunks // 2)))
    with path.open("r+b", buffering=0) as file:
        kept = {number: os.pread(file.fileno(), chunk, number * chunk) for number in chosen}
        time.sleep(request["wait_s"])
        changed = 0
        for number, data in kept.items():
            changed += os.pread(file.fileno(), chunk, number * chunk) != data
            os.pwrite(file.fileno(), data, number * chunk)
        os.fsync(file.fileno())
    return {"restored_chunks": len(kept), "of_them_changed": changed, "size_then": size}


def _write_down(event: dict[str, Any]) -> None:
    with RECORD.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")
        file.flush()
        os.fsync(file.fileno())
