"""A plan in which everything since a moment happens later, or earlier, with the same distances."""

from __future__ import annotations

from dataclasses import replace

from splitbrain.core.fault import At, Fault
from splitbrain.core.planned import PlannedOperation
from splitbrain.core.run import Plan
from splitbrain.shrinking.with_faults import with_faults

_NS = 1_000_000_000


def later(plan: Plan, by_s: float, *, since_s: float) -> Plan:
    """Give the plan with all that comes at a moment or after it so much later, and its end too.

    by_s: less than 0 for earlier. A fault that begins at the moment stays, and one that is active
    then lasts longer.
    """
    operations = tuple(
        replace(item, at_ns=item.at_ns + round(by_s * _NS)) if is_since(item, since_s) else item
        for item in plan.operations or ()
    )
    faults = [_fault_later(fault, by_s, since_s) for fault in plan.schedule or ()]
    limit_s = round(plan.time_limit_s + by_s, 9)
    return replace(with_faults(plan, faults), operations=operations, time_limit_s=limit_s)


def is_since(item: PlannedOperation, moment_s: float) -> bool:
    """Tell whether an operation is of the main phase, and begins at a moment or after it."""
    return item.phase == "main" and item.at_ns >= moment_s * _NS


def end_s(fault: Fault) -> float | None:
    """Give when a fault ends, in seconds; None for one that waits, or is healed with all others."""
    if not isinstance(fault.start, At) or fault.duration_s is None:
        return None
    return round(fault.start.s + fault.duration_s, 9)


def _fault_later(fault: Fault, by_s: float, since_s: float) -> Fault:
    if not isinstance(fault.start, At):
        return fault
    if fault.start.s > since_s:
        return replace(fault, start=At(round(fault.start.s + by_s, 9)))
    ends_s = end_s(fault)
    if fault.duration_s is not None and ends_s is not None and ends_s > since_s:
        return replace(fault, duration_s=round(fault.duration_s + by_s, 9))
    return fault
