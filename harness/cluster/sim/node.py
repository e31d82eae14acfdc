"""One simulated node: what the shell of a real one does, in virtual time, until it crashes.

A batch is handed to the life, its writes are synced, its traces written, then messages and replies
leave. A crash can strike between any two of these. What comes while the node is busy with a batch,
or waits for its disk, is the next batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from splitbrain.cluster.sim.clocks import NodeClock
from splitbrain.cluster.sim.disk import SimDisk
from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.randomness import Keyed
from splitbrain.core.simulated import Booted, Event, Life, Moment, NodeDied, Step
from splitbrain.core.value import Value

TRACE_LIMIT_BYTES = 256 * 1024 * 1024
AT_AN_END = 10
"""How many writes, each the consequence of the one before, an orderly end waits for."""

FAST_BOOTS = 1000
"""How often a node may boot in one run; a node that dies at once is not started for ever."""

Boot = Callable[[bytes, Moment, int], Booted]
Send = Callable[[str, str, bytes], None]
Coming = Callable[[str], list[Event]]
Answer = Callable[[str, int, bytes], None]


@dataclass(slots=True, kw_only=True)
class SimNode:
    """A node. boot: begins a life. send, answer: where messages and replies go.

    coming: what will reach it next; a crash may strike while it takes that.
    boots: how many lives it had; whatever was planned for an earlier life is stale. starting: how
    many starts are under way. syncing: the step whose writes are on their way to the disk. synced:
    it was paused when its disk was done.
    busy_ns: how long a batch takes. free_ns: when the last one has been taken.
    """

    name: str
    time: VirtualTime
    clock: NodeClock
    disk: SimDisk
    rng: Keyed
    busy_ns: int
    boot: Boot
    send: Send
    answer: Answer
    coming: Coming
    on_end: Callable[[str], None]
    life: Life | None = None
    boots: int = 0
    starting: int = 0
    crashes: int = 0
    paused: bool = False
    inbox: list[Event] = field(default_factory=list)
    trace: bytearray = field(default_factory=bytearray)
    log: list[str] = field(default_factory=list)
    syncing: Step | None = None
    synced: Step | None = None
    free_ns: int = 0
    _drain_due: bool = False
    _timer_ns: int | None = None
    _ring_ns: int | None = None

    @property
    def runs(self) -> bool:
        """Whether it lives and is not paused."""
        return self.life is not None and not self.paused

    # -- beginning and end

    def start(self) -> None:
        """Begin a life, unless it lives."""
        if self.life is not None or self.boots >= FAST_BOOTS:
            return
        self.boots += 1
        self._forget()
        try:
            booted = self.boot(bytes(self.disk.data), self.clock.moment(), self.boots)
        except NodeDied as error:
            self._tell_why(error)
            return
        self.disk.data[:] = booted.disk
        self.log.extend(booted.notes)
        if self.trace and not self.trace.endswith(b"\n"):
            self.trace += b"\n"
        self.life = booted.life
        self._perform(self.life.start)

    def crash(self) -> None:
        """End at once, in the middle of whatever is under way; held by nobody's last words."""
        if self.life is None:
            return
        self.crashes += 1
        if self.syncing is not None:
            self.disk.tear(self.syncing)
        elif self.synced is None and not self.paused:
            self._last_step()
        self._end()

    def stop(self) -> None:
        """End as after SIGTERM: answer whoever waits."""
        if self.life is None:
            return
        self._await_disk()
        if not self.paused:
            self._drain()
            self._await_disk()
        if not self.paused and self.life is not None:
            self._perform(self.life.stop)
            self._await_disk()
        self._note("stopping")
        self._end()

    def _await_disk(self) -> None:
        """Let the disk end what is under way: an orderly end waits for it."""
        for _ in range(AT_AN_END):
            if self.syncing is None:
                return
            self._after_sync(self.boots)

    def pause(self) -> None:
        """Stop without ending."""
        self.paused = self.life is not None

    def go_on(self) -> None:
        """Go on after a pause; what came meanwhile waits, and the time is late."""
        if not self.paused:
            return
        self.paused = False
        step, self.synced = self.synced, None
        if step is not None:
            self._finish(step)
        if self._ring_ns is None:
            self._arm()  # the timer may have rung meanwhile, and nobody heard it
        self._look()

    def _end(self) -> None:
        self.life = None
        self._forget()
        self.on_end(self.name)

    def _forget(self) -> None:
        self.paused = False
        self.inbox.clear()
        self.syncing = self.synced = None
        self._drain_due = False
        self._timer_ns = self._ring_ns = None

    def _note(self, text: str) -> None:
        self.log.append(f"{self.time.now_ns / 1e9:.6f} {text}")

    def _die(self, error: NodeDied) -> None:
        self._tell_why(error)
        self._end()

    def _tell_why(self, error: NodeDied) -> None:
        self._note("the node ends by itself:")
        self.log.append(
            str(error) or "it says nothing"
        )  # a traceback stands in lines of its own, as on a host

    def tell(self, question: str) -> Mapping[str, Value] | None:
        """Answer an operator; None when it does not live, or has no answer."""
        if self.life is None or self.paused:
            return None
        try:
            return self.life.answer(question)
        except NodeDied as error:
            self._die(error)
            return None

    # -- what comes in

    def take(self, event: Event) -> bool:
        """Take an event, and say whether anybody was there: one that comes to nobody is lost."""
        if self.life is None:
            return False
        self.inbox.append(event)
        self._look()
        return True

    def _look(self) -> None:
        """Take what is there, or have it taken once the node is free."""
        if self.inbox and self.syncing is None and not self.paused and not self._drain_due:
            now_ns = self.time.now_ns
            if now_ns >= self.free_ns:
                self._drain()
            else:
                self._drain_due = True
                self.time.after(self.free_ns - now_ns, self._take_waiting, self.boots)

    def _take_waiting(self, boot: int) -> None:
        if boot == self.boots:
            self._drain_due = False
            self._look()

    def _drain(self) -> None:
        """Hand all that came to the life; without anything, its timer rings."""
        if self.life is None:
            return
        self.free_ns = self.time.now_ns + self.busy_ns
        events, self.inbox = self.inbox, []
        self._perform(self.life.handle, events)

    def _ring(self, boot: int, at_ns: int) -> None:
        if boot != self.boots or self.life is None or self._ring_ns != at_ns:
            return
        self._ring_ns = None
        if self.paused or self.syncing is not None or self._timer_ns is None:
            return  # it is looked at again once the node goes on
        if self.clock.monotonic_ns() < self._timer_ns:
            self._arm()
        elif self.time.now_ns < self.free_ns:
            self._ring_at(self.free_ns)
        else:
            self._drain()

    def _arm(self) -> None:
        """Have the timer ring; one that rings too early costs less than many."""
        if self._timer_ns is None:
            return
        at_ns = self.time.now_ns + self.clock.delay_until(self._timer_ns)
        if self._ring_ns is None or self._ring_ns > at_ns:
            self._ring_at(at_ns)

    def _ring_at(self, at_ns: int) -> None:
        self._ring_ns = at_ns
        self.time.after(at_ns - self.time.now_ns, self._ring, self.boots, at_ns)

    # -- steps

    def _perform(self, act: Callable[..., Step], *given: object) -> None:
        """Have the life do something now, and carry out what follows."""
        try:
            step = act(self.clock.moment(), *given)
        except NodeDied as error:
            self._die(error)
            return
        self._carry_out(step)

    def _carry_out(self, step: Step) -> None:
        if not step.writes:
            self._finish(step)
            return
        taken_ns, failure = self.disk.begin()
        if failure is not None:
            self._die(NodeDied(f"the log cannot be written: {failure}"))
            return
        self.syncing = step
        self.time.after(taken_ns, self._after_sync, self.boots)

    def _after_sync(self, boot: int) -> None:
        if boot != self.boots or self.life is None or self.syncing is None:
            return
        step, self.syncing = self.syncing, None
        self.disk.keep(step)
        if self.paused:
            self.synced = step
            return
        self._finish(step)
        self._look()

    def _finish(self, step: Step) -> None:
        """Write the traces and let out what may leave by now."""
        life = self.life
        assert life is not None
        try:
            if step.traces:
                self._trace(life.encode_traces(self.clock.moment(), step.traces))
            if step.sends or step.replies:
                self._let_out(step.sends, step.replies)
        except NodeDied as error:
            self._die(error)
            return
        is_earlier = False
        if step.sets_timer:
            before_ns, self._timer_ns = self._timer_ns, step.timer_ns
            is_earlier = before_ns is None or (step.timer_ns or 0) < before_ns
        if self._ring_ns is None or is_earlier:
            self._arm()
        if step.marks:
            self._perform(life.persisted, step.marks)

    def _trace(self, lines: bytes) -> None:
        if len(self.trace) > TRACE_LIMIT_BYTES:
            message = "the trace cannot be written: it is too long"
            raise NodeDied(message)
        self.trace += lines

    def _let_out(
        self, sends: Sequence[tuple[str, bytes]], replies: Sequence[tuple[int, bytes]]
    ) -> None:
        for receiver, payload in sends:
            self.send(self.name, receiver, payload)
        for token, payload in replies:
            self.answer(self.name, token, payload)

    def _last_step(self) -> None:
        """Crash within a step: carry out a part of what the node was about to do."""
        draws = self.rng.child("crash", self.crashes)
        if not draws.integer(2):
            return
        life, events = self.life, self.inbox or self.coming(self.name)
        assert life is not None
        moment = self.clock.moment()
        try:
            step = life.handle(moment, events)
            lines = life.encode_traces(moment, step.traces) if step.traces else b""
        except NodeDied:
            return
        stage = draws.integer(4, 1)
        if stage == 0 and step.writes:
            self.disk.begin()
            self.disk.tear(step)
            return
        self.disk.keep(step)
        if stage <= 1:
            self.trace += lines[: draws.integer(len(lines) + 1, 2)]
            return
        self.trace += lines
        out = len(step.sends) + len(step.replies)
        left = draws.integer(out + 1, 3) if stage == 2 and out else out
        with contextlib.suppress(NodeDied):
            self._let_out(step.sends[:left], step.replies[: max(0, left - len(step.sends))])
