"""After healing, all replicas of a key are equal: Dynamo's anti-entropy, read off the dumps.

DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store", SOSP 2007, section 4.7. That a
replica lags while faults are about is no fault; nothing is claimed unless the system had settled.
Where nothing mends replicas (the fact `mends`), they need not be equal: those that differ are
counted, and no more. A tombstone may be missing, since replicas bury theirs one after the other;
that one was lost instead is for `durability` to say, which has the traces.
"""

from __future__ import annotations

from collections.abc import Mapping

from splitbrain.checkers.replicas.dump import Dumps, Place
from splitbrain.checkers.replicas.findings import (
    Findings,
    are_mended,
    listed,
    shown_cell,
    unsettled_reason,
)
from splitbrain.checkers.replicas.version import Cell
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Verdict, unknown


class Convergence:
    """Checks that the replicas of each key hold the same versions, and that no hint is left."""

    name = "convergence"
    needs = frozenset({Need.DUMPS, Need.PHASES})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Compare the dumps, key by key."""
        unsettled = unsettled_reason(evidence)
        if unsettled is not None:
            return unknown(unsettled)
        dumps = Dumps.of(evidence.dumps or {}, evidence.traces or {})
        findings = Findings(reasons=list(dumps.missing))
        unmended = 0
        for place in dumps.cells:
            if are_mended(place[0], evidence.facts):
                _compare(dumps, place, findings)
            else:
                unmended += _differ(dumps, place)
        for node, hints in dumps.hints.items():
            for hint in hints:
                findings.add(
                    "undelivered-hint",
                    f"{node} still holds key {canonical(hint.get('key'))} for {hint.get('for')}, "
                    "although all is healed and settled",
                    (dict(hint),),
                )
        for level, applied in dumps.applied.items():
            # One log tells by its values, where all show them: a new leader's entry writes none.
            is_shown = level == "sequential" and set(dumps.stores) == set(applied)
            states = dumps.stores if is_shown else applied
            if len({canonical(state) for state in states.values()}) > 1:
                findings.add(
                    "diverged-replicas",
                    f"the nodes have not applied the same writes of {level!r}: what each has "
                    "applied is beside this",
                    ({"level": level, "applied": dict(applied)},),
                )
        return findings.verdict(
            len(dumps.cells) + len(dumps.applied),
            "no replica holds a key: there was nothing to compare",
            limit=_limit(unmended),
            keys=len(dumps.cells),
            nodes=len(dumps.members),
        )


def _limit(unmended: int) -> str:
    """Say what is no error here: of how many keys the replicas differ."""
    if not unmended:
        return ""
    keys = "1 key" if unmended == 1 else f"{unmended} keys"
    return (
        f"the replicas of {keys} differ, which is no error: with anti-entropy off nothing brings "
        "together what faults have parted"
    )


def _differ(dumps: Dumps, place: Place) -> bool:
    """Tell whether the replicas of a key differ."""
    absent, present = _replicas(dumps, place)
    return bool(absent) or any(not _equal(present[0], other) for other in present[1:])


def _replicas(dumps: Dumps, place: Place) -> tuple[list[str], list[Cell]]:
    """Give those of a key's replicas that lack it, and the cells of those that hold it.

    Of a key of which nothing but tombstones is there nobody lacks any: those are being buried.
    """
    held = dumps.cells[place]
    due = [node for node in dumps.replicas(place) if node in dumps.members]
    absent = [] if dumps.is_leaving(place) else [node for node in due if node not in held]
    return absent, [held[node] for node in due if node in held]


def _compare(dumps: Dumps, place: Place, findings: Findings) -> None:
    level, key = place
    absent, present = _replicas(dumps, place)
    if absent:
        shown = present[0] if present else min(dumps.cells[place].values(), key=lambda c: c.node)
        holder = shown.node if present else f"{shown.node}, which is none of its replicas,"
        lack = "does not" if len(absent) == 1 else "do not"
        findings.add(
            "missing-replica",
            f"{listed(absent)} must hold key {key} ({level}), and {lack}, although {holder} does "
            "and all is healed and settled",
            (shown_cell(shown),),
        )
    for other in present[1:]:
        if not _equal(present[0], other):
            findings.add(
                "diverged-replicas",
                f"{present[0].node} and {other.node} hold key {key} ({level}) in different "
                "versions, although all is healed and settled",
                map(shown_cell, (present[0], other)),
            )
            return


def _equal(one: Cell, other: Cell) -> bool:
    return _content(one) == _content(other) and one.seen.same(other.seen)


def _content(cell: Cell) -> dict[tuple[str, int], tuple[int, str, bool]]:
    return {v.dot: (v.stamp, canonical(v.value), v.deleted) for v in cell.versions}
