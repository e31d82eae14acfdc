"""Gives faults that waited for something the times at which they came.

A fault that begins when so much was committed needs the operations that commit it, and one that
follows another needs that one. A time needs nothing.
"""

from __future__ import annotations

from dataclasses import replace

from splitbrain.core.evidence import Evidence
from splitbrain.core.fault import At, Schedule


def timed(schedule: Schedule, evidence: Evidence) -> Schedule:
    """Give the faults of a run that were injected, each to begin at the time when it was."""
    began = [phase.time_ns for _, phase in evidence.phases or () if phase.name == "main"]
    if not began:
        return schedule
    starts: dict[str, At] = {}
    for _, event in evidence.faults or ():
        if event.state == "injecting":
            starts.setdefault(event.fault, At((event.time_ns - began[0]) / 1e9))
    came = (fault for fault in schedule if fault.id in starts)
    return Schedule(tuple(replace(fault, start=starts[fault.id]) for fault in came))
