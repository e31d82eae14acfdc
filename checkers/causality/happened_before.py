"""Causal memory: for each session one order of all it knows explains all that it read.

Ahamad, Neiger, Burns, Kohli and Hutto 1995; the patterns WriteHBInitRead and CyclicHB of Bouajjani
and others 2017. What a session read orders writes for that session alone; those orders are added to
causal order until nothing more follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from splitbrain.checkers.causality.patterns import corners, saw
from splitbrain.checkers.order.case import SHOWN_OF_EACH, Case
from splitbrain.checkers.order.clocks import clocks
from splitbrain.checkers.order.cycles import Edges, knots, shortest_cycle, shortest_way
from splitbrain.checkers.order.overwritten import Overwriters, overwriters
from splitbrain.checkers.order.past import Past, hints
from splitbrain.core.columns import Booleans, Integers
from splitbrain.core.verdict import Anomaly


def causal_memory(case: Case, past: Past, seen: Overwriters) -> Iterator[list[Anomaly]]:
    """Give the anomalies of each session whose reads no order explains.

    seen: the pairs of causal order alone; a session without any is in order.
    """
    readers, _ = seen.concurrent
    shown = 0
    for last in _ends(case, past, readers):
        anomaly = _Session(case, past, last).anomaly()
        if anomaly is not None:
            yield [anomaly]
            shown += 1
        if shown >= SHOWN_OF_EACH:
            return


def _ends(case: Case, past: Past, readers: Integers) -> Iterator[int]:
    """Give the last entry of each session that has to be looked at.

    What stands beside a session is the end of a session of its own, when it read something.
    """
    program = past.program
    sessions = np.unique(program.session[readers[~program.aside[readers]]])
    borders = np.searchsorted(program.session[program.order], sessions, side="right") - 1
    yield from program.order[borders].tolist()
    beside = program.aside & case.accesses.reads
    beside &= np.isin(program.session, sessions) | np.isin(np.arange(len(beside)), readers)
    yield from np.flatnonzero(beside).tolist()


class _Session:
    """What one session knows at its end, and what it read up to there."""

    def __init__(self, case: Case, past: Past, last: int) -> None:
        self._case, self._past = case, past
        program = past.program
        own = program.session == program.session[last]
        limit = program.position[last] + ~program.aside[last]
        self._own = (own & ~program.aside & (program.position < limit)) | _only(last, len(own))
        self._reads = np.flatnonzero(self._own & case.accesses.reads)
        target, source = past.edges
        inside = self._known(last)[target]
        self._target, self._source = target[inside], source[inside]
        self._causal = len(self._target)
        self._starts: list[int] = []
        self._why: dict[tuple[int, int], int] = {}

    def _known(self, last: int) -> Booleans:
        clock = self._past.clocks.of(np.array([last]))[0]
        known: Booleans = self._past.clocks.position < clock[self._past.clocks.chain]
        known[last] = True
        return known

    def anomaly(self) -> Anomaly | None:
        """Add what must be until nothing follows any more, or something cannot be."""
        while True:
            order = clocks(
                self._past.program, self._target, self._source, hints(self._case.accesses)
            )
            if len(order.stuck):
                return self._circle()
            found = overwriters(self._case.accesses, order, self._reads)
            source = self._case.accesses.source[found.read]
            initial = np.flatnonzero(source < 0)
            if len(initial):
                return self._initial(found, int(initial[0]))
            if not len(found.read):
                return None
            self._add(found, source)

    def _add(self, found: Overwriters, source: Integers) -> None:
        """Put each write that was known, and not returned, before the one that was."""
        for read, write, after in zip(
            found.read.tolist(), found.write.tolist(), source.tolist(), strict=True
        ):
            self._why.setdefault((write, after), read)
        self._starts.append(len(self._target))
        self._target = np.concatenate([self._target, source])
        self._source = np.concatenate([self._source, found.write])

    def _edges(self, size: int | None = None) -> Edges:
        """Give what is known. size: how many edges that are not of program order."""
        previous = self._past.program.previous
        follows = np.flatnonzero(previous >= 0)
        target, source, split = self._target[:size], self._source[:size], self._causal
        return Edges.joined(
            (previous[follows], follows, 0),
            (source[:split], target[:split], 1),
            (source[split:], target[split:], 2),
        )

    def _circle(self) -> Anomaly:
        circle = shortest_cycle(knots(self._edges())[0])
        steps = list(zip(circle, [*circle[1:], circle[0]], strict=True))
        turning = corners(self._past, circle)
        entries = set(turning) | self._reasons(steps)
        reader = self._case.accesses.operation(int(self._reads[0]))
        reasons = "; ".join(self._told(step) for step in steps if step in self._why)
        return Anomaly(
            name="cyclic-hb",
            explanation=f"no order of what session {reader.session} knows explains what it read: "
            f"{reasons}",
            operations=self._case.operations(entries),
        )

    def _initial(self, found: Overwriters, row: int) -> Anomaly:
        read, write = int(found.read[row]), int(found.write[row])
        path = self._way(write, read)
        steps = list(pairwise(path))
        entries = {read, write, *_turns(self._past, path)} | self._reasons(steps)
        case = self._case
        reasons = "; ".join(self._told(step) for step in steps if step in self._why)
        return Anomaly(
            name="write-hb-init-read",
            explanation=f"{case.told(read)}{saw(case, read)}, the initial value, although its "
            f"session cannot have seen it before {case.named(write)}: {reasons}",
            operations=case.operations(entries),
        )

    def _told(self, step: tuple[int, int]) -> str:
        case, reader = self._case, self._why[step]
        return (
            f"{case.named(step[0])} must stand before {case.named(step[1])}, since "
            f"{case.told(reader)}{saw(case, reader)} and the former comes before that read"
        )

    def _reasons(self, steps: list[tuple[int, int]]) -> set[int]:
        """Give all that it takes to know these steps: reads, and how they knew, and so on."""
        entries: set[int] = set()
        done: set[tuple[int, int]] = set()
        pending = [step for step in steps if step in self._why]
        while pending:
            step = pending.pop()
            if step in done:
                continue
            done.add(step)
            path = self._way(step[0], self._why[step], step)
            entries |= {*step, *_turns(self._past, path)}
            pending += [other for other in pairwise(path) if other in self._why]
        return entries

    def _way(self, earlier: int, later: int, step: tuple[int, int] | None = None) -> list[int]:
        """Give a way from one entry to another, by what was known before a step was added."""
        if self._past.clocks.comes_after(later, earlier):
            return self._past.path(earlier, later)
        size = len(self._target)
        if step is not None:
            added = np.arange(size) >= self._causal
            same = (self._source == step[0]) & (self._target == step[1]) & added
            size = max(start for start in self._starts if start <= int(np.flatnonzero(same)[0]))
        return shortest_way(self._edges(size), earlier, later)


def _turns(past: Past, path: list[int]) -> list[int]:
    """Leave out of a way what only passes program order on."""
    previous = past.program.previous
    kept = path[:1]
    for before, entry, after in zip(path, path[1:], path[2:], strict=False):
        if int(previous[entry]) != before or int(previous[after]) != entry:
            kept.append(entry)
    return [*kept, path[-1]]


def _only(entry: int, count: int) -> Booleans:
    found = np.zeros(count, np.bool_)
    found[entry] = True
    return found
