"""The history of a run in columns, beside its journal: read fast, and believed only if they match.

The file names the journal that it was made of by length and checksum. A run that died has none, and
one whose journal was changed since is read from the journal.
"""

from __future__ import annotations

import secrets
import zlib
from pathlib import Path

from splitbrain.core.errors import StoreError, UsageError
from splitbrain.core.evidence import Evidence, from_columns
from splitbrain.core.history import OPEN, History
from splitbrain.core.journal import decode_but_operations
from splitbrain.core.parquet import read_parquet, write_parquet
from splitbrain.core.value import Value
from splitbrain.runtime.journal import JOURNAL_LIMIT_BYTES
from splitbrain.runtime.stored_file import read_regular

NAME = "history.parquet"


def write_columns(run: Path, history: History) -> None:
    """Write the columns of a run whose journal is finished, whole or not at all.

    Raises: StoreError when they cannot be written.
    """
    try:
        named = _name_of(read_regular(run / "journal", JOURNAL_LIMIT_BYTES))
    except UsageError:
        return  # whoever reads the journal will hear what is wrong with it
    temporary = run / f".{NAME}.{secrets.token_hex(4)}"
    try:
        write_parquet(history, temporary, named)
        temporary.replace(run / NAME)
    except OSError as error:
        message = f"cannot write {run / NAME}: {error.strerror}"
        raise StoreError(message, advice="choose another place with --store") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_columns(run: Path) -> Evidence | None:
    """Give what journal and columns tell; None where the journal has to be read by itself."""
    if not (run / NAME).is_file():
        return None
    try:
        data = read_regular(run / "journal", JOURNAL_LIMIT_BYTES)
        history, facts = read_parquet(run / NAME)
    except UsageError:
        return None
    if facts != _name_of(data):
        return None
    rest = decode_but_operations(data)
    if rest is None or rest.invokes != len(history):
        return None
    if rest.completes != int((history.complete_index != OPEN).sum()):
        return None
    return from_columns(history, rest.records)


def _name_of(journal: bytes) -> dict[str, Value]:
    return {"journal_bytes": len(journal), "journal_crc32": zlib.crc32(journal)}
