"""The scheduler: carries a schedule out over real time, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splitbrain.core.cluster import Bed
from splitbrain.core.fault import Nemesis
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


def unavailable(nemeses: Sequence[Nemesis], bed: Bed) -> Mapping[str, str]:
    """Give the reasons why some of the nemeses cannot work on this bed, by kind."""
    reasons = {nemesis.kind: nemesis.unavailable(bed) for nemesis in nemeses}
    return {kind: reason for kind, reason in reasons.items() if reason is not None}
