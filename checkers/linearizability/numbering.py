"""Numbers the values of several columns together: equal numbers for equal values, and no others.

64-bit integers and null take a route without texts; whatever else there is goes by canonical text,
so that 1, True and 1.0 differ and integers of any size are exact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from splitbrain.core.columns import (
    Booleans,
    CodedColumn,
    Column,
    IntegerColumn,
    Integers,
    RaggedColumn,
)
from splitbrain.core.value import Value, canonical

_INT64 = np.iinfo(np.int64)
_NULL = "null"
_DIGITS = re.compile(r"[-0-9,]*")
_PAIRS = re.compile(r"[-0-9,\[\]nul]*")
_DENSE = 4
"""How many times more numbers than values there may be before gaps are closed."""

_pairs_of_integers = msgspec.json.Decoder(list[tuple[int | None, int | None]])
_pair_of_texts = msgspec.json.Decoder(tuple[msgspec.Raw, msgspec.Raw])

_Masked = tuple[Integers, Booleans]
"""Integers, and which of them stand: null is where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """The values of single cells, and of both halves of pairs, as numbers below `limit`.

    singles: one array for each column given. old, new: of the pairs. malformed: pairs that are no
    list of two, whose numbers mean nothing. initial: the number of the value given as such.
    """

    singles: tuple[Integers, ...]
    old: Integers
    new: Integers
    malformed: Booleans
    initial: int
    limit: int


def number(
    singles: Sequence[Column], pairs: Column, initial: Value, *, empty: str | None = None
) -> Numbered:
    """Number the values of these columns.

    empty: the canonical text of a value that is the same as null, if there is one.
    """
    masked = None if empty is not None else _as_integers(singles, pairs, initial)
    if masked is None:
        return _by_text(singles, pairs, initial, empty)
    parts, start = masked
    sizes = np.cumsum([len(items) for items, _ in parts])[:-1]
    items = np.concatenate([items for items, _ in parts])
    present = np.concatenate([there for _, there in parts])
    numbers, limit = compacted(items, present)
    own = 0 if start is None else _number_of(start, items, numbers, limit)
    split = np.split(numbers, sizes)
    return Numbered(
        singles=tuple(split[:-2]),
        old=split[-2],
        new=split[-1],
        malformed=np.zeros(len(pairs), np.bool_),
        initial=own,
        limit=limit + 1,
    )


def compacted(items: Integers, present: Booleans) -> tuple[Integers, int]:
    """Give numbers from 1 on for equal integers, 0 where none is present; and their limit."""
    if not present.any():
        return np.zeros(len(items), np.int64), 1
    whole = bool(present.all())
    there = items if whole else items[present]
    least, most = int(there.min()), int(there.max())
    if most - least < _DENSE * len(items) + 1024:
        numbers = items - (least - 1) if least > _INT64.min else items - least + 1
        return (numbers if whole else np.where(present, numbers, 0)), most - least + 2
    import pandas as pd  # noqa: PLC0415 - heavy, and only sparse values need its hash table

    codes, uniques = pd.factorize(items)
    numbers = codes.astype(np.int64) + 1
    return (numbers if whole else np.where(present, numbers, 0)), len(uniques) + 1


def _number_of(wanted: int, items: Integers, numbers: Integers, otherwise: int) -> int:
    """Give the number of an integer that may not occur."""
    at = np.flatnonzero((items == wanted) & (numbers > 0))[:1]
    return int(numbers[at[0]]) if len(at) else otherwise


def _as_integers(
    singles: Sequence[Column], pairs: Column, initial: Value
) -> tuple[list[_Masked], int | None] | None:
    """Give all values as integers, the halves of pairs last; None when there are others."""
    parts: list[_Masked] = []
    for column in singles:
        found = _integers(column)
        if found is None:
            return None
        parts.append(found)
    halves = _integer_pairs(pairs)
    if halves is None:
        return None
    if initial is not None and (type(initial) is not int or not -(2**63) <= initial < 2**63):
        return None
    return [*parts, *halves], initial


def _integers(column: Column) -> _Masked | None:
    if isinstance(column, IntegerColumn):
        return column.items, column.present
    if not isinstance(column, CodedColumn):
        return None
    codes, texts = _used(column)
    numbers = _parsed(texts)
    if numbers is None:
        return None
    present = codes >= 0
    return (numbers[codes] if texts else np.zeros(len(codes), np.int64)), present


def _parsed(texts: Sequence[str]) -> Integers | None:
    """Give canonical texts as integers; None when one of them is anything else."""
    joined = ",".join(texts)
    if not _DIGITS.fullmatch(joined):
        return None
    try:
        return np.array(msgspec.json.decode(f"[{joined}]"), np.int64)
    except OverflowError:
        return None


def _used(column: CodedColumn) -> tuple[Integers, list[str]]:
    """Give codes over the texts that occur, -1 where nothing stands, and these texts."""
    used = np.zeros(len(column.dictionary) + 1, np.bool_)
    used[column.items] = True  # -1 marks the last place, which is of no text
    used[-1] = False
    renumbered = np.cumsum(used) - 1
    codes = np.where(column.items >= 0, renumbered[column.items], -1)
    if used.sum() == len(column.dictionary):
        return codes, list(column.dictionary)
    return codes, [column.dictionary[code] for code in np.flatnonzero(used).tolist()]


def _integer_pairs(column: Column) -> tuple[_Masked, _Masked] | None:
    if not len(column):
        none = np.zeros(0, np.int64), np.zeros(0, np.bool_)
        return none, none
    if isinstance(column, RaggedColumn):
        there = np.ones(len(column), np.bool_)
        fits = column.present.all() and (np.diff(column.offsets) == 2).all()
        return ((column.items[0::2], there), (column.items[1::2], there)) if fits else None
    return _parsed_pairs(column) if isinstance(column, CodedColumn) else None


def _parsed_pairs(column: CodedColumn) -> tuple[_Masked, _Masked] | None:
    codes, texts = _used(column)
    joined = ",".join(texts)
    if not _PAIRS.fullmatch(joined) or (codes < 0).any():
        return None
    try:
        pairs = _pairs_of_integers.decode(f"[{joined}]")
        halves = [_masked([pair[half] for pair in pairs]) for half in (0, 1)]
    except (msgspec.ValidationError, OverflowError):
        return None
    (old, has_old), (new, has_new) = halves
    return (old[codes], has_old[codes]), (new[codes], has_new[codes])


def _masked(values: Sequence[int | None]) -> _Masked:
    present = np.fromiter((item is not None for item in values), np.bool_, len(values))
    return np.fromiter((item or 0 for item in values), np.int64, len(values)), present


def _by_text(
    singles: Sequence[Column], pairs: Column, initial: Value, empty: str | None
) -> Numbered:
    table: dict[str, int] = {_NULL: 0}
    if empty is not None:
        table[empty] = 0
    own = table.setdefault(canonical(initial), len(table))
    arrays = []
    for column in singles:
        codes, texts = _used(column.codes())
        numbers = [table.setdefault(text, len(table)) for text in texts]
        arrays.append(np.array([*numbers, 0], np.int64)[codes])  # -1 takes the last: null
    codes, texts = _used(pairs.codes())
    halves = [_halves(text) for text in texts]
    numbers_of_halves = np.array(
        [
            (-1, -1) if half is None else tuple(table.setdefault(t, len(table)) for t in half)
            for half in halves
        ]
        + [(-1, -1)],
        np.int64,
    )[codes]
    malformed = numbers_of_halves[:, 0] < 0
    kept = np.where(malformed[:, None], 0, numbers_of_halves)
    return Numbered(
        singles=tuple(arrays),
        old=kept[:, 0],
        new=kept[:, 1],
        malformed=malformed,
        initial=own,
        limit=len(table) + 1,
    )


def _halves(text: str) -> tuple[str, str] | None:
    try:
        old, new = _pair_of_texts.decode(text)
    except msgspec.ValidationError:
        return None
    return bytes(old).decode(), bytes(new).decode()
