"""Reads the files of a run, which anybody may have written: within limits, and refused in one line.

Only regular files are read, and only JSON of a moderate depth comes out of them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from splitbrain.core.errors import UsageError
from splitbrain.core.value import Value, require_value

JSON_LIMIT_BYTES = 256 * 1024 * 1024
LEVELS_AROUND = 16
"""How deep a file may nest around the values of operations, which have a limit of their own."""


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """Read a whole file.

    Raises: UsageError naming the file when it is missing, cannot be read, is too long, or is no
    regular file.
    """
    with readable(path), open(path, "rb", opener=_open_quickly) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            message = f"{path} is not a regular file"
            raise UsageError(message)
        if status.st_size > limit_bytes:
            message = f"{path} has {status.st_size} bytes; at most {limit_bytes} are read"
            raise UsageError(message)
        return file.read(limit_bytes)


def read_json_file(path: Path) -> Value:
    """Read a JSON file.

    Raises: UsageError naming the file when it is missing, too long or malformed.
    """
    data = read_regular(path, JSON_LIMIT_BYTES)
    try:
        return decode_json(data)
    except ValueError as error:
        message = f"{path} is not JSON: {error}"
        raise UsageError(message) from error


def decode_json(data: bytes) -> Value:
    """Give the JSON value that some bytes hold.

    Raises: ValueError when it is malformed, no UTF-8, or nested too deep.
    """
    try:
        return require_value(msgspec.json.decode(data), depth=-LEVELS_AROUND)
    except RecursionError:
        message = "it is nested too deep"
        raise ValueError(message) from None


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into one line.

    Raises: UsageError naming the file.
    """
    try:
        yield
    except FileNotFoundError as error:
        message = f"there is no file {path}"
        raise UsageError(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise UsageError(message) from error


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Say of what a file holds, and cannot be used, in which file it stands.

    Raises: UsageError naming the file.
    """
    try:
        yield
    except UsageError as error:
        message = f"{path}: {error}"
        raise UsageError(message) from error


def _open_quickly(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)  # a fifo must not hold us up
