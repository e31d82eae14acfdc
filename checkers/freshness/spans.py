"""When reads and writes of registers began and ended, by key, on one scale of small integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.order.accesses import Accesses, dense
from splitbrain.core.columns import Booleans, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """begin, end: of each entry, from 1 on; end is `limit` for what has no known end.

    visible: of each entry that wrote, by when its value was there at the latest: the earliest end
    of itself and of those that read it. key: dense.
    """

    accesses: Accesses
    begin: Integers
    end: Integers
    visible: Integers
    limit: int
    key: Integers

    def place(self, key: Integers, moment: Integers | int) -> Integers:
        """Give one number for a key and a moment, in the order of keys and then of moments."""
        return key * (self.limit + 1) + moment


def by_place(accesses: Accesses) -> Spans:
    """Measure by places in the journal, which are the order of precedence."""
    history, row = accesses.history, accesses.row
    count = len(row)
    ends = np.where(accesses.late, history.invoke_index[row], history.complete_index[row])
    ranks = dense(np.concatenate([history.invoke_index[row], ends]))
    limit = int(ranks.max(initial=0)) + 2
    begin, end = ranks[:count] + 1, np.where(accesses.late, limit, ranks[count:] + 1)
    return spans(accesses, begin, end, limit)


def spans(accesses: Accesses, begin: Integers, end: Integers, limit: int) -> Spans:
    """Make spans of these beginnings and ends."""
    visible = end.copy()
    readers = np.flatnonzero(plain_reads(accesses) & (accesses.source >= 0))
    np.minimum.at(visible, accesses.source[readers], end[readers])
    return Spans(
        accesses=accesses,
        begin=begin,
        end=end,
        visible=visible,
        limit=limit,
        key=dense(accesses.key),
    )


def plain_reads(accesses: Accesses) -> Booleans:
    """Tell which entries read and did nothing else: a compare-and-set answers no read."""
    found: Booleans = accesses.reads & ~accesses.writes
    return found


@dataclass(frozen=True, slots=True)
class Latest:
    """Points by key and moment, each with a value: the largest value up to a moment."""

    spans: Spans
    places: Integers
    best: Integers
    points: Integers

    @classmethod
    def of(cls, spans: Spans, points: Integers, moment: Integers, value: Integers) -> Latest:
        """Take points (entries) with their moments and values."""
        place = spans.place(spans.key[points], moment)
        order = np.argsort(place, kind="stable")
        points = points[order]
        lifted = spans.place(spans.key[points], value[order])
        best = np.maximum.accumulate(lifted)
        # The point that a running maximum comes from is the last one that raised it.
        raised = np.maximum.accumulate(np.where(lifted == best, np.arange(len(best)), -1))
        return cls(spans, place[order], best, points[raised])

    def before(self, entries: Integers) -> tuple[Integers, Integers]:
        """Give, for each entry, the largest value strictly before its beginning, and its point.

        -1 and -1 where there is none.
        """
        spans = self.spans
        key = spans.key[entries]
        at = np.searchsorted(self.places, spans.place(key, spans.begin[entries])) - 1
        if not len(self.places):
            return at, at
        at = np.where((at >= 0) & (self.places[np.maximum(at, 0)] >= spans.place(key, 0)), at, -1)
        value = self.best[at] - spans.place(key, 0)
        return np.where(at >= 0, value, -1), np.where(at >= 0, self.points[at], -1)
