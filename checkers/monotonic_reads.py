"""Monotonic reads: what a session has seen once, it sees from then on, or something newer.

Terry, Demers, Petersen, Spreitzer, Theimer and Welch, "Session guarantees for weakly consistent
replicated data", PDIS 1994.
"""

from __future__ import annotations

from collections.abc import Mapping

from splitbrain.checkers.order.case import Case
from splitbrain.checkers.sessions.guarantee import judge
from splitbrain.checkers.sessions.own import Missed, missed_seen_writes
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Verdict


class MonotonicReads:
    """Judges registers by session."""

    name = "monotonic-reads"
    needs = frozenset({Need.HISTORY})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge the history of this evidence."""
        return judge(evidence, "monotonic-reads-violation", missed_seen_writes, _why)


def _why(case: Case, item: Missed) -> str:
    return f"in the same session {case.told(item.by[0])} before"
