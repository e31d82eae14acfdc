"""Watching a run without a word: for whoever shows the result in another way."""

from __future__ import annotations

from pathlib import Path

from splitbrain.core.run import Monitor, Plan, Progress, RunResult


class Quiet(Monitor):
    """Watches and says nothing."""

    def started(self, plan: Plan, path: Path) -> None:
        """Say nothing."""

    def progress(self, moment: Progress) -> None:
        """Say nothing."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def finished(self, result: RunResult) -> None:
        """Say nothing."""
