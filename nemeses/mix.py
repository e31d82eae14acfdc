"""Draws a schedule in which kinds of fault take turns: a few at a time, with quiet between.

The main phase is cut into stretches. In each of them a few kinds are at work, as if it were
a run of its own. After a round in which every kind had its turn comes a quiet stretch, in which the
system can show that it recovers. (Jepsen's NATS suite changes its mix over time as well.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from splitbrain.core.fault import After, At, Fault, Nemesis, Schedule, Shape, Start, When, by_kind
from splitbrain.core.randomness import Keyed
from splitbrain.nemeses.draw import by_start, drawn_by

TOGETHER = 3
STRETCH_S = 20.0
QUIET_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of the main phase, and the kinds that are at work in it; none in a quiet one."""

    number: int
    start_s: float
    length_s: float
    kinds: tuple[str, ...]


def draw_mix(nemeses: Sequence[Nemesis], seed: int, shape: Shape) -> Schedule:
    """Draw faults of all kinds, a few kinds at a time, sorted by their start.

    Every kind has a stretch that begins in the first two thirds. Which kinds come together depends
    on the seed and on all of them: one kind more or less may change everything.

    Raises: UsageError when two nemeses are of one kind, ContractError when one draws badly.
    """
    table = by_kind(nemeses)
    found: list[Fault] = []
    counts = dict.fromkeys(table, 0)
    for stretch in stretches(sorted(table), Keyed.of(seed, "mix"), shape):
        part = replace(
            shape,
            time_limit_s=stretch.length_s,
            interval_s=min(shape.interval_s, stretch.length_s),
        )
        for kind in stretch.kinds:
            rng = Keyed.of(seed, "draw", kind).child("stretch", stretch.number)
            drawn = drawn_by(table[kind], rng, part)
            found.extend(_placed(drawn, stretch.start_s, kind, counts[kind]))
            counts[kind] += len(drawn)
    return Schedule(tuple(sorted(found, key=by_start)))


def stretches(kinds: Sequence[str], rng: Keyed, shape: Shape) -> Sequence[Stretch]:
    """Cut the main phase into stretches: rounds in which every kind has its turn, quiet between."""
    if not kinds:
        return ()
    turns = -(-len(kinds) // TOGETHER)
    length_s = min(STRETCH_S, shape.time_limit_s * 2 / 3 / turns)
    found: list[Stretch] = []
    at_s = 0.0
    for number in range(10_000):
        order = rng.child("round", number).shuffled(list(kinds))
        for group in _dealt(order, turns):
            if at_s + length_s > shape.time_limit_s * (1 + 1e-9):
                return found
            found.append(
                Stretch(number=len(found) + 1, start_s=at_s, length_s=length_s, kinds=group)
            )
            at_s += length_s
        quiet_s = min(length_s * QUIET_SHARE, max(0.0, shape.time_limit_s - at_s))
        found.append(Stretch(number=len(found) + 1, start_s=at_s, length_s=quiet_s, kinds=()))
        at_s += length_s * QUIET_SHARE
    return found


def _dealt(order: Sequence[str], turns: int) -> Iterable[tuple[str, ...]]:
    """Deal kinds to turns as evenly as can be."""
    return (tuple(sorted(order[turn::turns])) for turn in range(turns))


def _placed(drawn: Iterable[Fault], by_s: float, kind: str, before: int) -> Iterable[Fault]:
    """Move faults to their stretch, and number them on; those that wait for others still do."""
    faults = list(drawn)
    ids = {fault.id: f"{kind}-{before + place}" for place, fault in enumerate(faults, start=1)}
    return [
        replace(fault, id=ids[fault.id], start=_moved(fault.start, by_s, ids)) for fault in faults
    ]


def _moved(start: Start, by_s: float, ids: Mapping[str, str]) -> Start:
    if isinstance(start, At):
        return At(round(start.s + by_s, 3))
    if isinstance(start, After):
        return replace(start, fault=ids.get(start.fault, start.fault))
    assert isinstance(start, When)
    return replace(start, after=None if start.after is None else ids.get(start.after, start.after))
