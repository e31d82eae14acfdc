"""What a simulated world is like: drawn for each seed, so that many seeds are many worlds.

The idea is swarm testing (Groce et al., "Swarm Testing", ISSTA 2012): to leave things out in some
runs finds more than to have everything a little in all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from splitbrain.core.randomness import Keyed

US = 1_000
MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Swarm:
    """How links, disks and hosts behave before any fault.

    latency_ns: the least time of a message on its way. jitter_ns: up to how much is added. tail:
    the share of messages that take up to `tail_ns` more. loss, double: shares of messages. busy_ns:
    how long a node is busy with what it took. disk_ns: least and greatest time of a write with
    sync. boot_ns: least and greatest time until a daemon that is started runs. rate_ppm: by up to
    how much monotonic clocks run fast or slow. Loss, doubles and order are of links that do not
    keep the order; others only see the tail.
    """

    latency_ns: int = 200 * US
    jitter_ns: int = 300 * US
    tail: float = 0.0
    tail_ns: int = 100 * MS
    loss: float = 0.0
    double: float = 0.0
    busy_ns: int = 100 * US
    disk_ns: tuple[int, int] = (100 * US, 1 * MS)
    boot_ns: tuple[int, int] = (50 * MS, 250 * MS)
    rate_ppm: int = 0


CALM = Swarm()
"""A world in which nothing goes wrong by itself."""


def draw_swarm(seed: int) -> Swarm:
    """Draw a world: each thing is on in about half of the seeds, in some strength."""
    rng = Keyed.of(seed, "swarm")

    def log_uniform(name: str, low: float, high: float) -> float:
        return math.exp(rng.child(name).uniform(math.log(low), math.log(high)))

    def sometimes(name: str, low: float, high: float) -> float:
        return log_uniform(name, low, high) if rng.child(name, "on").integer(2) else 0.0

    latency_ns = int(log_uniform("latency", 50 * US, 3 * MS))
    disk_ns = int(log_uniform("disk", 20 * US, 3 * MS))
    return Swarm(
        latency_ns=latency_ns,
        jitter_ns=int(latency_ns * log_uniform("jitter", 0.1, 4.0)),
        tail=sometimes("tail", 0.001, 0.03),
        tail_ns=int(log_uniform("tail length", 5 * MS, 400 * MS)),
        loss=sometimes("loss", 0.001, 0.05),
        double=sometimes("double", 0.001, 0.05),
        busy_ns=int(log_uniform("busy", 20 * US, 500 * US)),
        disk_ns=(disk_ns, int(disk_ns * log_uniform("disk jitter", 1.1, 5.0))),
        rate_ppm=int(sometimes("rate", 10, 20_000)),
    )
