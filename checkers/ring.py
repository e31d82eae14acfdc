"""The hash ring: all nodes agree on it, it is balanced, and it moves no more keys than it must.

Karger et al. 1997; DeCandia et al., "Dynamo", SOSP 2007, section 4.2. Points are hashes of a node's
name and a number alone: that is what makes a node that joins or leaves move its own keys and no
others. The shares of n nodes with V points each vary around 1/n like those of a Dirichlet
distribution; more than four standard deviations away is no chance.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitbrain.checkers.replicas.dump import Dumps
from splitbrain.checkers.replicas.findings import Findings, listed, shown_cell
from splitbrain.checkers.replicas.version import Cell
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Verdict

SIGMAS = 4.0
_SPARSE = 16

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
            _check_replicas(cell, shape, members, findings)
        return findings.verdict(
            len(cells) + len(points),
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
    if not 1 <= bits <= 64 or not isinstance(points, list):
        return None
    found: list[tuple[int, str]] = []
    for item in points:
        if not (isinstance(item, list) and len(item) == 2):
            return None
        point, node = item
        if not (isinstance(point, int) and isinstance(node, str)):
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


def _check_balance(
    points: Points, members: Sequence[str], vnodes: int, bits: int, findings: Findings
) -> None:
    """Compare each node's share with 1/n; a ring with hardly more room than points has none."""
    count = len(members)
    if not points or count < 2 or (1 << bits) < _SPARSE * count * vnodes:
        return
    even = 1 / count
    sigma = math.sqrt(even * (1 - even) / (count * vnodes + 1))
    parts = shares(points, bits)
    for node in members:
        part = parts.get(node, 0.0)
        if abs(part - even) > SIGMAS * sigma:
            findings.add(
                "unbalanced-ring",
                f"{node} has {part:.1%} of the ring, and {even:.1%} is even: with {vnodes} points "
                f"a node, chance gives {SIGMAS * sigma:.1%} more or less",
                ({"shares": dict(parts)},),
            )


def _check_replicas(cell: Cell, shape: _Shape, members: Sequence[str], findings: Findings) -> None:
    n = shape.n
    wanted = replicas_of(cell.key, shape.points, members, shape.bits, n)
    found = list(cell.replicas)
    where = f"{cell.node} looks for key {canonical(cell.key)} on {listed(found)}"
    if len(set(found)) < len(found):
        findings.add(
            "replicas-not-distinct",
            f"{where}: a node that stands there twice keeps one copy",
            (shown_cell(cell),),
        )
    elif len(found) != min(n, len(members)):
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
