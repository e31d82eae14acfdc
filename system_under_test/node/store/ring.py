"""Where keys lie: the first nodes by name, or consistent hashing (Karger et al. 1997; Dynamo 4.2).

A key belongs to the first virtual node at or after its point, round the ring; its replicas are the
first N distinct nodes from there on, the primary first, and whoever comes next stands in for them.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol


class Placement(Protocol):
    """Tells where keys lie."""

    def order(self, key: str) -> tuple[str, ...]:
        """Give all nodes, in the order in which they are asked to hold a key."""

    def points(self) -> Sequence[tuple[int, str]]:
        """Give the virtual nodes by their point."""


def point_of(text: str, bits: int) -> int:
    """Give the point of a text: the first bits of its hash."""
    whole = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return whole >> (64 - bits)


@dataclass(frozen=True)
class FirstNodes:
    """Simple replication: every key lies on the first nodes by name."""

    members: tuple[str, ...]

    def order(self, key: str) -> tuple[str, ...]:  # noqa: ARG002 - every key lies alike
        """Give the nodes by name."""
        return self.members

    def points(self) -> Sequence[tuple[int, str]]:
        """Give none: there is no ring."""
        return ()


class Ring:
    """Consistent hashing. vnodes: how many points each node has. bits: of a point."""

    def __init__(self, members: Sequence[str], vnodes: int, bits: int) -> None:
        self._bits = bits
        owners: dict[int, str] = {}
        for node in sorted(members, reverse=True):  # on one point, the lesser name has it
            for number in range(vnodes):
                owners[point_of(f"{node}#{number}", bits)] = node
        self._points = sorted(owners.items())
        self._starts = [point for point, _ in self._points]
        # A node whose points all fell on those of others stands in last.
        self._without = tuple(sorted(set(members) - set(owners.values())))
        self._ordered = lru_cache(maxsize=65536)(self._order_from)

    def order(self, key: str) -> tuple[str, ...]:
        """Give the distinct nodes from the key's point on."""
        return self._ordered(self.first_at(point_of(key, self._bits)))

    def points(self) -> Sequence[tuple[int, str]]:
        """Give the virtual nodes by their point."""
        return self._points

    def first_at(self, point: int) -> int:
        """Give the number of the first virtual node at or after a point."""
        return bisect_left(self._starts, point) % len(self._starts)

    def _order_from(self, first: int) -> tuple[str, ...]:
        turned = self._points[first:] + self._points[:first]
        return (*dict.fromkeys(node for _, node in turned), *self._without)
