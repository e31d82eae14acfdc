"""Where systems run: hosts, their control, and the facets through which faults act.

A facet holds one layer per fault, and the state of a node is the union of its layers: overlapping
faults never undo each other. Nemeses are policy, facets are mechanism.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from splitbrain.core.value import Value

if TYPE_CHECKING:
    from splitbrain.core.system import DaemonSpec

Grudge = Mapping[str, frozenset[str]]
"""victim -> the peers whose packets it drops; one-way unless both directions are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ended on a node."""

    argv: tuple[str, ...]
    exit_status: int
    stdout: bytes
    stderr: bytes
    duration_s: float


class Host(Protocol):
    """Control of one node. Every call has a deadline and raises RemoteError beyond it."""

    @property
    def node(self) -> str:
        """The node's name."""

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = 30.0,
        check: bool = True,
    ) -> Completed:
        """Run a command and wait for it.

        Raises: RemoteError when the node cannot be reached, when time runs out, and, unless
        `check` is off, for an exit status other than 0.
        """

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file, whole or not at all, and make its folders."""

    def get(self, path: str, *, limit_bytes: int = 64 * 1024 * 1024, offset: int = 0) -> bytes:
        """Read a regular file from `offset`, at most `limit_bytes` of it.

        Raises: RemoteError when there is no such file.
        """


@dataclass(frozen=True, slots=True)
class Skew:
    """A wall clock's lie: fake = real + offset + rate * (real - start).

    rate_ppb: parts per billion that it runs fast. strobe_ns: if not 0, the offset comes and goes,
    on for this long and off for this long.
    """

    offset_ns: int = 0
    rate_ppb: int = 0
    strobe_ns: int = 0


class Network(Protocol):
    """Cuts between nodes; the controller's own connections are never cut."""

    def cut(self, layer: str, grudge: Grudge) -> Value:
        """Make each victim drop every packet from its peers; return the proof once all do."""

    def mend(self, layer: str) -> None:
        """Take this layer's cuts away; idempotent."""


class Daemons(Protocol):
    """The system's daemons; one runs only when no layer holds it down or paused."""

    def kill(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Kill with SIGKILL and hold down; None means all daemons. Return the proof: what died."""

    def pause(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Stop with SIGSTOP; return the proof: what is stopped."""

    def release(self, layer: str) -> None:
        """Take this layer away; start or continue what nothing else holds; idempotent."""

    def running(self, node: str) -> Mapping[str, bool]:
        """Tell which daemons of a node run."""


class Clocks(Protocol):
    """The wall clocks that daemons see."""

    def skew(self, layer: str, skews: Mapping[str, Skew]) -> Value:
        """Bend the clocks of these nodes; layers add up. Return the proof: measured offsets."""

    def release(self, layer: str) -> None:
        """Take this layer away; idempotent."""

    def sample(self, node: str) -> tuple[int, int]:
        """Measure (offset_ns, uncertainty_ns) of a node's wall clock against the controller's."""


class Hosts(Protocol):
    """The machines themselves."""

    def reboot(self, node: str) -> Value:
        """Restart a node and its daemons (those that no layer holds); return once it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Who is where. addresses: node -> IP address, as nodes and clients reach it.

    pace: how much slower than plain hardware this cluster is (1.0); systems multiply their
    heartbeats and timeouts by it.
    """

    addresses: Mapping[str, str]
    pace: float = 1.0

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(self.addresses)


class Cluster(Protocol):
    """A set of hosts that the harness commands.

    Everything between `up` and `down` happens within `entered`, in the thread that entered and in
    those that it starts.
    """

    @property
    def name(self) -> str:
        """The kind of cluster: embedded, vagrant, ..."""

    @property
    def topology(self) -> Topology:
        """Who is where; known once the cluster is up."""

    network: Network | None
    daemons: Daemons
    clocks: Clocks | None
    hosts: Hosts | None

    def entered(self) -> AbstractContextManager[None]:
        """Enter the place from which the nodes can be reached, for this thread and its children."""

    def up(self) -> None:
        """Bring the hosts up.

        Raises: SetupError naming the host and the reason; what was begun is taken down by `down`.
        """

    def down(self) -> None:
        """Undo every fault and take the hosts down; idempotent; touches only what is ours."""

    def host(self, node: str) -> Host:
        """Give control of a node."""

    def start(self, specs: Mapping[str, Sequence[DaemonSpec]]) -> None:
        """Start the daemons of all nodes and wait until each is ready.

        Raises: SetupError naming the daemon, with the last lines of its log.
        """

    def stop(self) -> None:
        """Stop all daemons for good."""

    def log_paths(self, node: str, spec: DaemonSpec) -> Sequence[str]:
        """Where on the node a daemon's logs lie: its output first, then those that it names."""

    def expired(self) -> Mapping[str, Value]:
        """Give what watchdogs undid because the lease ran out, by node; empty is as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """What a nemesis acts on: the cluster's facets, and the system's optional powers.

    primaries: asks the system who leads; None when it cannot tell. A facet is None where the
    cluster does not have it.
    """

    nodes: tuple[str, ...]
    host: Callable[[str], Host]
    daemons: Daemons
    network: Network | None = None
    clocks: Clocks | None = None
    hosts: Hosts | None = None
    primaries: Callable[[], tuple[str, ...]] | None = None
    facts: Mapping[str, Value] = field(default_factory=dict)
