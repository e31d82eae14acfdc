"""What faults that hit nodes as a whole have in common: when they come, and whom they hit."""

from __future__ import annotations

from collections.abc import Sequence

from splitbrain.core.cluster import Bed
from splitbrain.core.errors import HarnessError
from splitbrain.core.fault import At, Fault, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.nemeses import targets
from splitbrain.nemeses.timing import alternating, slots


class NodeFault:
    """The side of a nemesis that decides: targets in turn, resolved to nodes.

    Subclasses name their `kind`, and inject and heal.
    """

    kind: str

    def unavailable(self, bed: Bed) -> str | None:  # noqa: ARG002 - for subclasses to look at
        """Every cluster can do it, unless a subclass knows better."""
        return None

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw faults of one node, a minority, a majority, all and the leader in turn."""
        gentle = ["one"] + ["minority"] * (len(shape.nodes) >= 3)
        if "primaries" in shape.powers:
            gentle.append("leader")
        order = alternating(rng, gentle, ["majority", "all"])
        return [
            Fault(
                id=f"{self.kind}-{slot.number}",
                kind=self.kind,
                start=At(slot.start_s),
                duration_s=slot.duration_s,
                target=order[(slot.number - 1) % len(order)],
            )
            for slot in slots(rng, shape)
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide which nodes it hits.

        Raises: UsageError for what is no target, HarnessError for one without a meaning now.
        """
        target = "one" if fault.target is None else fault.target
        detail: dict[str, Value] = {"shape": target if isinstance(target, str) else "nodes"}
        return Resolved(fault=fault, nodes=targets.resolve(target, view), detail=detail)


def pinned(bed: Bed, resolved: Resolved) -> tuple[str, ...]:
    """Give the nodes of a resolved fault, which may have been pinned on another cluster.

    Raises: HarnessError naming the node that is not here.
    """
    strange = [node for node in resolved.nodes if node not in bed.nodes]
    if strange or not resolved.nodes:
        missing = f"there is no node {strange[0]!r}" if strange else "no node is named"
        message = f"{missing}; there are {', '.join(bed.nodes)}"
        raise HarnessError(message)
    return resolved.nodes
