"""The first line of a history that we wrote as JSON lines: how it is to be judged.

`{"splitbrain":1,"facts":{...},"checkers":[{"name":...,"parameters":{...}}]}`; the events follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.value import Value, require_value
from splitbrain.foreign.lines import lines, require_shallow

START = '{"splitbrain":'
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """facts: as those of the evidence. checkers: names with the parameters of each."""

    facts: Mapping[str, Value] = field(default_factory=dict)
    checkers: tuple[tuple[str, Mapping[str, Value]], ...] = ()

    def to_text(self) -> str:
        """Give the line."""
        checkers = [{"name": name, "parameters": dict(own)} for name, own in self.checkers]
        value = {"splitbrain": VERSION, "facts": dict(self.facts), "checkers": checkers}
        return msgspec.json.encode(value).decode()


def read_header(path: Path) -> Header | None:
    """Read the header of a file of JSON lines, None where there is none.

    Raises: MalformedHistoryError when it is damaged, or of a version that is not known.
    """
    number, text = next(iter(lines(path)), (1, ""))
    if not text.startswith(START):
        return None
    require_shallow(text, path, number)
    try:
        value: Value = msgspec.json.decode(text)
        header = _header(require_value(value))
    except (msgspec.DecodeError, ValueError, RecursionError):
        header = None
    if header is None:
        message = f"this is no header of version {VERSION} with facts and checkers"
        raise MalformedHistoryError(message, path=path, line=number)
    return header


def _header(value: Value) -> Header | None:
    match value:
        case {"splitbrain": int(version), "facts": dict(facts), "checkers": list(recipes)}:
            checkers = tuple(found for found in map(_recipe, recipes) if found is not None)
            if version == VERSION and len(checkers) == len(recipes):
                return Header(facts=facts, checkers=checkers)
    return None


def _recipe(value: Value) -> tuple[str, Mapping[str, Value]] | None:
    match value:
        case {"name": str(name), "parameters": dict(parameters)}:
            return name, parameters
    return None
