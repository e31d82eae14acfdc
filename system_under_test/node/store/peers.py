"""Whom this node hears: nodes that were silent for too long count as offline."""

from __future__ import annotations

from .messages import Beat
from .outbox import Outbox


class Peers:
    """The other nodes, online or offline as this node sees them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._heard_ns = dict.fromkeys(outbox.options.others, outbox.now_ns)
        self._offline: set[str] = set()
        self.beat_ns = outbox.now_ns

    def heard(self, node: str) -> None:
        """Take note that something came from a node."""
        self._heard_ns[node] = self._outbox.now_ns
        if node in self._offline:
            self._offline.remove(node)
            self._outbox.trace("peer", peer=node, status="online")

    def on_time(self) -> bool:
        """Say that this node is there, when it is time, and look who was silent for too long."""
        now_ns, options = self._outbox.now_ns, self._outbox.options
        if now_ns < self.beat_ns:
            return False
        self.beat_ns = now_ns + options.heartbeat_ns
        for node in options.others:
            self._outbox.send(node, Beat())
            silent = now_ns - self._heard_ns[node] >= options.suspect_ns
            if silent and node not in self._offline:
                self._offline.add(node)
                self._outbox.trace("peer", peer=node, status="offline")
        return True

    def is_online(self, node: str) -> bool:
        """Tell whether a node counts as there; this one always does."""
        return node not in self._offline

    def statuses(self) -> dict[str, str]:
        """Give every node's status; without a majority this one is partitioned."""
        options = self._outbox.options
        statuses = {
            node: "offline" if node in self._offline else "online" for node in options.others
        }
        alone = len(options.members) - len(self._offline) < options.majority
        return {**statuses, options.node: "partitioned" if alone else "online"}
