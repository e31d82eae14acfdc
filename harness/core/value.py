"""The values that operations carry: JSON, compared by type and content.

1, True and 1.0 are three values, 2**70 is exact, and NaN is none at all. The canonical text of a
value tells all of these apart, so texts serve as dictionary keys and as codes of columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

type_names = "null, a boolean, a number, a string, a list or an object"

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
"""A JSON value; integers of any size are exact."""

_SCALARS = (type(None), bool, int, str)
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode

DEPTH_LIMIT = 64


def require_value(value: object, *, depth: int = 0) -> Value:
    """Return `value` if it is a JSON value that survives being written and read back.

    Tuples become lists, and instances of subclasses (those of enumerations, numpy.float64) what
    they are at heart.

    Raises: ValueError for NaN, infinities, other types, keys that are no strings, and nesting
    deeper than `DEPTH_LIMIT`.
    """
    if type(value) in _SCALARS:
        return value  # type: ignore[return-value]
    if depth > DEPTH_LIMIT:
        message = f"a value is nested deeper than {DEPTH_LIMIT}"
        raise ValueError(message)
    if isinstance(value, float):
        if not math.isfinite(value):
            message = f"{value} is not a JSON number"
            raise ValueError(message)
        return float(value)
    if isinstance(value, (list, tuple)):
        return [require_value(item, depth=depth + 1) for item in value]
    if isinstance(value, Mapping):
        return _require_object(value, depth)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)  # str() of an enumeration's member may be its name
    message = f"{type(value).__name__} is not {type_names}"
    raise ValueError(message)


def _require_object(value: Mapping[object, object], depth: int) -> Value:
    result: dict[str, Value] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            message = f"key {key!r} of an object is not a string"
            raise ValueError(message)  # noqa: TRY004 - one error for all that is no JSON value
        result[key] = require_value(item, depth=depth + 1)
    return result


def canonical(value: Value) -> str:
    """Give the text that is equal for equal values and for no others: sorted keys, no spaces."""
    if type(value) is int:
        return str(value)
    return _encode(value).decode()


def from_canonical(text: str) -> Value:
    """Read a value back from its canonical text."""
    result: Value = _decode(text)
    return result


def same(left: Value, right: Value) -> bool:
    """Tell whether two values are equal in type and content."""
    if type(left) is type(right) and type(left) in _SCALARS:
        return left == right
    return canonical(left) == canonical(right)
