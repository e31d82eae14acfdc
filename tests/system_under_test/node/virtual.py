"""Many Raft nodes in virtual time, over a network that loses, delays, doubles and reorders.

Everything is drawn from one seed: equal seeds give equal runs. A crash loses what was not persisted
and can strike between any two effects of a step. Messages go through the real codec.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from splitbrain.system_under_test.node.canonical import Json
from splitbrain.system_under_test.node.effects import (
    Effect,
    Event,
    Persist,
    Persisted,
    Received,
    Reply,
    Requested,
    Send,
    SetTimer,
    Tick,
    Trace,
)
from splitbrain.system_under_test.node.errors import RequestError
from splitbrain.system_under_test.node.raft.bugs import core_class
from splitbrain.system_under_test.node.raft.config import Options
from splitbrain.system_under_test.node.raft.core import RaftCore, Role
from splitbrain.system_under_test.node.raft.log import Entry
from splitbrain.system_under_test.node.raft.membership import Kind
from splitbrain.system_under_test.node.raft.messages import decode_message, encode_message
from splitbrain.system_under_test.node.raft.storage import replay
from splitbrain.system_under_test.node.raft.store import command_of
from splitbrain.system_under_test.node.trace import Clocks, TraceEncoder, read_trace
from splitbrain.system_under_test.node.wire import FrameDecoder, encode_frame

MS = 1_000_000
SECOND = 1_000 * MS


@dataclass(frozen=True, kw_only=True)
class Network:
    """How the network behaves. delay_ms: least and greatest time of a message."""

    delay_ms: tuple[float, float] = (0.2, 2.0)
    drop: float = 0.0
    double: float = 0.0


ROUGH = Network(delay_ms=(0.2, 60.0), drop=0.05, double=0.05)


@dataclass(kw_only=True)
class Call:
    """One request of a client. begun, ended: places in the global order of the run."""

    node: str
    f: str
    key: Json
    argument: Json
    begun: int
    session: tuple[int, int] | None = None
    ended: int | None = None
    body: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether it was answered, and well."""
        return self.body is not None and bool(self.body["ok"])

    @property
    def definite_failure(self) -> bool:
        """Whether it certainly had no effect."""
        return self.body is not None and not self.body["ok"] and bool(self.body["definite"])


@dataclass(kw_only=True)
class VirtualNode:
    """One node: its disk and trace outlive a crash, its core does not."""

    options: Options
    rate: float = 1.0
    disk: list[Json] = field(default_factory=list)
    trace: bytes = b""
    core: RaftCore | None = None
    encoder: TraceEncoder | None = None
    boots: int = 0
    paused: bool = False
    inbox: list[Event] = field(default_factory=list)
    drain_due: bool = False
    timer: int = 0
    wall_offset_ns: int = 0
    calls: dict[int, Call] = field(default_factory=dict)


class VirtualCluster:
    """Nodes n1, n2, ... under one virtual clock, and the faults that befall them."""

    def __init__(
        self,
        size: int = 3,
        *,
        seed: int = 0,
        network: Network = Network(),
        per_node: Mapping[str, Mapping[str, Any]] | None = None,
        crash_chance: float = 0.0,
        drift: float = 0.0,
        start: bool = True,
        **options: Any,
    ) -> None:
        """Start nodes. options: of all nodes; per_node: of some.

        crash_chance: how likely a step of a node is cut short by a crash. drift: by which part
        nodes' clocks run fast or slow.
        """
        self.random = random.Random(seed)
        self.network = network
        self.crash_chance = crash_chance
        self.now_ns = 0
        self.calls: list[Call] = []
        self.written: dict[int, set[Entry]] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._tokens = count(1)
        names = tuple(f"n{i + 1}" for i in range(size))
        base = Options(node="n1", members=names, seed=seed, **options)
        self.nodes = {
            name: VirtualNode(
                options=replace(base, node=name, **(per_node or {}).get(name, {})),
                rate=1 + drift * self.random.uniform(-1, 1),
            )
            for name in names
        }
        if start:
            for name in names:
                self.restart(name)

    # -- time

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.now_ns + int(seconds * SECOND)
        while self._queue and self._queue[0][0] <= end:
            self._step()
        self.now_ns = end

    def run_until(self, holds: Callable[[], bool], within: float = 10.0) -> None:
        """Let virtual time pass until something holds; fails when it does not in time."""
        end = self.now_ns + int(within * SECOND)
        while not holds():
            assert self._queue, "nothing happens any more"
            assert self._queue[0][0] <= end, f"not within {within} virtual seconds"
            self._step()

    def _step(self) -> None:
        self.now_ns, _, action = heapq.heappop(self._queue)
        action()

    def _at(self, at_ns: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (max(at_ns, self.now_ns), next(self._order), action))

    # -- clients

    def submit(
        self,
        node: str,
        f: str,
        key: Json = "x",
        argument: Json = None,
        session: tuple[int, int] | None = None,
    ) -> Call:
        """Send a request, and go on at once. session: its name and the number of the command."""
        begun = next(self._order)
        call = Call(node=node, f=f, key=key, argument=argument, begun=begun, session=session)
        self.calls.append(call)
        target = self.nodes[node]
        if target.core is not None:
            token = next(self._tokens)
            target.calls[token] = call
            fields: dict[str, Json] = {"f": f, "key": key, "argument": argument}
            if session is not None:
                fields |= {"session": session[0], "sequence": session[1]}
            request = command_of(fields)
            self._deliver(target, Requested(token, request))
        return call

    def call(self, node: str, f: str, key: Json = "x", argument: Json = None) -> Mapping[str, Any]:
        """Send a request and wait for the answer."""
        call = self.submit(node, f, key, argument)
        self.run_until(lambda: call.body is not None)
        assert call.body is not None
        return call.body

    def wish(self, kind: str, member: str) -> bool:
        """Ask every node to change the members or who leads; tell whether a leader took it up."""
        taken = False
        for name in list(self.leaders()):
            with contextlib.suppress(RequestError):
                self.core(name).ask_change(Kind(kind), member)
                taken = True
        return taken

    # -- faults

    def cut(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Lose whatever `one` sends to `other`, and the reverse unless one_way."""
        self._cuts.add((one, other))
        if not one_way:
            self._cuts.add((other, one))

    def split(self, *groups: Iterable[str]) -> None:
        """Cut the groups from each other."""
        sides = [list(group) for group in groups]
        for i, side in enumerate(sides):
            for other in sides[i + 1 :]:
                for a in side:
                    for b in other:
                        self.cut(a, b)

    def isolate(self, name: str) -> None:
        """Cut one node from all others."""
        self.split([name], [other for other in self.nodes if other != name])

    def heal(self) -> None:
        """End all cuts."""
        self._cuts.clear()

    def crash(self, name: str) -> None:
        """End a node at once; its memory and its clients' requests are lost."""
        node = self.nodes[name]
        node.core = None
        node.paused, node.drain_due = False, False
        node.inbox.clear()
        node.calls.clear()
        node.timer += 1

    def restart(self, name: str) -> None:
        """Start a node from its disk; does nothing when it runs."""
        node = self.nodes[name]
        if node.core is not None:
            return
        node.boots += 1
        kind = core_class(node.options.bugs)
        node.core = kind(node.options, replay(node.disk), self._clock(node))
        clocks = Clocks(lambda: self.now_ns, lambda: self.now_ns)
        node.encoder = TraceEncoder(name, f"{name}-{node.boots}", clocks)
        if not node.trace.endswith(b"\n") and node.trace:
            node.trace += b"\n"
        node.drain_due = False
        self._perform(node, node.core.start())

    def pause(self, name: str) -> None:
        """Stop a node without ending it; does nothing when it is down."""
        self.nodes[name].paused = self.nodes[name].core is not None

    def resume(self, name: str) -> None:
        """Let a paused node go on; it finds its messages waiting, and the time late."""
        node = self.nodes[name]
        if node.paused:
            node.paused = False
            node.drain_due = False
            self._schedule_drain(node)

    # -- looking

    def core(self, name: str) -> RaftCore:
        """Give the core of a node that runs."""
        core = self.nodes[name].core
        assert core is not None, f"{name} is down"
        return core

    def leaders(self) -> list[str]:
        """Give the nodes that believe to lead, the latest term first."""
        running = [(n.core.term, name) for name, n in self.nodes.items() if n.core and _leads(n)]
        return [name for _, name in sorted(running, reverse=True)]

    def elect(self, within: float = 10.0) -> str:
        """Wait until a leader has committed in its term, and give its name."""

        def settled() -> bool:
            names = self.leaders()
            if not names:
                return False
            core = self.core(names[0])
            return core.commit > 0 and core.log.term_at(core.commit) == core.term

        self.run_until(settled, within)
        return self.leaders()[0]

    def traces(self) -> dict[str, list[dict[str, Any]]]:
        """Give the records of each node; fails when a trace has gaps."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name, node in self.nodes.items():
            records, gaps = read_trace(node.trace)
            assert not gaps, gaps
            found[name] = records
        return found

    # -- the shell of each node

    def _clock(self, node: VirtualNode) -> int:
        return int(self.now_ns * node.rate)

    def _deliver(self, node: VirtualNode, event: Event) -> None:
        if node.core is not None:
            node.inbox.append(event)
            self._schedule_drain(node)

    def _schedule_drain(self, node: VirtualNode) -> None:
        if not node.drain_due:
            node.drain_due = True
            boot = node.boots
            delay = self.random.choice((0, 0, MS // 2))
            self._at(self.now_ns + delay, lambda: self._drain(node, boot))

    def _drain(self, node: VirtualNode, boot: int) -> None:
        if node.core is None or node.boots != boot or node.paused:
            return
        node.drain_due = False
        tick = Tick(self._clock(node), self.now_ns + node.wall_offset_ns)
        events, node.inbox = [tick, *node.inbox], []
        effects = node.core.handle_batch(events)
        while effects and node.core is not None:
            done = self._perform(node, effects)
            effects = node.core.handle_batch(done) if done and node.core is not None else []

    def _perform(self, node: VirtualNode, effects: list[Effect]) -> list[Event]:
        """Perform effects as the shell does: the disk, then the trace, then what leaves."""
        fate = self.random.random()
        crashing = fate < self.crash_chance and len(effects) > 1
        stage = self.random.randrange(4) if crashing else None
        if stage == 0:
            self.crash(node.options.node)
            return []
        done: list[Event] = []
        for effect in effects:
            if isinstance(effect, Persist):
                self._note_written(effect.records)
                if effect.replaces:
                    node.disk.clear()
                node.disk.extend(effect.records)
                if effect.mark is not None:
                    done.append(Persisted(effect.mark))
        assert node.encoder is not None
        traced = node.encoder.encode([item for item in effects if isinstance(item, Trace)])
        if stage == 1:
            traced = traced[: self.random.randrange(len(traced) + 1)]
        node.trace += traced
        if stage == 1:
            self.crash(node.options.node)
            return []
        for effect in effects:
            if stage == 2 and self.random.random() < 0.3:
                break
            self._let_out(node, effect)
        if stage is not None:
            self.crash(node.options.node)
            return []
        return done

    def _note_written(self, records: Iterable[Json]) -> None:
        for record in records:
            match record:
                case ["append", int(first), list(items)]:
                    for index, item in enumerate(items, first):
                        assert isinstance(item, list)
                        self.written.setdefault(index, set()).add(Entry(*item))

    def _let_out(self, node: VirtualNode, effect: Effect) -> None:
        if isinstance(effect, Send):
            self._send(node.options.node, effect)
        elif isinstance(effect, Reply):
            call = node.calls.pop(effect.token)
            assert call.body is None, "answered twice"
            call.body, call.ended = effect.body, next(self._order)
        elif isinstance(effect, SetTimer):
            node.timer += 1
            if effect.at_ns is not None:
                number, boot = node.timer, node.boots
                at_ns = int(effect.at_ns / node.rate) + 1
                self._at(at_ns, lambda: self._ring(node, boot, number))

    def _ring(self, node: VirtualNode, boot: int, number: int) -> None:
        if node.core is not None and node.boots == boot and node.timer == number:
            self._schedule_drain(node)

    def _send(self, sender: str, effect: Send) -> None:
        frame = encode_frame(encode_message(effect.message))  # type: ignore[arg-type]
        copies = 2 if self.random.random() < self.network.double else 1
        for _ in range(copies):
            if self.random.random() < self.network.drop:
                continue
            low, high = self.network.delay_ms
            at_ns = self.now_ns + int(self.random.uniform(low, high) * MS)
            self._at(at_ns, lambda: self._arrive(sender, effect.to, frame))

    def _arrive(self, sender: str, to: str, frame: bytes) -> None:
        if (sender, to) in self._cuts:
            return
        (value,) = FrameDecoder().feed(frame)
        self._deliver(self.nodes[to], Received(sender, decode_message(value)))


def _leads(node: VirtualNode) -> bool:
    return node.core is not None and node.core.role is Role.LEADER
