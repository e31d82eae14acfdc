"""Carts: an item that was added, and that nobody tried to remove, is there in the end.

That is what the union of versions that stand side by side keeps (DeCandia et al., "Dynamo", SOSP
2007, section 4.4: "an add to cart operation is never lost"). Removed items may come back there, so
nothing is claimed of them. Where quorums miss each other and nothing mends replicas (the fact
`mends`), a read need not meet a write, and no item is called lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Anomaly, Status, Verdict, invalid, unknown

SHOWN = 3
_MISSES = (
    "no item is called lost: quorums need not meet, and with anti-entropy off nothing brings "
    "together what faults have parted"
)


class Cart:
    """Judges the last read of each cart against what was added and removed."""

    name = "cart"
    needs = frozenset({Need.HISTORY, Need.PHASES})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge every cart that was read once everything was healed and had settled."""
        history, phases = evidence.history, evidence.phases or ()
        finals = [(index, phase) for index, phase in phases if phase.name == "final"]
        if history is None or not finals:
            return unknown("there is no final phase, in which carts would be read")
        begun, final = finals[-1]
        carts: dict[str, list[Operation]] = {}
        for operation in history:
            carts.setdefault(canonical(operation.key), []).append(operation)
        found: list[Anomaly] = []
        may_miss = _may_miss(evidence.facts)
        unread, items = 0, 0
        for operations in carts.values():
            reads = [
                o
                for o in operations
                if o.f == "read" and o.outcome is Outcome.OK and o.invoke_index > begun
            ]
            if not reads:
                unread += 1
                continue
            found += _judge(operations, reads[-1], may_lose=may_miss or not final.settled)
            items += sum(o.f == "add" and o.outcome is Outcome.OK for o in operations)
        stats: dict[str, Value] = {"carts": len(carts), "unread": unread, "items": items}
        if found:
            return invalid(found[:SHOWN], **stats, found=len(found))
        if not items:
            return unknown("nothing was added to a cart that was read in the end", **stats)
        doubts = [f"{unread} carts were not read in the end"] if unread else []
        if not final.settled:
            doubts.append("the replicas had not settled when carts were read")
        if doubts:
            return unknown(*doubts, **stats)
        return Verdict(status=Status.VALID, reasons=(_MISSES,) if may_miss else (), stats=stats)


def _may_miss(facts: Mapping[str, Value]) -> bool:
    """Tell whether a read may miss a write for good: no quorum meets it, and nobody mends."""
    n, r, w = facts.get("n"), facts.get("r"), facts.get("w")
    if facts.get("mends") is not False:
        return False
    meet = isinstance(n, int) and isinstance(r, int) and isinstance(w, int) and r + w > n
    return not meet or facts.get("sloppy") is True


def _judge(
    operations: Sequence[Operation], read: Operation, *, may_lose: bool
) -> Sequence[Anomaly]:
    held = {canonical(item) for item in _items(read.result)}
    removed = {
        canonical(o.argument)
        for o in operations
        if o.f == "remove" and o.outcome is not Outcome.FAIL
    }
    added = {canonical(o.argument): o for o in operations if o.f == "add"}
    found = [
        Anomaly(
            name="lost-item",
            explanation=f"{o.argument!r} was added to {o.key!r}, and acknowledged; nobody removed "
            "it, and the cart does not hold it in the end",
            operations=(o, read),
        )
        for text, o in added.items()
        if o.outcome is Outcome.OK and text not in held | removed and not may_lose
    ]
    strange = [
        text for text in sorted(held) if text not in added or added[text].outcome is Outcome.FAIL
    ]
    found += [
        Anomaly(
            name="phantom-item",
            explanation=f"the cart {read.key!r} holds {text}, which nobody added",
            operations=(read,),
        )
        for text in strange
    ]
    return found


def _items(value: Value) -> Sequence[Value]:
    """Give the items of a cart: of one list, or of several that stand side by side."""
    if not isinstance(value, list):
        return []
    if value and all(isinstance(part, list) for part in value):
        return [item for part in value for item in part]  # type: ignore[union-attr]
    return value
