"""Histories as Parquet files: the columns of a history, as docs/histories.md has them.

What a file says of its size is read before anything in it is unpacked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from splitbrain.core.arrow import from_arrow, to_arrow
from splitbrain.core.errors import MalformedHistoryError, StoreError, UsageError
from splitbrain.core.history import History
from splitbrain.core.quoted import quoted
from splitbrain.core.value import Value, require_value

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_LIMIT = 50_000_000
FILE_LIMIT_BYTES = 4 * 1024**3
UNPACKED_LIMIT_BYTES = 16 * 1024**3
COLUMNS_LIMIT = 1000
DEPTH_LIMIT = 32

_FACTS = b"splitbrain.facts"
_ROWS_IN_GROUP = 1_000_000


def write_parquet(history: History, path: Path, facts: Mapping[str, Value]) -> None:
    """Write a history; facts: such as the initial value, kept in the file's metadata.

    Raises: StoreError when the file cannot be written.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy, and only columns on disk need it

    table = to_arrow(history).replace_schema_metadata({_FACTS: msgspec.json.encode(facts)})
    try:
        with path.open("wb") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=_ROWS_IN_GROUP)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise StoreError(message) from error


def read_parquet(path: Path) -> tuple[History, Mapping[str, Value]]:
    """Read a history and its facts, also from files that others wrote.

    Of the columns only process, f, outcome, invoke_index and complete_index must be there; the
    usual ones stand in for the others. Columns of other names are left out.

    Raises: UsageError when there is no such file, MalformedHistoryError naming the column, and the
    row or operation, when it is no history.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        # Out of memory: to read a file Arrow starts a thread of its own, and a command that ended
        # soon afterwards was once aborted by one that had not ended yet.
        packed = pa.BufferReader(_require_file(path).read_bytes())
        file = pq.ParquetFile(packed)
        _require_small(file, path)
        schema = file.schema_arrow
        _require_once(schema.names, path)
        names = [name for name in History.__slots__ if name in schema.names]
        texts = [n for n in names if pa.types.is_string(schema.field(n).type)]
        table = pq.ParquetFile(packed, read_dictionary=texts).read(names, use_threads=False)
        table.validate(full=True)  # a damaged file may point beside its own dictionaries
        facts = _facts(schema.metadata or {}, path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or quoted(str(error), 120)}"
        raise UsageError(message) from error
    except (pa.ArrowException, ValueError, LookupError) as error:
        # Not all that it refuses is an error of its own: names that are no text, for instance.
        message = f"this is no Parquet file that can be read: {quoted(str(error), 120)}"
        raise MalformedHistoryError(message, path=path) from error
    return from_arrow(table, str(path)), facts


def _require_file(path: Path) -> Path:
    if not path.exists():
        message = f"there is no file {path}"
        raise UsageError(message)
    if not path.is_file():
        message = f"{path} is no file"
        raise UsageError(message)
    if path.stat().st_size > FILE_LIMIT_BYTES:
        message = f"it has {path.stat().st_size} bytes, over the limit of {FILE_LIMIT_BYTES}"
        raise MalformedHistoryError(message, path=path)
    return path


def _require_small(file: Any, path: Path) -> None:  # noqa: ANN401
    """Look at what a file says of its size before anything in it is unpacked."""
    meta = file.metadata
    unpacked = sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups))
    limits = (
        (meta.num_rows, ROWS_LIMIT, "rows"),
        (unpacked, UNPACKED_LIMIT_BYTES, "bytes when unpacked"),
        (meta.num_columns, COLUMNS_LIMIT, "columns"),
        (
            max((_depth(field.type) for field in file.schema_arrow), default=0),
            DEPTH_LIMIT,
            "levels",
        ),
    )
    for number, limit, what in limits:
        if number > limit:
            message = f"it has {number} {what}, over the limit of {limit}"
            raise MalformedHistoryError(message, path=path)


def _require_once(names: list[str], path: Path) -> None:
    twice = next((name for name in History.__slots__ if names.count(name) > 1), None)
    if twice is not None:
        message = f"the column {twice!r} stands there twice"
        raise MalformedHistoryError(message, path=path)


def _depth(kind: pa.DataType) -> int:
    inner = [kind.field(number).type for number in range(kind.num_fields)]
    return 1 + max(map(_depth, inner), default=0)


def _facts(metadata: Mapping[bytes, bytes], path: Path) -> Mapping[str, Value]:
    try:
        found = require_value(msgspec.json.decode(metadata.get(_FACTS, b"{}")))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        found = None
    if not isinstance(found, dict):
        message = "its metadata hold facts that are no JSON object"
        raise MalformedHistoryError(message, path=path)
    return found
