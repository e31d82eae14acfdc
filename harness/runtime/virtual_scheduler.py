"""The scheduler in virtual time: its agenda is looked at whenever something is due."""

from __future__ import annotations

from dataclasses import dataclass, field

from splitbrain.core.simulated import World
from splitbrain.runtime.agenda import Agenda

WATCH_S = 0.002
"""How often conditions are looked at, in virtual time."""

REST_S = 1.0
"""How often it looks while there is none: what is due is waited for exactly."""


@dataclass(slots=True)
class VirtualScheduler(Agenda):
    """Runs one schedule through a world."""

    world: World = field(kw_only=True)

    def start(self) -> None:
        """Begin; times of the schedule count from now."""
        self.now_ns = lambda: self.world.now_ns
        self.poll_s, self.rest_s = WATCH_S, REST_S
        self.begin()
        self._look()

    def stop(self) -> None:
        """Stop injecting; nothing is ever under way here."""
        self.end()
        self.finish()

    def _look(self) -> None:
        if not self._ended:
            self.world.after(int(self.advance() * 1e9) + 1, self._look)
