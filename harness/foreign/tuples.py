"""Histories of independent keys, in which each value is a pair of key and value.

Jepsen's jepsen.independent wraps values so, and nothing in the file says it but their shape: a read
is invoked with [key nil], while that of a single register is invoked with nil.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.quoted import quoted, quoted_value
from splitbrain.core.value import Value, canonical, same


def untupled(operations: Sequence[Operation], path: Path) -> tuple[Sequence[Operation], int]:
    """Give operations with their keys taken out of their values, and how many keys there are.

    Histories that are not of that shape stay as they are, with 0 keys.

    Raises: MalformedHistoryError when reads have keys in them and another operation has none.
    """
    reads = [item for item in operations if item.f == "read"]
    if not any(_is_read_of_key(item) for item in reads):
        return operations, 0
    if any(item.key is not None for item in operations):
        return operations, 0
    for item in operations:
        if not _fits(item):
            message = (
                f"reads are invoked with [key nil], as where keys are independent, but "
                f"process {item.process}'s {quoted(item.f)} of {quoted_value(item.argument)} "
                f"(event {item.invoke_index}) has no key like theirs"
            )
            raise MalformedHistoryError(message, path=path)
    found = [_untupled(item) for item in operations]
    return found, len({canonical(item.key) for item in found})


def pair_of(value: Value) -> list[Value] | None:
    """Give a value that is a list of two, None for any other."""
    return value if isinstance(value, list) and len(value) == 2 else None


def _is_read_of_key(item: Operation) -> bool:
    pair = pair_of(item.argument)
    return pair is not None and pair[0] is not None and pair[1] is None


def _fits(item: Operation) -> bool:
    pair = pair_of(item.argument)
    if pair is None or pair[0] is None:
        return False
    if item.f != "read":
        return True
    if pair[1] is not None:
        return False
    result = pair_of(item.result)
    return item.outcome is not Outcome.OK or (result is not None and same(result[0], pair[0]))


def _untupled(item: Operation) -> Operation:
    key, argument = pair_of(item.argument) or (None, None)
    result = pair_of(item.result)
    return replace(
        item,
        key=key,
        argument=None if item.f == "read" else argument,
        result=result[1] if item.f == "read" and result is not None else item.result,
    )
