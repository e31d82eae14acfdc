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
        self._reasons: Counter[str] = Counter()
        self._began_s = time.monotonic()
        self._next_s = self._began_s
        self._on_terminal = console.is_terminal
        self._has_line = False

    def take(self, result: RunResult) -> None:
        """Count a result."""
        self._counts[result.status] += 1
        if result.status is Status.UNKNOWN and result.failure is None:
            reasons = (
                f"{name}: {reason}"
                for name, verdict in result.verdicts.items()
                if verdict.status is Status.UNKNOWN
                for reason in verdict.reasons[:1]
            )
            self._reasons[next(reasons, "no reason given")] += 1
        self.tick()

    def tick(self) -> None:
        """Say how far it is, now and then."""
        now = time.monotonic()
        if self._quiet or now < self._next_s:
            return
        self._next_s = now + (TERMINAL_LINE_S if self._on_terminal else LINE_S)
        self._print(Text(self._line(now)), end="\r" if self._on_terminal else "\n")
        self._has_line = self._on_terminal

    def close(self) -> None:
        """End the line that says how far it is."""
        if self._has_line:
            self._print(Text(""))

    def _print(self, text: Text, end: str = "\n") -> None:
        """Print in passing: what keeps it from being written must not end the campaign."""
        with suppress(OSError), paper(self._console):
            self._console.print(text, end=end)

    def show(self, summary: Value, command: str, path: Path | None) -> None:
        """Show the failures by kind, each with the command that has it again.

        summary: that of the campaign. command: what was asked for, but for the seed.
        """
        assert isinstance(summary, dict)
        failures = summary["failures"]
        assert isinstance(failures, list)
        alphabet = alphabet_of(self._console)
        with paper(self._console):
            self._console.print()
            self._console.print(Text(self._line(time.monotonic())), soft_wrap=True)
            for failure in failures:
                assert isinstance(failure, dict)
                self._console.print()
                name = f"{failure['checker']}: {failure['anomaly']}".removeprefix(": ")
                style = f"bold {STATUS_STYLES[Status.INVALID]}"
                self._console.print(Text(alphabet.text(name, NAME_LIMIT), style=style))
                for line in _ways(failure, command):
                    self._console.print(Text(f"  {line}"), soft_wrap=True)
            for reason, count in self._reasons.most_common(UNKNOWN_SHOWN):
                self._console.print()
                style = f"bold {STATUS_STYLES[Status.UNKNOWN]}"
                self._console.print(Text(f"unknown in {count}", style=style))
                self._console.print(Indented(Text(alphabet.text(reason, 4 * NAME_LIMIT)), 2))
            if path is not None:
                self._console.print()
                self._console.print(Text(f"summary in {path}"), soft_wrap=True)

    def _line(self, now: float) -> str:
        done = sum(self._counts.values())
        passed_s = max(1e-9, now - self._began_s)
        told = ", ".join(
            f"{self._counts[status]:,} {status.value}" for status in Status if self._counts[status]
        )
        rate = done / passed_s * 60
        return f"{done:,} of {self._count:,} seeds: {told or 'none yet'}; {rate:,.0f} a minute"


def _ways(failure: Mapping[str, Value], command: str) -> Sequence[str]:
    """Give the seeds of a failure, and how to have it again, in lines that can be copied."""
    seeds, stored = failure["seeds"], failure["stored"]
    assert isinstance(seeds, list)
    assert isinstance(stored, dict)
    shown = ", ".join(str(seed) for seed in seeds[:SEEDS_SHOWN])
    more = f" and {len(seeds) - SEEDS_SHOWN} more" if len(seeds) > SEEDS_SHOWN else ""
    lines = [f"seeds   {shown}{more}", f"again   {command} --seed {seeds[0]}"]
    return [*lines, *(f"stored  {path}" for path in list(stored.values())[:1])]
