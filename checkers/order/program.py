"""Program order: what each session did, one after the other.

An operation of unknown outcome may take effect after those that its session did later. It comes
after what its session had done before, and precedes nothing by program order. What saw it comes
after it, of course.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.order.accesses import Accesses
from splitbrain.core.columns import Booleans, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The order of each session.

    aside: entries of unknown outcome behind which their session went on: they stand beside it.
    position: of an entry in its session, counting from 0; of one aside, how many operations of its
    session come before it. order: the entries that are not aside, by session and position.
    length: one more than the largest position. session_count: as in the accesses.
    """

    session: Integers
    position: Integers
    aside: Booleans
    order: Integers
    length: int
    session_count: int

    @property
    def previous(self) -> Integers:
        """The entry before each in its session, -1 for the first."""
        found = np.full(len(self.session), -1, np.int64)
        same = self.session[self.order][1:] == self.session[self.order][:-1]
        found[self.order[1:][same]] = self.order[:-1][same]
        starts = np.searchsorted(self.session[self.order], np.arange(self.session_count))
        beside = np.flatnonzero(self.aside & (self.position > 0))
        found[beside] = self.order[starts[self.session[beside]] + self.position[beside] - 1]
        return found


def program(accesses: Accesses) -> Program:
    """Give the program order of all sessions."""
    session, count = accesses.session, len(accesses)
    everything = np.argsort(session, kind="stable")
    last = np.ones(count, np.bool_)
    last[everything[:-1]] = session[everything][1:] != session[everything][:-1]
    aside = accesses.late & ~last
    beside = aside[everything]
    starts = np.searchsorted(session[everything], session[everything])
    before: Integers = np.cumsum(~beside) - ~beside
    position = np.empty(count, np.int64)
    position[everything] = before - before[starts] if count else before
    return Program(
        session=session,
        position=position,
        aside=aside,
        order=everything[~beside],
        length=int(position.max()) + 2 if count else 1,
        session_count=accesses.session_count,
    )
