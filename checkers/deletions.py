"""Registers whose values are deleted: what was deleted does not come back.

Regularity (Lamport 1986; Shao, Welch, Pierce and Lee 2011) where a delete writes nothing: a read
returns what the newest change that completed before it left, or what a change at its time wrote.
To write null is to delete. Values are unique, deletes are not: nothing that is read may come from
any delete that began before the read ended, or from the beginning if the key began with nothing,
and is judged by the one that speaks best for it.

Where deletes leave no tombstone, or leave it too short a time, a replica that missed one brings the
value back (DeCandia et al., "Dynamo", SOSP 2007, on anti-entropy; the resurrected value is what
Cassandra calls a zombie).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from splitbrain.checkers.linearizability.phrases import Phrases, shown
from splitbrain.checkers.replicas.findings import Findings
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Verdict, unknown

FUNCTIONS = frozenset({"read", "write", "delete"})
BEFORE_ALL = -1
AFTER_ALL = 1 << 62


class Deletions:
    """Judges each read by itself, key by key."""

    name = "deletions"
    needs = frozenset({Need.HISTORY})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge the history of this evidence."""
        assert evidence.history is not None
        operations = list(evidence.history)
        strange = sorted({item.f for item in operations} - FUNCTIONS)
        if strange:
            known = "only read, write and delete are known"
            return unknown(f"{known}, not {', '.join(strange)}", operations=len(operations))
        findings = Findings()
        phrases = Phrases(min((item.start_ns for item in operations), default=0))
        keys: dict[str, list[Operation]] = {}
        for item in operations:
            keys.setdefault(canonical(item.key), []).append(item)
        initial = canonical(evidence.facts.get("initial"))
        reads = 0
        for own in keys.values():
            key = _Key.of(own, initial)
            for item in own:
                if item.f == "read" and item.outcome is Outcome.OK:
                    reads += 1
                    _judge(item, key, phrases, findings)
        deletes = sum(_deletes(item) and item.outcome is Outcome.OK for item in operations)
        if not deletes:
            findings.reasons.append("nothing was deleted that could come back")
        return findings.verdict(
            reads,
            "no read succeeded: there was nothing to judge",
            operations=len(operations),
            keys=len(keys),
            reads=reads,
            deletes=deletes,
        )


@dataclass(frozen=True, slots=True)
class _Latest:
    """Operations by one of their places; of those up to a place, the one that has most of another.

    places: ascending. best: up to each of them, the greatest other place, and whose it is.
    """

    places: list[int]
    best: list[tuple[int, Operation]]

    @classmethod
    def of(cls, items: Iterable[tuple[int, int, Operation]]) -> _Latest:
        """Take (place, other place, operation)."""
        places: list[int] = []
        best: list[tuple[int, Operation]] = []
        for place, other, operation in sorted(items, key=lambda item: item[0]):
            if not best or other > best[-1][0]:
                places.append(place)
                best.append((other, operation))
        return cls(places, best)

    def before(self, place: int) -> tuple[int, Operation | None]:
        """Give the greatest other place of those strictly before a place, and whose it is."""
        at = bisect_left(self.places, place)
        return self.best[at - 1] if at else (BEFORE_ALL, None)


@dataclass(frozen=True, slots=True)
class _Key:
    """What happened to one key.

    writers: by value. changes, deletes: those that completed, by their end, and when they began.
    erasers: deletes that may have happened, by their beginning, and when they ended.
    """

    initial: str
    writers: Mapping[str, list[Operation]]
    changes: _Latest
    deletes: _Latest
    erasers: _Latest

    @classmethod
    def of(cls, operations: Iterable[Operation], initial: str) -> _Key:
        """Sort the operations of a key."""
        writers: dict[str, list[Operation]] = {}
        changes, erasers = [], []
        for item in operations:
            if item.f == "write":
                writers.setdefault(canonical(item.argument), []).append(item)
            if item.f == "read" or item.outcome is Outcome.FAIL:
                continue
            if _deletes(item):
                erasers.append((item.invoke_index, _end(item), item))
            if item.outcome is Outcome.OK:
                changes.append((_end(item), item.invoke_index, item))
        return cls(
            initial=initial,
            writers=writers,
            changes=_Latest.of(changes),
            deletes=_Latest.of(item for item in changes if _deletes(item[2])),
            erasers=_Latest.of(erasers),
        )


def _deletes(operation: Operation) -> bool:
    """Tell whether an operation leaves nothing."""
    return operation.f == "delete" or (operation.f == "write" and operation.argument is None)


def _end(operation: Operation) -> int:
    """Give the place by which an operation had happened for certain."""
    ended = operation.complete_index
    return ended if operation.outcome is Outcome.OK and ended is not None else AFTER_ALL


def _judge(read: Operation, key: _Key, phrases: Phrases, findings: Findings) -> None:
    text = canonical(read.result)
    told = f"{phrases.told(read)}{phrases.at(read)}"
    if text == canonical(None):
        _judge_nothing(read, key, told, phrases, findings)
        return
    writers = key.writers.get(text, [])
    possible = [item for item in writers if item.outcome is not Outcome.FAIL]
    from_start = text == key.initial
    if len(possible) + from_start > 1:
        sources = "a write, or from the beginning" if from_start else "several writes"
        findings.reasons.append(
            f"reads of key {shown(read.key)} cannot all be used: the value {shown(read.result)} "
            f"may be from {sources}"
        )
        return
    if not possible and not from_start:
        name, why = "thin-air-read", "nobody wrote that"
        if writers:
            name, why = (
                "failed-write-observed",
                f"{phrases.named(writers[0])} had failed for certain",
            )
        findings.add(name, f"{told}, but {why}", (), [read, *writers])
        return
    source = possible[0] if possible else None
    if source is not None and _end(read) < source.invoke_index:
        findings.add(
            "future-read",
            f"{told}, and ended before {phrases.named(source)} began: nobody else wrote that",
            (),
            [read, source],
        )
        return
    for name, changes in (("resurrected-value", key.deletes), ("stale-read", key.changes)):
        begun, newer = changes.before(read.invoke_index)
        if newer is not None and begun > (BEFORE_ALL if source is None else _end(source)):
            why = "it is the initial value"
            if source is not None:
                why = f"{phrases.named(source)} had ended before that began"
            findings.add(
                name,
                f"{told}, although {phrases.named(newer)} had completed "
                f"{phrases.earlier(newer, read)} it began, and {why}",
                (),
                [read, newer, *filter(None, [source])],
            )
            return


def _judge_nothing(
    read: Operation, key: _Key, told: str, phrases: Phrases, findings: Findings
) -> None:
    """Judge a read of nothing by the delete that ended last of those that began before its end."""
    ended, eraser = key.erasers.before(_end(read))
    if eraser is None and key.initial != canonical(None):
        why = "nothing had been deleted by then, and it was not so in the beginning"
        findings.add("thin-air-read", f"{told}, but {why}", (), [read])
        return
    begun, newer = key.changes.before(read.invoke_index)
    if newer is None or begun <= ended:
        return
    why = "nothing had been deleted by then" if eraser is None else (
        f"{phrases.named(eraser)} had ended before that began, and no later delete began in time"
    )  # fmt: skip
    findings.add(
        "stale-read",
        f"{told}, although {phrases.named(newer)} had completed {phrases.earlier(newer, read)} it "
        f"began; {why}",
        (),
        [read, newer, *filter(None, [eraser])],
    )
