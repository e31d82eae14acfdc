"""Recovery: whether the system works again in time once every fault is healed.

A system that stays dead after a partition is as broken as one that lies, but "nothing succeeded" is
proof only when healing is proved, when people kept trying, and when the bound is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.raft_traces.trace import Reading, records_of, untraced
from splitbrain.core.columns import Integers
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.history import OK_CODE, History
from splitbrain.core.journal import FaultEvent, Phase
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Verdict, figures, invalid, unknown, valid

NS = 1_000_000_000
ATTEMPTS = 3
"""How many operations must have failed after the bound, to say that the system does not work."""
GAP_SHARE = 1 / 3
"""Attempts within the bound count if none of them is further from the next than this part of it."""
SHOWN = 3
ELECTIONS = 3
"""In how many terms nobody was elected, to say that nobody is any more."""


class Recovery:
    """Judges recovery. bound_s: seconds; None takes the system's own `recovery_bound_s`."""

    name = "recovery"
    needs = frozenset({Need.HISTORY, Need.FAULTS, Need.PHASES})

    def __init__(self, bound_s: float | None = None) -> None:
        self._bound_s = bound_s

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters."""
        return {"bound_s": self._bound_s}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge; see the module for what it takes to accuse."""
        history, phases = evidence.history, evidence.phases or ()
        assert history is not None
        bound_s = self._bound_of(evidence.facts)
        if bound_s is None:
            return unknown("the system declares no recovery_bound_s, and none is given")
        events = evidence.faults or ()
        doubt = _unproved_healing(events)
        if doubt is not None:
            return unknown(doubt)
        healed_ns = max((e.time_ns for _, e in events if e.state == "healed"), default=None)
        from_ns = healed_ns if healed_ns is not None else _start_ns(phases)
        if from_ns is None:
            return unknown("the main phase never began")
        window = _Window.of(history, from_ns, bound_s)
        verdict = _judge(history, window, evidence, phases)
        if healed_ns is None and verdict.valid:
            return figures(**verdict.stats)  # nothing was broken: there was nothing to recover from
        return verdict

    def _bound_of(self, facts: Mapping[str, Value]) -> float | None:
        """Give the bound; a slow cluster has a pace, by which systems stretch their times."""
        if self._bound_s is not None:
            return float(self._bound_s)
        bound, pace = facts.get("recovery_bound_s"), facts.get("pace", 1.0)
        if isinstance(bound, bool) or not isinstance(bound, (int, float)):
            return None
        return float(bound) * (float(pace) if isinstance(pace, (int, float)) else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """What happened after the healing. Rows of the history; times of the controller's clock.

    first_ok_ns: when an operation first succeeded after it. late: rows invoked behind the bound
    that ended without success, before anything succeeded there. steady: whether operations were
    tried all over the bound.
    """

    from_ns: int
    bound_ns: int
    first_ok_ns: int | None
    late: Integers
    late_ok: bool
    within: Integers
    steady: bool

    @classmethod
    def of(cls, history: History, from_ns: int, bound_s: float) -> _Window:
        bound_ns = round(bound_s * NS)
        ended, started = history.end_ns, history.start_ns
        succeeded = (history.outcome == OK_CODE) & ended.present & (ended.items >= from_ns)
        oks = ended.items[succeeded]
        behind = started >= from_ns + bound_ns
        failed = (history.outcome != OK_CODE) & ended.present
        within = (started >= from_ns) & ~behind & failed
        tries = np.sort(started[within])
        edges = np.concatenate([[from_ns], tries, [from_ns + bound_ns]])
        return cls(
            from_ns=from_ns,
            bound_ns=bound_ns,
            first_ok_ns=int(oks.min()) if len(oks) else None,
            late=np.flatnonzero(behind & failed),
            late_ok=bool((behind & succeeded).any()),
            within=np.flatnonzero(within),
            steady=len(tries) >= ATTEMPTS
            and int(np.diff(edges).max()) <= max(1, int(bound_ns * GAP_SHARE)),
        )

    @property
    def in_time(self) -> bool:
        return self.first_ok_ns is not None and self.first_ok_ns - self.from_ns <= self.bound_ns

    @property
    def dead(self) -> bool:
        """Tell whether enough was tried to say that it did not work in time."""
        return (len(self.late) >= ATTEMPTS and not self.late_ok) or self.steady


def _judge(
    history: History,
    window: _Window,
    evidence: Evidence,
    phases: Sequence[tuple[int, Phase]],
) -> Verdict:
    bound_s = window.bound_ns / NS
    stats: dict[str, Value] = {
        "bound_s": bound_s,
        "recovery_s": None
        if window.first_ok_ns is None
        else round((window.first_ok_ns - window.from_ns) / NS, 3),
        "failed_within_bound": len(window.within),
        "failed_after_bound": len(window.late),
    }
    if window.in_time:
        if len(window.late) >= ATTEMPTS and not window.late_ok:
            return unknown(
                f"something succeeded within {bound_s:g} s after healing, but none of the "
                f"{len(window.late)} operations behind that",
                **stats,
            )
        return valid(**stats)
    if window.dead:
        return invalid([_anomaly(history, window, evidence)], **stats)
    return unknown(*_why_open(window, phases), **stats)


def _anomaly(history: History, window: _Window, evidence: Evidence) -> Anomaly:
    rows = window.late if len(window.late) and not window.late_ok else window.within
    operations = tuple(history[int(row)] for row in rows[:SHOWN])
    told = f"in {window.bound_ns / NS:g} s"
    tried = len(window.late) + len(window.within)
    since = "every fault was healed" if _was_broken(evidence) else "the load began"
    leaderless = _leaderless(evidence)
    if leaderless is not None:
        return Anomaly(
            name="no-leader",
            explanation=(
                f"{leaderless}, and nothing succeeded {told} after {since}, though {tried} "
                "operations were tried"
            ),
            operations=operations,
            evidence=_votes(evidence),
        )
    ended = ""
    if window.first_ok_ns is not None:
        late_s = (window.first_ok_ns - window.from_ns) / NS
        ended = f"; the first success came {late_s:.1f} s after it"
    elif not (history.outcome == OK_CODE).any():
        ended = "; nothing had succeeded before that either"
    return Anomaly(
        name="no-recovery",
        explanation=(
            f"nothing succeeded {told} after {since}, though {tried} operations were tried{ended}"
        ),
        operations=operations,
    )


def _was_broken(evidence: Evidence) -> bool:
    return any(event.state == "healed" for _, event in evidence.faults or ())


def _leaderless(evidence: Evidence) -> str | None:
    """Say how traces of Raft, whole and of all members, prove that nobody leads, or give None.

    Terms tell it without a clock: elections were held in terms above that of the last leader, and
    nobody who led shows no later sign of having ended that.
    """
    readings = [Reading.of(trace) for trace in (evidence.traces or {}).values()]
    if not readings or untraced(readings) or not all(reading.is_whole for reading in readings):
        return None
    led = [record["term"] for _, record in records_of(readings, "lead")]
    if not led:
        return "no node ever became leader"
    if any(_may_lead(reading.records) for reading in readings):
        return None
    tried = {record["term"] for _, record in records_of(readings, "vote")}
    later = sorted(term for term in tried if term > max(led))
    if len(later) < ELECTIONS:
        return None
    return (
        f"nobody led after term {max(led)}, though there were votes in {len(later)} later terms, "
        f"up to {later[-1]}"
    )


def _may_lead(records: Iterable[Mapping[str, Value]]) -> bool:
    """Tell whether a node became leader and shows no sign of having ended it."""
    term: int | None = None
    for record in records:
        event = record.get("event")
        if event == "lead":
            term = _term(record)
        elif event in ("boot", "step-down") or (term is not None and _term(record) > term):
            term = None
    return term is not None


def _term(record: Mapping[str, Value]) -> int:
    term = record.get("term")
    return term if type(term) is int else 0


def _votes(evidence: Evidence) -> tuple[Value, ...]:
    """Give the last vote of each node: they show that it was tried."""
    last: dict[str, Value] = {}
    for node, trace in sorted((evidence.traces or {}).items()):
        for record in trace.records:
            if record.get("event") == "vote":
                last[node] = dict(record)
    return tuple(last.values())


def _unproved_healing(events: Sequence[tuple[int, FaultEvent]]) -> str | None:
    """Say why it is not proved that everything was healed."""
    broken: dict[str, None] = {}
    for _, event in events:
        if event.state == "expired":
            return f"{event.fault}: a node healed itself because the lease ran out"
        if event.state in ("injecting", "active", "healing"):
            broken[event.fault] = None
        elif event.state == "healed":
            broken.pop(event.fault, None)
    return f"{next(iter(broken))} was never healed" if broken else None


def _start_ns(phases: Sequence[tuple[int, Phase]]) -> int | None:
    return next((phase.time_ns for _, phase in phases if phase.name == "main"), None)


def _why_open(window: _Window, phases: Sequence[tuple[int, Phase]]) -> Sequence[str]:
    tried = len(window.within) + len(window.late)
    bound_s = window.bound_ns / NS
    if window.first_ok_ns is not None:
        late_s = (window.first_ok_ns - window.from_ns) / NS
        why = (
            f"the first success came {late_s:.1f} s after healing, and the bound is {bound_s:g} s, "
            "but too little was tried before to say that it would not have worked earlier"
        )
    else:
        why = (
            f"nothing succeeded after healing, but {tried} operations that were tried within and "
            f"behind the bound of {bound_s:g} s are too few to judge by"
        )
    reasons = [why]
    for _, phase in phases:
        if phase.name == "final" and phase.settled is False:
            reasons.append(f"did-not-settle: {phase.reason or 'no reason given'}")
    return reasons
