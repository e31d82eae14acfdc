"""Canonical JSON text: equal values have equal texts, and 1, 1.0, true differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""A JSON value as Python holds it."""

_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
)
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_text(value: Json) -> str:
    """Give the one text of a value: sorted keys, no spaces, ASCII only.

    Raises: ValueError for infinities, NaN and values nested too deeply.
    """
    if type(value) is int:
        return int.__repr__(value)  # keys and values are that most of the time
    try:
        return _CANONICAL.encode(value)
    except RecursionError:
        message = "the value is nested too deeply"
        raise ValueError(message) from None


def compact_text(value: Json) -> str:
    """Give a text without spaces, keys in the order they have; ASCII only.

    Raises: ValueError for infinities and NaN.
    """
    return _COMPACT.encode(value)


def compact_bytes(value: Json) -> bytes:
    """Give that text as it goes into a log or over the wire. Raises: as `compact_text`."""
    return compact_text(value).encode("ascii")


def parse(text: str | bytes) -> Json:
    """Read JSON.

    Raises: ValueError for anything that is not JSON, NaN and infinities included.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        return cast("Json", _DECODE(text))
    except RecursionError:
        message = "the JSON is nested too deeply"
        raise ValueError(message) from None


def _refuse_constant(name: str) -> Json:
    message = f"{name} is not JSON"
    raise ValueError(message)


_DECODE = json.JSONDecoder(parse_constant=_refuse_constant).decode
"""Made once: `json.loads` makes a decoder for each text."""
