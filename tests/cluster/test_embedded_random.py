"""Random faults through every facet, in layers and over reboots: afterwards nothing is left."""

from __future__ import annotations

import random

import pytest

from splitbrain.cluster.embedded import Embedded
from splitbrain.core.cluster import Burden, DiskTrouble, Skew, Trouble
from splitbrain.core.system import DaemonSpec

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
SECOND = 1_000_000_000
STEPS = 250
KINDS = ("cut", "disturb", "kill", "terminate", "pause", "skew", "disk", "burden")


class Hand:
    """Injects and heals at random, and remembers what is not healed yet."""

    def __init__(self, cluster: Embedded, seed: int) -> None:
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.nodes = cluster.topology.nodes
        self.open = []

    def step(self, number: int) -> None:
        layer = f"f{number}"
        some = self.rng.sample(self.nodes, self.rng.randint(1, 5))
        kinds = [*KINDS, *["heal"] * 7]
        kind = self.rng.choice(kinds) if number % 40 else "reboot"
        if kind == "heal" and self.open:
            release, healed = self.open.pop(self.rng.randrange(len(self.open)))
            release(healed)
        elif kind == "reboot":
            self.cluster.hosts.reboot(some[0])
        elif kind in KINDS:
            self.inject(kind, layer, some)

    def inject(self, kind: str, layer: str, some: list[str]) -> None:
        cluster, rng = self.cluster, self.rng
        if kind == "cut":
            cluster.network.cut(layer, {n: frozenset(rng.sample(self.nodes, 2)) for n in some})
            self.open.append((cluster.network.mend, layer))
        elif kind == "disturb":
            trouble = Trouble(delay_ms=rng.randint(0, 20), loss=rng.choice([0.0, 0.5, 1.0]))
            others = rng.sample(self.nodes, 2)
            cluster.network.disturb(layer, {n: dict.fromkeys(others, trouble) for n in some})
            self.open.append((cluster.network.mend, layer))
        elif kind == "burden":
            burden = Burden(memory_mb=1, io_workers=rng.randint(0, 1), io_mb=1)
            cluster.burdens.burden(layer, dict.fromkeys(some[:1], burden))
            self.open.append((cluster.burdens.release, layer))
        elif kind == "disk":
            trouble = DiskTrouble(full=rng.random() < 0.5, slow_ms=rng.choice([0.0, 5.0]))
            cluster.disks.trouble(layer, dict.fromkeys(some, trouble))
            self.open.append((cluster.disks.release, layer))
        elif kind in ("kill", "terminate", "pause"):
            getattr(cluster.daemons, kind)(layer, some)
            self.open.append((cluster.daemons.release, layer))
        elif sum(release == cluster.clocks.release for release, _ in self.open) < 8:
            skew = Skew(
                offset_ns=rng.randint(-1000, 1000) * SECOND,
                rate_ppb=rng.randint(-SECOND, SECOND) // 10,
                strobe_ns=rng.choice([0, SECOND // 10]),
            )
            cluster.clocks.skew(layer, dict.fromkeys(some, skew))
            self.open.append((cluster.clocks.release, layer))


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_was_done_can_be_undone(five, seed):
    spec = DaemonSpec(name="sleeper", argv=("/bin/sleep", "1000"), data_dirs=("/data/sleeper",))
    five.disks.arm()
    five.start({node: [spec] for node in five.topology.nodes})
    hand = Hand(five, seed)
    for number in range(1, STEPS):
        hand.step(number)
    for release, layer in hand.open:
        release(layer)
    for node in five.topology.nodes:
        host = five.host(node)
        assert five.daemons.running(node) == {"sleeper": True}
        assert host.run(["nft", "list", "ruleset"]).stdout == b""
        assert b"splitbrain0" not in host.run(["ip", "route"]).stdout
        assert host.run(["sh", "-c", "ls /run/splitbrain/burden-*"], check=False).stdout == b""
        assert (
            host.run(["sh", "-c", "echo x > /data/sleeper/f && sync /data/sleeper/f"]).stdout == b""
        )
        assert abs(five.clocks.sample(node)[0]) < SECOND
        assert host.run(["ls", "/var/lib/splitbrain/intent"]).stdout == b""
    assert five.expired() == {}
    five.stop()
