"""How many versions behind reads are: bounds that hold for every order of the writes.

A history is k-atomic when some order that agrees with real time has each read return one of the
last k writes before it (Golab, Hurwitz and Li, "On the k-atomicity-verification problem", 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.freshness.delta import usable
from splitbrain.checkers.freshness.spans import Spans
from splitbrain.core.columns import Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Reads, each with the least and the most that k must be for it; 1 is fresh.

    least: no order does with less. most: one order of all does with this.
    """

    read: Integers
    least: Integers
    most: Integers


def behind(spans: Spans) -> Behind:
    """Count for each read the writes that came between its source and itself."""
    accesses = spans.accesses
    reads = np.flatnonzero(usable(spans))
    writes = np.flatnonzero(accesses.writes)
    key = spans.key[reads]
    source = accesses.source[reads]
    shown = np.where(source >= 0, spans.visible[source], 0)
    begun = np.sort(spans.place(spans.key[writes], spans.begin[writes]))
    visible = np.sort(spans.place(spans.key[writes], spans.visible[writes]))
    moment = spans.begin[reads]
    # Whatever began after the source was there, and was there before the read began, is between.
    there = np.searchsorted(visible, spans.place(key, moment), side="left")
    least = there - np.searchsorted(begun, spans.place(key, shown), side="right")
    # In the order of visibility every read can stand at its beginning, or right after its source.
    late = spans.place(key, np.maximum(moment, shown))
    most = np.searchsorted(visible, late, side="right")
    most = most - np.searchsorted(visible, spans.place(key, shown), side="right")
    return Behind(read=reads, least=1 + np.maximum(least, 0), most=1 + most)


def between(spans: Spans, read: int) -> Integers:
    """Give the writes that certainly came between a read and its source, in their order."""
    accesses = spans.accesses
    source = int(accesses.source[read])
    shown = int(spans.visible[source]) if source >= 0 else 0
    fits = accesses.writes & (spans.key == spans.key[read])
    fits &= (spans.begin > shown) & (spans.visible < spans.begin[read])
    found = np.flatnonzero(fits)
    return found[np.argsort(spans.visible[found], kind="stable")]
