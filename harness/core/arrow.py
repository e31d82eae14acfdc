"""The columns of a history as an Arrow table, and back, without losing a value.

docs/histories.md says of what type each column is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray

from splitbrain.core.columns import (
    CodedColumn,
    Column,
    IntegerColumn,
    RaggedColumn,
    build,
    missing,
)
from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.history import OPEN, OUTCOMES, History
from splitbrain.core.quoted import quoted
from splitbrain.core.value import Value, canonical, from_canonical, require_value

if TYPE_CHECKING:
    import pyarrow as pa

_MARK = {b"splitbrain": b"json"}


def to_arrow(history: History) -> pa.Table:
    """Give the columns of a history as an Arrow table."""
    import pyarrow as pa  # noqa: PLC0415

    outcomes = CodedColumn(
        history.outcome.astype(np.int32), tuple(canonical(item.value) for item in OUTCOMES)
    )
    complete = IntegerColumn(history.complete_index, history.complete_index != OPEN)
    arrays: dict[str, Any] = {
        "process": pa.array(history.process),
        "session": pa.array(history.session),
        "f": _texts(history.f),
        "outcome": _texts(outcomes),
        "invoke_index": pa.array(history.invoke_index),
        "complete_index": _integers(complete),
        "key": _values(history.key),
        "argument": _values(history.argument),
        "result": _values(history.result),
        "applied": pa.array(history.applied),
        "version": _integers(history.version),
        "node": _texts(history.node),
        "start_ns": pa.array(history.start_ns),
        "end_ns": _integers(history.end_ns),
        "error": _texts(history.error),
    }
    fields = [
        pa.field(
            name,
            array.type,
            metadata=_MARK
            if isinstance(getattr(history, name), CodedColumn) and _is_value(name)
            else None,
        )
        for name, array in arrays.items()
    ]
    return pa.table(list(arrays.values()), schema=pa.schema(fields))


def _is_value(name: str) -> bool:
    return name in ("key", "argument", "result")


def _integers(column: IntegerColumn) -> Any:  # noqa: ANN401 - the library's types are its own
    import pyarrow as pa  # noqa: PLC0415

    return pa.array(column.items, mask=~column.present)


def _coded(column: CodedColumn, texts: list[str]) -> Any:  # noqa: ANN401
    import pyarrow as pa  # noqa: PLC0415

    codes = pa.array(column.items, mask=column.items < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(texts, pa.string()))


def _texts(column: CodedColumn) -> Any:  # noqa: ANN401
    return _coded(column, [str(from_canonical(text)) for text in column.dictionary])


def _values(column: Column) -> Any:  # noqa: ANN401
    import pyarrow as pa  # noqa: PLC0415

    if isinstance(column, IntegerColumn):
        return _integers(column)
    if isinstance(column, RaggedColumn):
        return pa.LargeListArray.from_arrays(
            pa.array(column.offsets), pa.array(column.items), mask=pa.array(~column.present)
        )
    coded = column.codes()
    return _coded(coded, list(coded.dictionary))


def from_arrow(table: pa.Table, place: str) -> History:
    """Make a history of the columns of an Arrow table. place: what errors call it.

    Raises: MalformedHistoryError.
    """
    reader = _Reader(table, place)
    rows = table.num_rows
    process = reader.whole("process")
    history = History(
        process=process,
        session=reader.whole("session") if reader.has("session") else process,
        f=reader.texts("f", is_needed=True),
        outcome=reader.outcomes(),
        invoke_index=reader.whole("invoke_index"),
        complete_index=reader.open_ended("complete_index"),
        key=reader.values("key"),
        argument=reader.values("argument"),
        result=reader.values("result"),
        applied=reader.flags("applied"),
        version=reader.integers("version"),
        node=reader.texts("node"),
        start_ns=reader.whole("start_ns") if reader.has("start_ns") else np.zeros(rows, np.int64),
        end_ns=reader.integers("end_ns"),
        error=reader.texts("error"),
    )
    if (np.diff(history.invoke_index) < 0).any():
        history = history.take(np.argsort(history.invoke_index, kind="stable"))
    try:
        history.validate()
    except MalformedHistoryError as error:
        message = str(error).partition(": ")[2]
        raise MalformedHistoryError(message, path=place, operation=error.operation) from error
    return history


class _Reader:
    """Takes columns out of a table, and refuses what cannot be kept exactly."""

    def __init__(self, table: pa.Table, place: str) -> None:
        self._table = table
        self._place = place
        self._rows = int(table.num_rows)

    def has(self, name: str) -> bool:
        """Tell whether there is a column of this name."""
        return name in self._table.column_names

    def integers(self, name: str, *, is_needed: bool = False) -> IntegerColumn:
        """Give a column of integers; where it is missing, nothing stands in it."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        if not self.has(name):
            if is_needed:
                self._refuse(f"there is no column {name!r}")
            return IntegerColumn(np.zeros(self._rows, np.int64), np.zeros(self._rows, np.bool_))
        column = self._chunk(name)
        kind = column.type
        if pa.types.is_null(kind):
            column = column.cast(pa.int64())
        elif not pa.types.is_integer(kind):
            self._refuse(f"the column {name!r} is of type {kind}: it must be of integers")
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:
            self._refuse(f"the column {name!r} holds an integer of more than 64 bits")
        present = np.asarray(pc.is_valid(column))
        items = np.asarray(pc.fill_null(column, 0), dtype=np.int64)
        return IntegerColumn(items, present)

    def whole(self, name: str) -> NDArray[np.int64]:
        """Give a column of integers without gaps."""
        column = self.integers(name, is_needed=True)
        self._require_all(name, column.present)
        return column.items

    def open_ended(self, name: str) -> NDArray[np.int64]:
        """Give places in the order of events, `OPEN` where there is none."""
        column = self.integers(name, is_needed=True)
        return np.where(column.present, column.items, OPEN)

    def flags(self, name: str) -> NDArray[np.bool_]:
        """Give a column of true and false; true where it is missing."""
        import pyarrow as pa  # noqa: PLC0415

        if not self.has(name):
            return np.ones(self._rows, np.bool_)
        column = self._chunk(name)
        if not pa.types.is_boolean(column.type):
            self._refuse(f"the column {name!r} is of type {column.type}: it must be true or false")
        self._require_all(name, np.asarray(column.is_valid()))
        return np.asarray(column, dtype=np.bool_)

    def texts(self, name: str, *, is_needed: bool = False) -> CodedColumn:
        """Give a column of texts."""
        if not self.has(name):
            if is_needed:
                self._refuse(f"there is no column {name!r}")
            return missing(self._rows)
        codes, dictionary = self._dictionary(name)
        if is_needed:
            self._require_all(name, codes >= 0)
        return CodedColumn(codes, tuple(map(canonical, dictionary)))

    def outcomes(self) -> NDArray[np.int8]:
        """Give the outcomes as codes."""
        column = self.texts("outcome", is_needed=True)
        known = [canonical(item.value) for item in OUTCOMES]
        for code, text in enumerate(column.dictionary):
            if text not in known:
                row = np.flatnonzero(column.items == code)
                if len(row):
                    self._refuse(f"the outcome is {quoted(text)}: it is ok, fail or info", row[0])
        places = [known.index(text) if text in known else 0 for text in column.dictionary]
        return np.array(places, np.int8)[column.items]

    def values(self, name: str) -> Column:
        """Give a column of any values."""
        import pyarrow as pa  # noqa: PLC0415

        if not self.has(name):
            return missing(self._rows)
        field = self._table.schema.field(name)
        if pa.types.is_integer(field.type) or pa.types.is_null(field.type):
            column = self.integers(name)
            return column if column.present.any() else missing(self._rows)
        if pa.types.is_floating(field.type):
            self._require_floats(name)
        if (field.metadata or {}).get(b"splitbrain") == b"json":
            return self._json(name)
        if _is_text(field.type):
            return self.texts(name)
        if pa.types.is_large_list(field.type) and pa.types.is_int64(field.type.value_type):
            found = self._ragged(name)
            if found is not None:
                return found
        return self._objects(name)

    def _require_floats(self, name: str) -> None:
        """Refuse what pandas makes of integers with gaps: 2**53 + 1 is 2**53 in it."""
        column = self._chunk(name)
        told = np.asarray(column.drop_null(), dtype=np.float64)
        if column.null_count and len(told) and (told == np.floor(told)).all():
            self._refuse(
                f"the column {name!r} has gaps and holds whole floats, which integers become in "
                "pandas: its type 'Int64' keeps them"
            )

    def _ragged(self, name: str) -> RaggedColumn | None:
        column = self._chunk(name)
        if column.flatten().null_count:
            return None
        present = np.asarray(column.is_valid())
        lengths = np.where(present, np.diff(np.asarray(column.offsets)), 0)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return RaggedColumn(offsets, np.asarray(column.flatten(), dtype=np.int64), present)

    def _json(self, name: str) -> CodedColumn:
        codes, dictionary = self._dictionary(name)
        for text in dictionary:
            try:
                value = require_value(from_canonical(text))
                sound = value is not None and canonical(value) == text
            except (ValueError, msgspec.MsgspecError, RecursionError):
                sound = False
            if not sound:
                self._refuse(
                    f"the column {name!r} holds {quoted(text)}, which is no canonical JSON"
                )
        return CodedColumn(codes, tuple(dictionary))

    def _objects(self, name: str) -> Column:
        items = self._chunk(name).to_pylist()
        rows: list[Value] = []
        for row, item in enumerate(items):
            try:
                rows.append(require_value(item))
            except ValueError as error:
                self._refuse(f"the column {name!r} holds what is no value: {error}", row)
        return build(rows)

    def _dictionary(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        column = self._chunk(name)
        if pa.types.is_null(column.type):
            return np.full(self._rows, -1, np.int32), []
        if not _is_text(column.type):
            self._refuse(f"the column {name!r} is of type {column.type}: it must be of texts")
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        texts = column.dictionary.to_pylist()
        if None in texts or len(set(texts)) < len(texts):
            column = column.dictionary.take(column.indices).dictionary_encode()
            texts = column.dictionary.to_pylist()
        codes = np.asarray(pc.fill_null(column.indices.cast(pa.int32()), -1), dtype=np.int32)
        return codes, texts

    def _chunk(self, name: str) -> Any:  # noqa: ANN401
        return self._table.column(name).unify_dictionaries().combine_chunks()

    def _require_all(self, name: str, present: NDArray[np.bool_]) -> None:
        if not present.all():
            self._refuse(f"nothing stands in the column {name!r}", int(np.argmin(present)))

    def _refuse(self, message: str, row: int | None = None) -> NoReturn:
        line = message if row is None else f"row {row}: {message}"
        raise MalformedHistoryError(line, path=self._place)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))
