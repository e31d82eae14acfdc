"""When the faults of one kind come: slots over the main phase, each keyed by its own number.

A slot is drawn from the kind's randomness and its number alone, so that taking one fault away, or a
whole kind, leaves all others where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from splitbrain.core.fault import FAULT_LIMIT, Shape
from splitbrain.core.randomness import Keyed

T = TypeVar("T")

LEAD_IN_S = 2.0
TAIL_S = 1.0
_LEAD_IN_SHARE, _TAIL_SHARE = 0.1, 0.05
_INTERVAL_SHARE = 0.6
_PHASE, _JITTER = 0.5, 0.1
_DURATION = (0.25, 0.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Room for one fault. number: from 1. rng: keyed by the kind and the number."""

    number: int
    start_s: float
    duration_s: float
    rng: Keyed


def slots(rng: Keyed, shape: Shape) -> Sequence[Slot]:
    """Give the slots of a run, one an interval.

    The first starts within the first half. Each takes 25 to 40 percent of its interval, and at
    least half an interval lies between its end and the next start, so that the system can recover;
    all end before the main phase does. Kinds differ in phase: their faults overlap in some runs and
    take turns in others.
    """
    limit_s = shape.time_limit_s
    interval_s = min(shape.interval_s, _INTERVAL_SHARE * limit_s)
    lead_in_s = min(LEAD_IN_S, _LEAD_IN_SHARE * limit_s)
    end_s = limit_s - min(TAIL_S, _TAIL_SHARE * limit_s)
    phase = rng.child("phase").uniform(0, _PHASE)
    found: list[Slot] = []
    while interval_s > 0 and len(found) < FAULT_LIMIT:
        keyed = rng.child("slot", len(found) + 1)
        late = phase + keyed.uniform(0, _JITTER, 1)
        start_s = lead_in_s + (len(found) + late) * interval_s
        duration_s = keyed.uniform(*_DURATION, 2) * interval_s
        if start_s + duration_s > end_s:
            break
        found.append(
            Slot(
                number=len(found) + 1,
                start_s=round(start_s, 3),
                duration_s=round(duration_s, 3),
                rng=keyed,
            )
        )
    return found


def alternating(rng: Keyed, gentle: Sequence[T], harsh: Sequence[T] = ()) -> Sequence[T]:
    """Give an order in which every item comes once, to be gone through again and again.

    The first is a gentle one, under which the system ought to work on: a run that has room for one
    fault then still shows whether it does.
    """
    order = rng.child("order").shuffled([*gentle, *harsh])
    first = next((place for place, item in enumerate(order) if item in gentle), 0)
    return order[first:] + order[:first]
