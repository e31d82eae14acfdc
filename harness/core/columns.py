"""Typed columns: how a history keeps its values without losing any of them.

An integer is never turned into a float because its neighbour is missing. Three shapes serve:
integers with a mask, codes into a dictionary of canonical texts, and ragged lists of integers.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splitbrain.core.value import Value, canonical, from_canonical

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Codes = NDArray[np.int32]

_NOTHING = type(None)
_INTEGERS = {int, _NOTHING}
_TEXTS = {str, _NOTHING}
_LISTS = {list, _NOTHING}


class Column(Protocol):
    """A typed sequence of values, None where nothing stands.

    A value that is JSON null and a missing one are both None: an operation that needs to tell them
    apart does so by its `f` and outcome.
    """

    def __len__(self) -> int: ...

    def value(self, row: int) -> Value:
        """Give one value."""

    def take(self, rows: Integers) -> Column:
        """Give a column of these rows, in this order."""

    def codes(self) -> CodedColumn:
        """Give the same values as dictionary codes, equal for equal values alone."""


@dataclass(frozen=True, slots=True)
class IntegerColumn:
    """64-bit integers. items: int64, 0 where missing; present: bool."""

    items: Integers
    present: Booleans

    def __len__(self) -> int:
        return len(self.items)

    def value(self, row: int) -> int | None:
        """Give one integer, None where missing."""
        return int(self.items[row]) if self.present[row] else None

    def take(self, rows: Integers) -> IntegerColumn:
        """Give a column of these rows, in this order."""
        return IntegerColumn(self.items[rows], self.present[rows])

    def codes(self) -> CodedColumn:
        """Give the same values as dictionary codes."""
        unique, inverse = np.unique(self.items, return_inverse=True)
        codes = np.where(self.present, inverse, -1).astype(np.int32)
        return CodedColumn(codes, tuple(str(item) for item in unique.tolist()))


@dataclass(frozen=True, slots=True)
class CodedColumn:
    """Any JSON values. codes: int32, -1 where missing; dictionary: canonical texts by code."""

    items: Codes
    dictionary: tuple[str, ...]
    _decoded: dict[int, Value] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.items)

    def value(self, row: int) -> Value:
        """Give one value, None where missing."""
        code = int(self.items[row])
        if code < 0:
            return None
        if code not in self._decoded:
            self._decoded[code] = from_canonical(self.dictionary[code])
        return self._decoded[code]

    def take(self, rows: Integers) -> CodedColumn:
        """Give a column of these rows, in this order, over the same dictionary."""
        return CodedColumn(self.items[rows], self.dictionary, self._decoded)

    def codes(self) -> CodedColumn:
        """Give itself."""
        return self


@dataclass(frozen=True, slots=True)
class RaggedColumn:
    """Lists of 64-bit integers. offsets: int64, one more than rows; items: int64; present: bool."""

    offsets: Integers
    items: Integers
    present: Booleans

    def __len__(self) -> int:
        return len(self.present)

    def value(self, row: int) -> Value:
        """Give one list, None where missing."""
        if not self.present[row]:
            return None
        items: list[Value] = self.items[self.offsets[row] : self.offsets[row + 1]].tolist()
        return items

    def take(self, rows: Integers) -> RaggedColumn:
        """Give a column of these rows, in this order."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        starts = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        items = self.items[starts + np.arange(len(starts))]
        return RaggedColumn(offsets, items, self.present[rows])

    def codes(self) -> CodedColumn:
        """Give the same values as dictionary codes."""
        return coded(self.value(row) for row in range(len(self)))


def integers(values: Iterable[int | None]) -> IntegerColumn:
    """Make an integer column.

    Raises: OverflowError for an integer beyond 64 bits.
    """
    rows = values if isinstance(values, list) else list(values)
    if None not in rows:
        return IntegerColumn(np.fromiter(rows, np.int64, len(rows)), np.ones(len(rows), np.bool_))
    present = np.fromiter(map(operator.is_not, rows, itertools.repeat(None)), np.bool_, len(rows))
    items = np.fromiter([item or 0 for item in rows], np.int64, len(rows))
    return IntegerColumn(items, present)


def coded(values: Iterable[Value]) -> CodedColumn:
    """Make a dictionary column of any JSON values."""
    rows = values if isinstance(values, list) else list(values)
    if set(map(type, rows)) <= _TEXTS:
        return _coded_texts(rows)  # type: ignore[arg-type]
    table: dict[str, int] = {}
    codes = [-1 if item is None else table.setdefault(canonical(item), len(table)) for item in rows]
    return CodedColumn(np.array(codes, np.int32), tuple(table))


def _coded_texts(rows: Sequence[str | None]) -> CodedColumn:
    """Make a dictionary column of texts, each of which is written out once."""
    distinct: dict[str | None, None] = dict.fromkeys(rows)
    distinct.pop(None, None)
    table: dict[str | None, int] = {text: code for code, text in enumerate(distinct)}
    texts = tuple(canonical(text) for text in table)
    table[None] = -1
    codes = np.fromiter(map(table.__getitem__, rows), np.int32, len(rows))
    return CodedColumn(codes, texts)


def build(values: Sequence[Value]) -> Column:
    """Make the narrowest column that keeps every value exactly."""
    rows = values if isinstance(values, list) else list(values)
    types = set(map(type, rows))
    if types <= _INTEGERS:
        try:
            return integers(rows)  # type: ignore[arg-type]
        except OverflowError:
            return coded(rows)
    if types <= _LISTS:
        return _ragged(rows) or coded(rows)
    return coded(rows)


def missing(length: int) -> CodedColumn:
    """Make a column in which nothing stands."""
    return CodedColumn(np.full(length, -1, np.int32), ())


def _ragged(values: Sequence[Value]) -> RaggedColumn | None:
    """Make a column of lists; None when they hold anything but integers of 64 bits."""
    lists: list[list[int]] = [item or [] for item in values]  # type: ignore[misc]
    flat = list(itertools.chain.from_iterable(lists))
    if not set(map(type, flat)) <= {int}:
        return None
    try:
        items = np.fromiter(flat, np.int64, len(flat))
    except OverflowError:
        return None
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    present = np.fromiter((item is not None for item in values), np.bool_, len(lists))
    return RaggedColumn(offsets, items, present)


def iterate(column: Column) -> Iterator[Value]:
    """Give each value in turn."""
    return (column.value(row) for row in range(len(column)))
