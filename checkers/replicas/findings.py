"""What was found, a few of each name, and the verdict that comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from splitbrain.checkers.replicas.trace import Acked
from splitbrain.checkers.replicas.version import Cell, Seen
from splitbrain.core.evidence import Evidence
from splitbrain.core.operation import Operation
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Status, Verdict

SHOWN_OF_EACH = 3
REASONS_SHOWN = 20


@dataclass(slots=True)
class Findings:
    """counts: all that was found, by name. reasons: what is missing, and leaves doubt."""

    anomalies: list[Anomaly] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        explanation: str,
        proof: Iterable[Value] = (),
        operations: Iterable[Operation] = (),
    ) -> None:
        """Add an anomaly with what proves it."""
        self.counts[name] += 1
        if self.counts[name] <= SHOWN_OF_EACH:
            ordered = sorted(operations, key=lambda item: item.invoke_index)
            self.anomalies.append(
                Anomaly(
                    name=name,
                    explanation=explanation,
                    operations=tuple(ordered),
                    evidence=tuple(proof),
                )
            )

    def verdict(self, checked: int, nothing: str, *, limit: str = "", **stats: Value) -> Verdict:
        """Give the verdict.

        checked: how many things were looked at; nothing: why if none. limit: what the verdict does
        not say, whatever it is.
        """
        reasons = list(dict.fromkeys(self.reasons))
        if not checked:
            reasons.append(nothing)
        if len(reasons) > REASONS_SHOWN:
            more = len(reasons) - REASONS_SHOWN
            reasons = [*reasons[:REASONS_SHOWN], f"and {more} more places of the kind"]
        status = Status.UNKNOWN if reasons else Status.VALID
        if self.anomalies:
            status = Status.INVALID
        return Verdict(
            status=status,
            anomalies=tuple(self.anomalies),
            reasons=(*reasons, *filter(None, [limit])),
            stats={**stats, "found": dict(self.counts)},
        )


def unsettled_reason(evidence: Evidence) -> str | None:
    """Say why nothing can be claimed of the end: the system had not settled; else None."""
    finals = [phase for _, phase in evidence.phases or () if phase.name == "final"]
    if not finals:
        return "did-not-settle: the run has no final phase"
    if finals[-1].settled is not True:
        why = f" ({finals[-1].reason})" if finals[-1].reason else ""
        return f"did-not-settle: the system had not settled before the final reads{why}"
    return None


def are_mended(level: str, facts: Mapping[str, Value]) -> bool:
    """Tell whether replicas that missed a write hear of it in the end.

    At `causal` they always do; elsewhere where replicas are compared, unless the fact `mends` says
    that nobody does that: then a write is promised to those alone that acknowledged it.
    """
    return level == "causal" or facts.get("mends") is not False


def shown_cell(cell: Cell) -> Value:
    """Give a cell as proof."""
    versions: list[Value] = [
        {"dot": list(v.dot), "stamp": v.stamp, "value": v.value, "deleted": v.deleted}
        for v in cell.versions
    ]
    return {
        "node": cell.node,
        "level": cell.level,
        "key": cell.key,
        "seen": _shown_seen(cell.seen),
        "versions": versions,
    }


def shown_write(write: Acked) -> Value:
    """Give the record of an acknowledgement as proof."""
    return dict(write.record)


def _shown_seen(seen: Seen) -> Value:
    dots: list[Value] = [list(dot) for dot in sorted(seen.dots)]
    return {"clock": dict(seen.clock), "dots": dots}


def listed(names: Sequence[str]) -> str:
    """Give names for people."""
    return ", ".join(names) or "nobody"
