"""The search for one order of all operations that explains all that was read.

It is NP-complete (Gibbons and Korach 1997), so that it has a budget. A state is how far each
session has come and what each key holds; a read that fits never needs to wait, and a write waits
for those that causal order puts before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from splitbrain.checkers.order.overwritten import Overwriters
from splitbrain.checkers.order.past import Past

_State = tuple[tuple[int, ...], int, tuple[int, ...]]
"""How far each session has come, which entries beside sessions are done, what each key holds."""


class OutOfBudgetError(Exception):
    """The search would take longer than it may."""


class Search:
    """Looks for an order. budget: how many steps it may take; `left` is what remains of them."""

    def __init__(self, past: Past, seen: Overwriters, budget: int) -> None:
        accesses, program = past.accesses, past.program
        self.left = budget
        keys = np.unique(accesses.key, return_inverse=True)[1]
        self._key = keys.tolist()
        self._key_count = int(keys.max()) + 1
        self._source = accesses.source.tolist()
        self._reads, self._writes = accesses.reads.tolist(), accesses.writes.tolist()
        self._session: list[int] = program.session.tolist()
        self._position: list[int] = program.position.tolist()
        self._lines: list[list[int]] = [[] for _ in range(accesses.session_count)]
        for entry in program.order.tolist():
            self._lines[self._session[entry]].append(entry)
        self._beside = np.flatnonzero(program.aside).tolist()
        self._bit = {entry: 1 << number for number, entry in enumerate(self._beside)}
        self._first: dict[int, list[int]] = {}
        read, write = seen.concurrent
        for later, earlier in zip(accesses.source[read].tolist(), write.tolist(), strict=True):
            self._first.setdefault(later, []).append(earlier)

    def run(self) -> bool:
        """Tell whether there is an order.

        Raises: OutOfBudgetError.
        """
        start = self._advanced(((0,) * len(self._lines), 0, (-1,) * self._key_count))
        met = {start}
        pending = [start]
        while pending:
            state = pending.pop()
            if self._is_done(state):
                return True
            for step in self._steps(state):
                following = self._advanced(step)
                if following not in met:
                    met.add(following)
                    pending.append(following)
        return False

    def _is_done(self, state: _State) -> bool:
        places, done, _ = state
        ended = all(place == len(line) for place, line in zip(places, self._lines, strict=True))
        return ended and done == (1 << len(self._beside)) - 1

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OutOfBudgetError

    def _advanced(self, state: _State) -> _State:
        """Let every session do the reads that fit."""
        places, done, holds = list(state[0]), state[1], state[2]
        for session, line in enumerate(self._lines):
            while places[session] < len(line):
                entry = line[places[session]]
                if self._writes[entry] or self._source[entry] != holds[self._key[entry]]:
                    break
                self._spend()
                places[session] += 1
        return tuple(places), done, holds

    def _steps(self, state: _State) -> Iterator[_State]:
        """Give the states that one write leads to."""
        places, done, holds = state
        for session, line in enumerate(self._lines):
            if places[session] < len(line) and self._may(line[places[session]], state):
                moved = list(places)
                moved[session] += 1
                yield tuple(moved), done, self._held(line[places[session]], holds)
        for entry in self._beside:
            due = places[self._session[entry]] >= self._position[entry]
            if due and not done & self._bit[entry] and self._may(entry, state):
                yield places, done | self._bit[entry], self._held(entry, holds)

    def _may(self, entry: int, state: _State) -> bool:
        self._spend()
        if not self._writes[entry]:
            return False
        if self._reads[entry] and self._source[entry] != state[2][self._key[entry]]:
            return False
        return all(self._happened(earlier, state) for earlier in self._first.get(entry, ()))

    def _happened(self, entry: int, state: _State) -> bool:
        if entry in self._bit:
            return bool(state[1] & self._bit[entry])
        return state[0][self._session[entry]] > self._position[entry]

    def _held(self, entry: int, holds: tuple[int, ...]) -> tuple[int, ...]:
        key = self._key[entry]
        return (*holds[:key], entry, *holds[key + 1 :])
