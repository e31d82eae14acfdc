"""Reads under a lease (thesis 6.4.1): no question to anybody, as long as clocks can be trusted.

A majority that answered a round does not elect anybody else within the least election timeout from
when the round was sent, since followers turn candidates away that long. The leader measures that
time by its wall clock, as real systems have done: one that jumps back or runs slow lets it believe
in a lease that is over, and its reads are stale then. That is the price, and on purpose.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MARGIN_PERCENT = 10
"""By how much clocks may differ in rate; so much of the time is not used."""


@dataclass(slots=True)
class Lease:
    """When the rounds that may still count were sent. length_ns: how long an answered one holds."""

    length_ns: int
    _sent: deque[tuple[int, int]] = field(default_factory=deque)

    def sent(self, number: int, wall_ns: int) -> None:
        """Note that a round was sent now."""
        self._sent.append((number, wall_ns))

    def holds(self, confirmed: int, wall_ns: int) -> bool:
        """Tell whether the latest round that a majority answered is young enough."""
        while len(self._sent) > 1 and self._sent[1][0] <= confirmed:
            self._sent.popleft()
        if not self._sent or self._sent[0][0] > confirmed:
            return False
        return wall_ns < self._sent[0][1] + self.length_ns * (100 - MARGIN_PERCENT) // 100
