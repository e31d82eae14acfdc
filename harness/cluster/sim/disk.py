"""The disks of simulated nodes: what is durable, what a crash tears, and what faults do to them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from splitbrain.cluster.layers import NodeLayers
from splitbrain.cluster.sim.swarm import MS, Swarm
from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.cluster import DiskDamage, DiskTrouble
from splitbrain.core.errors import HarnessError
from splitbrain.core.randomness import Keyed
from splitbrain.core.simulated import Step
from splitbrain.core.value import Value

FILE = "node.log"
"""The name of the one file on a simulated disk."""


@dataclass(slots=True, kw_only=True)
class SimDisk:
    """The log of one node. data: what is durable. syncs: how many there were."""

    rng: Keyed
    swarm: Swarm
    data: bytearray
    syncs: int = 0
    troubles: tuple[DiskTrouble, ...] = ()

    def begin(self) -> tuple[int, str | None]:
        """Begin to write and sync; give how long it takes, and why it will fail if it does."""
        self.syncs += 1
        draws = Keyed(self.rng.bits(self.syncs))
        low, high = self.swarm.disk_ns
        taken_ns = low + draws.integer(max(1, high - low))
        for place, trouble in enumerate(self.troubles):
            if trouble.full:
                return 0, "No space left on device"
            if trouble.read_only:
                return 0, "Read-only file system"
            if trouble.error and draws.uniform(0.0, 1.0, 1 + place) < trouble.error:
                return taken_ns, "Input/output error"
            taken_ns += 2 * int(trouble.slow_ms * MS)  # the write and the sync
        return taken_ns, None

    def keep(self, step: Step) -> None:
        """Have what a step writes durable."""
        if step.rewrites:
            self.data[:] = step.writes
        else:
            self.data += step.writes

    def tear(self, step: Step) -> None:
        """Crash while a step was being written: keep it, some of it, or none.

        What takes the place of the whole log is there or not: a real one is renamed once durable.
        """
        draws = self.rng.child("torn", self.syncs)
        fate = draws.integer(3)
        if fate == 2 or (step.rewrites and fate == 1 and draws.integer(2, 1)):
            self.keep(step)
        elif fate == 1 and not step.rewrites:
            self.data += step.writes[: draws.integer(len(step.writes) + 1, 1)]


class SimDisks:
    """Troubles and damages the disks of nodes, by layer."""

    def __init__(self, disks: Mapping[str, SimDisk], time: VirtualTime) -> None:
        self._disks = disks
        self._time = time
        self._layers: NodeLayers[DiskTrouble] = NodeLayers()

    def cannot_trouble(self) -> str | None:
        """Give None: disks can be troubled here."""
        return None

    def arm(self) -> None:
        """Do nothing: they always can."""

    def trouble(self, layer: str, troubles: Mapping[str, DiskTrouble]) -> Value:
        """Trouble; the proof says what a write now comes to."""
        proof: dict[str, Value] = {}
        for node, trouble in sorted(troubles.items()):
            self._layers.set(layer, {node: trouble})
            self._update(node)
            told: dict[str, Value] = asdict(trouble)
            proof[node] = told
        return proof

    def release(self, layer: str) -> None:
        """Take this layer away."""
        for node in self._layers.nodes(layer):
            self._layers.remove(layer, node)
            self._update(node)

    def damage(self, damages: Mapping[str, DiskDamage]) -> Value:
        """Damage the log of each node; the proof says where.

        Raises: HarnessError when no file matches, or there is nothing to damage.
        """
        proof: dict[str, Value] = {}
        for node, damage in sorted(damages.items()):
            data = self._disks[node].data
            if not fnmatch.fnmatch(FILE, damage.files):
                message = f"{node} has no file {damage.files!r}; it has {FILE}"
                raise HarnessError(message)
            if not data:
                message = f"the log of {node} is empty: there is nothing to damage"
                raise HarnessError(message)
            proof[node] = {"file": FILE, "what": damage.what, "at": self._harm(node, data, damage)}
        return proof

    def _harm(self, node: str, data: bytearray, damage: DiskDamage) -> list[Value]:
        rng = Keyed.of(damage.seed, "damage", node)
        if damage.what == "bitflip":
            places: list[Value] = []
            for number in range(damage.bits):
                place = rng.integer(len(data) * 8, number)
                data[place // 8] ^= 1 << place % 8
                places.append(place // 8)
            return places
        if damage.what == "truncate":
            del data[max(0, len(data) - damage.bytes) :]
            return [len(data)]
        size = damage.chunk_bytes
        chunks = max(1, -(-len(data) // size))
        if damage.what == "copy":
            source, target = rng.integer(chunks), rng.integer(chunks, 1)
            chunk = data[source * size : (source + 1) * size]
            data[target * size : target * size + len(chunk)] = chunk
            return [target * size]
        taken = [chunk for chunk in range(chunks) if rng.integer(2, chunk)] or [0]
        kept = [(chunk * size, bytes(data[chunk * size : (chunk + 1) * size])) for chunk in taken]
        self._time.after(int(damage.wait_s * 1e9), self._roll_back, node, kept)
        return [place for place, _ in kept]

    def _roll_back(self, node: str, kept: list[tuple[int, bytes]]) -> None:
        data = self._disks[node].data
        for place, chunk in kept:
            data[place : place + len(chunk)] = chunk

    def _update(self, node: str) -> None:
        self._disks[node].troubles = tuple(self._layers.on(node).values())
