"""Finds circles among operations, and the shortest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from splitbrain.core.columns import Booleans, Integers

_WORK = 2_000_000
"""How many edges the search for the shortest circle may look at."""

_FREE = 2.0**-24
"""What a step of program order costs: all of them together less than any other step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Edges from entry to entry. cost: 0 for steps of program order, that need no telling."""

    tail: Integers
    head: Integers
    cost: Integers

    @classmethod
    def joined(cls, *parts: tuple[Integers, Integers, int]) -> Edges:
        """Make edges of several kinds: (tails, heads, cost)."""
        return cls(
            tail=np.concatenate([part[0] for part in parts]),
            head=np.concatenate([part[1] for part in parts]),
            cost=np.concatenate([np.full(len(part[0]), part[2], np.int64) for part in parts]),
        )

    def take(self, rows: Integers | Booleans) -> Edges:
        """Give some of the edges."""
        return Edges(tail=self.tail[rows], head=self.head[rows], cost=self.cost[rows])


def suspicious(edges: Edges, rank: Integers) -> Edges:
    """Give the edges that a circle can have, given a number for each entry.

    Every circle has an edge that goes back, or stays, in the order of these numbers, and lies as a
    whole within stretches that such edges span without a gap.
    """
    back = rank[edges.head] <= rank[edges.tail]
    if not back.any():
        return edges.take(back)
    size = int(rank.max()) + 2
    delta = np.zeros(size, np.int64)
    np.add.at(delta, rank[edges.head[back]], 1)
    np.add.at(delta, rank[edges.tail[back]] + 1, -1)
    covered = (np.cumsum(delta) > 0)[rank]
    return edges.take(covered[edges.tail] & covered[edges.head])


def knots(edges: Edges) -> Sequence[Edges]:
    """Give the edges of each strongly connected component that has a circle, the smallest first."""
    if not len(edges.tail):
        return []
    nodes, dense = np.unique(np.concatenate([edges.tail, edges.head]), return_inverse=True)
    tail, head = dense[: len(edges.tail)], dense[len(edges.tail) :]
    matrix = coo_matrix((np.ones(len(tail), np.int8), (tail, head)), shape=(len(nodes),) * 2)
    count, label = connected_components(matrix.tocsr(), directed=True, connection="strong")
    sizes = np.bincount(label, minlength=count)
    inside = label[tail] == label[head]
    inside &= (sizes[label[tail]] > 1) | (tail == head)
    rows = np.flatnonzero(inside)
    rows = rows[np.argsort(label[tail[rows]], kind="stable")]
    borders = np.flatnonzero(np.diff(label[tail[rows]])) + 1
    groups = [group for group in np.split(rows, borders) if len(group)]
    return [edges.take(group) for group in sorted(groups, key=len)]


def shortest_cycle(knot: Edges) -> list[int]:
    """Give the entries of a circle with the least cost, in its order; the first is not repeated.

    In a very large knot it is the shortest of those that were looked at.
    """
    graph = _Graph(knot)
    steps = np.flatnonzero(knot.cost > 0)
    steps = steps if len(steps) else np.arange(1)
    starts = np.unique(graph.head[steps])[: max(1, _WORK // len(knot.tail))]
    length, origin = graph.ways(starts)
    at = np.searchsorted(starts, graph.head[steps])
    known = np.flatnonzero((at < len(starts)) & (starts[np.minimum(at, len(starts) - 1)]
                                                 == graph.head[steps]))  # fmt: skip
    closing, row = steps[known], at[known]
    total = length[row, graph.tail[closing]] + graph.weight[closing]
    best = int(np.argmin(total))
    return graph.way(origin[row[best]], int(graph.tail[closing[best]]))


def shortest_way(edges: Edges, earlier: int, later: int) -> list[int]:
    """Give the cheapest way from one entry to another, both included.

    Raises: ValueError when there is none.
    """
    graph = _Graph(edges)
    ends = np.searchsorted(graph.nodes, [earlier, later])
    length, origin = graph.ways(ends[:1])
    if not np.isfinite(length[0, ends[1]]):
        message = f"there is no way from entry {earlier} to entry {later}"
        raise ValueError(message)
    return graph.way(origin[0], int(ends[1]))


class _Graph:
    """Edges among few nodes. nodes: the entries; tail, head: dense; weight: above 0."""

    def __init__(self, edges: Edges) -> None:
        self.nodes, both = np.unique(np.concatenate([edges.tail, edges.head]), return_inverse=True)
        self.tail, self.head = both[: len(edges.tail)], both[len(edges.tail) :]
        self.weight = np.where(edges.cost > 0, edges.cost, _FREE)
        # Of several edges between two nodes the cheapest counts; the matrix would add them up.
        order = np.lexsort((self.weight, self.head, self.tail))
        tail, head = self.tail[order], self.head[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (tail[1:] != tail[:-1]) | (head[1:] != head[:-1])
        rows = order[first]
        shape = (len(self.nodes), len(self.nodes))
        self._matrix = csr_matrix(
            (self.weight[rows], (self.tail[rows], self.head[rows])), shape=shape
        )

    def ways(self, starts: Integers) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Give the length of the ways from each start to every node, and the node before it."""
        found: tuple[NDArray[np.float64], NDArray[np.int32]] = dijkstra(
            self._matrix, indices=starts, return_predecessors=True
        )
        return found

    def way(self, origin: NDArray[np.int32], end: int) -> list[int]:
        """Give the entries of a way up to this node."""
        found = [end]
        while origin[found[-1]] >= 0:
            found.append(int(origin[found[-1]]))
        return [int(self.nodes[node]) for node in reversed(found)]
