"""The siblings of a key at the end are the maximal elements of the true causality.

Preguiça et al., "Dotted Version Vectors", 2012; Almeida et al. 2014. Causality is rebuilt from what
each writer had seen (the context that its client handed in), not from what replicas made of it: a
write that no writer had seen is neither lost nor replaced, one that a writer had seen does not come
back, and nothing stands there that nobody wrote. Where nothing mends replicas (the fact `mends`),
one may have missed a write, and still hold what that replaced: it is held to the writes that it
acknowledged or has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from splitbrain.checkers.replicas.dump import Place
from splitbrain.checkers.replicas.findings import (
    Findings,
    are_mended,
    shown_cell,
    unsettled_reason,
)
from splitbrain.checkers.replicas.left import Left
from splitbrain.checkers.replicas.trace import Acked
from splitbrain.checkers.replicas.version import Cell, Dot, Seen, named
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.history import FAIL_CODE, History
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Verdict, unknown


class Siblings:
    """Checks that the versions of each key are those that no writer had seen."""

    name = "siblings"
    needs = frozenset({Need.HISTORY, Need.DUMPS, Need.TRACES, Need.PHASES})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Compare what the replicas hold with what must be there."""
        unsettled = unsettled_reason(evidence)
        if unsettled is not None:
            return unknown(unsettled)
        assert evidence.history is not None
        left = Left.of(evidence)
        dumps, traces = left.dumps, left.traces
        findings = Findings(reasons=[*left.missing])
        written = _written(evidence.history)
        acked: dict[Place, list[Acked]] = {}
        for write in traces.acked:
            acked.setdefault(write.place, []).append(write)
        kept = [
            place
            for place, own in dumps.cells.items()
            if not all(cell.keeps_one for cell in own.values())
        ]
        for place in kept:
            own = acked.get(place, ())
            writes = _writes(own, dumps.cells[place].values())
            is_mended = are_mended(place[0], evidence.facts)
            wanted = maximal(writes)
            due = [write for write in own if write.dot in wanted]
            case = _Case(left, writes, wanted, due, written.get(place[1]), is_mended)
            for cell in dumps.cells[place].values():
                if cell.node in dumps.replicas(place):
                    _judge(cell, case, findings)
        return findings.verdict(
            len(kept),
            "no key keeps siblings: there was nothing to compare",
            keys=len(kept),
            most=max(
                (len(c.versions) for place in kept for c in dumps.cells[place].values()), default=0
            ),
        )


@dataclass(frozen=True, slots=True)
class Write:
    """A write that is known. acks: who had it durably."""

    dot: Dot
    context: Seen
    acks: frozenset[str] = frozenset()


def maximal(writes: Iterable[Write]) -> frozenset[Dot]:
    """Give the writes that no other's writer had seen."""
    known = list(writes)
    seen_by: dict[Dot, list[Dot]] = {}
    highest: dict[str, list[tuple[int, Dot]]] = {}
    for write in known:
        for dot in write.context.dots:
            seen_by.setdefault(dot, []).append(write.dot)
        for actor, number in write.context.clock.items():
            # Of each actor the two highest do: the write itself may have seen one of them.
            found = highest.get(actor, [])
            highest[actor] = sorted([*found, (number, write.dot)], reverse=True)[:2]

    def is_seen(dot: Dot) -> bool:
        above = (by for number, by in highest.get(dot[0], ()) if number >= dot[1])
        return any(by != dot for by in (*seen_by.get(dot, ()), *above))

    return frozenset(write.dot for write in known if not is_seen(write.dot))


def _writes(acked: Iterable[Acked], cells: Iterable[Cell]) -> list[Write]:
    """Give all writes of a key that anything tells of, those of unknown outcome too."""
    found = {w.dot: Write(w.dot, w.context, frozenset(w.acks)) for w in acked}
    for cell in cells:
        for version in cell.versions:
            found.setdefault(version.dot, Write(version.dot, version.context))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Case:
    """What must be there of one key.

    wanted: what no writer had seen. due: the acknowledged ones of these. written: the values that
    may be there, None where nobody knows.
    """

    left: Left
    writes: list[Write]
    wanted: frozenset[Dot]
    due: list[Acked]
    written: set[str] | None
    is_mended: bool

    def heard(self, cell: Cell, write: Write | Acked) -> bool:
        """Tell whether the holder of a cell must have heard of a write."""
        return self.is_mended or cell.node in write.acks or cell.seen.covers(write.dot)


def _judge(cell: Cell, case: _Case, findings: Findings) -> None:
    held = {version.dot: version for version in cell.versions}
    left, key = case.left, canonical(cell.key)
    for write in case.due:
        if write.dot in held or not case.heard(cell, write):
            continue
        if not (left.is_excused(write, cell.node) or left.is_doubtful(write, cell.node)):
            findings.add(
                "lost-sibling",
                f"the write {named(write.dot)} to key {key} was acknowledged, no later writer had "
                f"seen it, and {cell.node} does not hold it",
                (shown_cell(cell),),
            )
    for dot, version in held.items():
        by = None
        if dot not in case.wanted:
            later = (w for w in case.writes if w.dot != dot and w.context.covers(dot))
            by = next((w for w in later if case.heard(cell, w)), None)
        if by is not None:
            name = "false-conflict" if by.dot in held else "resurrected-sibling"
            findings.add(
                name,
                f"{cell.node} holds the version {named(dot)} of key {key}, although the writer of "
                f"{named(by.dot)} had seen and replaced it",
                (shown_cell(cell),),
            )
        known = case.written
        if not version.deleted and known is not None and canonical(version.value) not in known:
            findings.add(
                "invented-sibling",
                f"{cell.node} holds the version {named(dot)} of key {key} with a value that nobody "
                "wrote",
                (shown_cell(cell),),
            )


def _written(history: History) -> dict[str, set[str]]:
    """Give the values that may have been written to each key; carts are made by their clients.

    A key that a cart lies on is left out: what is written there stands in no operation.
    """
    values: dict[str, set[str]] = {}
    carts: set[str] = set()
    for item in history.take(history.outcome != FAIL_CODE):
        if item.f == "write":
            values.setdefault(canonical(item.key), set()).add(canonical(item.argument))
        elif item.f in ("add", "remove"):
            carts.add(canonical(item.key))
    for key in {canonical(k) for k, _ in history.by_key()} - carts:
        values.setdefault(key, set())
    return {key: found for key, found in values.items() if key not in carts}
