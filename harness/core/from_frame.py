"""Histories out of pandas frames that people made: what is not exact is refused by its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.quoted import quoted
from splitbrain.core.value import Value, require_value

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("process", "f", "outcome", "invoke_index", "complete_index")
OPTIONAL = (
    *("session", "key", "argument", "result", "applied"),
    *("version", "node", "start_ns", "end_ns", "error"),
)
_INT64 = range(-(2**63), 2**63)


def operations_of(frame: pd.DataFrame) -> list[Operation]:
    """Give the operations of a frame, one a row; docs/histories.md has its columns.

    Raises: MalformedHistoryError naming the column, and the row counted from 0.
    """
    names = [str(name) for name in frame.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        _refuse(f"the column {quoted(twice)!r} stands there twice")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        _refuse(f"there is no column {' and no '.join(map(repr, missing))}")
    strange = [name for name in names if name not in (*REQUIRED, *OPTIONAL)]
    if strange:
        known = ", ".join((*REQUIRED, *OPTIONAL))
        _refuse(f"there is a column {quoted(strange[0])!r}; columns are {known}")
    columns = {name: _Column(name, frame[name]) for name in names}
    return [_operation(columns, row) for row in range(len(frame))]


class _Column:
    """One column of a frame, whose cells are read as what they must be."""

    def __init__(self, name: str, items: pd.Series) -> None:
        self.name = name
        found: list[object] = items.tolist()
        if type(items.dtype).__name__ == "StringDtype":  # its gaps are NaN
            found = [item if isinstance(item, str) else None for item in found]
        found = [item.item() if isinstance(item, np.generic) else item for item in found]
        self._items: Sequence[object] = found
        # A column of floats has lost its integers already: 2**53 + 1 is 2**53 in it.
        self._is_float = items.dtype.kind == "f"

    def integer(self, row: int) -> int:
        """Give an integer."""
        value = self.optional_integer(row)
        if value is None:
            self._refuse("nothing stands there: it must be an integer", row)
        return value

    def optional_integer(self, row: int) -> int | None:
        """Give an integer, None where nothing stands."""
        item = self._items[row]
        if self._is_float:
            self._refuse("the column is of floats: use the type 'Int64', which has gaps", row)
        if _is_missing(item):
            return None
        if isinstance(item, bool) or not isinstance(item, int):
            self._refuse(f"{_shown(item)} is no integer", row)
        if item not in _INT64:
            self._refuse(f"{_shown(item)} has more than 64 bits", row)
        return int(item)

    def text(self, row: int) -> str:
        """Give a text."""
        value = self.optional_text(row)
        if not value:
            self._refuse("nothing stands there: it must be a text", row)
        return value

    def optional_text(self, row: int) -> str | None:
        """Give a text, None where nothing stands."""
        item = self._items[row]
        if _is_missing(item):
            return None
        if not isinstance(item, str):
            self._refuse(f"{_shown(item)} is no text", row)
        return str(item)

    def flag(self, row: int) -> bool:
        """Give true or false."""
        item = self._items[row]
        if not isinstance(item, bool):
            self._refuse(f"{_shown(item)} is neither true nor false", row)
        return item

    def outcome(self, row: int) -> Outcome:
        """Give an outcome."""
        text = self.text(row)
        try:
            return Outcome(text)
        except ValueError:
            self._refuse(f"{_shown(text)} is no outcome: it is ok, fail or info", row)

    def value(self, row: int) -> Value:
        """Give any value; NaN is none, since nobody knows what stood there."""
        item = self._items[row]
        if _is_missing(item):
            return None
        try:
            return require_value(item)
        except ValueError as error:
            hint = ": use the type object or 'Int64', which have gaps" if self._is_float else ""
            self._refuse(f"{error}{hint}", row)

    def _refuse(self, message: str, row: int) -> NoReturn:
        _refuse(f"column {self.name!r}, row {row}: {quoted(message, 200)}")


def _operation(columns: dict[str, _Column], row: int) -> Operation:
    process = columns["process"].integer(row)
    own = columns.get

    def number(name: str) -> int | None:
        column = own(name)
        return None if column is None else column.optional_integer(row)

    def text(name: str) -> str | None:
        column = own(name)
        return None if column is None else column.optional_text(row)

    def value(name: str) -> Value:
        column = own(name)
        return None if column is None else column.value(row)

    session = number("session")
    applied = own("applied")
    return Operation(
        process=process,
        session=process if session is None else session,
        f=columns["f"].text(row),
        outcome=columns["outcome"].outcome(row),
        invoke_index=columns["invoke_index"].integer(row),
        complete_index=number("complete_index"),
        key=value("key"),
        argument=value("argument"),
        result=value("result"),
        applied=True if applied is None else applied.flag(row),
        version=number("version"),
        node=text("node"),
        start_ns=number("start_ns") or 0,
        end_ns=number("end_ns"),
        error=text("error"),
    )


def _is_missing(item: object) -> bool:
    return item is None or type(item).__name__ in ("NAType", "NaTType")


def _shown(item: object) -> str:
    return quoted(repr(item))


def _refuse(message: str) -> NoReturn:
    raise MalformedHistoryError(message, path="frame")
