"""JSON as nodes write and read it, by msgspec: on the controller, where it is at hand.

Nodes themselves have the standard library alone, which takes several times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from splitbrain.system_under_test.node import trace
from splitbrain.system_under_test.node.canonical import Json, compact_bytes

encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder()
decode = _decoder.decode


def parse(text: bytes) -> Json:
    """Read JSON, as `canonical.parse` does. Raises: ValueError."""
    try:
        return cast("Json", decode(text))
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    except RecursionError:
        message = "the JSON is nested too deeply"
        raise ValueError(message) from None


def parse_lines(lines: Sequence[bytes]) -> Sequence[Json]:
    """Read JSON, a value a line; None also for a line that is no JSON."""
    # Where each line is an object by its ends, none is half of one: "}" and "{" never meet in JSON.
    if all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        try:
            found: list[Json] = _decoder.decode_lines(b"\n".join(lines))
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as are Unicode's
            found = []
        if len(found) == len(lines):
            return found
    return trace.parse_lines(lines)


def compact(value: Json) -> bytes:
    """Give what `canonical.compact_text` gives, but that a float may have another spelling.

    What is no JSON is not refused: NaN becomes null, and a set an array in the order of its hashes.
    """
    text = encode(value)
    return text if text.isascii() else compact_bytes(value)
