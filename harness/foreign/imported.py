"""What an importer gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from splitbrain.core.history import History
from splitbrain.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A foreign history. format: the name of its format.

    assumptions: what was taken for granted because the format does not say it, one line each.
    facts: for the evidence; "initial" is the value of each key before the first operation, and
    "minimum_ok" how many operations must have succeeded: none, since the history is all there is
    to judge, and one in which nothing succeeded breaks no promise. checkers: by whom the file asks
    to be judged, with the parameters of each.
    """

    history: History
    format: str
    assumptions: tuple[str, ...]
    facts: Mapping[str, Value] = field(default_factory=dict)
    checkers: tuple[tuple[str, Mapping[str, Value]], ...] = ()
