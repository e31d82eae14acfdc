"""How stale reads are: by how much time, and by how many versions.

Golab, Li and Shah, "Analyzing consistency properties for fun and profit", PODC 2011 (delta), and
Golab, Hurwitz and Li, "On the k-atomicity-verification problem", ICDCS 2013 (k). Without a bound
these are figures, which judge nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from splitbrain.checkers.freshness.delta import Zones, conflict, smallest_delta, usable, zones
from splitbrain.checkers.freshness.spans import Spans, by_place
from splitbrain.checkers.freshness.stale import future_reads, told_future
from splitbrain.checkers.freshness.versions_behind import Behind, behind, between
from splitbrain.checkers.order.case import (
    Case,
    Found,
    add_thin_air,
    conclude,
    figures_of,
    prepare,
)
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Verdict, figures

_BETWEEN_SHOWN = 10


class Staleness:
    """Measures staleness, and judges it against bounds.

    delta_ms: how late a read may be, in milliseconds. k: of how many last versions it may return
    one. Compare-and-sets count as writes alone.
    """

    name = "staleness"
    needs = frozenset({Need.HISTORY})

    def __init__(self, delta_ms: float | None = None, k: int | None = None) -> None:
        late = delta_ms is None or (type(delta_ms) in (int, float) and 0 <= delta_ms < math.inf)
        if not late or not (k is None or (type(k) is int and k >= 1)):
            message = "staleness needs a delta_ms of 0 or more and a whole k of 1 or more"
            raise UsageError(message)
        self._delta_ms = delta_ms
        self._k = k

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters."""
        return {"delta_ms": self._delta_ms, "k": self._k}

    def check(self, evidence: Evidence) -> Verdict:
        """Measure the reads of this evidence; judge where a bound is given."""
        case = prepare(evidence)
        if isinstance(case, Verdict):
            return case
        places = by_place(case.accesses)
        counted = behind(places)
        timed = zones(case.accesses)
        stats = _measured(places, counted, timed)
        if self._delta_ms is None and self._k is None:
            return figures(**figures_of(case), **stats)
        found, reasons = Found(), []
        add_thin_air(case, found)
        future = future_reads(places)
        found.add(told_future(case, future), len(future))
        if self._delta_ms is not None:
            reasons += _judge_delta(case, timed, self._delta_ms, found)
        if self._k is not None:
            reasons += _judge_k(case, places, counted, self._k, found)
        checked = int(usable(places).sum())
        return conclude(case, found, reasons=reasons, checked=checked, more=stats)


def _measured(places: Spans, counted: Behind, timed: Zones | None) -> dict[str, Value]:
    return {
        "reads": len(counted.read),
        "future_reads": len(future_reads(places)),
        "stale_reads": int((counted.least > 1).sum()),
        "k_at_least": int(counted.least.max(initial=1)),
        "k_at_most": int(counted.most.max(initial=1)),
        "delta_ms": None if timed is None else _ms(smallest_delta(timed), timed),
    }


def _ms(delta: int, timed: Zones) -> float:
    return delta * timed.unit_ns / 1e6


def _units(delta_ms: float, timed: Zones) -> int:
    """Give the largest delta whose figure is within a bound: what was measured is allowed."""
    floor = int(delta_ms * 1e6 // timed.unit_ns)  # 0.001022 * 1e6 is less than 1022
    return floor + 1 if _ms(floor + 1, timed) <= delta_ms else floor


def _judge_delta(case: Case, timed: Zones | None, delta_ms: float, found: Found) -> list[str]:
    if timed is None:
        return ["the history has no times, so that nothing is known of delta"]
    pair = conflict(timed, _units(delta_ms, timed))
    if pair is not None:
        found.add([_told_delta(case, timed, delta_ms, pair)])
    return []


def _told_delta(case: Case, timed: Zones, delta_ms: float, pair: tuple[int, int]) -> Anomaly:
    """Explain two values, each of which was there before the other."""
    spans, accesses = timed.spans, case.accesses
    entries: set[int] = set()
    parts = []
    for zone in pair:
        writer = int(timed.entry[zone])
        readers = np.flatnonzero(
            usable(spans) & (accesses.source == writer) & (spans.key == timed.key[zone])
        )
        value = "the initial value"
        if writer >= 0:
            value = f"what {case.named(writer)} set"
            entries.add(writer)
        told = []
        if len(readers) and int(spans.end[readers].min()) == int(timed.visible[zone]):
            first = int(readers[np.argmin(spans.end[readers])])
            entries.add(first)
            told.append(f"was read by {case.named(first)}, which ended{_at(case, first, end=True)}")
        elif writer >= 0:
            told.append(f"was there{_at(case, writer, end=True)}")
        if len(readers):
            last = int(readers[np.argmax(spans.begin[readers])])
            entries.add(last)
            told.append(f"was still read by {case.named(last)}, which began{_at(case, last)}")
        parts.append(f"{value} {' and '.join(told) if told else 'came later'}")
    return Anomaly(
        name="staleness-exceeded",
        explanation=f"not in order even if every read began {delta_ms:g} ms earlier: "
        + "; ".join(parts),
        operations=case.operations(entries),
    )


def _at(case: Case, entry: int, *, end: bool = False) -> str:
    operation = case.accesses.operation(entry)
    moment = operation.end_ns if end else operation.start_ns
    if moment is None:
        return " at a time that is unknown"
    return f" at {(moment - case.phrases.origin_ns) / 1e9:.6f} s"


def _judge_k(case: Case, places: Spans, counted: Behind, k: int, found: Found) -> list[str]:
    beyond = np.flatnonzero(counted.least > k)
    if len(beyond):
        worst = beyond[np.argsort(-counted.least[beyond], kind="stable")]
        told = [_told_k(case, places, int(counted.read[row]), k) for row in worst[:3]]
        found.add(told, len(beyond))
        return []
    most = int(counted.most.max(initial=1))
    if most <= k:
        return []
    least = int(counted.least.max(initial=1))
    return [f"the smallest k lies between {least} and {most}, and cannot be told from {k}"]


def _told_k(case: Case, places: Spans, read: int, k: int) -> Anomaly:
    writes = between(places, read)
    source = int(case.accesses.source[read])
    entries = [read, *writes[-max(k, _BETWEEN_SHOWN) :].tolist()]
    older = "the initial value" if source < 0 else f"what {case.named(source)} set"
    if source >= 0:
        entries.append(source)
    return Anomaly(
        name="k-exceeded",
        explanation=f"{case.told(read)}, {older}, although {len(writes)} write"
        f"{'s' * (len(writes) != 1)} came certainly between: one of the last {k} is promised",
        operations=case.operations(entries),
    )
