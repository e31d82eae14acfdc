"""Makes the times of a fault round, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from splitbrain.core.fault import At, Fault

_STEPS_S = (1.0, 0.5, 0.1)


def simpler(fault: Fault) -> Iterator[Fault]:
    """Give the fault with rounder times, the roundest first."""
    starts = [fault.start]
    if isinstance(fault.start, At):
        starts = [At(s) for s in _round(fault.start.s)] + starts
    lasting: list[float | None] = [fault.duration_s]
    if fault.duration_s is not None:
        lasting = [s for s in (1.0, 2.0, 5.0) if s < fault.duration_s]
        lasting += [s for s in _round(fault.duration_s) if s > 0] + [fault.duration_s]
    tried = [(fault.start, fault.duration_s)]
    for duration_s in lasting:
        for start in starts:
            if (start, duration_s) not in tried:
                tried.append((start, duration_s))
                yield replace(fault, start=start, duration_s=duration_s)


def _round(seconds: float) -> list[float]:
    return [round(round(seconds / step) * step, 1) for step in _STEPS_S]
