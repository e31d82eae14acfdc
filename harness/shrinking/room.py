"""Room behind faults: on hosts they take hold later than in the simulator, as does what follows.

A case of the simulator may have a fault, and a few milliseconds later the operation that must come
after it. There that is always so; on hosts it is once in a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from splitbrain.core.fault import At, Fault, Schedule
from splitbrain.core.planned import PlannedOperation
from splitbrain.core.run import Plan

ROOMS_S = (2.0, 1.0, 0.5)
"""So long after a fault begins or ends nothing else happens, the longest first."""
_NS = 1_000_000_000


def moments(plan: Plan) -> Sequence[float]:
    """Give when faults begin and end, in seconds, each moment once and in order."""
    found = set()
    for fault in plan.schedule or ():
        if isinstance(fault.start, At):
            found.add(fault.start.s)
            if fault.duration_s is not None:
                found.add(_end_s(fault))
    return sorted(found)


def roomier(plan: Plan, moment_s: float) -> Iterator[Plan]:
    """Give the plan with all that comes after a moment so much later, as far as it is close."""
    following = [item.at_ns / _NS for item in plan.operations or () if _is_after(item, moment_s)]
    following += [other for other in moments(plan) if other > moment_s]
    gap_s = min(following, default=plan.time_limit_s) - moment_s
    for room_s in ROOMS_S:
        if gap_s < room_s:
            yield _later(plan, moment_s, room_s)


def _later(plan: Plan, moment_s: float, by_s: float) -> Plan:
    operations = tuple(
        replace(item, at_ns=item.at_ns + round(by_s * _NS)) if _is_after(item, moment_s) else item
        for item in plan.operations or ()
    )
    faults = tuple(_fault_later(fault, moment_s, by_s) for fault in plan.schedule or ())
    limit_s = round(plan.time_limit_s + by_s, 9)
    return replace(plan, operations=operations, schedule=Schedule(faults), time_limit_s=limit_s)


def _fault_later(fault: Fault, moment_s: float, by_s: float) -> Fault:
    """Let a fault begin later, or last longer where it is active at the moment."""
    if not isinstance(fault.start, At):
        return fault
    if fault.start.s > moment_s:
        return replace(fault, start=At(round(fault.start.s + by_s, 9)))
    if fault.duration_s is not None and _end_s(fault) > moment_s:
        return replace(fault, duration_s=round(fault.duration_s + by_s, 9))
    return fault


def _end_s(fault: Fault) -> float:
    assert isinstance(fault.start, At)
    assert fault.duration_s is not None
    return round(fault.start.s + fault.duration_s, 9)


def _is_after(item: PlannedOperation, moment_s: float) -> bool:
    return item.phase == "main" and item.at_ns >= moment_s * _NS
