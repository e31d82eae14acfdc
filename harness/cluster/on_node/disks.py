"""The disks beneath the data folders of this node's daemons: armed, troubled, let go.

Once armed, each data folder of a daemon that starts is covered by a file system of our own, see
`data_disk`. What is on it lies in the folder beneath, and is there without it as well.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from pathlib import Path
from typing import Any

from . import data_disk, fuse_wire, lasting, places

INTENT = "disks"
ARMED = places.VOLATILE / "disks-armed"
TABLE = places.VOLATILE / "disk-troubles.json"
FOLDERS = places.LASTING / "disks.json"
_PROBE = ".splitbrain-probe"


class DiskError(Exception):
    """A disk cannot be brought in trouble; the message is one line."""


def reason(_request: dict[str, Any]) -> dict[str, Any]:
    """Say why disks cannot be troubled here, or null: {"reason": ...}."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return {"reason": f"/dev/fuse: {error.strerror}{places.module_advice(error, 'fuse')}"}
    return {"reason": None}


def arm(_request: dict[str, Any]) -> dict[str, Any]:
    """Let the data folders of daemons that start from now on lie on disks that can be troubled.

    Those that were covered before the node booted are covered again at once.
    """
    ARMED.touch()
    for folder in covered():
        make_folder(Path(folder))
    return {}


def make_folder(folder: Path) -> None:
    """Make a data folder, and cover it if the node is armed and it is not covered yet.

    Raises: DiskError when it cannot be covered, OSError when it cannot be made.
    """
    record = _record(folder)
    if _is_dead(folder):
        fuse_wire.unmount(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not ARMED.exists() or lasting.running(record) is not None:
        return
    try:
        base = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        device = fuse_wire.mount(folder)
    except OSError as error:
        message = f"no file system of ours can be put over {folder}: {error.strerror}"
        raise DiskError(message) from error
    program = data_disk.DataDisk(device, base, TABLE)
    lasting.start(record, program.run, keep=(device, base))
    os.close(device)
    os.close(base)
    places.write_whole(FOLDERS, json.dumps(sorted({*covered(), str(folder)})))


def covered() -> list[str]:
    """Give the data folders that are covered, or were before the node booted."""
    with contextlib.suppress(OSError, ValueError):
        return list(json.loads(FOLDERS.read_text(encoding="utf-8")))
    return []


def trouble(request: dict[str, Any]) -> dict[str, Any]:
    """Replace all troubles at once; give what a write to each data folder now comes to.

    request: "troubles", all layers together; "required": whether there must be a data folder.
    Raises: DiskError.
    """
    troubles: dict[str, Any] = request["troubles"]
    if not any(troubles.values()):
        clear()
        return {"folders": {folder: probe(Path(folder)) for folder in covered()}}
    if request["required"] and not covered():
        message = "no daemon here has a data folder on a disk that can be troubled"
        raise DiskError(message)
    places.intend(INTENT)
    places.write_whole(TABLE, json.dumps(troubles))
    return {"folders": {folder: probe(Path(folder)) for folder in covered()}}


def clear() -> bool:
    """End every trouble; tell whether there was any."""
    held = TABLE.exists()
    TABLE.unlink(missing_ok=True)
    places.forget(INTENT)
    return held


def uncover() -> None:
    """Take every file system of ours away; nobody may use it any more."""
    clear()
    ARMED.unlink(missing_ok=True)
    for folder in covered():
        with contextlib.suppress(OSError):
            fuse_wire.unmount(Path(folder))
        lasting.stop(_record(Path(folder)))
    FOLDERS.unlink(missing_ok=True)


def probe(folder: Path) -> dict[str, Any]:
    """Write and sync a small file as a daemon would; give the error or the time it took."""
    path = folder / _PROBE
    began_s = time.monotonic()
    found: dict[str, Any]
    try:
        with path.open("wb", buffering=0) as file:
            file.write(b"probe")
            os.fsync(file.fileno())
    except OSError as error:
        found = {"error": errno.errorcode.get(error.errno or 0, str(error))}
    else:
        found = {"ms": round(1000 * (time.monotonic() - began_s), 1)}
    with contextlib.suppress(OSError):
        path.unlink()
    return found


def _record(folder: Path) -> Path:
    name = str(folder).strip("/").replace("%", "%25").replace("/", "%2F")
    return places.VOLATILE / f"disk-{name}.json"


def _is_dead(folder: Path) -> bool:
    """Tell whether a file system lies over the folder that nobody serves any more."""
    try:
        folder.stat()
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False
