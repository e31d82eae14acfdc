"""A plan with other faults than it had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from splitbrain.core.fault import Fault, Schedule
from splitbrain.core.run import Plan


def with_faults(plan: Plan, faults: Iterable[Fault]) -> Plan:
    """Give the plan with these faults; where it is pinned what they hit, they hit that still."""
    kept = {fault.id: fault for fault in faults}
    pinned = plan.resolved
    if pinned is not None:
        pinned = tuple(
            replace(item, fault=kept[item.fault.id]) for item in pinned if item.fault.id in kept
        )
    return replace(plan, schedule=Schedule(tuple(kept.values())), resolved=pinned)
