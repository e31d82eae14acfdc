"""Figures of a history: counts, rates, latencies, and how much worked while faults were active.

It has an opinion only where there is too little to judge by: an operation that never succeeded, or
fewer successes than the workload's floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from splitbrain.core.columns import Booleans, Integers
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.history import FAIL_CODE, INFO_CODE, OK_CODE, History
from splitbrain.core.journal import FaultEvent, Phase
from splitbrain.core.value import Value, from_canonical
from splitbrain.core.verdict import Status, Verdict, unknown

NS = 1_000_000_000
_QUANTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
_OUTCOMES = {"ok": OK_CODE, "fail": FAIL_CODE, "info": INFO_CODE}
ERROR_SHOWN = 200
"""So many characters of an error."""
END = np.iinfo(np.int64).max
"""Behind every place of the journal."""

Span = tuple[int, int]
"""Places in the journal, from the first to before the second."""


class Stats:
    """Counts what happened. floor_during, floor_after: as in `Floor`."""

    name = "stats"
    needs = frozenset({Need.HISTORY})

    def __init__(self, floor_during: int = 1, floor_after: int = 1) -> None:
        self._floor_during = floor_during
        self._floor_after = floor_after

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters."""
        return {"floor_during": self._floor_during, "floor_after": self._floor_after}

    def check(self, evidence: Evidence) -> Verdict:
        """Count; unknown where too little succeeded for any verdict to mean something."""
        history = evidence.history
        if history is None or not len(history):
            return unknown("the history has no operations")
        phases = dict(_phase_spans(evidence.phases or ()))
        main, final = phases.get("main"), phases.get("final")
        spans = active_spans(evidence.faults or (), main)
        during = _within(history, spans)
        after = _within(history, [final] if final else [])
        ok = history.outcome == OK_CODE
        reasons = _never_ok(history, ok)
        if spans and int((ok & during).sum()) < self._floor_during:
            reasons.append(_missed("while a fault was active", ok & during, self._floor_during))
        if main is not None and int((ok & after).sum()) < self._floor_after:
            where = "in the final phase" if final else "in a final phase, which never came"
            reasons.append(_missed(where, ok & after, self._floor_after))
        return Verdict(
            status=Status.UNKNOWN if reasons else Status.VALID,
            reasons=tuple(reasons),
            stats={
                "operations": len(history),
                "outcomes": _outcomes(history.outcome),
                "by_f": _by_f(history),
                "latency_ms": latencies_ms(history),
                "main": _main(history, main),
                "during_faults": _outcomes(history.outcome[during]) if spans else None,
                "availability_during_faults": _availability(ok, during) if spans else None,
                "final": _outcomes(history.outcome[after]) if final else None,
            },
            judges=bool(reasons),
        )


def active_spans(
    events: Sequence[tuple[int, FaultEvent]], main: Span | None = None
) -> Sequence[Span]:
    """Give where in the journal at least one fault was active, clipped to `main`, in order.

    A fault is active from its taking hold until its healing begins.
    """
    low, high = main or (0, END)
    begun: dict[str, int] = {}
    spans: list[Span] = []
    first = 0
    for index, event in events:
        if event.state == "active":
            first = first if begun else index
            begun[event.fault] = index
        elif event.state in ("healing", "healed", "expired") and event.fault in begun:
            del begun[event.fault]
            if not begun:
                spans.append((first, index))
    if begun:
        spans.append((first, END))
    clipped = [(max(start, low), min(end, high)) for start, end in spans]
    return [(start, end) for start, end in clipped if start < end]


def latencies_ms(history: History) -> dict[str, Value]:
    """Give percentiles of the duration of successful operations by `f`, in milliseconds.

    An `f` is left out where no times were recorded, as in foreign histories.
    """
    found: dict[str, Value] = {}
    timed = (history.outcome == OK_CODE) & history.end_ns.present
    lengths = (history.end_ns.items - history.start_ns) / 1e6
    for f in sorted(history.functions):
        own = lengths[timed & history.is_f(f)]
        if not len(own) or not own.any():
            continue
        values = np.percentile(own, list(_QUANTILES.values()))
        row: dict[str, Value] = {
            name: round(float(value), 3) for name, value in zip(_QUANTILES, values, strict=True)
        }
        found[f] = row | {"count": len(own)}
    return found


def _phase_spans(phases: Sequence[tuple[int, Phase]]) -> Sequence[tuple[str, Span]]:
    starts = [index for index, _ in phases][1:]
    return [
        (phase.name, (index, end))
        for (index, phase), end in zip(phases, [*starts, int(END)], strict=False)
    ]


def _within(history: History, spans: Sequence[Span]) -> Booleans:
    """Mark the operations that lie in one of the spans from their start to their end.

    One of unknown outcome lies where it was invoked: nobody knows where it ends.
    """
    if not spans:
        return np.zeros(len(history), np.bool_)
    starts = np.array([start for start, _ in spans], np.int64)
    ends = np.array([end for _, end in spans], np.int64)
    place: Integers = np.searchsorted(starts, history.invoke_index, side="right") - 1
    limits = ends[np.maximum(place, 0)]
    began: Booleans = (place >= 0) & (history.invoke_index < limits)
    ended = (history.complete_index <= limits) | (history.outcome == INFO_CODE)
    inside: Booleans = began & ended
    return inside


def _never_ok(history: History, ok: Booleans) -> list[str]:
    return [
        f"no {f} ever succeeded ({int(mask.sum())} were tried{_mostly(history, mask)})"
        for f in sorted(history.functions)
        if not (ok & (mask := history.is_f(f))).any()
    ]


def _mostly(history: History, mask: Booleans) -> str:
    """Give the error that most of these operations ended with, if any was recorded."""
    codes = history.error.items[mask]
    counts = np.bincount(codes[codes >= 0])
    if not len(counts):
        return ""
    most = int(counts.argmax())
    error = from_canonical(history.error.dictionary[most])
    return f", {int(counts[most])} ended with: {str(error)[:ERROR_SHOWN]}"


def _missed(where: str, counted: Booleans, floor: int) -> str:
    return f"{int(counted.sum())} operations succeeded {where}, and {floor} are asked for"


def _outcomes(codes: NDArray[np.int8]) -> Value:
    return {name: int((codes == code).sum()) for name, code in _OUTCOMES.items()}


def _by_f(history: History) -> Value:
    return {f: _outcomes(history.outcome[history.is_f(f)]) for f in sorted(history.functions)}


def _availability(ok: Booleans, during: Booleans) -> float | None:
    tried = int(during.sum())
    return round(int((ok & during).sum()) / tried, 4) if tried else None


def _main(history: History, main: Span | None) -> Value:
    """Give the length of the main phase, the rate of success in it, and its longest outage."""
    span = main or (0, int(END))
    rows = (history.invoke_index >= span[0]) & (history.invoke_index < span[1])
    ends = history.end_ns.items[rows & history.end_ns.present]
    if not len(ends):
        return None
    first, last = int(history.start_ns[rows].min()), int(ends.max())
    if last <= first:
        return None
    done = rows & (history.outcome == OK_CODE) & history.end_ns.present
    moments = np.sort(history.end_ns.items[done])
    quiet = np.diff(np.concatenate([[first], moments, [last]]))
    return {
        "duration_s": round((last - first) / NS, 3),
        "ok_per_s": round(int(done.sum()) * NS / (last - first), 1),
        "longest_outage_s": round(int(quiet.max()) / NS, 3),
    }
