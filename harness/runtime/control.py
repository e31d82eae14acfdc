"""What another thread may ask of a run."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from splitbrain.core.errors import InterruptedRunError


@dataclass(slots=True)
class Control:
    """What another thread may ask of a run: to stop early, or to give everything up at once."""

    _stop: threading.Event = field(default_factory=threading.Event)
    _abandon: threading.Event = field(default_factory=threading.Event)
    reason: str = ""

    def stop(self, reason: str) -> None:
        """Ask the run to heal, and to judge what is there."""
        self.reason = self.reason or reason
        self._stop.set()

    def abandon(self) -> None:
        """Ask the run to tear down at once."""
        self.stop("abandoned")
        self._abandon.set()

    def look(self) -> None:
        """Look whether anything calls for a stop; a control that watches nothing does nothing."""

    @property
    def stopped(self) -> bool:
        """True once somebody asked the run to stop."""
        return self._stop.is_set()

    @property
    def abandoned(self) -> bool:
        """True once somebody asked it to give up."""
        return self._abandon.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until stopped, or until time is up; tell whether stopped."""
        return self._stop.wait(timeout_s)

    def check(self) -> None:
        """Raise InterruptedRunError once stopped."""
        if self.stopped:
            raise InterruptedRunError(self.reason)
