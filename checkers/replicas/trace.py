"""The traces of all replicas: what each made durable, and what coordinators told their clients.

A number that is missing in a boot, a record that cannot be read, and a trace that is not there are
gaps: what they hide proves nothing, in neither direction.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any

from splitbrain.checkers.replicas.stored import Kept, Rank, Stored
from splitbrain.checkers.replicas.version import (
    Dot,
    NoEvidenceError,
    Seen,
    dot_of,
    seen_of,
)
from splitbrain.core.evidence import Trace
from splitbrain.core.value import Value, canonical

Record = Mapping[str, Any]
Place = tuple[str, str]

_LEVELS = ("strong", "eventual", "causal")


@dataclass(frozen=True, slots=True)
class Acked:
    """A coordinator was about to tell its client that a write is done. asked: whom it sent it."""

    node: str
    at: int
    place: Place
    key: Value
    dot: Dot
    stamp: int
    context: Seen
    value: Value
    deleted: bool
    asked: tuple[str, ...]
    acks: tuple[str, ...]
    hints: Mapping[str, str]
    needed: int
    record: Record


@dataclass(slots=True, weakref_slot=True)
class Traces:
    """What the traces tell. A place is level and key.

    stored: what each node made durable of a place; also by whom it was for, None for itself.
    applied: the writes of `causal` that a node made durable, with the record's place in its trace.
    buried: where in a node's trace the tombstones of a place were dropped. boots: of each node, the
    place in its trace and the number above which its new dots are. gapped: nodes whose trace has
    gaps.
    """

    acked: list[Acked] = field(default_factory=list)
    stored: dict[tuple[str, Place, str | None], Kept] = field(default_factory=dict)
    applied: dict[str, dict[Dot, int]] = field(default_factory=dict)
    buried: dict[Place, dict[str, list[int]]] = field(default_factory=dict)
    boots: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    gapped: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, traces: Iterable[Trace]) -> Traces:
        """Read the traces."""
        result = cls()
        for trace in traces:
            result.nodes.add(trace.node)
            for gap in trace.gaps:
                result._gap(trace.node, gap)
            if not trace.records:
                result._gap(trace.node, "it is empty")
            result._read(trace)
        return result

    @classmethod
    def shared(cls, traces: Iterable[Trace]) -> Traces:
        """Read the traces, or give what was read of the very same before; nobody changes it.

        Several checkers judge one run, and reading is most of their work. The last reading is kept,
        as long as its traces are.
        """
        own = tuple(traces)
        for known, reading in _last:
            if len(known) == len(own) and all(map(is_, (ref() for ref in known), own)):
                return reading
        reading = cls.of(own)
        _last[:] = [(tuple(weakref.ref(trace, _forget) for trace in own), reading)]
        return reading

    def named(self) -> set[str]:
        """Give all nodes that have a trace, or that a coordinator names."""
        writes = self.acked
        told = (name for w in writes for name in (*w.asked, *w.acks, *w.hints, *w.hints.values()))
        return self.nodes | set(told)

    def _read(self, trace: Trace) -> None:
        boot, due = None, 0
        unread: dict[tuple[str, str], list[str]] = {}
        for at, record in enumerate(trace.records):
            if record.get("boot") != boot:
                boot, due = record.get("boot"), 0
            seq = record.get("seq")
            if seq != due:
                self._gap(trace.node, f"boot {str(boot)[:40]}: record {seq!r} where {due} was due")
            due = seq + 1 if type(seq) is int else due + 1
            try:
                self._take(trace.node, at, record)
            except (NoEvidenceError, KeyError, TypeError, ValueError) as error:
                what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
                place = f"boot {str(boot)[:40]}, record {str(seq)[:40]}"
                unread.setdefault((str(record.get("event"))[:40], what), []).append(place)
        for (event, what), places in unread.items():
            more = f", and {len(places) - 1} more like it" if places[1:] else ""
            self._gap(trace.node, f"{places[0]} ({event}) cannot be read: {what}{more}")

    def _gap(self, node: str, text: str) -> None:
        self.gaps.append(f"the trace of {node}: {text}")
        self.gapped.add(node)

    def _take(self, node: str, at: int, record: Record) -> None:
        event = record.get("event")
        if event == "boot":
            self.boots.setdefault(node, []).append((at, int(record["number"])))
        elif event == "stored":
            stored = Stored(at, seen_of(record["seen"]), tuple(map(_rank, record["versions"])))
            place = node, place_of(record), _owner(record["for"])
            self.stored.setdefault(place, Kept()).add(stored)
        elif event == "applied":
            self.applied.setdefault(node, {}).setdefault(dot_of(record["dot"]), at)
        elif event == "buried":
            self.buried.setdefault(place_of(record), {}).setdefault(node, []).append(at)
        elif event == "acked":
            self.acked.append(_acked(node, at, record))

    def buriers(self, write: Acked, *, keeps_one: bool | None) -> set[str]:
        """Give the nodes that dropped a cell in which a write was overwritten by tombstones.

        Who stored it again afterwards is none of them.
        """
        found: set[str] = set()
        for node, burials in self.buried.get(write.place, {}).items():
            kept = self.stored.get((node, write.place, None))
            if kept is not None and kept.buried(write.dot, write.stamp, burials, keeps_one):
                found.add(node)
        return found

    def durable(
        self, node: str, write: Acked, *, keeps_one: bool | None, hint_for: str | None
    ) -> bool:
        """Tell whether a node's trace shows that it made a write durable.

        On the node that acknowledges it must stand before that; of other nodes nothing but the
        order of their own records is known.
        """
        before = write.at if node == write.node else None
        if write.place[0] == "causal":
            at = self.applied.get(node, {}).get(write.dot)
            return at is not None and (before is None or at < before)
        kept = self.stored.get((node, write.place, hint_for))
        return kept is not None and kept.keeps(write.dot, write.stamp, before, keeps_one)


_last: list[tuple[tuple[weakref.ref[Trace], ...], Traces]] = []


def _forget(_: object) -> None:
    _last.clear()


def place_of(record: Record) -> Place:
    """Give level and key of a record.

    Raises: NoEvidenceError.
    """
    level = record["level"]
    if level not in _LEVELS:
        message = f"{str(level)[:40]!r} is no level"
        raise NoEvidenceError(message)
    return level, canonical(record["key"])


def _owner(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    message = "it does not say whom it is for"
    raise NoEvidenceError(message)


def _rank(value: list[Value]) -> Rank:
    actor, number, stamp = value
    if type(stamp) is not int:
        message = "a version has no stamp"
        raise NoEvidenceError(message)
    return stamp, *dot_of([actor, number])


def _acked(node: str, at: int, record: Record) -> Acked:
    hints, acks, asked = record["hints"], record["acks"], record["asked"]
    if not (isinstance(hints, dict) and isinstance(acks, list) and isinstance(asked, list)):
        message = "it does not name the replicas"
        raise NoEvidenceError(message)
    if not all(isinstance(name, str) for name in (*acks, *asked, *hints.values())):
        message = "it names what is no node"
        raise NoEvidenceError(message)
    stamp, needed, deleted = record["stamp"], record["needed"], record["deleted"]
    if not (type(stamp) is int and type(needed) is int and isinstance(deleted, bool)):
        message = "its stamp, needed or deleted is of another kind"
        raise NoEvidenceError(message)
    return Acked(
        node=node,
        at=at,
        place=place_of(record),
        key=record["key"],
        dot=dot_of(record["dot"]),
        stamp=stamp,
        context=seen_of(record["context"]),
        value=record["value"],
        deleted=deleted,
        asked=tuple(asked),
        acks=tuple(acks),
        hints=hints,
        needed=needed,
        record=record,
    )
