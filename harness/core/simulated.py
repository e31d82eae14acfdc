"""Systems that run in virtual time: nodes as values without I/O, and what the simulator is to them.

A node's life begins from what its disk holds and ends by a crash. Events go in, steps come out;
whatever passes between nodes is bytes, so that nothing is shared by reference. The simulator
carries steps out: it delays, loses, doubles and tears what real networks, disks and crashes do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeAlias, runtime_checkable

import msgspec

from splitbrain.core.client import ClientFactory
from splitbrain.core.cluster import Host, Topology
from splitbrain.core.conversation import Ask, ClientCoreFactory, Heard
from splitbrain.core.errors import UsageError
from splitbrain.core.message import Message
from splitbrain.core.operation import Vocabulary
from splitbrain.core.system import DaemonSpec
from splitbrain.core.value import Value

AskAll = Callable[[str], Mapping[str, Mapping[str, Value]]]
"""Puts one question to every node and gives the answers by node, of those that answer."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """What a node's clocks show. now_ns: monotonic since its host's boot. wall_ns: since 1970."""

    now_ns: int
    wall_ns: int


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """A message came from another node."""

    sender: str
    payload: bytes


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A client asks for something. token: names the request in the reply."""

    token: int
    payload: bytes


Event: TypeAlias = Delivered | Asked


class Step(msgspec.Struct):
    """What a node does next, carried out in the order of these fields.

    writes: appended to the node's log and durable before anything else leaves. rewrites: they
    take the place of the whole log instead, as one or not at all. traces: records for the trace,
    as `encode_traces` takes them. sends: messages by receiver. replies: answers by token. marks:
    handed back to `persisted` once all this was done. timer_ns: on the node's monotonic clock,
    when to call `handle` at the latest; it counts only where sets_timer is true, and None takes
    the timer away.
    """

    writes: bytes = b""
    rewrites: bool = False
    traces: Sequence[object] = ()
    sends: Sequence[tuple[str, bytes]] = ()
    replies: Sequence[tuple[int, bytes]] = ()
    marks: Sequence[object] = ()
    timer_ns: int | None = None
    sets_timer: bool = False


class NodeDied(Exception):  # noqa: N818 - it is what happened, as the log says it
    """The node cannot start or go on; the text goes into its log."""


class Life(Protocol):
    """One life of a node, from its start to its end. Every method may raise NodeDied."""

    def start(self, moment: Moment) -> Step:
        """Begin."""

    def handle(self, moment: Moment, events: Sequence[Event]) -> Step:
        """Take what came, in order; without events the timer rang."""

    def persisted(self, moment: Moment, marks: Sequence[object]) -> Step:
        """Hear that a step with these marks was carried out."""

    def stop(self, moment: Moment) -> Step:
        """Answer whoever waits: the node is about to end."""

    def encode_traces(self, moment: Moment, traces: Sequence[object]) -> bytes:
        """Give the lines that the trace gets, each with its end of line."""

    def answer(self, question: str) -> Mapping[str, Value] | None:
        """Answer an operator; None when there is no such question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A node that came up. disk: what its log holds by now, mended. notes: for the daemon's log."""

    life: Life
    disk: bytes
    notes: tuple[str, ...] = ()


@runtime_checkable
class Simulated(Protocol):
    """The power of a system to run in the simulator.

    ordered_links: whether its nodes speak over links that keep the order and double nothing, as TCP
    does while it lasts; otherwise messages may overtake each other and come twice.
    """

    @property
    def ordered_links(self) -> bool:
        """Whether links keep the order of messages."""

    def boot(
        self, node: str, topology: Topology, disk: bytes, moment: Moment, number: int
    ) -> Booted:
        """Begin a node's life from what its disk holds; number: how often it booted, from 1.

        Raises: NodeDied when it cannot start.
        """

    def client_core(self, vocabulary: Vocabulary, topology: Topology) -> ClientCoreFactory:
        """Give what makes client cores. Raises: UsageError for a vocabulary it does not speak."""

    def encode_request(self, request: Mapping[str, Value]) -> bytes:
        """Give a client's request as a node takes it."""

    def decode_reply(self, payload: bytes) -> Mapping[str, Value]:
        """Read a node's reply."""

    def message_kind(self, payload: bytes) -> str:
        """Name the kind of a message between nodes, for people."""

    def ask_by(self, ask: AskAll) -> None:
        """From now on put operators' questions this way."""


def require_simulated(system: object) -> Simulated:
    """Give a system as one that can be simulated. Raises: UsageError when it cannot."""
    if not isinstance(system, Simulated):
        name = getattr(system, "name", type(system).__name__)
        message = (
            f"the system {name!r} cannot run in the simulator: it has no nodes and clients without "
            "I/O (docs/simulator.md says what that takes)"
        )
        raise UsageError(message)
    return system


def require_hosted(system: object) -> None:
    """Let a system pass that may have hosts. Raises: UsageError when it lives in no other place."""
    if isinstance(system, OnlySimulated):
        _refuse_hosts(system)


@runtime_checkable
class World(Protocol):
    """What a cluster in virtual time is to those who drive a run through it: one thread, one heap.

    Facets of such a cluster take effect at once in virtual time.
    """

    @property
    def now_ns(self) -> int:
        """The virtual time."""

    def after(self, delay_ns: int, act: Callable[..., None], *arguments: object) -> None:
        """Do something later, in the order of time and, at one time, of asking."""

    def run_until(self, holds: Callable[[], bool], deadline_ns: int) -> bool:
        """Let time pass until something holds, or until a time; tell whether it holds."""

    def inhabit(self, system: Simulated, seed: int) -> Mapping[str, Sequence[DaemonSpec]]:
        """Take a system in: its nodes are what will be started."""

    def ask(self, asker: str, ask: Ask, deadline_ns: int, hear: Callable[[Heard], None]) -> None:
        """Carry a client's question; exactly one thing is heard, at the deadline at the latest."""

    def messages(self) -> tuple[Message, ...] | None:
        """Give the messages of the run; None when they were not recorded."""

    def fingerprint(self, journal: bytes) -> str:
        """Give a hash over a journal and over all that the nodes traced."""


class OnlySimulated:
    """The base of a system that lives in the simulator alone."""

    name = "simulated"

    def install(self, host: Host, topology: Topology) -> None:  # noqa: ARG002
        """Refuse."""
        _refuse_hosts(self)

    def daemons(self, node: str, topology: Topology) -> Sequence[DaemonSpec]:  # noqa: ARG002
        """Refuse."""
        _refuse_hosts(self)

    def client(self, vocabulary: Vocabulary, topology: Topology) -> ClientFactory:  # noqa: ARG002
        """Refuse."""
        _refuse_hosts(self)


def _refuse_hosts(system: OnlySimulated) -> NoReturn:
    message = f"the system {system.name!r} runs in the simulator alone: use --cluster sim"
    raise UsageError(message)
