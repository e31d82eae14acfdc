"""What was put on this node outside the harness's own folders, so that it can be taken away again.

A file that was there before is kept, and put back in the end. Each line of the list is on the disk
before what it speaks of is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from . import places

LIST = places.LASTING / "belongings.jsonl"
KEPT = places.LASTING / "kept"


def note(request: dict[str, Any]) -> dict[str, Any]:
    """Note "files" that will be written, and "trees" that will be made, each an absolute path."""
    noted = {item["path"] for item in _items()}
    for path in map(Path, request["files"]):
        if str(path) not in noted:
            _note_parents(path)
            _note_file(path)
    for path in map(Path, request["trees"]):
        if str(path) not in noted and not os.path.lexists(path):
            _note_parents(path)
            _append({"path": str(path), "undo": "remove"})
    return {}


def restore() -> list[str]:
    """Put everything back as it was, the latest first; give what could not be."""
    failed = []
    for item in reversed(_items()):
        try:
            _undo(item["undo"], Path(item["path"]), item.get("kept"))
        except OSError as error:
            failed.append(f"{item['path']}: {error.strerror}")
    LIST.unlink(missing_ok=True)
    return failed


def _undo(how: str, path: Path, kept: str | None) -> None:
    if how == "remove-empty":
        with contextlib.suppress(OSError):  # it holds what is not ours by now
            path.rmdir()
    elif how == "put-back":
        shutil.move(str(KEPT / str(kept)), path)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _note_file(path: Path) -> None:
    if not os.path.lexists(path):
        _append({"path": str(path), "undo": "remove"})
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    name = str(len(list(KEPT.iterdir())))
    shutil.copy2(path, KEPT / name, follow_symlinks=False)
    about = path.lstat()
    os.chown(KEPT / name, about.st_uid, about.st_gid, follow_symlinks=False)
    _append({"path": str(path), "undo": "put-back", "kept": name})


def _note_parents(path: Path) -> None:
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        _append({"path": str(parent), "undo": "remove-empty"})


def _append(item: dict[str, Any]) -> None:
    LIST.parent.mkdir(parents=True, exist_ok=True)
    with LIST.open("a", encoding="utf-8") as file:
        file.write(json.dumps(item) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _items() -> list[dict[str, Any]]:
    try:
        lines = LIST.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # the torn end of a list that a power cut broke off
            found.append(json.loads(line))
    return found
