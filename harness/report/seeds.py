"""Many simulated seeds: how far they are, and which failures they found, each with a way back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

from splitbrain.core.run import RunResult
from splitbrain.core.value import Value
from splitbrain.core.verdict import Status
from splitbrain.report.alphabet import alphabet_of
from splitbrain.report.checker_table import STATUS_STYLES
from splitbrain.report.indented import Indented
from splitbrain.report.paper import paper

LINE_S = 5.0
TERMINAL_LINE_S = 0.5
NAME_LIMIT = 120
SEEDS_SHOWN = 5
UNKNOWN_SHOWN = 5


class SeedsReport:
    """Says how far it is, and at the end what failed. quiet: says nothing meanwhile."""

    def __init__(self, console: Console, count: int, *, quiet: bool) -> None:
        self._console = console
        self._count = count
        self._quiet = quiet
        self._counts: Counter[Status] = Counter()
        self._began_s = time.monotonic()
        self._next_s = self._began_s
        self._on_terminal = console.is_terminal
        self._has_line = False

    def take(self, result: RunResult) -> None:
        """Count a result."""
        self._counts[result.status] += 1
        self.tick()

    def tick(self) -> None:
        """Say how far it is, now and then."""
        now = time.monotonic()
        if self._quiet or now < self._next_s:
            return
        self._next_s = now + (TERMINAL_LINE_S if self._on_terminal else LINE_S)
        self._print(Text(self._line(now)), end="\r" if self._on_terminal else "\n")
        self._has_line = self._on_terminal

    def say(self, line: str) -> None:
        """Say something in between."""
        self.close()
        self._has_line = False
        if not self._quiet:
            self._print(Text(line))

    def close(self) -> None:
        """End the line that says how far it is."""
        if self._has_line:
            self._print(Text(""))

    def _print(self, text: Text, end: str = "\n") -> None:
        """Print in passing: what keeps it from being written must not end the campaign."""
        with suppress(OSError), paper(self._console):
            self._console.print(text, end=end)

    def show(self, summary: Value, command: str, path: Path | None) -> None:
        """Show failures by kind and unknown runs by reason, each with a way to have it again.

        summary: that of the campaign. command: what was asked for, but for the seed.
        """
        assert isinstance(summary, dict)
        line = self._line(time.monotonic(), interrupted=summary["interrupted"] is True)
        with paper(self._console):
            self._console.print()
            self._console.print(Text(line), soft_wrap=True)
            for failure in _groups(summary["failures"]):
                name = f"{failure['checker']}: {failure['anomaly']}".removeprefix(": ")
                self._head(Status.INVALID, name)
                self._show_ways(failure, command)
            doubts = _groups(summary["unknown_reasons"])
            for doubt in doubts[:UNKNOWN_SHOWN]:
                self._head(Status.UNKNOWN, f"unknown in {len(_seeds(doubt))}")
                reason = f"{doubt['checker']}: {doubt['reason']}".removeprefix(": ")
                shown = alphabet_of(self._console).text(reason, 4 * NAME_LIMIT)
                self._console.print(Indented(Text(shown), 2))
                self._show_ways(doubt, command)
            if len(doubts) > UNKNOWN_SHOWN:
                self._head(
                    Status.UNKNOWN, f"unknown for {len(doubts) - UNKNOWN_SHOWN} reasons more"
                )
            if path is not None:
                self._console.print()
                self._console.print(Text(f"summary in {path}"), soft_wrap=True)

    def _head(self, status: Status, text: str) -> None:
        shown = alphabet_of(self._console).text(text, NAME_LIMIT)
        self._console.print()
        self._console.print(Text(shown, style=f"bold {STATUS_STYLES[status]}"))

    def _show_ways(self, group: Mapping[str, Value], command: str) -> None:
        for line in _ways(group, command):
            self._console.print(Text(f"  {line}"), soft_wrap=True)

    def _line(self, now: float, *, interrupted: bool = False) -> str:
        done = sum(self._counts.values())
        passed_s = max(1e-9, now - self._began_s)
        told = ", ".join(
            f"{self._counts[status]:,} {status.value}" for status in Status if self._counts[status]
        )
        seeds = f"{done:,} of {self._count:,} seeds{', interrupted' if interrupted else ''}"
        return f"{seeds}: {told or 'none yet'}; {done / passed_s * 60:,.0f} a minute"


def _groups(value: Value) -> Sequence[Mapping[str, Value]]:
    assert isinstance(value, list)
    return [group for group in value if isinstance(group, dict)]


def _seeds(group: Mapping[str, Value]) -> Sequence[Value]:
    seeds = group["seeds"]
    assert isinstance(seeds, list)
    return seeds


def _ways(group: Mapping[str, Value], command: str) -> Sequence[str]:
    """Give the seeds of a group, and how to have it again, in lines that can be copied."""
    seeds, stored = _seeds(group), group.get("stored", {})
    assert isinstance(stored, dict)
    shown = ", ".join(str(seed) for seed in seeds[:SEEDS_SHOWN])
    more = f" and {len(seeds) - SEEDS_SHOWN} more" if len(seeds) > SEEDS_SHOWN else ""
    lines = [f"seeds   {shown}{more}", f"again   {command} --seed {seeds[0]}"]
    return [*lines, *(f"stored  {path}" for path in list(stored.values())[:1])]
