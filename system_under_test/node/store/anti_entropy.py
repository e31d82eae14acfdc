"""Compares replicas with each other by hash trees, and brings them together (Dynamo 4.7).

The tree has two levels: a root over `LEAVES` leaves, each the hash of the cells whose keys fall on
it. One node sends its root; where roots differ the other sends its leaves; where these differ all
cells of the leaf go both ways. Only keys that both nodes replicate are compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from .cell import EMPTY
from .messages import Cells, Leaves, Root
from .outbox import Outbox
from .peers import Peers
from .replica import Replica
from .storage import Place

LEAVES = 64
"""How many leaves the tree has."""

LEAVES_AT_A_TIME = 8
"""How many leaves are brought together in one exchange."""


class AntiEntropy:
    """One node's side of it."""

    def __init__(self, outbox: Outbox, replica: Replica, peers: Peers) -> None:
        self._outbox = outbox
        self._replica = replica
        self._peers = peers
        self._turn = 0
        self.due_ns: int | None = None
        if outbox.options.anti_entropy_ns is not None:
            self.due_ns = outbox.now_ns + outbox.options.anti_entropy_ns

    def on_time(self) -> None:
        """Begin a comparison with the next node that is online, when it is time."""
        interval_ns = self._outbox.options.anti_entropy_ns
        if interval_ns is None or self.due_ns is None or self._outbox.now_ns < self.due_ns:
            return
        self.due_ns = self._outbox.now_ns + interval_ns
        online = [node for node in self._outbox.options.others if self._peers.is_online(node)]
        if online:
            self._turn += 1
            node = online[self._turn % len(online)]
            self._outbox.send(node, Root(root=self.root(node)))

    def on_root(self, sender: str, message: Root) -> None:
        """Answer with the leaves when something differs."""
        leaves = self._leaves(sender)
        if root_of(leaves) == message.root:
            self._confirm(sender, range(LEAVES))
        else:
            self._outbox.send(sender, Leaves(leaves=tuple(leaves)))

    def on_leaves(self, sender: str, message: Leaves) -> None:
        """Send what lies on the leaves that differ, and ask for the same."""
        own = self._leaves(sender)
        if len(message.leaves) != LEAVES:
            return
        self._confirm(sender, [i for i in range(LEAVES) if own[i] == message.leaves[i]])
        differing = [i for i in range(LEAVES) if own[i] != message.leaves[i]]
        if differing:
            # Begin anywhere: a leaf that keeps changing must not hold up those behind it.
            first = self._turn % len(differing)
            chosen = (differing[first:] + differing[:first])[:LEAVES_AT_A_TIME]
            self._send_cells(sender, chosen, answer=True)

    def on_cells(self, sender: str, message: Cells) -> None:
        """Join what the other has, and send it what it asked for."""
        theirs = {(level, key): cell for level, key, cell in message.cells}
        for (level, key), cell in theirs.items():
            own = self._replica.cell(level, key)
            if own is EMPTY and cell.is_buried:
                continue  # nothing to bury here: this replica may have done so already
            if self._replica.holds(key):
                self._replica.store(level, key, cell)
        for place in self._places(sender):
            if leaf_of(place) in message.leaves:
                own = self._replica.cells[place]
                if own.is_buried and theirs.get(place, own) == own:
                    self._replica.confirm(place, sender)
        if message.answer:
            self._send_cells(sender, message.leaves, answer=False)

    def root(self, node: str) -> int:
        """Give the hash of all that this node and another both replicate."""
        return root_of(self._leaves(node))

    def _send_cells(self, node: str, leaves: Sequence[int], *, answer: bool) -> None:
        wanted = set(leaves)
        cells = tuple(
            (*place, self._replica.cells[place])
            for place in self._places(node)
            if leaf_of(place) in wanted
        )
        self._outbox.send(node, Cells(leaves=tuple(leaves), cells=cells, answer=answer))

    def _places(self, node: str) -> list[Place]:
        """Give the places of cells that this node and another both replicate."""
        return [
            place
            for place in self._replica.cells
            if node in self._replica.replicas(place[1]) and self._replica.holds(place[1])
        ]

    def _leaves(self, node: str) -> list[int]:
        leaves = [0] * LEAVES
        for place in self._places(node):
            if not self._replica.is_leaving(place):
                digest = self._replica.digests[place]
                leaves[leaf_of(place)] ^= digest
        return leaves

    def _confirm(self, node: str, leaves: Sequence[int]) -> None:
        """Take note that a node has the same tombstones on these leaves."""
        wanted = set(leaves)
        for place in self._places(node):
            cell = self._replica.cells[place]
            if cell.is_buried and leaf_of(place) in wanted:
                self._replica.confirm(place, node)


def root_of(leaves: Sequence[int]) -> int:
    """Give the hash of all leaves."""
    content = b"".join(leaf.to_bytes(8, "big") for leaf in leaves)
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


@lru_cache(maxsize=65536)
def leaf_of(place: Place) -> int:
    """Give the leaf that a key falls on."""
    level, key = place
    return hashlib.blake2b(f"{level}/{key}".encode(), digest_size=1).digest()[0] % LEAVES
