"""Regularity: a read returns the last write that completed before it began, or one at its time.

Lamport, "On interprocess communication", 1986; for several writers in the sense that nothing which
completed may lie strictly between a read and what it returned (Shao, Welch, Pierce and Lee,
"Multiwriter consistency conditions for shared memory registers", 2011). Quorums with R+W>N promise
this and no more: two reads at the time of one write may see it and then not see it.
"""

from __future__ import annotations

from collections.abc import Mapping

from splitbrain.checkers.freshness.spans import by_place
from splitbrain.checkers.freshness.stale import (
    future_reads,
    inversions,
    stale_reads,
    told_future,
    told_stale,
)
from splitbrain.checkers.order.case import Found, add_thin_air, conclude, prepare
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Verdict


class Regular:
    """Judges each read by itself. The inversions that regularity allows are counted."""

    name = "regular"
    needs = frozenset({Need.HISTORY})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge the history of this evidence."""
        case = prepare(evidence)
        if isinstance(case, Verdict):
            return case
        found = Found()
        add_thin_air(case, found)
        spans = by_place(case.accesses)
        stale, future = stale_reads(spans), future_reads(spans)
        found.add(told_stale(case, stale), len(stale.read))
        found.add(told_future(case, future), len(future))
        return conclude(case, found, new_old_inversions=len(inversions(spans)))
