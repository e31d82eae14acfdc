"""Where moments stand on a short line: every event in a column of its own, long gaps cut short."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

BREAK_FACTOR = 12
"""A gap of more than so many times the next smaller one is cut short, and marked."""

BROKEN_WEIGHT = 5
"""How much of the line a cut gap gets, in gaps of that size."""


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Columns of events in the order in which they happened.

    times_ns: of the events, never decreasing. columns: of the events, increasing where there is
    room. broken: for each event but the last, whether the gap behind it is cut short.
    """

    times_ns: tuple[int, ...]
    columns: tuple[int, ...]
    broken: tuple[bool, ...]

    def column_at(self, time_ns: int) -> int:
        """Give the column of any moment, between those of the events around it."""
        place = bisect_right(self.times_ns, time_ns) - 1
        if place < 0:
            return self.columns[0]
        if place >= len(self.times_ns) - 1:
            return self.columns[-1]
        begin, end = self.times_ns[place], self.times_ns[place + 1]
        share = (time_ns - begin) / (end - begin)
        left, right = self.columns[place], self.columns[place + 1]
        return left + round(share * (right - left))

    def break_columns(self) -> tuple[int, ...]:
        """Give the columns at which time is left out: the middle of each gap that was cut."""
        pairs = zip(self.columns, self.columns[1:], self.broken, strict=False)
        return tuple((left + right) // 2 for left, right, broken in pairs if broken)


def scale(times_ns: Sequence[int], span: int) -> TimeScale:
    """Lay events out over the columns 0 to span - 1; their order is that of the sequence.

    Clocks may stand still or step back between two records; the order of the records counts.
    """
    steady = _steady(times_ns)
    gaps = [later - earlier for earlier, later in pairwise(steady)]
    weights, broken = _weights(gaps)
    widths = _widths(weights, max(0, span - 1))
    columns = [0]
    for width in widths:
        columns.append(columns[-1] + width)
    return TimeScale(tuple(steady), tuple(columns[: len(steady)]), tuple(broken))


def _steady(times_ns: Sequence[int]) -> list[int]:
    steady: list[int] = []
    for time_ns in times_ns:
        steady.append(max(time_ns, steady[-1]) if steady else time_ns)
    return steady


def _weights(gaps: Sequence[int]) -> tuple[list[float], list[bool]]:
    """Cut the few gaps that dwarf all others, so that the others can be told apart."""
    ordered = sorted((gap for gap in gaps if gap > 0), reverse=True)
    if not ordered:
        return [1.0] * len(gaps), [False] * len(gaps)
    limit, cut = _limit(ordered, most=len(gaps) // 2)
    broken = [gap > limit for gap in gaps]
    return [cut if long else float(gap) for gap, long in zip(gaps, broken, strict=True)], broken


def _limit(ordered: Sequence[int], *, most: int) -> tuple[int, float]:
    """Give the length over which gaps are cut, and what they are cut to; `most` may be cut."""
    for larger, smaller in list(pairwise(ordered))[:most]:
        if larger > BREAK_FACTOR * smaller:
            return smaller, float(BROKEN_WEIGHT * smaller)
    return ordered[0], float(ordered[0])


def _widths(weights: Sequence[float], room: int) -> list[int]:
    """Share columns out by weight, with a least width for each as long as there is room for it."""
    if not weights:
        return []
    least = next((size for size in (3, 2, 1) if size * len(weights) * 2 <= room), None)
    if least is None:
        least = min(1, room // len(weights))
    total = sum(weights)
    spare = room - least * len(weights)
    exact = [spare * weight / total for weight in weights]
    widths = [least + int(share) for share in exact]
    left_over = room - sum(widths)
    by_rest = sorted(range(len(weights)), key=lambda at: int(exact[at]) - exact[at])
    for at in by_rest[:left_over]:
        widths[at] += 1
    return widths
