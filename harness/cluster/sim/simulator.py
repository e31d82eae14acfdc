"""The simulator: a cluster in virtual time, which holds the nodes of a system without I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from splitbrain.cluster.sim.calls import SimCalls
from splitbrain.cluster.sim.clocks import NodeClock, SimClocks
from splitbrain.cluster.sim.daemons import SimDaemons
from splitbrain.cluster.sim.disk import SimDisk, SimDisks
from splitbrain.cluster.sim.hosts import LOG_PATH, SimHost, SimHosts
from splitbrain.cluster.sim.network import SimNetwork, Take
from splitbrain.cluster.sim.node import SimNode
from splitbrain.cluster.sim.record import Recorder
from splitbrain.cluster.sim.swarm import CALM, Swarm, draw_swarm
from splitbrain.cluster.sim.virtual_time import Act, VirtualTime
from splitbrain.core.cluster import Burdens, Clocks, Daemons, Disks, Hosts, Network, Topology
from splitbrain.core.conversation import Ask, Heard
from splitbrain.core.errors import SetupError, UsageError
from splitbrain.core.message import Message
from splitbrain.core.randomness import Keyed
from splitbrain.core.simulated import Booted, Moment, Simulated
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value

START_LIMIT_NS = 30_000_000_000
TRACEBACK = "Traceback (most recent call last):"


class Simulator:
    """A cluster of nodes in virtual time.

    swarm: whether each seed draws a world of its own; otherwise nothing goes wrong but by faults.
    messages: whether to keep every message.
    """

    name = "sim"
    burdens: Burdens | None = None

    def __init__(self, *, node_count: int = 5, swarm: bool = True, messages: bool = False) -> None:
        if not isinstance(swarm, bool) or not isinstance(messages, bool):
            message = "sim: the options 'swarm' and 'messages' are true or false"
            raise UsageError(message)
        names = [f"n{number}" for number in range(1, node_count + 1)]
        addresses = {name: f"10.0.0.{number}" for number, name in enumerate(names, 1)}
        self.topology = Topology(addresses=addresses)
        self._has_swarm = swarm
        self._keeps_messages = messages
        self._time = VirtualTime()
        self._recorder: Recorder | None = None
        self._nodes: dict[str, SimNode] = {}
        self._calls: SimCalls | None = None
        self._network: SimNetwork | None = None
        self._daemons = SimDaemons(nodes=self._nodes, start=self._start_later)
        self.network: Network | None = None
        self.daemons: Daemons = self._daemons
        self.clocks: Clocks | None = None
        self.hosts: Hosts | None = None
        self.disks: Disks | None = None
        self._swarm: Swarm = CALM
        self._rng = Keyed.of(0)

    # -- the world

    @property
    def now_ns(self) -> int:
        """The virtual time."""
        return self._time.now_ns

    def after(self, delay_ns: int, act: Act, *arguments: object) -> None:
        """Do something later."""
        self._time.after(delay_ns, act, *arguments)

    def run_until(self, holds: Callable[[], bool], deadline_ns: int) -> bool:
        """Let time pass until something holds, or until a time."""
        return self._time.run_until(holds, deadline_ns)

    def inhabit(self, system: Simulated, seed: int) -> Mapping[str, Sequence[DaemonSpec]]:
        """Take a system in, with the world that this seed draws."""
        swarm = self._swarm = draw_swarm(seed) if self._has_swarm else CALM
        self._rng = Keyed.of(seed, "sim")
        names = self.topology.nodes
        clocks: dict[str, NodeClock] = {}
        if self._keeps_messages:
            self._recorder = Recorder(self._time, system.message_kind, clocks)
        takers: dict[str, Take] = {}
        self._network = SimNetwork(
            time=self._time,
            nodes=names,
            seed=seed,
            swarm=swarm,
            ordered=system.ordered_links,
            takers=takers,
            recorder=self._recorder,
        )
        self._calls = SimCalls(
            time=self._time,
            nodes=self._nodes,
            system=system,
            seed=seed,
            swarm=swarm,
            recorder=self._recorder,
        )
        for name in names:
            self._nodes[name] = self._node(name, system, self._network, self._calls)
            takers[name] = self._nodes[name].take
            clocks[name] = self._nodes[name].clock
        self._daemons.daemon = daemon = str(getattr(system, "name", "node"))
        self.network = self._network
        self.clocks = SimClocks(clocks)
        self.disks = SimDisks({name: node.disk for name, node in self._nodes.items()}, self._time)
        self.hosts = SimHosts(self._nodes, self._daemons.settle)
        system.ask_by(self._ask_all)
        return {name: [DaemonSpec(name=daemon, argv=("/simulated",))] for name in names}

    def ask(self, asker: str, ask: Ask, deadline_ns: int, hear: Callable[[Heard], None]) -> None:
        """Carry a client's question."""
        assert self._calls is not None
        self._calls.ask(asker, ask, deadline_ns, hear)

    def messages(self) -> tuple[Message, ...] | None:
        """Give the messages of the run; None when they were not recorded."""
        return None if self._recorder is None else self._recorder.all()

    def fingerprint(self, journal: bytes) -> str:
        """Give a hash over a journal and over all that the nodes traced and logged.

        Of a traceback only when it came: addresses, hashes and the depth of the stack stand in it.
        """
        digest = hashlib.blake2b(journal, digest_size=16)
        for name, node in self._nodes.items():
            log = "\n".join(text for text in node.log if TRACEBACK not in text.partition("\n")[0])
            for part in (name.encode(), bytes(node.trace), log.encode()):
                digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()

    # -- the cluster

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Do nothing: there is no place to enter."""
        yield

    def up(self) -> None:
        """Do nothing: hosts need no time."""

    def down(self) -> None:
        """End everything."""
        self._daemons.ended = True

    def host(self, node: str) -> SimHost:
        """Give control of a node."""
        return SimHost(self._nodes[node])

    def start(self, specs: Mapping[str, Sequence[DaemonSpec]]) -> None:
        """Start all daemons, and wait until each runs.

        Raises: SetupError naming the node, with the last lines of its log.
        """
        for name in specs:
            self._start_later(name)
        tried = self._nodes.values()
        self._time.run_until(
            lambda: all(node.boots > 0 for node in tried), self._time.now_ns + START_LIMIT_NS
        )
        for name in specs:
            node = self._nodes[name]
            if node.life is None:
                last = node.log[-1].splitlines()[-1] if node.log else "it says nothing"
                message = f"{name}: the daemon {self._daemons.daemon} did not start: {last}"
                raise SetupError(message)

    def stop(self) -> None:
        """Stop all daemons for good."""
        self._daemons.ended = True
        for node in self._nodes.values():
            node.stop()

    def log_paths(self, node: str, spec: DaemonSpec) -> Sequence[str]:  # noqa: ARG002
        """Give where the log of the daemon lies."""
        return (LOG_PATH,)

    def expired(self) -> Mapping[str, Value]:
        """Give nothing: there is no lease."""
        return {}

    # -- inside

    def _node(self, name: str, system: Simulated, network: SimNetwork, calls: SimCalls) -> SimNode:
        swarm, rng = self._swarm, self._rng.child("node", name)
        rate_ppm = rng.integer(2 * swarm.rate_ppm + 1) - swarm.rate_ppm
        clock = NodeClock(time=self._time, rate_ppm=rate_ppm)

        def boot(disk: bytes, moment: Moment, number: int) -> Booted:
            return system.boot(name, self.topology, disk, moment, number)

        return SimNode(
            name=name,
            time=self._time,
            clock=clock,
            disk=SimDisk(rng=rng.child("disk"), swarm=swarm, data=bytearray()),
            rng=rng,
            busy_ns=swarm.busy_ns,
            boot=boot,
            send=network.send,
            answer=calls.answered,
            coming=network.take_next,
            on_end=calls.ended,
        )

    def _ask_all(self, question: str) -> Mapping[str, Mapping[str, Value]]:
        found = {}
        for name, node in self._nodes.items():
            answer = node.tell(question)
            if answer is not None:
                found[name] = answer
        return found

    def _start_later(self, name: str) -> None:
        node = self._nodes[name]
        low, high = self._swarm.boot_ns
        delay_ns = low + node.rng.child("boot", node.boots).integer(high - low)
        node.starting += 1
        self._time.after(delay_ns, self._start, name, node.boots)

    def _start(self, name: str, boots: int) -> None:
        node = self._nodes[name]
        node.starting -= 1
        if node.boots == boots and self._daemons.may_start(name):
            node.start()
            if self._daemons.is_paused(name):
                node.pause()
