"""Durations in words that a person reads at a glance."""

from __future__ import annotations

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
MINUTE_S = 60
HOUR_S = 3600


def duration_text(ns: float) -> str:
    """Give a duration in the unit that suits it: "0.25 ms", "3.1 ms", "5.01 s", "1 min 12 s"."""
    size = abs(ns)
    if size < NS_PER_S:
        return f"{_figures(ns / NS_PER_MS)} ms"
    if size < MINUTE_S * NS_PER_S:
        return f"{_figures(ns / NS_PER_S)} s"
    return _long(ns)


def moment_text(ns: float) -> str:
    """Give a moment as `duration_text` does, but to the millisecond: "12.301 s"."""
    size = abs(ns)
    if NS_PER_S <= size < MINUTE_S * NS_PER_S:
        return f"{ns / NS_PER_S:.3f}".rstrip("0").rstrip(".") + " s"
    if MINUTE_S * NS_PER_S <= size < HOUR_S * NS_PER_S:
        minutes, rest = divmod(size, MINUTE_S * NS_PER_S)
        sign = "-" if ns < 0 else ""
        return f"{sign}{minutes:.0f} min {rest / NS_PER_S:.3f} s"
    return duration_text(ns)


def seconds_text(ns: float) -> str:
    """Give seconds with one decimal, for columns in which all are seconds: "12.3 s"."""
    return f"{ns / NS_PER_S:,.1f} s"


def clock_text(seconds: float) -> str:
    """Give a time that runs, without jumping in width each moment: "12.4 s", "3 min 05 s"."""
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), MINUTE_S)
    if minutes < HOUR_S // MINUTE_S:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _figures(number: float) -> str:
    """Give about three significant figures, without an exponent and without idle zeros."""
    size = abs(number)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 4
    text = f"{number:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _long(ns: float) -> str:
    sign = "-" if ns < 0 else ""
    minutes, seconds = divmod(round(abs(ns) / NS_PER_S), MINUTE_S)
    if minutes < HOUR_S // MINUTE_S:
        return f"{sign}{minutes} min {seconds} s"
    return f"{sign}{minutes // 60} h {minutes % 60} min"
