"""Vector clocks: for every operation, how much of every session came before it.

Bouajjani, Enea, Guerraoui and Hamza 2017 define the order; that its clocks can be kept by chains,
one row where something new was learned, is what makes it linear in the operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitbrain.checkers.order.program import Program
from splitbrain.core.columns import Booleans, Integers

ROWS_LIMIT_BYTES = 4 * 2**30
"""How large the clocks of a history may become."""

_NONE = -1


class ClocksTooLarge(Exception):  # noqa: N818 - a limit that was met, and no error
    """The clocks of this many sessions would not fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """What each entry has in its past.

    rows: int32, a row for each time something was learned and a column for each chain; how many
    entries of that chain came before. row: of each entry. chain, position: of each entry; a chain
    is a session, or entries beside one of which each comes before the next. stuck: entries that
    wait for each other in a circle; they have no clock.
    """

    rows: NDArray[np.int32]
    row: Integers
    chain: Integers
    position: Integers
    stuck: Integers

    @property
    def chain_count(self) -> int:
        """How many chains there are."""
        return int(self.rows.shape[1])

    def of(self, entries: Integers) -> NDArray[np.int32]:
        """Give the clocks of these entries, each without itself."""
        found = self.rows[self.row[entries]]
        found[np.arange(len(entries)), self.chain[entries]] = self.position[entries]
        return found

    def knows(self, later: Integers, earlier: Integers) -> Booleans:
        """Tell, pair by pair, whether the one comes after the other."""
        chain, position = self.chain[earlier], self.position[earlier]
        told: Booleans = np.where(
            self.chain[later] == chain,
            position < self.position[later],
            self.rows[self.row[later], chain] > position,
        )
        return told

    def comes_after(self, later: int, earlier: int) -> bool:
        """Tell whether one entry comes after another."""
        return bool(self.knows(np.array([later]), np.array([earlier]))[0])


def clocks(program: Program, target: Integers, source: Integers, hint: Integers) -> Clocks:
    """Give the clocks of program order together with "target comes after source".

    hint: a number for each entry; the nearer it comes to an order of all, the faster this is.

    Raises: ClocksTooLarge.
    """
    within = ~program.aside[target] & ~program.aside[source]
    within &= program.session[target] == program.session[source]
    backwards = within & (program.position[source] >= program.position[target])
    learns = ~within
    learns[np.flatnonzero(learns)[~_news(program, target[learns], source[learns])]] = False
    keeper = _Keeper(program, target[learns], source[learns], hint)
    keeper.run()
    return keeper.result(target[backwards])


def _news(program: Program, target: Integers, source: Integers) -> Booleans:
    """Tell which edges say more than an earlier one between the same two sessions."""
    news = np.ones(len(target), np.bool_)
    plain = np.flatnonzero(~program.aside[target] & ~program.aside[source])
    target, source = target[plain], source[plain]
    pair = program.session[target] * program.session_count + program.session[source]
    order = np.argsort(pair * program.length + program.position[target], kind="stable")
    value = (pair * program.length + program.position[source])[order]
    known = np.maximum.accumulate(np.concatenate([[-1], value[:-1]]))
    news[plain[order]] = value > known
    return news


class _Keeper:
    """Goes through the events, each of which learns what one other entry knows."""

    def __init__(
        self, program: Program, target: Integers, source: Integers, hint: Integers
    ) -> None:
        self._program = program
        self._plan(target, source)
        self._hint = hint
        beside = np.flatnonzero(program.aside)
        self._chain = np.where(program.aside, _NONE, program.session)
        self._position = np.where(program.aside, _NONE, program.position)
        self._beside: dict[int, list[int]] = {}
        self._lengths: dict[int, int] = {}
        columns = program.session_count + min(len(beside), program.session_count + 8)
        self._columns = program.session_count
        self._allocate(max(1, columns))

    def _allocate(self, columns: int) -> None:
        needed = (len(self._target) + 1) * columns * 4
        if needed > ROWS_LIMIT_BYTES:
            message = f"the clocks of {columns} sessions need {needed / 2**30:.1f} GB"
            raise ClocksTooLarge(message)
        self._rows = np.zeros((len(self._target) + 1, columns), np.int32)

    def _plan(self, target: Integers, source: Integers) -> None:
        """Order the events by session, those beside a session behind all others."""
        program = self._program
        beside = np.flatnonzero(program.aside)
        # What stands beside a session begins with what the session knew, and learns from there.
        target = np.concatenate([target, beside])
        source = np.concatenate([source, np.full(len(beside), _NONE)])
        aside = program.aside[target]
        place = program.session[target] * program.length + program.position[target]
        order = np.lexsort((source != _NONE, np.where(aside, target, place), aside))
        self._target, self._source = target[order], source[order]
        self._main_count = int((~aside).sum())
        main = place[order][: self._main_count]
        # Event e has the number e + 1, and number 0 is to know nothing.
        self._main = main
        starts = program.session * program.length
        at = np.searchsorted(main, starts + program.position + ~program.aside)
        first = np.searchsorted(main, starts)
        self._event = np.where(at > first, at, 0)
        previous = np.arange(len(order))
        own = self._target[: self._main_count]
        same = np.zeros(len(order), np.bool_)
        same[1 : self._main_count] = program.session[own][1:] == program.session[own][:-1]
        side = self._source[self._main_count :] != _NONE
        same[self._main_count :] = side
        self._previous = np.where(same, previous, 0)
        begins = np.flatnonzero(~side) + self._main_count
        self._previous[begins] = self._event[self._target[begins]]
        ends = np.append(begins[1:], len(order)) if len(begins) else begins
        self._event[self._target[begins]] = ends

    def run(self) -> None:
        """Go through all events, each when those that it needs are done."""
        needs = np.where(self._source == _NONE, 0, self._event[self._source])
        known = self._source != _NONE
        column = np.where(known, self._chain[self._source], _NONE)
        count = np.where(known, self._position[self._source] + 1, 0)
        order = np.argsort(self._hint[self._target], kind="stable")
        self._steps = (
            [0, *self._previous.tolist()],
            [0, *needs.tolist()],
            [0, *column.tolist()],
            [0, *count.tolist()],
        )
        self._row_of = [0] + [_NONE] * len(self._target)
        self._used = 1
        self._waiting: dict[int, list[int]] = {}
        left: Sequence[int] = (order + 1).tolist()
        if not self._program.aside.any():
            left = self._run_plain(left)
        for event in left:
            self._try(event)

    def _run_plain(self, order: Sequence[int]) -> Sequence[int]:
        """Do the same as `_try` where nothing stands beside a session; give what must wait."""
        previous, needs, column, count = self._steps
        row_of, rows = self._row_of, self._rows
        flat = memoryview(rows.reshape(-1))  # type: ignore[arg-type]
        width, used, maximum = rows.shape[1], self._used, np.maximum
        views = [rows[0]]
        left: list[int] = []
        for event in order:
            before, other = row_of[previous[event]], row_of[needs[event]]
            if before < 0 or other < 0:
                left.append(event)
                continue
            at, enough = column[event], count[event]
            if flat[before * width + at] >= enough:
                row_of[event] = before
                continue
            view = rows[used]
            views.append(view)
            maximum(views[before], views[other], out=view)
            place = used * width + at
            if flat[place] < enough:  # noqa: PLR1730 - max() takes twice as long
                flat[place] = enough
            row_of[event] = used
            used += 1
        self._used = used
        return left

    def _wait(self, event: int) -> None:
        previous, needs, _, _ = self._steps
        missing = previous[event] if self._row_of[previous[event]] < 0 else needs[event]
        self._waiting.setdefault(missing, []).append(event)

    def _try(self, event: int) -> None:
        pending = [event]
        while pending:
            now = pending.pop()
            previous, needs, _, _ = self._steps
            if self._row_of[previous[now]] < 0 or self._row_of[needs[now]] < 0:
                self._wait(now)
                continue
            self._learn(now, self._row_of[previous[now]], self._row_of[needs[now]])
            pending += self._waiting.pop(now, [])

    def _learn(self, event: int, before: int, other: int) -> None:
        source, target = int(self._source[event - 1]), int(self._target[event - 1])
        row = self._rows[self._used]
        np.maximum(self._rows[before], self._rows[other], out=row)
        if source == _NONE:
            session = int(self._program.session[target])
            row[session] = self._program.position[target]
        else:
            chain = int(self._chain[source])
            row[chain] = max(int(row[chain]), int(self._position[source]) + 1)
        self._row_of[event] = self._used
        self._used += 1
        if event == self._event[target] and self._program.aside[target]:
            self._place(target, self._used - 1)

    def _place(self, entry: int, row: int) -> None:
        """Put an entry into a chain beside its session, behind an entry that it comes after."""
        chains = self._beside.setdefault(int(self._program.session[entry]), [])
        for chain in chains:
            if self._rows[row, chain] >= self._lengths[chain]:
                break
        else:
            chain = self._columns
            self._columns += 1
            chains.append(chain)
            self._lengths[chain] = 0
            if chain >= self._rows.shape[1]:
                before = self._rows
                self._allocate(2 * chain)
                self._rows[:, : before.shape[1]] = before
        self._chain[entry], self._position[entry] = chain, self._lengths[chain]
        self._lengths[chain] += 1

    def result(self, backwards: Integers) -> Clocks:
        """Give what was found. backwards: entries that come after a later one of their session."""
        row = np.array(self._row_of, np.int64)
        waiting = self._target[np.flatnonzero(row[1:] < 0)]
        return Clocks(
            rows=self._rows[: self._used, : max(1, self._columns)],
            row=np.maximum(row, 0)[self._event],
            chain=self._chain,
            position=self._position,
            stuck=np.unique(np.concatenate([waiting, backwards])),
        )
