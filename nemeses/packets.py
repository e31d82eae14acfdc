"""Packets that are late, lost, doubled, damaged, out of order, or that must wait for a slow line.

`params["shape"]` is one of

- "delay": late by `delay_ms`, give or take `jitter_ms` as `distribution` ("normal", "uniform",
  "pareto") says.
- "loss", "duplicate", "corrupt": the share of packets (from 0 to 1) that `loss`, `duplicate` or
  `corrupt` names. Damaged packets of TCP are dropped by their checksum: they are lost as well.
- "reorder": the share `reorder` overtakes the others, which are late by `delay_ms`.
- "rate": the way carries `rate_kbit` a second.
- "mixed": any of these together.

All packets between the nodes of `target` and all other nodes are in trouble, whatever they carry
(TCP, UDP, ICMP); `params["direction"]` is "both" (as it is if not given), "out" or "in", as seen
from the target. `params["peers"]`, a list of nodes, limits it to the ways to and from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from splitbrain.core.cluster import DISTRIBUTIONS, Bed, Trouble, Troubles
from splitbrain.core.errors import HarnessError, UsageError
from splitbrain.core.fault import At, Fault, Injection, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.nemeses import targets
from splitbrain.nemeses.timing import Slot, alternating, slots

SHAPES = ("delay", "loss", "duplicate", "corrupt", "reorder", "rate", "mixed")
DIRECTIONS = ("both", "out", "in")
DELAY_LIMIT_MS = 60_000.0

_SHARES = ("loss", "duplicate", "corrupt", "reorder")
_NUMBERS = ("delay_ms", "jitter_ms", "rate_kbit", *_SHARES)
_NEEDS = {"delay": "delay_ms", "rate": "rate_kbit", **{name: name for name in _SHARES}}
_DRAWN: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "delay": {"delay_ms": (10.0, 500.0), "jitter_ms": (1.0, 100.0)},
    "loss": {"loss": (0.02, 0.4)},
    "duplicate": {"duplicate": (0.05, 0.5)},
    "corrupt": {"corrupt": (0.01, 0.2)},
    "reorder": {"reorder": (0.1, 0.5), "delay_ms": (5.0, 50.0)},
    "rate": {"rate_kbit": (64.0, 4096.0)},
}


class Packets:
    """Troubles packets between nodes; see the module for the shapes."""

    kind = "packets"
    params = frozenset({"shape", "direction", "peers", "distribution", *_NUMBERS})

    def unavailable(self, bed: Bed) -> str | None:
        """Say why this bed's packets cannot be disturbed."""
        if bed.network is None:
            return "this cluster cannot touch its network"
        if len(bed.nodes) < 2:
            return "packets need at least two nodes to go between"
        return bed.network.cannot_disturb()

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw all shapes in turn, over one node, several, or all."""
        order = alternating(rng, tuple(_DRAWN))
        whom = ["one", "majority", "all"] + ["minority"] * (len(shape.nodes) >= 3)
        if "primaries" in shape.powers:
            whom.append("leader")
        return [
            _drawn(slot, self.kind, order[(slot.number - 1) % len(order)], whom)
            for slot in slots(rng, shape)
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide whose packets are in trouble, and on the way to whom.

        Raises: UsageError for a shape, a parameter or a target that cannot be used, HarnessError
        for a target without a meaning now.
        """
        shape = _shape_of(fault)
        trouble = _trouble_of(fault, shape)
        nodes = targets.resolve("one" if fault.target is None else fault.target, view)
        peers = targets.resolve(fault.params.get("peers", "all"), view)
        ways = _ways(nodes, peers, _direction_of(fault))
        if not ways:
            message = f"the fault {fault.id!r} is on no way between two nodes"
            raise HarnessError(message)
        listed: dict[str, Value] = {sender: list[Value](ways[sender]) for sender in ways}
        detail: dict[str, Value] = {"shape": shape, "trouble": asdict(trouble), "ways": listed}
        return Resolved(fault=fault, nodes=nodes, detail=detail)

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Disturb; the proof is the way that the packets now take.

        Raises: HarnessError when packets cannot be disturbed, or when what was pinned names nodes
        that are not here.
        """
        if bed.network is None:
            message = "this cluster cannot touch its network"
            raise HarnessError(message)
        troubles = _troubles_from(resolved.detail, bed.nodes)
        proof = bed.network.disturb(resolved.fault.id, troubles)
        return Injection(resolved=resolved, proof=proof)

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Take this fault's troubles away, and those of no other."""
        if bed.network is not None:
            bed.network.mend(injection.layer)


def _drawn(slot: Slot, kind: str, shape: str, whom: Sequence[str]) -> Fault:
    params: dict[str, Value] = {"shape": shape}
    for name, (low, high) in _DRAWN[shape].items():
        drawn = math.exp(slot.rng.child(name).uniform(math.log(low), math.log(high)))
        params[name] = round(drawn, 3)
    if shape == "delay":
        params["distribution"] = slot.rng.child("distribution").choice(DISTRIBUTIONS)
    return Fault(
        id=f"{kind}-{slot.number}",
        kind=kind,
        start=At(slot.start_s),
        duration_s=slot.duration_s,
        target=slot.rng.child("target").choice(whom),
        params=params,
    )


def _shape_of(fault: Fault) -> str:
    shape = fault.params.get("shape", "mixed")
    if not isinstance(shape, str) or shape not in SHAPES:
        message = f"{shape!r} is no shape of a packets fault; there are {', '.join(SHAPES)}"
        raise UsageError(message)
    return shape


def _direction_of(fault: Fault) -> str:
    direction = fault.params.get("direction", "both")
    if not isinstance(direction, str) or direction not in DIRECTIONS:
        message = f"{direction!r} is no direction of packets; there are {', '.join(DIRECTIONS)}"
        raise UsageError(message)
    return direction


def _trouble_of(fault: Fault, shape: str) -> Trouble:
    numbers = {name: _number(fault, name) for name in _NUMBERS}
    distribution = fault.params.get("distribution", DISTRIBUTIONS[0])
    if not isinstance(distribution, str) or distribution not in DISTRIBUTIONS:
        known = ", ".join(DISTRIBUTIONS)
        message = f"the fault {fault.id!r}: {distribution!r} is no distribution; there are {known}"
        raise UsageError(message)
    needed = _NEEDS.get(shape)
    if needed is not None and not numbers[needed]:
        message = f'the packets fault {fault.id!r} of shape {shape!r} needs "{needed}"'
        raise UsageError(message)
    if not any(numbers[name] for name in _NUMBERS):
        message = f"the packets fault {fault.id!r} troubles nothing: give one of {_NUMBERS}"
        raise UsageError(message)
    if numbers["reorder"] and not numbers["delay_ms"]:
        message = f'the packets fault {fault.id!r}: to be overtaken takes a "delay_ms"'
        raise UsageError(message)
    return Trouble(distribution=distribution, **numbers)


def _number(fault: Fault, name: str) -> float:
    value = fault.params.get(name, 0)
    limit = 1.0 if name in _SHARES else math.inf if name == "rate_kbit" else DELAY_LIMIT_MS
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= limit
    if not fits or not math.isfinite(float(value)):  # type: ignore[arg-type]
        bound = "of 0 or more" if name == "rate_kbit" else f"from 0 to {limit:g}"
        message = (
            f"the packets fault {fault.id!r}: {name!r} must be a number {bound}, not {value!r}"
        )
        raise UsageError(message)
    return float(value)  # type: ignore[arg-type]


def _ways(nodes: Sequence[str], peers: Sequence[str], direction: str) -> dict[str, list[str]]:
    """Give, by sender, the receivers to whom packets are in trouble."""
    pairs = {(node, peer) for node in nodes for peer in peers if node != peer}
    found: set[tuple[str, str]] = set()
    if direction in ("both", "out"):
        found |= pairs
    if direction in ("both", "in"):
        found |= {(peer, node) for node, peer in pairs}
    senders = sorted({sender for sender, _ in found})
    return {sender: sorted(to for by, to in found if by == sender) for sender in senders}


def _troubles_from(detail: Value, nodes: Sequence[str]) -> Troubles:
    ways = detail.get("ways") if isinstance(detail, dict) else None
    asked = detail.get("trouble") if isinstance(detail, dict) else None
    if not isinstance(ways, dict) or not ways or not isinstance(asked, dict):
        message = "the resolved packets fault does not say what is in trouble on which way"
        raise HarnessError(message)
    names = {field.name for field in fields(Trouble)}
    if not set(asked) <= names:
        message = f"a trouble has no {sorted(set(asked) - names)[0]!r}"
        raise HarnessError(message)
    trouble = Trouble(**asked)  # type: ignore[arg-type]
    found: dict[str, dict[str, Trouble]] = {}
    for sender, peers in ways.items():
        listed = [str(peer) for peer in peers] if isinstance(peers, list) else []
        strange = sorted({sender, *listed} - set(nodes))
        if strange:
            message = f"there is no node {strange[0]!r}; there are {', '.join(nodes)}"
            raise HarnessError(message)
        found[sender] = dict.fromkeys(listed, trouble)
    return found
