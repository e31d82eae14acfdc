"""Histories of others: of Jepsen, Knossos and Porcupine, JSON lines, Parquet."""

from splitbrain.foreign.export import WRITERS, require_writable, write_history
from splitbrain.foreign.header import Header
from splitbrain.foreign.imported import Imported
from splitbrain.foreign.judged import write_judged
from splitbrain.foreign.read import FORMATS, read_history

__all__ = [
    "FORMATS",
    "WRITERS",
    "Header",
    "Imported",
    "read_history",
    "require_writable",
    "write_history",
    "write_judged",
]
