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


DISTRIBUTIONS = ("normal", "uniform", "pareto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What happens to packets on their way from one node to another.

    delay_ms, jitter_ms: each packet is late by the delay, give or take the jitter, as one of
    `DISTRIBUTIONS` says ("normal": the jitter is the standard deviation). loss, duplicate, corrupt,
    reorder: shares from 0 to 1; a reordered packet is not delayed, and overtakes. rate_kbit: what
    the way carries a second; 0 for no limit.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    distribution: str = "normal"
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    rate_kbit: float = 0.0


Troubles = Mapping[str, Mapping[str, Trouble]]
"""sender -> receiver -> what happens to what it sends there; one-way unless both are listed."""


class Network(Protocol):
    """Cuts between nodes, and troubles; the controller's own connections are never touched."""

    def cut(self, layer: str, grudge: Grudge) -> Value:
        """Make each victim drop every packet from its peers; return the proof once all do."""

    def cannot_disturb(self) -> str | None:
        """Say why packets cannot be disturbed here, or None when they can."""

    def disturb(self, layer: str, troubles: Troubles) -> Value:
        """Trouble what senders send to receivers; layers add up. Return the proof once all do.

        Raises: HarnessError where `cannot_disturb` gives a reason.
        """

    def mend(self, layer: str) -> None:
        """Take this layer's cuts and troubles away; idempotent."""


class Daemons(Protocol):
    """The system's daemons; one runs only when no layer holds it down or paused."""

    def kill(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Kill with SIGKILL and hold down; None means all daemons. Return the proof: what died."""

    def terminate(self, layer: str, nodes: Sequence[str], daemon: str | None = None) -> Value:
        """Ask to end with SIGTERM, kill what does not within its grace, and hold down.

        Return the proof: who was asked, and who had to be killed.
        """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """Work that a host is given beside the system's.

    cpu_workers: processes that compute without end. memory_mb: memory that is held and touched.
    io_workers: processes that write and sync files of `io_mb` each, again and again. limit_s: after
    which it ends by itself, whatever happens.
    """

    cpu_workers: int = 0
    memory_mb: int = 0
    io_workers: int = 0
    io_mb: int = 16
    limit_s: float = 600.0


class Burdens(Protocol):
    """Load on hosts that is not the system's own."""

    def burden(self, layer: str, burdens: Mapping[str, Burden]) -> Value:
        """Load these nodes; layers add up. Return the proof: what the load has used by now."""

    def release(self, layer: str) -> None:
        """Take this layer's load away; idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskTrouble:
    """What the disk beneath a node's data suffers.

    full: nothing more can be written (ENOSPC). read_only: nothing can be changed (EROFS). slow_ms:
    each read, write and sync takes so much longer. error: the share of writes and syncs that fail
    (EIO), from 0 to 1.
    """

    full: bool = False
    read_only: bool = False
    slow_ms: float = 0.0
    error: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskDamage:
    """What is done to a file among a node's data; it stays.

    what: "bitflip" (`bits` bits at places of chance), "truncate" (the last `bytes` are dropped),
    "copy" (one chunk is written over another) or "rollback" (half of the chunks are kept, and
    written back after `wait_s`). files: a pattern of names below the data folders; one of those
    that match is taken, by `seed`. daemon: whose data; None means anybody's.
    """

    what: str
    files: str = "*"
    daemon: str | None = None
    bits: int = 1
    bytes: int = 16
    chunk_bytes: int = 4096
    wait_s: float = 1.0
    seed: int = 0


class Disks(Protocol):
    """The disks beneath the data folders of the daemons; never beneath traces and logs."""

    def cannot_trouble(self) -> str | None:
        """Say why disks cannot be troubled here, or None when they can."""

    def arm(self) -> None:
        """Prepare for `trouble`, before daemons start; costs a little for each access to data."""

    def trouble(self, layer: str, troubles: Mapping[str, DiskTrouble]) -> Value:
        """Trouble the disks of these nodes; layers add up.

        Return the proof: what a write to each data folder comes to. Raises: HarnessError where no
        daemon's data lies on a disk that was armed.
        """

    def release(self, layer: str) -> None:
        """Take this layer's troubles away; idempotent. Daemons that died of them stay dead."""

    def damage(self, damages: Mapping[str, DiskDamage]) -> Value:
        """Damage a file on each of these nodes, for good; return the proof: which, and how."""


class Hosts(Protocol):
    """The machines themselves."""

    def reboot(self, node: str) -> Value:
        """Restart a node and its daemons (those that no layer holds); return once it is back."""

    def cannot_cut_power(self) -> str | None:
        """Say why a power cut would prove nothing here, or None where disks can lose data."""

    def cut_power(self, nodes: Sequence[str]) -> Value:
        """Cut the power of these nodes at one moment and start them again.

        What was written and not synced is gone, as far as the disk had not taken it. Return once
        they and their daemons (those that no layer holds) are back, with the proof.

        Raises: HarnessError where `cannot_cut_power` gives a reason.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Who is where. addresses: node -> IP address, as nodes and clients reach it.

    pace: how much slower than plain hardware this cluster is (1.0); systems multiply their
    heartbeats and timeouts by it. loses_unsynced: a power cut takes whatever a host has not synced,
    so that traces, which are evidence, have to be synced as well.
    """

    addresses: Mapping[str, str]
    pace: float = 1.0
    loses_unsynced: bool = False

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
    burdens: Burdens | None
    disks: Disks | None

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
        """Give what watchdogs undid when the lease ran out, by node; empty is as it should be."""


class Members(Protocol):
    """Who belongs to the system, as its own requests tell and change it."""

    def current(self) -> tuple[str, ...]:
        """Give the members; empty while nobody can tell, or a change is under way."""

    def change(self, wish: str, node: str) -> str | None:
        """Ask to "add" or "remove" a node, or to let it lead ("transfer").

        Say why the system refuses, or None when it took that up; it need not be done then.
        """


Later = Callable[[float, Callable[[], None]], None]
"""Does something in so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """What a nemesis acts on: the cluster's facets, and the system's optional powers.

    primaries: asks the system who leads; None when it cannot tell. members: asks and changes who
    belongs to it; None when that is not to be had. A facet is None where the
    cluster does not have it. later: does something later in virtual time, where every call takes
    effect at once and nothing may happen in threads; None where time is real.
    """

    nodes: tuple[str, ...]
    host: Callable[[str], Host]
    daemons: Daemons
    network: Network | None = None
    clocks: Clocks | None = None
    hosts: Hosts | None = None
    burdens: Burdens | None = None
    disks: Disks | None = None
    primaries: Callable[[], tuple[str, ...]] | None = None
    members: Members | None = None
    facts: Mapping[str, Value] = field(default_factory=dict)
    later: Later | None = None
