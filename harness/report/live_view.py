"""What a running test looks like: a few lines that change in place, or one plain line."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rich.text import Text

from splitbrain.core.operation import Outcome
from splitbrain.core.run import Progress
from splitbrain.report.alphabet import Alphabet
from splitbrain.report.moments import clock_text

RATES_KEPT = 240
BAR_LIMIT = 40
FAULTS_SHOWN = 6
_NAMES = tuple(outcome.value for outcome in Outcome)
_COLOURS = {"ok": "green", "fail": "red", "info": "yellow"}


@dataclass(slots=True)
class LiveView:
    """The moments of a run so far, as far as they are drawn.

    past: phases that ended, with their seconds. rates: rates of OK operations, oldest first.
    """

    alphabet: Alphabet
    moment: Progress | None = None
    past: list[tuple[str, float]] = field(default_factory=list)
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=RATES_KEPT))
    _phase_began_s: float = 0.0

    def see(self, moment: Progress) -> bool:
        """Take a moment in; tell whether it begins a phase."""
        before, self.moment = self.moment, moment
        self.rates.append(moment.rates_hz.get(Outcome.OK.value, 0.0))
        if before is not None and before.phase == moment.phase:
            return False
        began_s = moment.elapsed_s - moment.phase_elapsed_s
        if before is not None:
            self.past.append((before.phase, max(0.0, began_s - self._phase_began_s)))
        self._phase_began_s = began_s
        return True

    def lines(self, width: int) -> Text:
        """Draw the present moment, in lines of at most `width` cells."""
        if self.moment is None:
            return Text()
        lines = [self._trail(width), self._bar(width)]
        if any(self.moment.counts.values()) or self.moment.active:
            lines += [self._operations(width), self._faults(width)]
        for line in lines:
            line.truncate(width, overflow="crop")
        return Text("\n").join(lines)

    def plain(self) -> str:
        """Give the present moment in one line without any marks."""
        moment = self.moment
        if moment is None:
            return ""
        limit = "" if moment.phase_limit_s is None else f" of {moment.phase_limit_s:g} s"
        parts = [
            f"{moment.elapsed_s:6.1f} s",
            f"{self.alphabet.text(moment.phase, 20)} {moment.phase_elapsed_s:.1f}{limit or ' s'}",
        ]
        if any(moment.counts.values()):
            counts = (f"{name} {moment.counts.get(name, 0):,}" for name in _NAMES)
            parts.append(" ".join(counts))
            parts.append(f"{sum(moment.rates_hz.values()):,.0f}/s")
        if moment.active:
            parts.append("faults: " + "; ".join(self.alphabet.text(a, 60) for a in moment.active))
        return "  ".join(parts)

    def _trail(self, width: int) -> Text:
        """Show the phases that ended, as many as fit, and the present one."""
        assert self.moment is not None
        mark = f" {self.alphabet.done} "
        now = self.alphabet.text(self.moment.phase, 20)
        trail = "".join(f"{self.alphabet.text(n, 20)} {s:.1f}{mark}" for n, s in self.past)
        elapsed = clock_text(self.moment.elapsed_s)
        room = width - len(now) - len(elapsed) - 3
        if len(trail) > room:
            cut = trail[len(trail) - max(0, room - len(self.alphabet.ellipsis)) :]
            trail = self.alphabet.ellipsis + cut if room > len(self.alphabet.ellipsis) else ""
        line = Text(" ")
        line.append(trail, "dim").append(now, "bold")
        line.append(" " * max(2, width - line.cell_len - len(elapsed) - 1))
        return line.append(elapsed, "dim")

    def _bar(self, width: int) -> Text:
        assert self.moment is not None
        spent, limit = self.moment.phase_elapsed_s, self.moment.phase_limit_s
        if not limit:
            return Text(f" {clock_text(spent)} in this phase", style="dim")
        numbers = f"{min(spent, 9999):.1f} of {limit:g} s"
        length = max(4, min(BAR_LIMIT, width - len(numbers) - 4))
        full = round(length * min(1.0, max(0.0, spent / limit)))
        line = Text(" ")
        line.append(self.alphabet.bar_full * full, "cyan")
        line.append(self.alphabet.bar_rest * (length - full), "dim")
        return line.append(f"  {numbers}")

    def _operations(self, width: int) -> Text:
        """Show counts and rates by outcome, and how the rate of OK went where there is room."""
        assert self.moment is not None
        line = Text(" ")
        for place, name in enumerate(_NAMES):
            count, rate = self.moment.counts.get(name, 0), self.moment.rates_hz.get(name, 0.0)
            style = _COLOURS[name] if count else "dim"
            line.append("   " if place else "").append(f"{name} {count:,}", style)
            line.append(f" {rate:,.0f}/s", "dim")
        room = min(BAR_LIMIT, width - line.cell_len - 4)
        if room >= 8:
            line.append("   ").append(self._sparkline(room), "green")
        return line

    def _sparkline(self, room: int) -> str:
        rates = list(self.rates)[-room:]
        levels, top = self.alphabet.levels, max(rates, default=0.0)
        if top <= 0:
            return levels[0] * len(rates)
        steps = (max(0.0, rate) / top * (len(levels) - 1) for rate in rates)
        return "".join(levels[round(step)] for step in steps)

    def _faults(self, width: int) -> Text:
        assert self.moment is not None
        active = self.moment.active
        if not active:
            return Text(" no fault is active", style="dim")
        shown = [self.alphabet.text(line, 40) for line in active[:FAULTS_SHOWN]]
        if len(active) > FAULTS_SHOWN:
            shown.append(f"{len(active) - FAULTS_SHOWN} more")
        text = f" {self.alphabet.dot} ".join(shown)
        return Text(" ").append(self.alphabet.text(text, width - 2), "magenta")
