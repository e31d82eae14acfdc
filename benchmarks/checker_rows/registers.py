"""Makes linearizable histories of registers in columns, of any size, without a loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from checker_rows.row import Case
from splitbrain.core.columns import CodedColumn, Column, IntegerColumn
from splitbrain.core.history import INFO_CODE, OK_CODE, OPEN, History

Integers = NDArray[np.int64]

READ, WRITE, CAS = range(3)
SEED = 20261128
HANDOVER = 1e-6
"""How long a process is idle, on the scale of an operation each 1."""


def register_history(case: Case, *, cas_share: float = 0.0) -> History:
    """Give a linearizable history: half reads, the rest writes and compare-and-sets.

    Each operation acts at its number. Processes take turns and are never idle: each begins as soon
    as its last operation ended, up to a concurrency behind the moment at which that acted. Half of
    the crashed writes act. Compare-and-sets succeed: each expects the value that is there.
    """
    rng = np.random.default_rng(SEED)
    n, slots = case.size, case.concurrency
    number = np.arange(n)
    key = number // slots % case.keys if case.keys > 1 else np.zeros(n, np.int64)
    draw = rng.random(n)
    kind = np.where(draw < 0.5, READ, np.where(draw < 1 - cas_share / 2, WRITE, CAS))
    crashed = (kind == WRITE) & (rng.random(n) < case.crashed)
    acts = (kind != READ) & ~(crashed & (rng.random(n) < 0.5))
    seen = _last_before(key, acts)
    kind[(kind == CAS) & (seen < 0)] = WRITE
    ended = number + slots * rng.random(n)
    begun = np.concatenate([number[:slots] - slots, ended[:-slots] + HANDOVER])
    events = np.argsort(np.concatenate([begun, ended]), kind="stable")
    place = np.empty(2 * n, np.int64)
    place[events] = np.arange(2 * n)
    order = np.argsort(place[:n], kind="stable")
    process = number % slots + slots * _crashes_before(crashed, slots)
    argument, result = _values(kind, number, seen)
    history = History(
        process=process[order],
        session=process[order],
        f=CodedColumn(kind[order].astype(np.int32), ('"read"', '"write"', '"cas"')),
        key=IntegerColumn(key[order], np.full(n, case.keys > 1)),
        argument=argument.take(order),
        result=result.take(order),
        version=IntegerColumn(np.zeros(n, np.int64), np.zeros(n, np.bool_)),
        applied=np.ones(n, np.bool_),
        outcome=np.where(crashed, INFO_CODE, OK_CODE).astype(np.int8)[order],
        invoke_index=place[:n][order],
        complete_index=np.where(crashed, OPEN, place[n:])[order],
        start_ns=place[:n][order],
        end_ns=IntegerColumn(place[n:][order], ~crashed[order]),
        node=_nothing(n),
        error=_nothing(n),
    )
    history.validate()
    return history


def _last_before(key: Integers, acts: NDArray[np.bool_]) -> Integers:
    """Give for each operation the last one before it that changed its key, -1 for none."""
    order = np.argsort(key, kind="stable")
    first = np.concatenate([[True], key[order][1:] != key[order][:-1]])
    window = np.cumsum(first) * len(key)  # a key's numbers are above those of the keys before it
    shifted = np.where(acts[order], order + window, -1)
    before = np.concatenate([[-1], np.maximum.accumulate(shifted)[:-1]]) - window
    seen = np.empty(len(key), np.int64)
    seen[order] = np.maximum(before, -1)
    return seen


def _crashes_before(crashed: NDArray[np.bool_], slots: int) -> Integers:
    padded = np.zeros(-(-len(crashed) // slots) * slots, np.int64)
    padded[: len(crashed)] = crashed
    table = padded.reshape(-1, slots)
    before: Integers = (np.cumsum(table, axis=0) - table).reshape(-1)[: len(crashed)]
    return before


def _values(kind: Integers, number: Integers, seen: Integers) -> tuple[Column, Column]:
    read = kind == READ
    result = IntegerColumn(np.where(read & (seen >= 0), seen, 0), read & (seen >= 0))
    if not (kind == CAS).any():
        return IntegerColumn(np.where(read, 0, number), ~read), result
    texts = [
        f"[{old},{new}]" if what == CAS else str(new)
        for what, old, new in zip(kind.tolist(), seen.tolist(), number.tolist(), strict=True)
        if what != READ
    ]
    codes = np.full(len(kind), -1, np.int32)
    codes[~read] = np.arange(len(texts), dtype=np.int32)
    return CodedColumn(codes, tuple(texts)), result


def _nothing(size: int) -> CodedColumn:
    return CodedColumn(np.full(size, -1, np.int32), ())
