"""The hash ring: all nodes agree on it, it is the one promised, and it moves no key for nothing.

Karger et al. 1997; DeCandia et al., "Dynamo", SOSP 2007, section 4.2. Points are hashes of a node's
name and a number alone: that is what makes a node that joins or leaves move its own keys and no
others. Such a ring cannot be wrong, and its shares are figures. If the points are others, and yet
chance, the share of one of n nodes with V points each has the distribution Beta(V, (n-1)V).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitbrain.checkers.replicas.dump import Dumps
from splitbrain.checkers.replicas.findings import Findings, listed, shown_cell
from splitbrain.checkers.replicas.version import Cell
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Verdict

CHANCE = 1e-9
"""How likely it may be that chance makes the shares of a ring as uneven as is called unbalanced."""

_SPARSE = 16
_MOST_VNODES = 1 << 16

Points = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A ring as a node has it. bits: of a point. n: how many replicas a key has."""

    bits: int
    vnodes: int
    n: int
    points: Points


class Ring:
    """Checks the points of the ring and the replicas of every key."""

    name = "ring"
    needs = frozenset({Need.DUMPS})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Compare the rings of all nodes, and where they look for keys."""
        dumps = Dumps.of(evidence.dumps or {}, evidence.traces or {})
        findings = Findings(reasons=list(dumps.missing))
        members = sorted({name for own in dumps.members.values() for name in own})
        shapes = {node: _shape(ring) for node, ring in dumps.rings.items()}
        findings.reasons += [
            f"the ring of {node} cannot be read" for node, shape in shapes.items() if shape is None
        ]
        findings.reasons += [
            f"the dump of {node} shows no ring" for node in dumps.members if node not in shapes
        ]
        known = {node: shape for node, shape in shapes.items() if shape is not None}
        _check_agreement(known, findings)
        shape = next(iter(known.values()), None)
        if shape is None:
            return findings.verdict(0, "no node shows a ring: there was nothing to look at")
        promised = _check_promise(shape, len(members), evidence.facts, findings)
        bits, vnodes, points = shape.bits, shape.vnodes, shape.points
        wanted = points_of(members, vnodes, bits) if points else ()
        if points != wanted:
            findings.add(
                "points-of-others",
                "the points of the ring are not those that the nodes' own names give: whoever "
                "joins or leaves moves keys of others",
                ({"first difference": _difference(points, wanted)},),
            )
            _check_balance(points, members, vnodes, bits, findings)
        cells = [cell for cell in dumps.all_cells() if cell.level != "causal"]
        for cell in cells:
            _check_replicas(cell, shape, members, promised, findings)
        promises_none = evidence.facts.get("replication") == "simple"
        return findings.verdict(
            len(cells) + (len(known) if promises_none else len(points)),
            "there are neither points nor keys: there was nothing to look at",
            nodes=len(members),
            points=len(points),
            keys=len({cell.place for cell in cells}),
            shares={node: round(part, 4) for node, part in shares(points, bits).items()},
        )


def point_of(text: str, bits: int) -> int:
    """Give the point of a text on a ring of so many bits."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - bits)


def points_of(members: Sequence[str], vnodes: int, bits: int) -> Points:
    """Give the points of nodes; of two on one point, the lesser name has it."""
    owners: dict[int, str] = {}
    for node in members:
        for number in range(vnodes):
            point = point_of(f"{node}#{number}", bits)
            owners[point] = min(owners.get(point, node), node)
    return tuple(sorted(owners.items()))


def replicas_of(key: Value, points: Points, members: Sequence[str], bits: int, n: int) -> list[str]:
    """Give the nodes that a key lies on, the primary first."""
    if not points:
        return sorted(members)[:n]
    first = bisect_left(points, (point_of(canonical(key), bits), ""))
    turned = dict.fromkeys(node for _, node in (*points[first:], *points[:first]))
    return [*turned, *sorted(set(members) - set(turned))][:n]


def shares(points: Points, bits: int) -> dict[str, float]:
    """Give the part of the ring that each node is the first for."""
    whole = 1 << bits
    parts: dict[str, int] = {}
    before = points[-1][0] - whole if points else 0
    for point, node in points:
        parts[node] = parts.get(node, 0) + point - before
        before = point
    return {node: part / whole for node, part in sorted(parts.items())}


def _shape(ring: Mapping[str, object]) -> _Shape | None:
    bits, vnodes, n, points = (ring.get(name) for name in ("bits", "vnodes", "n", "points"))
    if not (isinstance(bits, int) and isinstance(vnodes, int) and isinstance(n, int)):
        return None
    if not (1 <= bits <= 64 and 1 <= vnodes <= _MOST_VNODES) or not isinstance(points, list):
        return None
    found: list[tuple[int, str]] = []
    for item in points:
        if not (isinstance(item, list) and len(item) == 2):
            return None
        point, node = item
        if not (type(point) is int and 0 <= point < 1 << bits and isinstance(node, str)):
            return None
        found.append((point, node))
    return _Shape(bits, vnodes, n, tuple(found))


def _check_agreement(shapes: Mapping[str, _Shape], findings: Findings) -> None:
    nodes = sorted(shapes)
    for other in nodes[1:]:
        if shapes[other] != shapes[nodes[0]]:
            findings.add(
                "rings-differ",
                f"{nodes[0]} and {other} do not have the same ring: they look for keys in "
                "different places",
                ({"first difference": _difference(shapes[nodes[0]].points, shapes[other].points)},),
            )
            return


def _check_promise(
    shape: _Shape, count: int, facts: Mapping[str, Value], findings: Findings
) -> int:
    """Compare a ring with what the run promised, and give how many replicas a key must have."""
    told: dict[str, tuple[int, object]] = {
        "N": (shape.n, facts.get("n")),
        "points a node": (shape.vnodes, facts.get("vnodes")),
        "bits a point": (shape.bits, facts.get("ring_bits")),
    }
    broken = [
        f"{name}: {found}, and not {wanted}"
        for name, (found, wanted) in told.items()
        if isinstance(wanted, int) and found != (min(wanted, count) if name == "N" else wanted)
    ]
    replication = facts.get("replication")
    if isinstance(replication, str) and (replication == "simple") is bool(shape.points):
        has = "has points" if shape.points else "has no points"
        broken.append(f"replication is {replication!r}, and the ring {has}")
    if broken:
        findings.add(
            "ring-not-promised",
            f"the ring that the nodes have is not the one promised: {'; '.join(broken)}",
            ({"bits": shape.bits, "vnodes": shape.vnodes, "n": shape.n},),
        )
    promised = facts.get("n")
    return min(promised if isinstance(promised, int) else shape.n, count)


def _check_balance(
    points: Points, members: Sequence[str], vnodes: int, bits: int, findings: Findings
) -> None:
    """Ask whether chance gives each node's share, where a ring has much more room than points.

    Of so many nodes one may be the unlucky one: each must be less likely by their number.
    """
    from scipy.special import betainc, betaincc  # noqa: PLC0415 - slow to import, and rarely needed

    count = len(members)
    if not points or count < 2 or (1 << bits) < _SPARSE * count * vnodes:
        return
    even, others = 1 / count, (count - 1) * vnodes
    parts = shares(points, bits)
    for node in members:
        part = parts.get(node, 0.0)
        tail = betaincc if part > even else betainc
        if tail(vnodes, others, min(max(part, 0.0), 1.0)) < CHANCE / count:
            findings.add(
                "unbalanced-ring",
                f"{node} has {part:.1%} of the ring, and {even:.1%} is even: with {vnodes} points "
                f"a node, chance does so less than once in {count / CHANCE:.0e} rings",
                ({"shares": dict(parts)},),
            )


def _check_replicas(
    cell: Cell, shape: _Shape, members: Sequence[str], n: int, findings: Findings
) -> None:
    wanted = replicas_of(cell.key, shape.points, members, shape.bits, n)
    found = list(cell.replicas)
    where = f"{cell.node} looks for key {canonical(cell.key)} on {listed(found)}"
    if len(set(found)) < len(found):
        findings.add(
            "replicas-not-distinct",
            f"{where}: a node that stands there twice keeps one copy",
            (shown_cell(cell),),
        )
    elif len(found) != n:
        findings.add(
            "wrong-number-of-replicas",
            f"{where}: N is {n}, and there are {len(members)} nodes",
            (shown_cell(cell),),
        )
    elif found != wanted:
        findings.add(
            "wrong-replicas",
            f"{where}, and the ring says {listed(wanted)}",
            (shown_cell(cell),),
        )


def _difference(one: Points, other: Points) -> Value:
    """Give the first point in which two rings differ."""
    for place in range(max(len(one), len(other))):
        left = list(one[place]) if place < len(one) else None
        right = list(other[place]) if place < len(other) else None
        if left != right:
            return [left, right]  # type: ignore[list-item]
    return None
