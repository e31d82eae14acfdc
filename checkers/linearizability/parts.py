"""The operations of registers in columns, sorted by what they are; keys and values as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitbrain.checkers.linearizability.numbering import Numbered, compacted, number
from splitbrain.checkers.models import KeyedStore, Model
from splitbrain.core.columns import Booleans, Column, IntegerColumn, Integers
from splitbrain.core.history import FAIL_CODE, INFO_CODE, OPEN, History
from splitbrain.core.value import Value

_READ, _WRITE, _CAS, _OTHER = range(4)
_KINDS = {'"read"': _READ, '"write"': _WRITE, '"cas"': _CAS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The rows of a history by what they are; those that say nothing are in `silent`, by why.

    key: the number of the key, by row of the history; there are `key_count`. pending: operations of
    unknown outcome, by row. reads, writes, swaps, refusals: rows, with the numbers of their values
    aligned. swaps: compare-and-sets that were applied, or may have been. others: rows that are none
    of these, so that their keys cannot be judged as registers.
    """

    key: Integers
    key_count: int
    pending: Booleans
    reads: Integers
    read_value: Integers
    writes: Integers
    write_value: Integers
    swaps: Integers
    swap_old: Integers
    swap_new: Integers
    refusals: Integers
    refused: Integers
    others: Integers
    initial: int
    value_limit: int
    silent: Mapping[str, Integers]


def parts_of(history: History, model: Model, initial: Value) -> Parts:
    """Sort the rows of a history."""
    table = np.array([*(_KINDS.get(text, _OTHER) for text in history.f.dictionary), _OTHER])
    kind = table.astype(np.int8)[history.f.items]
    alive = history.outcome != FAIL_CODE
    pending = (history.outcome == INFO_CODE) | (history.complete_index == OPEN)
    effective = pending | history.applied
    asked, setting = alive & (kind == _READ), alive & (kind == _WRITE)
    reads = np.flatnonzero(asked & ~pending & history.applied)
    writes = np.flatnonzero(setting & effective)
    swapping = np.flatnonzero(alive & (kind == _CAS))
    values = _values(history, model, initial, (reads, writes, swapping))
    took = ~values.malformed & effective[swapping]
    refused = ~values.malformed & ~effective[swapping]
    key, key_count = _keys(history.key)
    silent = {
        "failed": ~alive,
        "reads of unknown outcome": asked & pending,
        "refused reads": asked & ~effective,
        "refused writes": setting & ~effective,
    }
    return Parts(
        key=key,
        key_count=key_count,
        pending=pending,
        reads=reads,
        read_value=values.singles[0],
        writes=writes,
        write_value=values.singles[1],
        swaps=swapping[took],
        swap_old=values.old[took],
        swap_new=values.new[took],
        refusals=swapping[refused],
        refused=values.old[refused],
        others=np.concatenate([np.flatnonzero(kind == _OTHER), swapping[values.malformed]]),
        initial=values.initial,
        value_limit=values.limit,
        silent={why: np.flatnonzero(mask) for why, mask in silent.items()},
    )


def _values(
    history: History, model: Model, initial: Value, rows: tuple[Integers, Integers, Integers]
) -> Numbered:
    """Number the values; to a keyed store an empty list, or text, is the same as null."""
    reads, writes, swapping = rows
    empty = None
    if isinstance(model, KeyedStore):
        empty = '""' if isinstance(initial, str) else "[]"
    return number(
        (history.result.take(reads), history.argument.take(writes)),
        history.argument.take(swapping),
        initial,
        empty=empty,
    )


def _keys(column: Column) -> tuple[Integers, int]:
    if isinstance(column, IntegerColumn):
        return compacted(column.items, column.present)
    codes = column.codes()
    return codes.items.astype(np.int64) + 1, len(codes.dictionary) + 1


@dataclass(frozen=True, slots=True)
class Windows:
    """Gives each key a window of time of its own, so that all keys can be judged as one register.

    begun, ended: by row of the history, counted from 1. span: the length of a window; its first
    instant is before all operations, its last one after all.
    """

    begun: Integers
    ended: Integers
    span: int

    @classmethod
    def of(cls, history: History, parts: Parts) -> Windows:
        """Make windows for the keys of a history."""
        begun, pending = history.invoke_index, parts.pending
        ended = np.where(pending, begun, history.complete_index)
        if not len(begun):
            return cls(begun, ended, 2)
        least, most = int(begun.min()), int(ended.max())
        if (most - least + 3) * (parts.key_count + 1) >= 2**62:
            ranks = np.unique(np.concatenate([begun, ended]), return_inverse=True)[1]
            begun, ended = ranks[: len(begun)], ranks[len(begun) :]
            least, most = 0, int(ranks.max())
        span = most - least + 3
        return cls(begun - (least - 1), np.where(pending, span - 1, ended - (least - 1)), span)

    def starts(self, rows: Integers, keys: Integers) -> Integers:
        """Give when operations began."""
        return self.begun[rows] + keys * self.span

    def ends(self, rows: Integers, keys: Integers) -> Integers:
        """Give when operations ended; those of unknown outcome end last."""
        return self.ended[rows] + keys * self.span

    def before(self, keys: Integers) -> Integers:
        """Give the first instant of windows."""
        return keys * self.span


def counts(numbers: Integers, limit: int) -> NDArray[np.int64]:
    """Count each number below a limit."""
    return np.bincount(numbers, minlength=limit)
