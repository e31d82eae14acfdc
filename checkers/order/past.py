"""Tells by which operations one comes after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from splitbrain.checkers.order.accesses import Accesses
from splitbrain.checkers.order.clocks import Clocks, clocks
from splitbrain.checkers.order.program import Program, program
from splitbrain.core.columns import Integers


class Past:
    """Causal order of a history: program order and reads-from, closed.

    extra: pairs (target, source) of more edges, for orders that are built on it.
    """

    def __init__(self, accesses: Accesses, extra: tuple[Integers, Integers] | None = None) -> None:
        self.accesses = accesses
        self.program: Program = program(accesses)
        target = np.flatnonzero(accesses.source >= 0)
        source = accesses.source[target]
        if extra is not None:
            target = np.concatenate([target, extra[0]])
            source = np.concatenate([source, extra[1]])
        self._edges = (target, source)
        self.clocks: Clocks = clocks(self.program, target, source, hints(accesses))

    @property
    def edges(self) -> tuple[Integers, Integers]:
        """The pairs (target, source) that are not of program order."""
        return self._edges

    def path(self, earlier: int, later: int) -> list[int]:
        """Give entries by which `later` comes after `earlier`, both included.

        Each comes after the one before it by program order or by having read it.
        """
        found = [later]
        while not self._same_session(earlier, found[-1]):
            learner, told = self._learned(earlier, found[-1])
            found += [learner] * (learner != found[-1]) + [told]
            if told == earlier:
                return found[::-1]
        return [earlier, *found[::-1]]

    def _same_session(self, earlier: int, later: int) -> bool:
        program = self.program
        if program.aside[earlier] or program.session[earlier] != program.session[later]:
            return False
        beside = bool(program.aside[later])
        return bool(program.position[earlier] < program.position[later] + beside)

    def _learned(self, earlier: int, later: int) -> tuple[int, int]:
        """Give the first entry up to `later` in its session that learned of `earlier`, and whence.

        The clocks of a session only grow, so that halving finds it.
        """
        program, target, source = self.program, *self._edges
        candidates = self._learners(later)
        low, high = 0, len(candidates) - 1
        while low < high:
            middle = (low + high) // 2
            knows = self._knows_or_is(int(candidates[middle]), earlier)
            low, high = (low, middle) if knows else (middle + 1, high)
        learner = int(candidates[low])
        assert not program.aside[learner] or learner == later
        for told in source[target == learner].tolist():
            if told == earlier or self.clocks.comes_after(told, earlier):
                return learner, told
        message = f"entry {learner} learned of {earlier} from nowhere"
        raise AssertionError(message)

    def _learners(self, later: int) -> Integers:
        """Give the entries with a source up to `later` in its session, itself the last."""
        program, (target, _) = self.program, self._edges
        limit = program.position[later]
        own = program.session[target] == program.session[later]
        before = own & ~program.aside[target] & (program.position[target] <= limit)
        if program.aside[later]:
            before = own & ~program.aside[target] & (program.position[target] < limit)
            before |= target == later
        found = np.unique(target[before])
        rank = program.position[found] * 2 + program.aside[found]
        return found[np.argsort(rank, kind="stable")]

    def _knows_or_is(self, later: int, earlier: int) -> bool:
        return self.clocks.comes_after(later, earlier)


def hints(accesses: Accesses) -> Integers:
    """Give a number to each entry that mostly grows along program order and reads-from.

    A write can be read from its beginning on; what read something has seen it by its end.
    """
    history, row = accesses.history, accesses.row
    plain = accesses.writes | accesses.late
    found: Integers = np.where(plain, history.invoke_index[row], history.complete_index[row])
    return found


def operations_of(accesses: Accesses, entries: Sequence[int]) -> Integers:
    """Give the rows of these entries once each, in the order of invocation."""
    return np.unique(accesses.row[np.array(entries, np.int64)])
