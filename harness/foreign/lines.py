"""Reads a text file line by line, within limits that hold before anything is understood of it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from splitbrain.core.errors import MalformedHistoryError, UsageError

FILE_LIMIT_BYTES = 2 * 1024**3
LINE_LIMIT_BYTES = 16 * 1024**2
DEPTH_LIMIT = 64

_BLOCK_BYTES = 4 * 1024**2

_OTHERS = {
    b"\x1f\x8b": "compressed by gzip",
    codecs.BOM_UTF16_LE: "text in UTF-16",
    codecs.BOM_UTF16_BE: "text in UTF-16",
    b"PAR1": "Parquet",
}
"""What else a file may be, by how it begins."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[({]|[\])}]')


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give each line with its number, counted from 1, without its end.

    Raises: UsageError when there is no such file or it cannot be read, MalformedHistoryError when
    it or one of its lines is too long, or is no UTF-8.
    """
    try:
        with _open(path).open("rb") as file:
            number = 0
            while raw := file.readline(LINE_LIMIT_BYTES + 1):
                number += 1
                if len(raw) > LINE_LIMIT_BYTES:
                    message = f"a line of more than {LINE_LIMIT_BYTES // 1024**2} MB"
                    raise MalformedHistoryError(message, path=path, line=number)
                yield number, text_of(raw, path, number)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise UsageError(message) from error


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give the file in blocks of whole lines, each with the number of its first line.

    What the text is worth is for the reader to find out: nothing is decoded. A mark of the order of
    bytes at the start is left out.

    Raises: UsageError and MalformedHistoryError as `lines` does, but for what is no UTF-8.
    """
    number = 1
    try:
        with _open(path).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                block += _rest_of_line(file, path)
                if number == 1:
                    block = block.removeprefix(codecs.BOM_UTF8)
                yield number, block
                number += block.count(b"\n")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise UsageError(message) from error


def _rest_of_line(file: IO[bytes], path: Path) -> bytes:
    rest = file.readline(LINE_LIMIT_BYTES - _BLOCK_BYTES)
    if len(rest) == LINE_LIMIT_BYTES - _BLOCK_BYTES and not rest.endswith(b"\n"):
        message = f"a line of more than {LINE_LIMIT_BYTES // 1024**2} MB"
        raise MalformedHistoryError(message, path=path)
    return rest


def _open(path: Path) -> Path:
    if not path.exists():
        message = f"there is no file {path}"
        raise UsageError(message)
    if not path.is_file():
        message = f"{path} is no file"
        raise UsageError(message)
    size = path.stat().st_size
    if size > FILE_LIMIT_BYTES:
        message = f"it has {size} bytes, over the limit of {FILE_LIMIT_BYTES}"
        raise MalformedHistoryError(message, path=path)
    return path


def text_of(raw: bytes, path: Path, number: int) -> str:
    """Give the text of a line without its end.

    Raises: MalformedHistoryError naming the line when it is no UTF-8.
    """
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        known = next((what for mark, what in _OTHERS.items() if raw.startswith(mark)), None)
        message = f"byte {error.start + 1} of the line is no UTF-8"
        if number == 1 and known is not None:
            message = f"it is {known}, not text in UTF-8"
        raise MalformedHistoryError(message, path=path, line=number) from error
    return text.rstrip("\r\n")


def require_shallow(text: str, path: Path, line: int) -> None:
    """Check how deep brackets are nested, before a parser goes down there.

    Raises: MalformedHistoryError beyond `DEPTH_LIMIT`.
    """
    if text.count("[") + text.count("{") + text.count("(") <= DEPTH_LIMIT:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match.group()
        if token in "[({":
            depth += 1
        elif token in "])}":
            depth -= 1
        if depth > DEPTH_LIMIT:
            message = f"values are nested deeper than {DEPTH_LIMIT}"
            raise MalformedHistoryError(message, path=path, line=line)
