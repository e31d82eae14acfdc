"""Writes a history together with how it is to be judged, as JSON lines."""

from __future__ import annotations

from pathlib import Path

from splitbrain.core.errors import StoreError
from splitbrain.core.history import History
from splitbrain.foreign.export import json_lines
from splitbrain.foreign.header import Header


def write_judged(path: Path, history: History, header: Header) -> None:
    """Write a history below its header, in place of what was there.

    Raises: StoreError when it cannot be written.
    """
    lines = [header.to_text(), *json_lines(history)]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise StoreError(message) from error
