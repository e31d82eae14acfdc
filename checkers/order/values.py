"""Codes for values: equal for equal values of all columns of a history, and for no others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from splitbrain.checkers.models.register import pair
from splitbrain.core.columns import CodedColumn, Column, IntegerColumn, Integers
from splitbrain.core.value import Value, canonical, from_canonical

_SPAN_LIMIT = 2**32
"""How far apart plain integers may lie to be their own codes: with a key they are 64 bits."""


@dataclass(frozen=True, slots=True)
class PlainIntegers:
    """Integers as their own codes: code 0 is null, and the others follow the smallest one."""

    low: int
    high: int

    @property
    def count(self) -> int:
        """One more than the largest code."""
        return self.high - self.low + 3

    def of(self, column: Column, rows: Integers) -> Integers:
        """Give the codes of these rows of an integer column."""
        assert isinstance(column, IntegerColumn)
        codes: Integers = np.where(column.present[rows], column.items[rows] - (self.low - 1), 0)
        return codes

    def of_value(self, value: Value) -> int:
        """Give the code of one value; the last one is for whatever no row can have."""
        if value is None:
            return 0
        if type(value) is not int or not self.low <= value <= self.high:
            return self.count - 1
        return value - self.low + 1

    def of_pairs(self, column: Column, rows: Integers) -> tuple[Integers, Integers]:
        """Refuse: an integer is no pair.

        Raises: ValueError.
        """
        pair(column.value(int(rows[0])))
        raise AssertionError


@dataclass(frozen=True, slots=True)
class Texts:
    """Any values, by their canonical texts."""

    _table: dict[str, int] = field(default_factory=lambda: {"null": 0})

    @property
    def count(self) -> int:
        """One more than the largest code so far."""
        return len(self._table)

    def of(self, column: Column, rows: Integers) -> Integers:
        """Give the codes of these rows."""
        coded = column.take(rows).codes()
        used = np.unique(coded.items).astype(np.int64)
        return self._looked_up(coded, used, (self._code(coded, code) for code in used.tolist()))

    def of_value(self, value: Value) -> int:
        """Give the code of one value."""
        return self._table.setdefault(canonical(value), len(self._table))

    def of_pairs(self, column: Column, rows: Integers) -> tuple[Integers, Integers]:
        """Give the codes of old and new of compare-and-sets.

        Raises: ValueError when one is no list of two.
        """
        coded = column.take(rows).codes()
        used = np.unique(coded.items).astype(np.int64)
        pairs = []
        for code in used.tolist():
            old_value, new_value = pair(
                from_canonical(coded.dictionary[code]) if code >= 0 else None
            )
            pairs.append((self.of_value(old_value), self.of_value(new_value)))
        old = self._looked_up(coded, used, (item[0] for item in pairs))
        new = self._looked_up(coded, used, (item[1] for item in pairs))
        return old, new

    def _code(self, coded: CodedColumn, code: int) -> int:
        if code < 0:
            return 0
        return self._table.setdefault(coded.dictionary[code], len(self._table))

    def _looked_up(self, coded: CodedColumn, used: Integers, found: Iterable[int]) -> Integers:
        codes = np.fromiter(found, np.int64, len(used))
        return codes[np.searchsorted(used, coded.items)]


def codes_for(*columns: Column) -> PlainIntegers | Texts:
    """Choose how the values of these columns are told apart."""
    found = [column for column in columns if isinstance(column, IntegerColumn)]
    if len(found) < len(columns):
        return Texts()
    present = [column.items[column.present] for column in found]
    filled = [items for items in present if len(items)]
    low = min((int(items.min()) for items in filled), default=0)
    high = max((int(items.max()) for items in filled), default=0)
    return PlainIntegers(low, high) if high - low < _SPAN_LIMIT else Texts()
