"""Network partitions: who drops whose packets.

`params["shape"]` is one of

- "halves": two halves; with an odd number of nodes the bigger one is a majority.
- "one": one node alone. "leader": the most recent leader alone. "majority": a minority of random
  size against the majority.
- "group": the nodes of `target` against all others.
- "majorities-ring": every node sees a majority, and each another one.
- "bridge": two halves that share one node.
- "one-way": a group that sends but does not receive, or the reverse; `params["direction"]` is
  "deaf" or "mute", by chance if it is not given.

`target` overrides the group of "one", "majority" and "one-way"; a target without a shape means
"group". `params["grudge"]`, an object of victims with the peers whose packets they drop, needs no
shape at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splitbrain.core.cluster import Bed, Grudge
from splitbrain.core.errors import HarnessError, UsageError
from splitbrain.core.fault import At, Fault, Injection, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.nemeses import grudges, targets
from splitbrain.nemeses.timing import alternating, slots

_GROUP_TARGETS: Mapping[str, Value] = {"one": "one", "leader": "leader", "one-way": "one"}
SHAPES = ("halves", "one", "leader", "majority", "group", "majorities-ring", "bridge", "one-way")


class Partition:
    """Cuts the network between nodes; see the module for the shapes."""

    kind = "partition"
    params = frozenset({"shape", "direction", "grudge"})

    def unavailable(self, bed: Bed) -> str | None:
        """Say why this bed's network cannot be cut."""
        if bed.network is None:
            return "this cluster cannot cut its network"
        if len(bed.nodes) < 2:
            return "a partition needs at least two nodes"
        return None

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw partitions of all shapes in turn."""
        order = alternating(rng, _drawable(shape))
        return [
            Fault(
                id=f"{self.kind}-{slot.number}",
                kind=self.kind,
                start=At(slot.start_s),
                duration_s=slot.duration_s,
                params={"shape": order[(slot.number - 1) % len(order)]},
            )
            for slot in slots(rng, shape)
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide who drops whose packets.

        Raises: UsageError for a shape or a target that does not exist, HarnessError where it has no
        meaning now: nobody leads, or there are too few nodes.
        """
        shape = _shape_of(fault)
        group: tuple[str, ...] = ()
        if shape == "custom":
            grudge = grudges.from_value(fault.params.get("grudge"), view.nodes)
        elif shape in ("majorities-ring", "bridge"):
            shuffled = view.rng.child("order").shuffled(view.nodes)
            make = grudges.bridge if shape == "bridge" else grudges.majorities_ring
            grudge = make(shuffled)
        else:
            group = _group(shape, fault, view)
            grudge = _grudge_of_group(shape, group, fault, view)
        if not grudge:
            message = f"the partition {fault.id!r} would cut nothing"
            raise HarnessError(message)
        detail: dict[str, Value] = {"shape": shape, "grudge": _json(grudge)}
        nodes = group or tuple(node for node in view.nodes if node in grudge)
        return Resolved(fault=fault, nodes=nodes, detail=detail)

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Cut; the proof is the network's.

        Raises: HarnessError when the network cannot be cut, or when what was pinned names nodes
        that are not here.
        """
        if bed.network is None:
            message = "this cluster cannot cut its network"
            raise HarnessError(message)
        detail = resolved.detail
        pinned = detail.get("grudge") if isinstance(detail, dict) else None
        grudge = grudges.from_value(pinned, bed.nodes)
        return Injection(
            resolved=resolved, proof=bed.network.cut(resolved.fault.id, grudge), undo=None
        )

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Take this fault's cuts away, and those of no other."""
        if bed.network is not None:
            bed.network.mend(injection.layer)


def _drawable(shape: Shape) -> Sequence[str]:
    found = ["halves", "one", "one-way"]
    if len(shape.nodes) >= 3:
        found += ["majority", "majorities-ring", "bridge"]
    if "primaries" in shape.powers:
        found.append("leader")
    return found


def _shape_of(fault: Fault) -> str:
    if "grudge" in fault.params:
        return "custom"
    shape = fault.params.get("shape", "halves" if fault.target is None else "group")
    if not isinstance(shape, str) or shape not in SHAPES:
        message = f"{shape!r} is no shape of a partition; there are {', '.join(SHAPES)}"
        raise UsageError(message)
    return shape


def _group(shape: str, fault: Fault, view: View) -> tuple[str, ...]:
    if fault.target is not None:
        return targets.resolve(fault.target, view)
    if shape in _GROUP_TARGETS:
        return targets.resolve(_GROUP_TARGETS[shape], view)
    if shape == "group":
        message = f'the partition {fault.id!r} has the shape "group" and needs a target'
        raise UsageError(message)
    most = len(view.nodes) // 2 if shape == "halves" else (len(view.nodes) - 1) // 2
    if most == 0:
        message = f"{len(view.nodes)} nodes cannot be split into a majority and a minority"
        raise HarnessError(message)
    size = most if shape == "halves" else 1 + view.rng.child("size").integer(most)
    chosen = set(view.rng.sample(view.nodes, size))
    return tuple(node for node in view.nodes if node in chosen)


def _grudge_of_group(shape: str, group: Sequence[str], fault: Fault, view: View) -> Grudge:
    if shape != "one-way":
        return grudges.isolate(view.nodes, group)
    direction = fault.params.get("direction")
    if direction is None:
        direction = view.rng.child("direction").choice(("deaf", "mute"))
    if direction not in ("deaf", "mute"):
        message = f'{direction!r} is no direction of a one-way partition; say "deaf" or "mute"'
        raise UsageError(message)
    make = grudges.deaf if direction == "deaf" else grudges.mute
    return make(view.nodes, group)


def _json(grudge: Grudge) -> Value:
    return {victim: list[Value](peers) for victim, peers in grudges.to_value(grudge).items()}
