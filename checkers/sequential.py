"""Sequential consistency: one order of all operations that keeps the order of each session.

Lamport, "How to make a multiprocessor computer that correctly executes multiprocess programs",
1979. Each key by itself is decided exactly. For all keys together the question is NP-complete
(Gibbons and Korach 1997): what is wrong is mostly found by conditions that follow from it, what is
right by a guess at the order of the writes, and a search within a budget decides the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.causality.patterns import (
    add_overwritten,
    conflicting_orders,
    cyclic_order,
)
from splitbrain.checkers.order.accesses import accesses
from splitbrain.checkers.order.case import Case, Found, add_thin_air, conclude, prepare
from splitbrain.checkers.order.clocks import ClocksTooLarge
from splitbrain.checkers.order.overwritten import Overwriters, overwriters
from splitbrain.checkers.order.past import Past
from splitbrain.checkers.sequence.coherence import incoherent
from splitbrain.checkers.sequence.guess import fits, guesses
from splitbrain.checkers.sequence.search import OutOfBudgetError, Search
from splitbrain.core.columns import Integers
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.history import History
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Verdict

_SHRINK_TRIES = 400
_SHRINK_LIMIT = 2000
_SHOWN = 30


class Sequential:
    """Judges registers by session. budget: steps of the search, about a million a second."""

    name = "sequential"
    needs = frozenset({Need.HISTORY})

    def __init__(self, budget: int = 5_000_000) -> None:
        if budget < 0:
            message = "sequential needs a budget of 0 steps or more"
            raise UsageError(message)
        self._budget = budget

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters."""
        return {"budget": self._budget}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge the history of this evidence."""
        case = prepare(evidence)
        if isinstance(case, Verdict):
            return case
        found, reasons = Found(), []
        add_thin_air(case, found)
        route = "none"
        try:
            decided = _decide(case, found, self._budget) if len(case.accesses) else _NOTHING
            route = decided.route
            if decided.in_order is None:
                reasons.append(
                    f"the search for one order of all keys gave up after {self._budget} steps; "
                    "each key by itself is in order, and so is causality (causal, model ccv)"
                )
            elif not decided.in_order and not found:
                found.add([_unexplained(case, self._budget)])
        except ClocksTooLarge as limit:
            reasons.append(str(limit))
        return conclude(case, found, reasons=reasons, route=route)


@dataclass(frozen=True, slots=True)
class _Decision:
    """in_order: None when it is not known. route: what told it."""

    in_order: bool | None
    route: str


_NOTHING = _Decision(in_order=True, route="nothing to order")


def _decide(case: Case, found: Found, budget: int) -> _Decision:
    """Decide whether there is an order; add what proves that there is none, where it has a name."""
    past = Past(case.accesses)
    if len(past.clocks.stuck):
        found.add(cyclic_order(case, past))
        return _Decision(in_order=False, route="causal order")
    seen = overwriters(case.accesses, past.clocks, np.flatnonzero(case.accesses.reads))
    if len(seen.stale):
        add_overwritten(case, past, seen, found)
        return _Decision(in_order=False, route="causal order")
    wrong = Found()
    incoherent(case, past, wrong)
    if not wrong:
        wrong.add(conflicting_orders(case, past, seen))
    if wrong:
        found.take(wrong)
        return _Decision(in_order=False, route="orders of writes")
    return _undecided(past, seen, budget)


def _undecided(past: Past, seen: Overwriters, budget: int) -> _Decision:
    for name, rank in guesses(past, seen):
        if fits(past, rank):
            return _Decision(in_order=True, route=f"a guess by {name}")
    try:
        return _Decision(in_order=Search(past, seen, budget).run(), route="search")
    except OutOfBudgetError:
        return _Decision(in_order=None, route="search")


def _unexplained(case: Case, budget: int) -> Anomaly:
    """Show the few operations that no order explains."""
    history = case.history.take(_shrunk(case, budget))
    operations = tuple(history)
    told = "; ".join(case.phrases.told(item) for item in operations[:_SHOWN])
    return Anomaly(
        name="no-sequential-order",
        explanation=f"every order was tried, and none explains these {len(operations)} operations "
        f"together, although each key by itself is in order: {told}",
        operations=operations[:_SHOWN] if len(operations) > _SHOWN else operations,
    )


def _shrunk(case: Case, budget: int) -> Integers:
    """Leave out values with all that saw them, and reads, while no order explains the rest."""
    kept = case.accesses.row.copy()
    if len(kept) > _SHRINK_LIMIT:
        return kept
    tries, place = _SHRINK_TRIES, len(kept) - 1
    while place >= 0 and tries:
        place = min(place, len(kept) - 1)
        tries -= 1
        rest = _without(case, kept, int(kept[place]))
        if rest is not None and _has_no_order(case, rest, budget // 20):
            kept = rest
        place -= 1
    return kept


def _without(case: Case, kept: Integers, row: int) -> Integers | None:
    """Leave out one operation and, if it wrote, all that saw it, and so on."""
    entry_of = {int(item): entry for entry, item in enumerate(case.accesses.row)}
    gone = {entry_of[row]}
    source = case.accesses.source
    while True:
        more = {entry_of[int(item)] for item in kept if int(source[entry_of[int(item)]]) in gone}
        if more <= gone:
            break
        gone |= more
    rest = np.array([item for item in kept if entry_of[int(item)] not in gone], np.int64)
    return rest if len(rest) else None


def _has_no_order(case: Case, rows: Integers, budget: int) -> bool:
    smaller: History = case.history.take(rows)
    part = Case(
        accesses=accesses(smaller, case.initial), initial=case.initial, phrases=case.phrases
    )
    if not len(part.accesses) or part.accesses.thin_air:
        return False
    return _decide(part, Found(), budget).in_order is False
