"""Read your writes: a session sees what it wrote itself, or something newer.

Terry, Demers, Petersen, Spreitzer, Theimer and Welch, "Session guarantees for weakly consistent
replicated data", PDIS 1994.
"""

from __future__ import annotations

from collections.abc import Mapping

from splitbrain.checkers.order.case import Case
from splitbrain.checkers.sessions.guarantee import judge
from splitbrain.checkers.sessions.own import Missed, missed_own_writes
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Verdict


class ReadYourWrites:
    """Judges registers by session."""

    name = "read-your-writes"
    needs = frozenset({Need.HISTORY})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge the history of this evidence."""
        return judge(evidence, "read-your-writes-violation", missed_own_writes, _why)


def _why(case: Case, item: Missed) -> str:
    return f"the same session had done {case.named(item.write)} before"
