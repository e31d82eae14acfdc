"""What becomes of a packet in trouble: lost, late, twice, damaged. Pure, but for its randomness.

A trouble is an object: "delay_ms", "jitter_ms", "distribution", "loss", "duplicate", "corrupt",
"reorder" (shares from 0 to 1) and "rate_kbit" (0 for no limit). Several act one after the other.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

QUEUE_LIMIT_S = 2.0
PARETO_SHAPE = 3.0


class Fate(NamedTuple):
    """When a copy of a packet goes on its way, in seconds from now, and whether it is damaged."""

    after_s: float
    damaged: bool


class Lane:
    """The way to one peer. troubles: what lies in it. counts: what became of its packets."""

    def __init__(self, troubles: list[dict[str, Any]], rng: random.Random) -> None:
        self.troubles = troubles
        self.counts = dict.fromkeys(
            ("seen", "lost", "duplicated", "damaged", "overtook", "overflowed"), 0
        )
        self._rng = rng
        self._free_s: dict[int, float] = {}

    def fates(self, length: int, now_s: float) -> list[Fate]:
        """Give what becomes of one packet of `length` bytes; nothing when it is lost."""
        self.counts["seen"] += 1
        copies = [Fate(0.0, damaged=False)]
        for number, trouble in enumerate(self.troubles):
            copies = [
                fate
                for copy in self._multiplied(copies, trouble)
                if (fate := self._through(number, trouble, copy, length, now_s)) is not None
            ]
        return copies

    def _multiplied(self, copies: list[Fate], trouble: dict[str, Any]) -> list[Fate]:
        found = []
        for copy in copies:
            found.append(copy)
            if self._happens(trouble["duplicate"]):
                self.counts["duplicated"] += 1
                found.append(copy)
        return found

    def _through(
        self, number: int, trouble: dict[str, Any], fate: Fate, length: int, now_s: float
    ) -> Fate | None:
        if self._happens(trouble["loss"]):
            self.counts["lost"] += 1
            return None
        after_s, damaged = fate
        if self._happens(trouble["corrupt"]):
            self.counts["damaged"] += 1
            damaged = True
        if trouble["reorder"] and self._happens(trouble["reorder"]):
            self.counts["overtook"] += 1
        else:
            after_s += self._delay_s(trouble)
        if trouble["rate_kbit"]:
            queued_s = self._queued_s(number, trouble["rate_kbit"], length, now_s + after_s)
            if queued_s > QUEUE_LIMIT_S:
                self.counts["overflowed"] += 1
                return None
            after_s += queued_s
        return Fate(after_s, damaged)

    def _queued_s(self, number: int, rate_kbit: float, length: int, arrives_s: float) -> float:
        """Give how long a packet waits for its turn and its own bits; as if lost beyond the limit.

        Packets are let in at the moment of arrival, in the order in which they were sent.
        """
        begins_s = max(arrives_s, self._free_s.get(number, 0.0))
        ends_s = begins_s + length * 8 / (rate_kbit * 1000)
        if ends_s - arrives_s <= QUEUE_LIMIT_S:
            self._free_s[number] = ends_s
        return ends_s - arrives_s

    def _delay_s(self, trouble: dict[str, Any]) -> float:
        mean_s, jitter_s = float(trouble["delay_ms"]) / 1000, float(trouble["jitter_ms"]) / 1000
        if not jitter_s:
            return mean_s
        return max(0.0, mean_s + jitter_s * spread(self._rng, trouble["distribution"]))

    def _happens(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share


def spread(rng: random.Random, distribution: str) -> float:
    """Draw around 0, with a standard deviation of about 1 (uniform: from -1 to 1)."""
    if distribution == "uniform":
        return rng.uniform(-1, 1)
    if distribution == "pareto":  # mean 1.5 and deviation 0.87 for the shape 3
        return (rng.paretovariate(PARETO_SHAPE) - 1.5) / 0.87
    return rng.gauss(0, 1)


def damaged(packet: bytes, rng: random.Random) -> bytes:
    """Flip one bit of an IPv4 packet behind its header: the checksum of what it carries is wrong.

    A packet that carries nothing stays as it is.
    """
    header = (packet[0] & 0x0F) * 4
    if len(packet) <= header:
        return packet
    changed = bytearray(packet)
    changed[rng.randrange(header, len(packet))] ^= 1 << rng.randrange(8)
    return bytes(changed)
