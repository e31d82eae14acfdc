"""In which time a run happens: real, with threads that wait, or virtual, in one thread.

All that differs between the two stands here and in what it makes; the life of a run is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypedDict, Unpack

from splitbrain.core.cluster import Bed, Cluster, Later, Topology
from splitbrain.core.fault import Nemesis, Resolved, Schedule, When
from splitbrain.core.generator import Generator
from splitbrain.core.journal import Header
from splitbrain.core.message import Message
from splitbrain.core.operation import Vocabulary
from splitbrain.core.simulated import World, require_simulated
from splitbrain.core.system import DaemonSpec, System
from splitbrain.core.value import Value
from splitbrain.runtime.conditions import Watch
from splitbrain.runtime.control import Control
from splitbrain.runtime.interpreter import Interpreter
from splitbrain.runtime.journal import Journal
from splitbrain.runtime.scheduler import Scheduler
from splitbrain.runtime.virtual_interpreter import VirtualInterpreter
from splitbrain.runtime.virtual_scheduler import VirtualScheduler

INSTALL_WIDTH = 16


class Workers(Protocol):
    """What performs the phases of a workload."""

    def run(
        self, generator: Generator, *, limit_s: float | None, stopped: Callable[[], bool]
    ) -> None:
        """Perform a phase."""

    def counts(self) -> Mapping[str, int]:
        """Give how many operations have ended so far, by outcome."""

    def keys_used(self) -> tuple[Value, ...]:
        """Give the keys of all operations so far, in the order of their first use."""

    def close(self) -> None:
        """Close all clients, and write nothing any more."""


class Agenda(TypedDict):
    """What a scheduler is made of; see there."""

    bed: Bed
    nemeses: Mapping[str, Nemesis]
    schedule: Schedule
    journal: Journal
    seed: int
    watch_for: Callable[[When], Watch]
    pinned: Mapping[str, Resolved]
    idle: Callable[[], None]


class Timing(Protocol):
    """The time of a run, and what must be made for it."""

    @property
    def later(self) -> Later | None:
        """What does something later in virtual time; None where time is real."""

    def now_ns(self) -> int:
        """Give the run's monotonic clock."""

    def header(self, run: str, seed: int) -> Header:
        """Give the first record of the journal."""

    def wait(self, control: Control, s: float) -> None:
        """Let time pass, unless somebody stops the run."""

    def deploy(
        self, system: System, cluster: Cluster, seed: int
    ) -> Mapping[str, Sequence[DaemonSpec]]:
        """Bring the system onto the hosts, and give its daemons."""

    def workers(
        self,
        system: System,
        vocabulary: Vocabulary,
        topology: Topology,
        *,
        journal: Journal,
        concurrency: int,
        operation_timeout_s: float,
    ) -> Workers:
        """Give what performs the workload."""

    def scheduler(self, **agenda: Unpack[Agenda]) -> Scheduler | VirtualScheduler:
        """Give what carries the schedule out."""

    def messages(self) -> tuple[Message, ...] | None:
        """Give all messages of the run, where somebody kept them."""


def timing_of(cluster: Cluster) -> Timing:
    """Give the time in which a cluster lives."""
    return VirtualTiming(cluster) if isinstance(cluster, World) else RealTiming()


class RealTiming:
    """The time of this machine."""

    later: Later | None = None

    def now_ns(self) -> int:
        """Give the run's monotonic clock."""
        return time.monotonic_ns()

    def header(self, run: str, seed: int) -> Header:  # noqa: ARG002 - the directory is the run
        """Give the first record of the journal."""
        return Header(run=run, wall_s=time.time(), time_ns=time.monotonic_ns())

    def wait(self, control: Control, s: float) -> None:
        """Wait, unless somebody stops the run."""
        control.wait(s)

    def deploy(
        self,
        system: System,
        cluster: Cluster,
        seed: int,  # noqa: ARG002 - real hosts are as they are
    ) -> Mapping[str, Sequence[DaemonSpec]]:
        """Install on all hosts, side by side."""
        topology = cluster.topology
        nodes = topology.nodes
        with ThreadPoolExecutor(max_workers=min(INSTALL_WIDTH, len(nodes))) as pool:
            for done in [
                pool.submit(system.install, cluster.host(node), topology) for node in nodes
            ]:
                done.result()
        return {node: system.daemons(node, topology) for node in nodes}

    def workers(
        self,
        system: System,
        vocabulary: Vocabulary,
        topology: Topology,
        *,
        journal: Journal,
        concurrency: int,
        operation_timeout_s: float,
    ) -> Workers:
        """Give threads that perform the workload."""
        return Interpreter(
            journal=journal,
            client_factory=system.client(vocabulary, topology),
            nodes=topology.nodes,
            concurrency=concurrency,
            operation_timeout_s=operation_timeout_s,
        )

    def scheduler(self, **agenda: Unpack[Agenda]) -> Scheduler | VirtualScheduler:
        """Give a thread that carries the schedule out."""
        return Scheduler(**agenda)

    def messages(self) -> tuple[Message, ...] | None:
        """Give nothing: nobody sees all messages."""
        return None


class VirtualTiming:
    """The time of a simulated world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.later: Later | None = self._later

    def now_ns(self) -> int:
        """Give the virtual time."""
        return self._world.now_ns

    def header(self, run: str, seed: int) -> Header:  # noqa: ARG002 - a seed is one run
        """Give the first record of the journal: the same in each run of the seed."""
        return Header(run=f"sim-{seed}", time_ns=self._world.now_ns)

    def wait(self, control: Control, s: float) -> None:
        """Let virtual time pass, unless somebody stops the run."""
        self._world.run_until(lambda: control.stopped, self._world.now_ns + int(s * 1e9))

    def deploy(
        self,
        system: System,
        cluster: Cluster,  # noqa: ARG002 - it is the world itself
        seed: int,
    ) -> Mapping[str, Sequence[DaemonSpec]]:
        """Take the system in. Raises: UsageError when it cannot be simulated."""
        return self._world.inhabit(require_simulated(system), seed)

    def workers(
        self,
        system: System,
        vocabulary: Vocabulary,
        topology: Topology,
        *,
        journal: Journal,
        concurrency: int,
        operation_timeout_s: float,
    ) -> Workers:
        """Give what performs the workload in virtual time."""
        return VirtualInterpreter(
            world=self._world,
            journal=journal,
            core_factory=require_simulated(system).client_core(vocabulary, topology),
            nodes=topology.nodes,
            concurrency=concurrency,
            operation_timeout_s=operation_timeout_s,
        )

    def scheduler(self, **agenda: Unpack[Agenda]) -> Scheduler | VirtualScheduler:
        """Give what carries the schedule out in virtual time."""
        return VirtualScheduler(**agenda, world=self._world)

    def messages(self) -> tuple[Message, ...] | None:
        """Give all messages of the run, if they were kept."""
        return self._world.messages()

    def _later(self, s: float, act: Callable[[], None]) -> None:
        self._world.after(int(s * 1e9), act)
