"""Monotonic writes: who sees a write sees what its session wrote before it.

Terry, Demers, Petersen, Spreitzer, Theimer and Welch, "Session guarantees for weakly consistent
replicated data", PDIS 1994. What clients can see of it: a session that saw a write, and afterwards
something older than what its writer had written before.
"""

from __future__ import annotations

from collections.abc import Mapping

from splitbrain.checkers.order.case import Case
from splitbrain.checkers.sessions.guarantee import judge
from splitbrain.checkers.sessions.others import missed_earlier_writes
from splitbrain.checkers.sessions.own import Missed
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Verdict


class MonotonicWrites:
    """Judges registers by session."""

    name = "monotonic-writes"
    needs = frozenset({Need.HISTORY})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge the history of this evidence."""
        return judge(evidence, "monotonic-writes-violation", missed_earlier_writes, _why)


def _why(case: Case, item: Missed) -> str:
    told, through = item.by
    return (
        f"in the same session {case.told(through)} before, which {case.named(told)} had made after "
        f"{case.named(item.write)} in one session"
    )
