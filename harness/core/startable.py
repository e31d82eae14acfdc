"""Whether every fault of a schedule can start at all.

Schedules that were made of others, by leaving faults out or by ending earlier, may hold faults that
never come; a run reports them as missed. Whoever hands in a schedule wants each of its faults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

from splitbrain.core.errors import UsageError
from splitbrain.core.fault import After, At, Fault, Schedule
from splitbrain.core.known_names import instead


def require_startable(schedule: Schedule, time_limit_s: float) -> None:
    """Refuse a fault that waits for what never comes, or whose time is after the load's end.

    Raises: UsageError naming the fault and the field.
    """
    faults = {fault.id: fault for fault in schedule}
    earliest_s: dict[str, float] = {}
    for fault in schedule:
        for link in _chain(fault, faults, earliest_s):
            earliest_s[link.id] = moment_s = _earliest(link, faults, earliest_s)
            if moment_s >= time_limit_s:
                _refuse_late(link, moment_s, time_limit_s)


def _chain(fault: Fault, faults: Mapping[str, Fault], known: Mapping[str, float]) -> list[Fault]:
    """Give a fault behind all that it waits for of which nothing is known yet."""
    chain: dict[str, Fault] = {}
    while fault.id not in known:
        if fault.id in chain:
            names = [*chain][[*chain].index(fault.id) :]
            circle = " waits for ".join(map(repr, [*names, fault.id]))
            _refuse(fault, "after", f"it goes in a circle: {circle}")
        chain[fault.id] = fault
        other = _awaited(fault)
        if other is None:
            break
        if other not in faults:
            listed = instead(other, [name for name in faults if name != fault.id])
            _refuse(fault, "after", f"there is no fault {other!r} in the schedule; {listed}")
        fault = faults[other]
    return [*reversed(chain.values())]


def _awaited(fault: Fault) -> str | None:
    start = fault.start
    if isinstance(start, At):
        return None
    return start.fault if isinstance(start, After) else start.after


def _earliest(fault: Fault, faults: Mapping[str, Fault], earliest_s: Mapping[str, float]) -> float:
    """Give the seconds after which a fault may start; infinite where only the end lets it."""
    start = fault.start
    if isinstance(start, At):
        return start.s
    if isinstance(start, After):
        lasts_s = faults[start.fault].duration_s if start.healed else 0.0
        return earliest_s[start.fault] + (math.inf if lasts_s is None else lasts_s) + start.delay_s
    return start.delay_s + (0.0 if start.after is None else earliest_s[start.after])


def _refuse_late(fault: Fault, moment_s: float, time_limit_s: float) -> NoReturn:
    if math.isinf(moment_s):
        why = f"{_awaited(fault)!r} is healed only when the load ends: give it a duration_s"
        _refuse(fault, "after", why)
    field = "at_s" if isinstance(fault.start, At) else "delay_s"
    why = (
        f"it can start after {moment_s:g} s at the earliest, and the load ends after "
        f"{time_limit_s:g} s: start it earlier, or ask for more time"
    )
    _refuse(fault, field, why)


def _refuse(fault: Fault, field: str, why: str) -> NoReturn:
    message = f"fault {fault.id!r} of the schedule, start: {field!r}: {why}"
    raise UsageError(message)
