"""Many nodes of the store in virtual time, over a network that loses, delays and doubles.

Everything is drawn from one seed. A crash loses what was not persisted and strikes before, amid or
after the disk work of a step, and among the messages that leave. Messages go through the real
codec.
"""

from __future__ import annotations

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
from splitbrain.system_under_test.node.store.config import Options
from splitbrain.system_under_test.node.store.service import StoreService
from splitbrain.system_under_test.node.wire import FrameDecoder, encode_frame

MS = 1_000_000
SECOND = 1_000 * MS
EPOCH_NS = 1_700_000_000 * SECOND


@dataclass(kw_only=True)
class Call:
    """One request of a client. begun, ended: places in the global order of the run."""

    node: str
    session: int
    request: dict[str, Any]
    begun: int
    at_ns: int = 0
    ended: int | None = None
    body: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        return self.body is not None and bool(self.body["ok"])

    @property
    def failed(self) -> bool:
        return self.body is not None and not self.body["ok"] and bool(self.body["definite"])


@dataclass(kw_only=True)
class StoreNode:
    """One node: its disk and trace outlive a crash. skew_ns: of its wall clock."""

    options: Options
    skew_ns: int = 0
    disk: list[Json] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    service: StoreService | None = None
    boots: int = 0
    paused: bool = False
    inbox: list[Event] = field(default_factory=list)
    drain_due: bool = False
    timer: int = 0
    calls: dict[int, Call] = field(default_factory=dict)


class StoreCluster:
    """Nodes n1, n2, ... under one virtual clock, and the faults that befall them."""

    def __init__(
        self,
        size: int = 5,
        *,
        seed: int = 0,
        delay_ms: tuple[float, float] = (0.2, 2.0),
        drop: float = 0.0,
        double: float = 0.0,
        crash_chance: float = 0.0,
        **options: Any,
    ) -> None:
        self.random = random.Random(seed)
        self.delay_ms, self.drop, self.double = delay_ms, drop, double
        self.crash_chance = crash_chance
        self.now_ns = 0
        self.calls: list[Call] = []
        self._cuts: set[tuple[str, str]] = set()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._tokens = count(1)
        self._contexts: dict[tuple[int, str], Any] = {}
        names = tuple(f"n{i + 1}" for i in range(size))
        base = Options(node="n1", members=names, seed=seed, **options)
        self.nodes = {name: StoreNode(options=replace(base, node=name)) for name in names}
        for name in names:
            self.restart(name)

    # -- time

    def run_for(self, seconds: float) -> None:
        end = self.now_ns + int(seconds * SECOND)
        while self._queue and self._queue[0][0] <= end:
            self._step()
        self.now_ns = end

    def run_until(self, holds: Callable[[], bool], within: float = 10.0) -> None:
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
        *,
        level: str = "eventual",
        session: int = 0,
        blind: bool = False,
    ) -> Call:
        """Send a request, and go on at once. blind: without the session's context."""
        place = (session, f"{level}/{key}" if level in ("eventual", "strong") else level)
        request: dict[str, Any] = {"f": f, "level": level, "key": key, "argument": argument}
        request["context"] = None if blind else self._contexts.get(place)
        call = Call(node=node, session=session, request=request, begun=next(self._order))
        self.calls.append(call)
        target = self.nodes[node]
        if target.service is not None:
            token = next(self._tokens)
            target.calls[token] = call
            self._deliver(target, Requested(token, target.service.decode_request(request)))
        else:
            call.body = {"ok": False, "definite": True, "error": "down"}
            call.ended = next(self._order)
        return call

    def call(self, node: str, f: str, key: Json = "x", argument: Json = None, **more: Any) -> Any:
        """Send a request and wait for the answer."""
        call = self.submit(node, f, key, argument, **more)
        self.run_until(lambda: call.body is not None)
        return call.body

    # -- faults

    def split(self, *groups: Iterable[str]) -> None:
        sides = [list(group) for group in groups]
        for i, side in enumerate(sides):
            for other in sides[i + 1 :]:
                for a in side:
                    for b in other:
                        self._cuts |= {(a, b), (b, a)}

    def isolate(self, name: str) -> None:
        self.split([name], [other for other in self.nodes if other != name])

    def heal(self) -> None:
        self._cuts.clear()

    def crash(self, name: str) -> None:
        node = self.nodes[name]
        node.service = None
        node.paused, node.drain_due = False, False
        node.inbox.clear()
        node.calls.clear()
        node.timer += 1

    def restart(self, name: str) -> None:
        node = self.nodes[name]
        if node.service is not None:
            return
        node.boots += 1
        node.service = StoreService(node.options, node.disk, self.now_ns)
        node.drain_due = False
        self._perform(node, node.service.core.start())

    def pause(self, name: str) -> None:
        self.nodes[name].paused = self.nodes[name].service is not None

    def resume(self, name: str) -> None:
        node = self.nodes[name]
        if node.paused:
            node.paused = False
            node.drain_due = False
            self._schedule_drain(node)

    # -- looking

    def status(self, name: str) -> Mapping[str, Any]:
        service = self.nodes[name].service
        assert service is not None, f"{name} is down"
        return service.admin("status")

    def dump(self, name: str) -> Any:
        service = self.nodes[name].service
        assert service is not None, f"{name} is down"
        return service.admin("dump")

    def cells(self, key: Json, level: str = "eventual") -> dict[str, Any]:
        """Give the cell of a key on each node that has one."""
        found = {}
        for name in self.nodes:
            for cell in self.dump(name)["cells"]:
                if cell["key"] == key and cell["level"] == level:
                    found[name] = cell
        return found

    def traced(self, event: str) -> list[dict[str, Any]]:
        return [
            record
            for node in self.nodes.values()
            for record in node.trace
            if record["event"] == event
        ]

    def settle(self, within: float = 30.0) -> None:
        """End all faults and wait until all replicas agree."""
        self.heal()
        self.drop = self.crash_chance = 0.0
        for name in self.nodes:
            self.resume(name)
            self.restart(name)
        self.run_for(1.0)
        self.run_until(lambda: self._settled(), within)

    def _settled(self) -> bool:
        statuses = {name: self.status(name) for name in self.nodes}
        first = statuses["n1"]
        return all(
            not s["hints"]
            and not s["open"]
            and s["causal"] == first["causal"]
            and s["applied"] == first["applied"]
            and all(root == statuses[peer]["roots"][name] for peer, root in s["roots"].items())
            for name, s in statuses.items()
        )

    # -- the shell of each node

    def _deliver(self, node: StoreNode, event: Event) -> None:
        if node.service is not None:
            node.inbox.append(event)
            self._schedule_drain(node)

    def _schedule_drain(self, node: StoreNode) -> None:
        if not node.drain_due:
            node.drain_due = True
            boot = node.boots
            self._at(self.now_ns, lambda: self._drain(node, boot))

    def _drain(self, node: StoreNode, boot: int) -> None:
        if node.service is None or node.boots != boot or node.paused:
            return
        node.drain_due = False
        wall_ns = EPOCH_NS + self.now_ns + node.skew_ns
        events, node.inbox = [Tick(self.now_ns, wall_ns), *node.inbox], []
        effects = node.service.core.handle_batch(events)
        while effects and node.service is not None:
            done = self._perform(node, effects)
            if not done or node.service is None:
                return
            effects = node.service.core.handle_batch(done)

    def _perform(self, node: StoreNode, effects: list[Effect]) -> list[Event]:
        crashing = self.random.random() < self.crash_chance and node.boots > 0
        stage = self.random.randrange(4) if crashing else None
        if stage == 0:
            self.crash(node.options.node)
            return []
        done: list[Event] = []
        for effect in effects:
            if isinstance(effect, Persist):
                if stage == 3 and self.random.random() < 0.5:
                    break
                if effect.replaces:
                    node.disk.clear()
                node.disk.extend(effect.records)
                if effect.mark is not None:
                    done.append(Persisted(effect.mark))
        if stage == 3:
            self.crash(node.options.node)
            return []
        node.trace += [
            {"event": e.event, "node": node.options.node, **e.fields}
            for e in effects
            if isinstance(e, Trace)
        ]
        for effect in effects:
            if stage == 1 and self.random.random() < 0.3:
                break
            self._let_out(node, effect)
        if stage is not None:
            self.crash(node.options.node)
            return []
        return done

    def _let_out(self, node: StoreNode, effect: Effect) -> None:
        if isinstance(effect, Send):
            assert node.service is not None
            frame = encode_frame(node.service.encode_message(effect.message))
            self._send(node.options.node, effect.to, frame)
        elif isinstance(effect, Reply):
            call = node.calls.pop(effect.token)
            assert call.body is None, "answered twice"
            call.body, call.ended = effect.body, next(self._order)
            if call.ok:
                level, key = call.request["level"], call.request["key"]
                name = f"{level}/{key}" if level in ("eventual", "strong") else level
                self._contexts[call.session, name] = effect.body["context"]
        elif isinstance(effect, SetTimer):
            node.timer += 1
            if effect.at_ns is not None:
                number, boot = node.timer, node.boots
                self._at(effect.at_ns, lambda: self._ring(node, boot, number))

    def _ring(self, node: StoreNode, boot: int, number: int) -> None:
        if node.service is not None and node.boots == boot and node.timer == number:
            self._schedule_drain(node)

    def _send(self, sender: str, to: str, frame: bytes) -> None:
        for _ in range(2 if self.random.random() < self.double else 1):
            if self.random.random() < self.drop:
                continue
            at_ns = self.now_ns + int(self.random.uniform(*self.delay_ms) * MS)
            self._at(at_ns, lambda: self._arrive(sender, to, frame))

    def _arrive(self, sender: str, to: str, frame: bytes) -> None:
        node = self.nodes[to]
        if (sender, to) in self._cuts or node.service is None:
            return
        (value,) = FrameDecoder().feed(frame)
        self._deliver(node, Received(sender, node.service.decode_message(value)))
