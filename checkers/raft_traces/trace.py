"""One node's trace of Raft, read record by record: its log, its term, and what is missing.

docs/raft.md has the format. After a gap nothing is taken for granted: the log is unknown but for
what is appended from then on, until the node starts again and restates it. Lines that somebody
doubled, mixed up or took from another node's trace are gaps too, and prove nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from splitbrain.core.evidence import Trace

Record = Mapping[str, Any]


_STRINGS, _INTEGERS = frozenset({str}), frozenset({int})


def _whole(value: object) -> bool:
    return type(value) is int and value >= 0


def _text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= _STRINGS


def _wholes(value: object) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= _INTEGERS


def _voted(value: object) -> bool:
    return value is None or _text(value)


_FIELDS: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "boot": {"term": _whole, "last_index": _whole},
    "truncate": {"from": _whole},
    "vote": {"term": _whole, "for": _text},
    "lead": {"term": _whole, "last_index": _whole},
    "step-down": {"term": _whole},
    "snapshot": {"index": _whole, "hash": _text},
    "install": {"index": _whole, "hash": _text},
    "config": {"index": _whole, "members": _texts},
}
"""What the rules read of each event but the frequent ones; other events are passed over."""

_OPTIONAL: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "boot": {
        "vote": _voted,
        "hash": _text,
        "base": _whole,
        "base_hash": _text,
        "digest": _voted,
        "members": _texts,
    },
    "lead": {"votes": _texts, "hash": _text, "members": _texts},
    "snapshot": {"digest": _text, "members": _texts},
    "install": {"digest": _text, "members": _texts},
}
"""What they read where it is there."""


def _bad_append(record: Record) -> str | None:
    first = record.get("first")
    if type(first) is not int or first < 0:
        return "first"
    if not _wholes(record.get("terms")):
        return "terms"
    return None if _texts(record.get("hashes")) else "hashes"


def _bad_commit(record: Record) -> str | None:
    index, term = record.get("index"), record.get("entry_term")
    if type(index) is not int or index < 0:
        return "index"
    if type(term) is not int or term < 0:
        return "entry_term"
    if not isinstance(record.get("hash"), str):
        return "hash"
    return "by" if "by" in record and not _texts(record["by"]) else None


def _bad_apply(record: Record) -> str | None:
    first, last = record.get("first"), record.get("last")
    if type(first) is not int or first < 0:
        return "first"
    if type(last) is not int or last < 0:
        return "last"
    return None if isinstance(record.get("hash"), str) else "hash"


_FREQUENT: Mapping[str, Callable[[Record], str | None]] = {
    "append": _bad_append,
    "commit": _bad_commit,
    "apply": _bad_apply,
}
"""Nearly all records are of these events, so their fields are read without a table."""

_SHOWN_LIMIT = 60


def complaint_about(record: Record) -> str | None:
    """Say what makes a record unusable, or None."""
    event = record.get("event")
    if not isinstance(event, str):
        return f"a record has the event {_shown(event)}"
    bad = _FREQUENT.get(event, _bad_field)(record)
    if bad is not None:
        return f"its {event} record has the {bad} {_shown(record.get(bad))}"
    if event == "append" and len(record["terms"]) != len(record["hashes"]):
        return "its append record has not as many terms as hashes"
    if event == "apply" and not 1 <= record["first"] <= record["last"]:
        return "its apply record ends before it starts"
    return None


def _bad_field(record: Record) -> str | None:
    event = record["event"]
    for name, right in _FIELDS.get(event, {}).items():
        if not right(record.get(name)):
            return name
    for name, right in _OPTIONAL.get(event, {}).items():
        if name in record and not right(record[name]):
            return name
    return None


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN_LIMIT]


def _stray(record: Record, node: str) -> str | None:
    """Say why a record has no place in the trace of a node, or None."""
    boot, seq, own = record.get("boot"), record.get("seq"), record.get("node", node)
    if own != node:
        return f"a record of {_shown(own)} stands there"
    if not isinstance(boot, str):
        return f"a record has the boot {_shown(boot)}"
    return None if _whole(seq) else f"boot {boot}: a record has the seq {_shown(seq)}"


@dataclass(slots=True)
class Log:
    """A log as far as it is known: entries base + 1 and up; whole: the start and the end are known.

    records: of each entry, the record that appended it. base_hash: of the log up to the base, None
    where it is not known.
    """

    base: int = 0
    base_hash: str | None = None
    whole: bool = True
    terms: list[int] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The index of the last entry that is known."""
        return self.base + len(self.hashes)

    def hash_at(self, index: int) -> str | None:
        """Give the hash of the log up to an index, None where it is not known."""
        place = index - self.base - 1
        if place == -1:
            return self.base_hash
        return self.hashes[place] if 0 <= place < len(self.hashes) else None

    def record_at(self, index: int) -> Record | None:
        """Give the record that appended an entry, None where it is not known."""
        place = index - self.base - 1
        return self.records[place] if 0 <= place < len(self.records) else None

    def append(self, record: Record) -> None:
        """Put entries at the end, or anew where it is not known how the log goes on."""
        first = record["first"]
        if not self.hashes and not self.whole:
            self.base, self.base_hash = first - 1, None
        self.terms += record["terms"]
        self.hashes += record["hashes"]
        self.records += [record] * len(record["hashes"])

    def cut(self, start: int) -> None:
        """Drop the entries from an index on."""
        keep = max(0, start - self.base - 1)
        if start <= self.base:
            self.base, self.base_hash = max(0, start - 1), None
        del self.terms[keep:], self.hashes[keep:], self.records[keep:]

    def compact(self, index: int, digest: str) -> None:
        """Drop the entries up to an index, where the log has this hash."""
        gone = min(max(0, index - self.base), len(self.hashes))
        del self.terms[:gone], self.hashes[:gone], self.records[:gone]
        self.base, self.base_hash = index, digest


def void() -> Log:
    """Give a log of which nothing is known."""
    return Log(whole=False)


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is missing before the next record, or a record that cannot be used.

    place: of such a record. restarted: the node started anew there.
    """

    what: str
    place: str = ""
    restarted: bool = False


Step = Record | Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A trace that was read. records: all of it. gaps: as of the trace.

    steps: what is usable, in order, and what is missing between. by_event: what is usable, by event
    and in order. unusable: the other records. latest: the highest term of what is usable, -1
    without any. restarts: each start that has a term before it, with the highest of those.
    """

    node: str
    records: Sequence[Record]
    gaps: Sequence[str]
    steps: Sequence[Step]
    by_event: Mapping[str, Sequence[Record]]
    unusable: Sequence[Record]
    latest: int
    restarts: Sequence[tuple[int, Record]]

    @classmethod
    def of(cls, trace: Trace) -> Reading:
        """Read a trace, once for all rules."""
        steps: list[Step] = []
        by_event: dict[str, list[Record]] = defaultdict(list)
        unusable: list[Record] = []
        restarts: list[tuple[int, Record]] = []
        latest = -1
        for step in _steps_of(trace, unusable):
            steps.append(step)
            if isinstance(step, Gap):
                continue
            event, term = step["event"], step.get("term")
            by_event[event].append(step)
            if event == "boot" and latest >= 0:
                restarts.append((latest, step))
            if type(term) is int and term > latest:
                latest = term
        return cls(
            node=trace.node,
            records=trace.records,
            gaps=trace.gaps,
            steps=steps,
            by_event=dict(by_event),
            unusable=unusable,
            latest=latest,
            restarts=restarts,
        )

    @property
    def is_whole(self) -> bool:
        """Tell whether there are records, from a start on, and nothing is known to be missing."""
        has_gap = bool(self.gaps) or any(isinstance(step, Gap) for step in self.steps)
        return bool(self.records) and not has_gap


def _steps_of(trace: Trace, unusable: list[Record]) -> Iterator[Step]:
    """Give a trace's records in their order, with a gap wherever something is missing.

    The numbers of a boot only rise and no boot comes back, so that nothing counts twice.
    """
    node, place = trace.node, _Place()
    is_lost = False
    for record in trace.records:
        if not place.goes_on(record, node):
            stray = _stray(record, node) or place.repeated(record)
            if stray is not None:
                unusable.append(record)
                if not is_lost:
                    yield Gap(stray)
                is_lost = True
                continue
            gap = place.move(record)
            if gap is not None:
                yield gap
        is_lost = False
        complaint = complaint_about(record)
        if complaint is None:
            yield record
        else:
            unusable.append(record)
            yield Gap(complaint, place_of(record), restarted=record.get("event") == "boot")


def place_of(record: Record) -> str:
    """Name the place of a record in its node's trace."""
    return f"boot {record['boot']}: record {record['seq']}: "


@dataclass(slots=True)
class _Place:
    """Where in a trace a reader is: in which boot, and which number is due."""

    boot: str | None = None
    due: int = 0
    over: set[str] = field(default_factory=set)

    def goes_on(self, record: Record, node: str) -> bool:
        """Tell whether a record is the one that is due in this boot, and go on to it then."""
        seq = record.get("seq")
        if (
            seq != self.due
            or type(seq) is not int
            or record.get("boot") != self.boot
            or self.boot is None
            or record.get("node", node) != node
        ):
            return False
        self.due += 1
        return True

    def repeated(self, record: Record) -> str | None:
        """Say that a record comes again, or too late, or None."""
        boot, seq = record["boot"], record["seq"]
        if boot in self.over:
            return f"boot {boot}: record {seq} after another boot began"
        if boot == self.boot and seq < self.due:
            return f"boot {boot}: record {seq} where {self.due} was due"
        return None

    def move(self, record: Record) -> Gap | None:
        """Go on to a record; give the gap before it, if there is one."""
        boot, seq = record["boot"], record["seq"]
        fresh = boot != self.boot
        if fresh:
            if self.boot is not None:
                self.over.add(self.boot)
            self.boot, self.due = boot, 0
        due, self.due = self.due, seq + 1
        if seq != due:
            gap = f"boot {boot}: record {seq} where {due} was due"
            return Gap(gap, restarted=fresh)
        if fresh and record.get("event") != "boot":
            gap = f"boot {boot} does not begin with its boot record"
            return Gap(gap, restarted=True)
        return None


def only_entry(record: Record, index: int | None) -> dict[str, Any]:
    """Give a record as proof: of an append that holds many entries, the one that counts."""
    shown = dict(record)
    if index is None or record.get("event") != "append":
        return shown
    place = index - record["first"]
    if len(record["terms"]) > 1 and 0 <= place < len(record["terms"]):
        shown |= {
            "first": index,
            "terms": [record["terms"][place]],
            "hashes": [record["hashes"][place]],
            "shortened": f"one of {len(record['terms'])} entries",
        }
    return shown


def records_of(readings: Iterable[Reading], event: str) -> Iterator[tuple[str, Record]]:
    """Give the usable records of one event, each with its node."""
    for reading in readings:
        for record in reading.by_event.get(event, ()):
            yield reading.node, record


_VOTERS = (("vote", "for"), ("lead", "votes"))
_MEMBERS = (
    ("boot", "members"),
    ("lead", "members"),
    ("config", "members"),
    ("snapshot", "members"),
    ("install", "members"),
    ("commit", "by"),
)


def untraced(readings: Sequence[Reading]) -> dict[str, str]:
    """Give the nodes that records name, and that left no trace, each with what it took part in."""
    traced = {reading.node for reading in readings}
    missing: dict[str, str] = {}
    for fields, part in ((_VOTERS, "voted or was voted for"), (_MEMBERS, "is or was a member")):
        for event, name in fields:
            for _, record in records_of(readings, event):
                named = record.get(name, ())
                for node in (named,) if isinstance(named, str) else named:
                    if node not in traced:
                        missing.setdefault(node, part)
    return dict(sorted(missing.items()))
