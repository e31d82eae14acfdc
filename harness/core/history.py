"""A history: every operation of a run in typed columns, in the order of its invocation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitbrain.core.columns import (
    Booleans,
    CodedColumn,
    Column,
    IntegerColumn,
    Integers,
    build,
    coded,
    integers,
    iterate,
)
from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.quoted import quoted
from splitbrain.core.value import Value

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES = (Outcome.OK, Outcome.FAIL, Outcome.INFO)
"""The outcomes by their code in the column `outcome`."""

OK_CODE, FAIL_CODE, INFO_CODE = 0, 1, 2

OPEN = np.iinfo(np.int64).max
"""The complete_index of an operation that never completed: after everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Operations in columns, one row each, sorted by invoke_index.

    outcome: int8 [0 OK, 1 FAIL, 2 INFO]. invoke_index, complete_index: int64, places in the
    journal; complete_index is `OPEN` where no completion was seen. The other columns are as in
    `Operation`; start_ns and end_ns in nanoseconds.
    """

    process: Integers
    session: Integers
    f: CodedColumn
    key: Column
    argument: Column
    result: Column
    version: IntegerColumn
    applied: Booleans
    outcome: NDArray[np.int8]
    invoke_index: Integers
    complete_index: Integers
    start_ns: Integers
    end_ns: IntegerColumn
    node: CodedColumn
    error: CodedColumn

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> History:
        """Make a history of these operations, whatever their order.

        Raises: MalformedHistoryError when they break a rule of histories (see `validate`).
        """
        rows = sorted(operations, key=lambda operation: operation.invoke_index)
        history = cls._columns(rows)
        history.validate()
        return history

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> History:
        """Make a history of a pandas frame, one operation a row, whatever the order of the rows.

        Columns are named as the fields of `Operation`. process, f, outcome ("ok", "fail" or
        "info"), invoke_index and complete_index (missing: never completed) must be there; without
        a column session it is the process, applied is true, and the others are missing. Integers
        with gaps are of the type "Int64" or object, since floats lose them. `frame` is the inverse.

        Raises: MalformedHistoryError naming column and row, or the operation that breaks a rule.
        """
        from splitbrain.core.from_frame import operations_of  # noqa: PLC0415 - few need it

        return cls.of(operations_of(frame))

    @classmethod
    def _columns(cls, rows: Sequence[Operation]) -> History:
        def numbers(values: Iterable[int]) -> Integers:
            return np.fromiter(values, np.int64, len(rows))

        return cls(
            process=numbers(row.process for row in rows),
            session=numbers(row.session for row in rows),
            f=coded(row.f for row in rows),
            key=build([row.key for row in rows]),
            argument=build([row.argument for row in rows]),
            result=build([row.result for row in rows]),
            version=integers(row.version for row in rows),
            applied=np.fromiter((row.applied for row in rows), np.bool_, len(rows)),
            outcome=np.fromiter((OUTCOMES.index(row.outcome) for row in rows), np.int8, len(rows)),
            invoke_index=numbers(row.invoke_index for row in rows),
            complete_index=numbers(
                OPEN if row.complete_index is None else row.complete_index for row in rows
            ),
            start_ns=numbers(row.start_ns for row in rows),
            end_ns=integers(row.end_ns for row in rows),
            node=coded(row.node for row in rows),
            error=coded(row.error for row in rows),
        )

    def __len__(self) -> int:
        return len(self.process)

    def __getitem__(self, row: int) -> Operation:
        completed = int(self.complete_index[row])
        return Operation(
            process=int(self.process[row]),
            session=int(self.session[row]),
            f=str(self.f.value(row)),
            outcome=OUTCOMES[self.outcome[row]],
            invoke_index=int(self.invoke_index[row]),
            complete_index=None if completed == OPEN else completed,
            key=self.key.value(row),
            argument=self.argument.value(row),
            result=self.result.value(row),
            applied=bool(self.applied[row]),
            version=self.version.value(row),
            node=_text(self.node.value(row)),
            start_ns=int(self.start_ns[row]),
            end_ns=self.end_ns.value(row),
            error=_text(self.error.value(row)),
        )

    def __iter__(self) -> Iterator[Operation]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: Integers | Booleans) -> History:
        """Give the history of these rows (indices in increasing order, or a mask)."""
        picked = np.flatnonzero(rows) if rows.dtype == np.bool_ else np.asarray(rows, np.int64)
        columns: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name, column in columns.items():
            plain = isinstance(column, np.ndarray)
            columns[name] = column[picked] if plain else column.take(picked)
        return History(**columns)

    def by_key(self) -> Iterator[tuple[Value, History]]:
        """Give each key with the history of its operations, in the order of first use."""
        keys = self.key.codes()
        order = np.argsort(keys.items, kind="stable")
        borders = np.flatnonzero(np.diff(keys.items[order])) + 1
        groups = [group for group in np.split(order, borders) if len(group)]
        for group in sorted(groups, key=lambda rows: int(rows[0])):
            yield self.key.value(int(group[0])), self.take(group)

    def is_f(self, name: str) -> Booleans:
        """Give the mask of the operations with this `f`."""
        codes = [code for code, text in enumerate(self.f.dictionary) if text == f'"{name}"']
        return np.isin(self.f.items, codes)

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the operations that occur."""
        used = set(np.unique(self.f.items).tolist())
        return tuple(t[1:-1] for code, t in enumerate(self.f.dictionary) if code in used)

    def frame(self) -> pd.DataFrame:
        """Give a pandas view for people and plug-ins: a row an operation, columns as `Operation`.

        Values stand as Python objects; integers with gaps are nullable `Int64`, never floats.
        """
        import pandas as pd  # noqa: PLC0415 - heavy, and only people's views need it

        def nullable(column: IntegerColumn) -> pd.arrays.IntegerArray:
            return pd.arrays.IntegerArray(column.items.copy(), ~column.present)

        completed = IntegerColumn(self.complete_index, self.complete_index != OPEN)
        return pd.DataFrame(
            {
                "process": self.process,
                "session": self.session,
                "node": pd.Series(list(iterate(self.node)), dtype=object),
                "f": pd.Series(list(iterate(self.f)), dtype=object),
                "key": pd.Series(list(iterate(self.key)), dtype=object),
                "argument": pd.Series(list(iterate(self.argument)), dtype=object),
                "result": pd.Series(list(iterate(self.result)), dtype=object),
                "applied": self.applied,
                "version": nullable(self.version),
                "outcome": pd.Series([OUTCOMES[code].value for code in self.outcome], dtype=object),
                "invoke_index": self.invoke_index,
                "complete_index": nullable(completed),
                "start_ns": self.start_ns,
                "end_ns": nullable(self.end_ns),
                "error": pd.Series(list(iterate(self.error)), dtype=object),
            }
        )

    def validate(self) -> None:
        """Check the rules that every history keeps.

        A completion comes after its invocation; an OK or FAIL operation has one; a process does one
        thing at a time and none after an operation of unknown outcome; no two events share a place.

        Raises: MalformedHistoryError, naming the operation by its invoke_index.
        """
        self._validate_order()
        order = np.lexsort((self.invoke_index, self.process))
        same = self.process[order][1:] == self.process[order][:-1]
        ended = self.complete_index[order][:-1]
        began = self.invoke_index[order][1:]
        self._refuse(order[1:][same & (ended > began)], "its process has another operation open")
        retired = self.outcome[order][:-1] == INFO_CODE
        self._refuse(order[1:][same & retired], "its process was retired by an unknown outcome")

    def _validate_order(self) -> None:
        self._refuse(
            np.flatnonzero(self.complete_index <= self.invoke_index),
            "it completes before it is invoked",
        )
        never = (self.complete_index == OPEN) & (self.outcome != INFO_CODE)
        self._refuse(np.flatnonzero(never), "it has an outcome but no completion")
        completed = self.complete_index[self.complete_index != OPEN]
        places = np.sort(np.concatenate([self.invoke_index, completed]))
        twice = places[1:][places[1:] == places[:-1]]
        if not len(twice):
            return
        at = np.isin(self.invoke_index, twice) | np.isin(self.complete_index, twice)
        self._refuse(np.flatnonzero(at), "two events share its place in the journal")

    def _refuse(self, rows: Integers | NDArray[np.intp], message: str) -> None:
        if len(rows):
            row = int(np.min(rows))
            what = f"process {self.process[row]} {quoted(str(self.f.value(row)))}: {message}"
            raise MalformedHistoryError(what, operation=int(self.invoke_index[row]))


def _text(value: Value) -> str | None:
    return None if value is None else str(value)
