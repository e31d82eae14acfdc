"""Carts: an item that was added in time, and that nobody tried to remove, is there in the end.

That is what the union of versions that stand side by side keeps (DeCandia et al., "Dynamo", SOSP
2007, section 4.4: "an add to cart operation is never lost"). Removed items may come back there, so
nothing is claimed of them. Where quorums miss each other and nothing mends replicas (the fact
`mends`), a read need not meet a write, and no item is called lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        unread, items, late = 0, 0, 0
        for operations in carts.values():
            reads = [
                o
                for o in operations
                if o.f == "read" and o.outcome is Outcome.OK and o.invoke_index > begun
            ]
            if not reads:
                unread += 1
                continue
            cart = _Cart.of(operations, reads[-1])
            if not may_miss and final.settled:
                found += cart.lost()
                late += len(cart.late)
            found += cart.strange()
            items += sum(map(len, cart.added.values()))
        stats: dict[str, Value] = {"carts": len(carts), "unread": unread, "items": items}
        if found:
            return invalid(found[:SHOWN], **stats, found=len(found))
        if not items:
            return unknown("nothing was added to a cart that was read in the end", **stats)
        doubts = _doubts(unread, late, settled=bool(final.settled))
        if doubts:
            return unknown(*doubts, **stats)
        return Verdict(status=Status.VALID, reasons=(_MISSES,) if may_miss else (), stats=stats)


def _doubts(unread: int, late: int, *, settled: bool) -> list[str]:
    """Say what the last reads leave open."""
    doubts = [f"{unread} carts were not read in the end"] if unread else []
    if not settled:
        doubts.append("the replicas had not settled when carts were read")
    if late:
        were = "items were" if late > 1 else "item was"
        doubts.append(f"{late} {were} added too late for a last read to tell whether it is kept")
    return doubts


def _may_miss(facts: Mapping[str, Value]) -> bool:
    """Tell whether a read may miss a write for good: no quorum meets it, and nobody mends."""
    n, r, w = facts.get("n"), facts.get("r"), facts.get("w")
    if facts.get("mends") is not False:
        return False
    meet = isinstance(n, int) and isinstance(r, int) and isinstance(w, int) and r + w > n
    return not meet or facts.get("sloppy") is True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cart:
    """A cart and its last read; items as canonical text.

    added: additions that had succeeded before the read began, by item. possible: items whose
    addition may have happened before it ended. removed: the same of removals. late: items whose
    addition succeeded, but not in time, and that the read did not see.
    """

    read: Operation
    held: frozenset[str]
    added: Mapping[str, Sequence[Operation]]
    possible: frozenset[str]
    removed: frozenset[str]
    late: frozenset[str]

    @classmethod
    def of(cls, operations: Sequence[Operation], read: Operation) -> _Cart:
        """Sort the operations of a cart by what the read must and may have seen of them."""
        assert read.complete_index is not None
        added: dict[str, list[Operation]] = {}
        possible: set[str] = set()
        removed: set[str] = set()
        succeeded: set[str] = set()
        for o in operations:
            if o.f == "read" or o.outcome is Outcome.FAIL:
                continue
            item = canonical(o.argument)
            if o.invoke_index < read.complete_index:
                (possible if o.f == "add" else removed).add(item)
            if o.f == "add" and o.outcome is Outcome.OK:
                succeeded.add(item)
                if o.complete_index is not None and o.complete_index < read.invoke_index:
                    added.setdefault(item, []).append(o)
        held = frozenset(canonical(item) for item in _items(read.result))
        return cls(
            read=read,
            held=held,
            added=added,
            possible=frozenset(possible),
            removed=frozenset(removed),
            late=frozenset(succeeded - added.keys() - held - removed),
        )

    def lost(self) -> list[Anomaly]:
        """Give the items that the read must have seen, and did not."""
        return [
            Anomaly(
                name="lost-item",
                explanation=f"{o.argument!r} was added to {o.key!r}, and acknowledged; nobody "
                "removed it, and the cart does not hold it in the end",
                operations=(o, self.read),
            )
            for item, (o, *_) in self.added.items()
            if item not in self.held | self.removed
        ]

    def strange(self) -> list[Anomaly]:
        """Give the items that the read cannot have seen."""
        return [
            Anomaly(
                name="phantom-item",
                explanation=f"the cart {self.read.key!r} holds {item}, which nobody had added",
                operations=(self.read,),
            )
            for item in sorted(self.held - self.possible)
        ]


def _items(value: Value) -> Sequence[Value]:
    """Give the items of a cart: of one list, or of several that stand side by side."""
    if not isinstance(value, list):
        return []
    if value and all(isinstance(part, list) for part in value):
        return [item for part in value for item in part]  # type: ignore[union-attr]
    return value
