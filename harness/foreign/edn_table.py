"""The events of an EDN file side by side, read several times as fast as one by one.

The maps of a history look alike: the same keys in the same order. A pattern made of the first one
takes the values out of all that are like it; maps of another shape get another pattern, and what is
no plain map at all is read as `edn_events` reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from splitbrain.core.value import Value
from splitbrain.foreign.edn import Splitter, map_of, pairs_of, plain, plain_pattern
from splitbrain.foreign.edn_events import event_of
from splitbrain.foreign.event import NEMESIS, Event
from splitbrain.foreign.lines import blocks
from splitbrain.foreign.table import OPTIONAL, REQUIRED, TYPES, EventTable

_SHAPES_TRIED = 8
_GAP = r"[\s,]++"
_MAY_BE = r"[\s,]*+"
_GAPS = re.compile(_GAP)
_FIELDS = frozenset(
    (
        *("process", "type", "f", "value", "key", "time", "index"),
        *("node", "error", "version", "session", "applied"),
    )
)
_COLUMNS = {"time": "time_ns"}
_PROCESSES = (f":{NEMESIS}", f'"{NEMESIS}"')


T = TypeVar("T")


class SurpriseError(Exception):
    """Something that has to be read event by event."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """Maps with these keys in this order. names: without their colons."""

    names: tuple[str, ...]
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, text: str) -> _Shape | None:
        """Give the shape of a line that holds one plain map, None when it holds anything else."""
        names = pairs_of(text.strip(" \t\r,"))
        if names is None or len(set(names)) < len(names):
            return None
        if any(name not in names for name in (":process", ":type", ":f")):
            return None
        inner = _GAP.join(f"{re.escape(name)}{_GAP}({plain_pattern})" for name in names)
        whole = rf"{_MAY_BE}\{{{_MAY_BE}{inner}{_MAY_BE}\}}{_MAY_BE}"
        return cls(tuple(name[1:] for name in names), re.compile(whole))


@dataclass(slots=True)
class _Group:
    """The events of one shape in a block: where each stands, and its values as texts."""

    places: list[int] = field(default_factory=list)
    rows: list[tuple[str, ...]] = field(default_factory=list)


def edn_table(path: Path) -> EventTable | None:
    """Give the events of a file; None where only `edn_events` can judge it.

    Raises: MalformedHistoryError, though not always for the first line at fault.
    """
    reader = _Reader(path)
    try:
        for number, block in blocks(path):
            reader.read(number, block.decode())
        reader.finish()
    except (SurpriseError, ValueError, KeyError):
        return None
    return reader.table


class _Reader:
    def __init__(self, path: Path) -> None:
        self.table = EventTable()
        self._path = path
        self._splitter = Splitter(path)
        self._shapes: list[_Shape] = []
        self._texts: dict[str, str] = {}

    def read(self, number: int, block: str) -> None:
        """Take a block of whole lines."""
        groups: dict[_Shape, _Group] = {}
        others: list[tuple[int, Event | None]] = []
        place, between = 0, self._splitter.between
        texts = block.removesuffix("\n").split("\n")
        for line, text in enumerate(texts, start=number):
            matched = self._matched(text) if between else None
            if matched is not None:
                shape, values = matched
                group = groups.get(shape)
                if group is None:
                    group = groups[shape] = _Group()
                group.places.append(place)
                group.rows.append(values)
                place += 1
                continue
            for began, form in self._splitter.feed(line, text):
                found = map_of(form, self._path, began)
                others.append((place, event_of(found, self._path, began)))
                place += 1
            between = self._splitter.between
        self._take(groups, others, place)

    def finish(self) -> None:
        """Look whether the file ends where a map does."""
        self._splitter.finish()

    def _matched(self, text: str) -> tuple[_Shape, tuple[str, ...]] | None:
        for shape in self._shapes:
            match = shape.pattern.fullmatch(text)
            if match is not None:
                return shape, match.groups()
        if len(self._shapes) == _SHAPES_TRIED:
            return None
        made = _Shape.of(text)
        if made is None:
            return None
        self._shapes.append(made)
        match = made.pattern.fullmatch(text)
        return None if match is None else (made, match.groups())

    def _take(
        self,
        groups: Mapping[_Shape, _Group],
        others: Sequence[tuple[int, Event | None]],
        count: int,
    ) -> None:
        names = {_COLUMNS.get(n, n) for shape in groups for n in shape.names if n in _FIELDS}
        usual = {**dict.fromkeys(REQUIRED), **OPTIONAL}
        if others:
            names |= set(usual)
        elif any("value" not in shape.names for shape in groups):
            names.add("is_told")
        columns: dict[str, list[object]] = {
            name: [usual[name]] * count for name in {*names, *REQUIRED}
        }
        for shape, group in groups.items():
            self._fill(columns, shape, group, count)
        for place, event in others:
            for name, items in columns.items():
                items[place] = None if event is None else getattr(event, name)
        gone = columns["process"].count(None)
        if gone:
            stays = [process is not None for process in columns["process"]]
            columns = {
                name: [item for item, stay in zip(items, stays, strict=True) if stay]
                for name, items in columns.items()
            }
        self.table.nemesis += gone
        self.table.extend(columns, count - gone)

    def _fill(
        self, columns: dict[str, list[object]], shape: _Shape, group: _Group, count: int
    ) -> None:
        whole = len(group.places) == count
        for name, texts in zip(shape.names, zip(*group.rows, strict=True), strict=True):
            if name not in _FIELDS:
                continue
            values = list(self._converted(name, texts))
            if whole:
                columns[_COLUMNS.get(name, name)] = values
                continue
            column = columns[_COLUMNS.get(name, name)]
            for place, value in zip(group.places, values, strict=True):
                column[place] = value
        if "value" not in shape.names:
            for place in group.places:
                columns["is_told"][place] = False

    def _converted(self, name: str, texts: Sequence[str]) -> Iterable[object]:
        if name == "type":
            return map(_TYPES.__getitem__, texts)
        if name == "applied":
            return _by_text(texts, lambda text: text != "false")
        if name == "process":
            return _by_text(texts, lambda text: None if text in _PROCESSES else int(text))
        if name in ("time", "index", "version", "session"):
            return _integers(texts)
        return _values(texts) if name in ("value", "key") else _named(name, texts)


def _by_text(texts: Sequence[str], convert: Callable[[str], T]) -> Iterable[T]:
    """Convert texts of which most stand there many times, each of them once."""
    known = {text: convert(text) for text in set(texts)}
    return map(known.__getitem__, texts)


def _integers(texts: Sequence[str]) -> Iterable[int | None]:
    if "nil" in texts:
        return (None if text == "nil" else int(text) for text in texts)
    return map(int, texts)


def _named(name: str, texts: Sequence[str]) -> Iterable[str | None]:
    """Give names without the colon of a keyword; what is no text is for `edn_events`."""

    def named(text: str) -> str | None:
        value = plain(text)
        if isinstance(value, str):
            return value.removeprefix(":")
        if value is None and name != "f":
            return None
        raise SurpriseError

    return _by_text(texts, named)


def _values(texts: Sequence[str]) -> Iterable[Value]:
    """Read plain values: where they are numbers, nil, true, false and vectors of those, as JSON.

    With commas for the gaps and null for nil the two are the same, and the parser of JSON, which
    refuses what only EDN has (`7N`, `[ 1 ]`), reads a block in the time of a few values.
    """
    whole = ",".join(texts)
    if '"' not in whole and ":" not in whole:
        try:
            found: list[Value] = json.loads(f"[{_GAPS.sub(',', whole).replace('nil', 'null')}]")
        except ValueError:
            pass
        else:
            return found
    return map(plain, texts)


_TYPES = {f":{name}": name for name in TYPES} | {f'"{name}"': name for name in TYPES}
