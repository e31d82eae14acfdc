"""The scheduler: carries a schedule out over real time, in a thread of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from splitbrain.runtime.agenda import Agenda


@dataclass(slots=True)
class Scheduler(Agenda):
    """Runs one schedule in a thread."""

    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; times of the schedule count from now."""
        self.begin()
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop injecting, and wait until the step that is under way has ended."""
        self.end()
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.finish()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self.advance())
