r"""Text from nodes and histories, made harmless to show.

What nodes say may hold escape codes, line breaks, marks that turn the direction of writing, and
bytes that are no text. All of it is shown as what it is (`\x1b`, `\n`, `\u202e`), and never obeyed.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator

from rich.cells import cell_len

from splitbrain.core.value import Value

MARKS_LIMIT = 2
DEPTH_LIMIT = 6
DIGITS_LIMIT = 1000
ENDLESS = 1 << 30

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Me"})
_COMBINING = frozenset({"Mn", "Mc"})
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_BARE_KEY = re.compile(r"[A-Za-z_][\w.:/-]*", re.ASCII)
_LITERALS = frozenset({"null", "true", "false"})


def safe(text: str, *, ascii_only: bool = False) -> str:
    r"""Give text with everything escaped that is not seen, or that would move what is around it.

    More than `MARKS_LIMIT` combining marks on one letter are escaped, since they pile up over the
    lines above. A byte that was no text (a lone surrogate from `surrogateescape`) becomes `\xNN`.
    """
    if text.isascii() and text.isprintable():
        return text
    parts: list[str] = []
    marks = MARKS_LIMIT  # a mark at the start has no letter to stand on
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in _COMBINING else 0
        hidden = char != " " and (category in _INVISIBLE or char in _BLANK_LETTERS)
        if hidden or marks > MARKS_LIMIT or (ascii_only and not char.isascii()):
            parts.append(_escaped(char))
        else:
            parts.append(char)
    return "".join(parts)


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def shorten(text: str, cells: int, *, ellipsis: str = "…") -> str:
    """Cut text to so many cells of a terminal, with an ellipsis where it was cut."""
    if len(text) * 2 <= cells or cell_len(text) <= cells:
        return text
    room = cells - cell_len(ellipsis)
    if room < 0:
        return ellipsis[: max(0, cells)]
    kept: list[str] = []
    for char in text:
        room -= cell_len(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + ellipsis


def value_text(
    value: Value, cells: int = ENDLESS, *, ascii_only: bool = False, ellipsis: str = "…"
) -> str:
    """Give a JSON value on one line of at most so many cells; strings stand in quotes.

    Only as much of the value is looked at as is shown, however large it is.
    """
    return _gathered(_pieces(value, cells, 0), cells, ascii_only=ascii_only, ellipsis=ellipsis)


def key_text(
    key: Value, cells: int = ENDLESS, *, ascii_only: bool = False, ellipsis: str = "…"
) -> str:
    """Give a key as `value_text` does, but a plain word without quotes."""
    if isinstance(key, str) and _BARE_KEY.fullmatch(key[: 3 * cells]) and key not in _LITERALS:
        return shorten(key, cells, ellipsis=ellipsis)
    return value_text(key, cells, ascii_only=ascii_only, ellipsis=ellipsis)


def _gathered(pieces: Iterator[str], cells: int, *, ascii_only: bool, ellipsis: str) -> str:
    shown: list[str] = []
    used = 0
    for piece in pieces:
        part = safe(piece, ascii_only=ascii_only)
        shown.append(part)
        used += len(part)
        if used > cells:
            break
    return shorten("".join(shown), cells, ellipsis=ellipsis)


def _pieces(value: Value, cells: int, depth: int) -> Iterator[str]:
    if isinstance(value, (list, dict)) and depth >= DEPTH_LIMIT:
        yield "[...]" if isinstance(value, list) else "{...}"
    elif isinstance(value, list):
        yield "["
        for place, item in enumerate(value):
            yield ", " if place else ""
            yield from _pieces(item, cells, depth + 1)
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for place, (name, item) in enumerate(value.items()):
            yield ", " if place else ""
            yield _scalar(name, cells) + ": "
            yield from _pieces(item, cells, depth + 1)
        yield "}"
    else:
        yield _scalar(value, cells)


def _scalar(value: Value, cells: int) -> str:
    if isinstance(value, str):
        return json.dumps(value[: 3 * cells + 1], ensure_ascii=False)
    if type(value) is int and abs(value).bit_length() > DIGITS_LIMIT * 3:
        return f"{value:#x}"  # decimal digits of a huge integer are slow, and Python refuses them
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return json.dumps(value)
