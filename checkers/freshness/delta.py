"""The smallest time by which reads may be stale for all to be in order.

Golab, Li and Shah, "Analyzing consistency properties for fun and profit", PODC 2011: a history is
delta-atomic when it is linearizable once every read began delta earlier. Linearizable it is when no
two values of a key were both there before the other (Gibbons and Korach 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.freshness.spans import Spans, plain_reads, spans
from splitbrain.checkers.order.accesses import Accesses
from splitbrain.core.columns import Booleans, Integers

_UNITS_NS = (1, 1_000, 1_000_000, 1_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zones:
    """One a value of a key, in the order of keys and of `visible`: by when the value was there.

    written, read: when the write, and the last read, began; 0 for none. entry: of the write, -1 for
    the initial value. unit_ns: the unit of all moments.
    """

    spans: Spans
    key: Integers
    entry: Integers
    visible: Integers
    written: Integers
    read: Integers
    unit_ns: int


def zones(accesses: Accesses) -> Zones | None:
    """Give the zones on the controller's clock, None when the history has no times."""
    history, row = accesses.history, accesses.row
    timed = history.end_ns.present[row] | accesses.late
    if not len(row) or not timed.all() or not history.start_ns[row].any():
        return None
    start, origin = history.start_ns[row], int(history.start_ns[row].min())
    end = np.where(accesses.late, start, history.end_ns.items[row])
    keys = int(accesses.key.max()) + 1
    for unit in _UNITS_NS:
        begin, ended = (start - origin) // unit + 1, -((origin - end) // unit) + 1
        limit = int(max(begin.max(), ended.max())) + 2
        if keys * (limit + 1) < 2**62:
            break
    ended = np.where(accesses.late, limit, ended)
    return _of(spans(accesses, begin, ended, limit), unit)


def _of(times: Spans, unit_ns: int) -> Zones:
    accesses = times.accesses
    writes = np.flatnonzero(accesses.writes)
    reads = np.flatnonzero(usable(times))
    own = reads[accesses.source[reads] >= 0]
    last = np.zeros(len(accesses), np.int64)
    np.maximum.at(last, accesses.source[own], times.begin[own])
    first = reads[accesses.source[reads] < 0]
    keys = int(times.key.max()) + 1
    initial = np.zeros(keys, np.int64)
    np.maximum.at(initial, times.key[first], times.begin[first])
    none = np.zeros(keys, np.int64)
    key = np.concatenate([np.arange(keys), times.key[writes]])
    visible = np.concatenate([none, times.visible[writes]])
    order = np.argsort(times.place(key, visible), kind="stable")
    return Zones(
        spans=times,
        key=key[order],
        entry=np.concatenate([none - 1, writes])[order],
        visible=visible[order],
        written=np.concatenate([none, times.begin[writes]])[order],
        read=np.concatenate([initial, last[writes]])[order],
        unit_ns=unit_ns,
    )


def usable(times: Spans) -> Booleans:
    """Tell which reads count: those of the future are stale by no time at all."""
    accesses = times.accesses
    reads = plain_reads(accesses)
    source = np.maximum(accesses.source, 0)
    reads &= (accesses.source < 0) | (times.end >= times.begin[source])
    return reads


def conflict(found: Zones, delta: int) -> tuple[int, int] | None:
    """Give two zones, both there before the other although reads began delta earlier; or None."""
    since = np.maximum(found.written, found.read - delta)
    forward = np.flatnonzero(found.visible < since)
    place = found.spans.place
    lows = place(found.key[forward], found.visible[forward])
    highs = place(found.key[forward], since[forward])
    overlap = np.flatnonzero(lows[1:] < highs[:-1])
    if len(overlap):
        return int(forward[overlap[0]]), int(forward[overlap[0] + 1])
    if not len(forward):
        return None
    backward = np.flatnonzero(found.visible >= since)
    at = np.searchsorted(lows, place(found.key[backward], since[backward])) - 1
    inside = (at >= 0) & (place(found.key[backward], found.visible[backward]) < highs[at])
    hit = np.flatnonzero(inside)
    if not len(hit):
        return None
    return int(forward[at[hit[0]]]), int(backward[hit[0]])


def smallest_delta(found: Zones) -> int:
    """Give the smallest delta without a conflict, in the unit of the zones."""
    low, high = 0, int(found.read.max(initial=0)) + 1
    while low < high:
        middle = (low + high) // 2
        if conflict(found, middle) is None:
            high = middle
        else:
            low = middle + 1
    return low
