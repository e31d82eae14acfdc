"""A system under test as the controller sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from splitbrain.core.client import ClientFactory
from splitbrain.core.cluster import Host, Topology
from splitbrain.core.evidence import Trace
from splitbrain.core.operation import Vocabulary
from splitbrain.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSpec:
    """One daemon of a node, for the cluster to start, stop and signal.

    argv: absolute program first. data_dirs: made before the start, the disk facet acts on them.
    logs: further log files to collect, beside standard output and error. ports: TCP ports it
    listens on. ready_port: it is ready once this port accepts a connection. ready_line: and once
    this text stands in its output. ready_timeout_s: how long that may take.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    data_dirs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    ready_port: int | None = None
    ready_line: str | None = None
    ready_timeout_s: float = 30.0


class System(Protocol):
    """How to install a system, run it and talk to it; optional powers are protocols below."""

    @property
    def name(self) -> str:
        """The name people call it by."""

    @property
    def default_workload(self) -> str:
        """The workload that runs when none is asked for."""

    @property
    def checkers(self) -> Sequence[str]:
        """The names of the checkers that judge its traces and dumps, whatever the workload."""

    @property
    def facts(self) -> Mapping[str, Value]:
        """Promises and bounds that checkers use: "recovery_bound_s", "initial", N/R/W."""

    def install(self, host: Host, topology: Topology) -> None:
        """Put the program and its configuration on one host; may be called again."""

    def daemons(self, node: str, topology: Topology) -> Sequence[DaemonSpec]:
        """Say what to run on a node."""

    def client(self, vocabulary: Vocabulary, topology: Topology) -> ClientFactory:
        """Give what makes clients for a workload's vocabulary.

        Raises: UsageError when the system does not speak it.
        """


@runtime_checkable
class Speaks(Protocol):
    """The power to tell which operations there are, so that a workload can do without the rest."""

    @property
    def functions(self) -> frozenset[str]:
        """The names of its operations."""


@runtime_checkable
class JudgedBy(Protocol):
    """The power to say which checkers judge a workload, where that depends on what it does."""

    def judged_by(self, workload: str, params: Mapping[str, Value]) -> Sequence[str]:
        """Give the names of the checkers beside `checkers`. params: the workload's own."""


@runtime_checkable
class Thresholds(Protocol):
    """The power to tell which options are numbers that so much must happen for.

    A snapshot every hundred entries asks for a hundred entries: who makes a failing run small
    lowers such numbers first.
    """

    @property
    def thresholds(self) -> Mapping[str, int]:
        """The least value that makes sense, by the option's name."""


@runtime_checkable
class Primaries(Protocol):
    """The power to tell who leads."""

    def primaries(self, topology: Topology) -> tuple[str, ...]:
        """Give the nodes that believe to lead, the most recent first; never raises."""


@runtime_checkable
class ChangesMembers(Protocol):
    """The power to add and remove nodes while the system runs."""

    def members(self, topology: Topology) -> tuple[str, ...]:
        """Give who belongs to it; empty while nobody can tell; never raises."""

    def change_members(self, topology: Topology, wish: str, node: str) -> str | None:
        """Ask to "add", "remove" or "transfer" to a node; say why it is refused, or None."""


@runtime_checkable
class Settled(Protocol):
    """The power to tell whether everything has calmed down after healing."""

    def unsettled(self, topology: Topology) -> str | None:
        """Say in one line what has not settled yet, or None when all has."""


@runtime_checkable
class Traces(Protocol):
    """The power to hand over what nodes traced."""

    def trace_path(self, node: str) -> str:
        """Where on the node its trace lies."""

    def read_trace(self, node: str, data: bytes) -> Trace:
        """Read a trace, and name its gaps; never raises for what nodes wrote."""


@runtime_checkable
class Dump(Protocol):
    """The power to hand over what each replica holds."""

    def dump(self, topology: Topology) -> Mapping[str, Value]:
        """Give the content of each replica that answers, by node."""


def spoken(system: System) -> frozenset[str] | None:
    """Give the operations that a system says it has; None when it does not say."""
    return system.functions if isinstance(system, Speaks) else None
