"""Room behind faults: on hosts they take hold later than in the simulator, as does what follows.

A case of the simulator may have a fault, and a few milliseconds later the operation that must come
after it. There that is always so; on hosts it is once in a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from splitbrain.core.fault import At
from splitbrain.core.run import Plan
from splitbrain.shrinking.later import end_s, is_since, later

ROOMS_S = (2.0, 1.0, 0.5)
"""So long after a fault begins or ends nothing else happens, the longest first."""
_NS = 1_000_000_000


def moments(plan: Plan) -> Sequence[float]:
    """Give when faults begin and end, in seconds, each moment once and in order."""
    found = set()
    for fault in plan.schedule or ():
        if isinstance(fault.start, At):
            found.add(fault.start.s)
        if (ends_s := end_s(fault)) is not None:
            found.add(ends_s)
    return sorted(found)


def roomier(plan: Plan, moment_s: float) -> Iterator[Plan]:
    """Give the plan with all that comes after a moment so much later, as far as it is close."""
    following = [item.at_ns / _NS for item in plan.operations or () if is_since(item, moment_s)]
    following += [other for other in moments(plan) if other > moment_s]
    gap_s = min(following, default=plan.time_limit_s) - moment_s
    for room_s in ROOMS_S:
        if gap_s < room_s:
            yield later(plan, room_s, since_s=moment_s)
