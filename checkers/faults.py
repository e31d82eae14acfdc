"""Faults: whether every kind that was asked for took hold, and whether all were healed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.journal import FaultEvent
from splitbrain.core.value import Value
from splitbrain.core.verdict import Status, Verdict

NS = 1_000_000_000
_STATES = ("planned", "active", "missed", "healed")


@dataclass(slots=True)
class FaultLife:
    """What the journal tells of one fault. Times are of the controller's monotonic clock."""

    id: str
    kind: str
    states: set[str] = field(default_factory=set)
    under_way: bool = False
    active_ns: int | None = None
    healed_ns: int | None = None
    error: str | None = None
    nodes: tuple[str, ...] = ()
    shape: str | None = None


def lives_of(events: Sequence[tuple[int, FaultEvent]]) -> Sequence[FaultLife]:
    """Give the life of each fault, in the order in which they were planned; leases are left out."""
    lives: dict[str, FaultLife] = {}
    for _, event in events:
        if event.state == "expired":
            continue
        life = lives.setdefault(event.fault, FaultLife(event.fault, event.kind))
        life.states.add(event.state)
        life.error = event.error or life.error
        if event.state in ("injecting", "active", "healing"):
            life.under_way = True
        if event.state == "active":
            life.active_ns = event.time_ns
        if event.state == "healed":
            life.under_way = False
            life.healed_ns = event.time_ns
        _resolve(life, event.resolved)
    return list(lives.values())


def expired_of(events: Sequence[tuple[int, FaultEvent]]) -> Sequence[str]:
    """Give the names under which nodes undid faults by themselves because the lease ran out."""
    return [event.fault for _, event in events if event.state == "expired"]


class Faults:
    """Has an opinion only when something went wrong: a fault that took hold proves nothing else.

    kinds: the kinds that were asked for; those of the planned faults count as well. of_package:
    kinds that were only asked for as parts of a package, of which any one is enough.
    """

    name = "faults"
    needs = frozenset({Need.FAULTS})

    def __init__(self, kinds: Sequence[str] = (), of_package: Sequence[str] = ()) -> None:
        self._kinds = tuple(kinds)
        self._of_package = tuple(of_package)

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters."""
        return {"kinds": list(self._kinds), "of_package": list(self._of_package)}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge: unknown when a kind never took hold, or when healing is not proved."""
        events = evidence.faults or ()
        lives = lives_of(events)
        problems = [*self._never(lives), *_unhealed(lives)]
        problems += [
            f"{name}: the lease ran out and the node healed itself: what was active when is not "
            "known"
            for name in expired_of(events)
        ]
        missed = [
            f"{life.id} was missed: {life.error or 'no reason given'}"
            for life in lives
            if "missed" in life.states
        ]
        return Verdict(
            status=Status.UNKNOWN if problems else Status.VALID,
            reasons=(*problems, *missed),
            stats=_stats(lives, _main_ns(evidence)),
            judges=bool(problems),
        )

    def _never(self, lives: Sequence[FaultLife]) -> Sequence[str]:
        wanted = dict.fromkeys([*self._kinds, *(life.kind for life in lives)])
        held = {life.kind for life in lives if "active" in life.states}
        never = [
            f"no fault of the kind {kind!r} ever took hold"
            for kind in wanted
            if kind not in held and kind not in self._of_package
        ]
        if self._of_package and held.isdisjoint(self._of_package):
            never.append(f"no fault ever took hold of the kinds {', '.join(self._of_package)}")
        return never


def _unhealed(lives: Sequence[FaultLife]) -> Sequence[str]:
    return [
        f"{life.id} was not healed{': ' + life.error if life.error else ''}"
        for life in lives
        if life.under_way
    ]


def _resolve(life: FaultLife, resolved: object) -> None:
    if not isinstance(resolved, dict):
        return
    nodes, detail = resolved.get("nodes"), resolved.get("detail")
    if isinstance(nodes, list):
        life.nodes = tuple(map(str, nodes))
    if isinstance(detail, dict) and isinstance(detail.get("shape"), str):
        life.shape = detail["shape"]


def _main_ns(evidence: Evidence) -> int | None:
    return next((phase.time_ns for _, phase in evidence.phases or () if phase.name == "main"), None)


def _stats(lives: Sequence[FaultLife], main_ns: int | None) -> dict[str, Value]:
    kinds: dict[str, Value] = {
        kind: {
            state: sum(life.kind == kind and state in life.states for life in lives)
            for state in _STATES
        }
        for kind in sorted({life.kind for life in lives})
    }
    return {"kinds": kinds, "faults": [_told(life, main_ns) for life in lives]}


def _told(life: FaultLife, main_ns: int | None) -> Value:
    def seconds(moment_ns: int | None) -> float | None:
        if moment_ns is None or main_ns is None:
            return None
        return round((moment_ns - main_ns) / NS, 3)

    return {
        "id": life.id,
        "kind": life.kind,
        "nodes": list(life.nodes),
        "shape": life.shape,
        "start_s": seconds(life.active_ns),
        "end_s": seconds(life.healed_ns) if life.active_ns is not None else None,
        "missed": life.error if "missed" in life.states else None,
    }
