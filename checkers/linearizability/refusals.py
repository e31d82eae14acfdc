"""Compare-and-sets that were refused: which of them no order of the other operations contradicts.

A refusal says that the value was another than expected at some moment while it ran. It can be
placed, whatever the order, when another value was certainly there at such a moment:

- the value that was expected was not set before the refusal began;
- or another value must come after it, and was there before the refusal ended;
- or another value must come before it, and was still there after the refusal began.

Any other refusal needs a search.
"""

from __future__ import annotations

import numpy as np

from splitbrain.checkers.linearizability.clusters import NOWHERE, Clusters
from splitbrain.checkers.linearizability.parts import Parts, Windows
from splitbrain.core.columns import Booleans, Integers


def unsettled(parts: Parts, clusters: Clusters, windows: Windows) -> Integers:
    """Give the refusals, as places among all of them, that this does not settle."""
    keys = parts.key[parts.refusals]
    begun = windows.starts(parts.refusals, keys)
    ended = windows.ends(parts.refusals, keys)
    asked = np.flatnonzero((clusters.refused != NOWHERE) & ~clusters.doubtful)
    own, begun, ended = clusters.refused[asked], begun[asked], ended[asked]
    set_at = np.where(
        own < len(clusters.row),
        windows.starts(clusters.row[np.minimum(own, len(clusters.row) - 1)], clusters.key[own])
        if len(clusters.row)
        else 0,
        windows.before(clusters.key[own]),
    )
    latest = _Latest(clusters)
    first, last = clusters.first_end[own], clusters.last_start[own]
    settled = set_at > begun
    settled |= latest.start(ended, own) > first
    settled |= latest.start(last, own) > begun
    return np.concatenate([asked[~settled], np.flatnonzero(clusters.doubtful)])


class _Latest:
    """The latest start among the clusters that had ended first somewhere before a moment."""

    def __init__(self, clusters: Clusters) -> None:
        members = np.flatnonzero(clusters.is_in)
        order = members[np.argsort(clusters.first_end[members], kind="stable")]
        self._ends = clusters.first_end[order]
        starts = clusters.last_start[order]
        self._best = np.maximum.accumulate(starts)
        places = np.where(starts == self._best, np.arange(len(order)), 0)
        self._holder = order[np.maximum.accumulate(places)]
        before = np.concatenate([[np.iinfo(np.int64).min], self._best[:-1]])
        self._second = np.maximum.accumulate(np.minimum(starts, before))

    def start(self, moment: Integers, but: Integers) -> Integers:
        """Give it for each moment, leaving out one cluster; what is in no window is below all."""
        at = np.searchsorted(self._ends, moment) - 1
        is_own: Booleans = self._holder[at] == but
        found = np.where(is_own, self._second[at], self._best[at])
        return np.where(at >= 0, found, np.iinfo(np.int64).min)
