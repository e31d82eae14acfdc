"""The events of a foreign history side by side in lists: what the quick route reads into."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from splitbrain.core.value import Value
from splitbrain.foreign.event import Event, EventType

TYPES = {kind.value: code for code, kind in enumerate(EventType)}
"""The types of events by their code: what an operation came to is its code less one."""


@dataclass(slots=True)
class EventTable:
    """Events without those of the nemesis, an item each; the fields are those of `Event`.

    Of the fields that most histories lack, an empty list says that no event has it. nemesis: how
    many events of the nemesis were left out.
    """

    process: list[int] = field(default_factory=list)
    type: list[str] = field(default_factory=list)
    f: list[str] = field(default_factory=list)
    value: list[Value] = field(default_factory=list)
    key: list[Value] = field(default_factory=list)
    time_ns: list[int | None] = field(default_factory=list)
    index: list[int | None] = field(default_factory=list)
    is_told: list[bool] = field(default_factory=list)
    node: list[str | None] = field(default_factory=list)
    error: list[str | None] = field(default_factory=list)
    version: list[int | None] = field(default_factory=list)
    session: list[int | None] = field(default_factory=list)
    applied: list[bool] = field(default_factory=list)
    nemesis: int = 0

    def __len__(self) -> int:
        return len(self.process)

    @classmethod
    def of(cls, events: Iterable[Event | None]) -> EventTable:
        """Make a table of events, None for each of the nemesis."""
        table = cls()
        table.add(events)
        return table

    def add(self, events: Iterable[Event | None]) -> None:
        """Add events one by one, None for each of the nemesis."""
        events = list(events)
        self.nemesis += events.count(None)
        known = [event for event in events if event is not None]
        columns: dict[str, list[object]] = {
            name: [getattr(event, name) for event in known] for name in (*REQUIRED, *OPTIONAL)
        }
        self.extend(columns, len(known))

    def extend(self, columns: dict[str, list[object]], count: int) -> None:
        """Add `count` events by their fields; fields that are not named are as `Event` has them."""
        before = len(self)
        for name in REQUIRED:
            getattr(self, name).extend(columns[name])
        for name, usual in OPTIONAL.items():
            items, own = columns.get(name), getattr(self, name)
            if items is None and not own:
                continue
            own.extend([usual] * (before - len(own)))
            own.extend([usual] * count if items is None else items)


REQUIRED = ("process", "type", "f", "value")
OPTIONAL: dict[str, Value] = {
    "key": None,
    "time_ns": None,
    "index": None,
    "is_told": True,
    "node": None,
    "error": None,
    "version": None,
    "session": None,
    "applied": True,
}
"""The fields that may be missing, with what stands for a missing one."""
