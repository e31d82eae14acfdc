"""What the rules of Raft found: anomalies, a few of each name, and the gaps that leave doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from splitbrain.checkers.raft_traces.trace import Record, only_entry
from splitbrain.core.verdict import Anomaly

SHOWN_OF_EACH = 3


@dataclass(slots=True)
class Findings:
    """counts: all that was found, by name; anomalies: the first few of each name.

    gaps: by node and what is wrong, the place where it first was, and how often it was.
    """

    anomalies: list[Anomaly] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    gaps: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)

    def gap(self, node: str, what: str, place: str = "") -> None:
        """Add a gap in the trace of a node."""
        first, count = self.gaps.get((node, what), (place, 0))
        self.gaps[node, what] = first, count + 1

    def gaps_of(self, node: str) -> list[str]:
        """Tell the gaps in the trace of a node, what is equal once."""
        return [
            place + what + (f" ({count} such records, this is the first)" if count > 1 else "")
            for (owner, what), (place, count) in self.gaps.items()
            if owner == node
        ]

    def add(
        self,
        name: str,
        explanation: str,
        records: Iterable[Record | None],
        index: int | None = None,
    ) -> None:
        """Add an anomaly with the records that prove it; index: of the entry that counts."""
        self.counts[name] += 1
        if self.counts[name] > SHOWN_OF_EACH:
            return
        proof: list[Record] = []
        for record in records:
            if record is not None and not any(record is other for other in proof):
                proof.append(record)
        evidence = tuple(only_entry(record, index) for record in proof)
        self.anomalies.append(Anomaly(name=name, explanation=explanation, evidence=evidence))
