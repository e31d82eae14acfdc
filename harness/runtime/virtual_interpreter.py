"""The interpreter in virtual time: the same seats, with conversations instead of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from splitbrain.core.client import Fail, Info
from splitbrain.core.conversation import ClientCore, ClientCoreFactory, Conversation, Heard
from splitbrain.core.errors import ESCAPES
from splitbrain.core.generator import Generator, Pending
from splitbrain.core.journal import encode
from splitbrain.core.simulated import World
from splitbrain.runtime.journal import Journal
from splitbrain.runtime.reply import completion, raised, unknown
from splitbrain.runtime.seats import Seat, Seats

CHECK_NS = 250_000_000
"""How often, in virtual time, somebody may stop the run."""

OVERDUE = 100
"""How often a client may ask something more after its time was up, at once each time."""

FIXED_NS = 1_000_000_000
"""After an event, how much later those hear of it who wait for a fixed moment."""


@dataclass(slots=True)
class _Place:
    """What a seat has beside: its client, and what it waits for.

    turn: the number of what it waits for; what was planned for an earlier one is stale. overdue:
    how often its client asked something after the operation's time was up. waits: it
    waits for an event, or for a moment. fixed: for a fixed moment. alarm_ns: when it is asked again
    at the latest, in the time of the world. left: its worker has left the phase.
    """

    core: ClientCore | None = None
    conversation: Conversation | None = None
    turn: int = 0
    overdue: int = 0
    waits: bool = False
    fixed: bool = False
    alarm_ns: int | None = None
    left: bool = True


class VirtualInterpreter(Seats):
    """Runs the phases of a workload through a world; see `Interpreter` for what it does alike."""

    def __init__(
        self,
        *,
        world: World,
        journal: Journal,
        core_factory: ClientCoreFactory,
        nodes: Sequence[str],
        concurrency: int,
        operation_timeout_s: float,
    ) -> None:
        super().__init__(
            journal=journal,
            nodes=nodes,
            concurrency=concurrency,
            limit_s=operation_timeout_s,
            clock=lambda: world.now_ns,
        )
        self._world = world
        self._core_factory = core_factory
        self._places = [_Place() for _ in self._seats]
        self._phase = 0
        self._wake_due = False
        self._fixed_due = False
        self._eager = 0

    def run(
        self,
        generator: Generator,
        *,
        limit_s: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Perform a phase until the generator is exhausted, time is up, or somebody stops it.

        Operations under way at the end are waited for, up to their own limit, unless stopped.

        Raises: ContractError when the generator breaks its contract.
        """
        self._phase += 1
        self._begin(generator, self._world.now_ns)
        for seat, place in zip(self._seats, self._places, strict=True):
            place.left = False
            self._plan(seat, 0)
        if limit_s is not None:
            self._world.after(int(limit_s * 1e9), self._time_up, self._phase)
        while not self._world.run_until(self._all_left, self._world.now_ns + CHECK_NS):
            if stopped():
                self._give_up()
                return

    def _all_left(self) -> bool:
        return self._working == 0

    def close(self) -> None:
        """Write nothing any more."""
        self._closed = True
        self._end(cut=True)

    def _give_up(self) -> None:
        """End operations under way: the run was stopped."""
        self._end(cut=True)
        for seat, place in zip(self._seats, self._places, strict=True):
            place.turn += 1
            place.left = True
            if seat.invoke_index is not None:
                place.conversation = None
                now = self._world.now_ns
                record = unknown(seat.invoke_index, "the run was stopped", now)
                self._complete(seat, record, encode(record))
            self._drop(seat)
        self._working = 0

    def _time_up(self, phase: int) -> None:
        if phase == self._phase:
            self._end(cut=True)

    def _end(self, *, cut: bool) -> None:
        super()._end(cut=cut)
        for seat, place in zip(self._seats, self._places, strict=True):
            idle = place.conversation is None and not place.left
            if idle and (cut or seat.held is None):
                self._plan(seat, 0)

    def _notify(self) -> None:
        """Tell those who wait of an event; who waits for a fixed moment hears of it a little later.

        At a bounded rate most workers wait so, and to ask for them all after each event costs more
        than the events.
        """
        if self._eager and not self._wake_due:
            self._wake_due = True
            self._world.after(0, self._wake)
        if self._waiting > self._eager and not self._fixed_due:
            self._fixed_due = True
            self._world.after(FIXED_NS, self._wake_fixed)

    def _wake(self) -> None:
        self._wake_due = False
        self._ask_again(fixed=False)

    def _wake_fixed(self) -> None:
        self._fixed_due = False
        self._ask_again(fixed=True)

    def _ask_again(self, *, fixed: bool) -> None:
        for seat, place in zip(self._seats, self._places, strict=True):
            if place.waits and place.fixed is fixed:
                self._turn(seat, place.turn)

    # -- the turn of one seat

    def _plan(self, seat: Seat, delay_ns: int) -> None:
        place = self._places[seat.number]
        place.turn += 1
        self._world.after(delay_ns, self._turn, seat, place.turn)

    def _turn(self, seat: Seat, turn: int) -> None:
        place = self._places[seat.number]
        if turn != place.turn or place.left or self._closed:
            return
        if place.waits:
            place.waits = False
            self._waiting -= 1
            self._eager -= not place.fixed
        place.turn += 1
        if self._cut:
            self._drop(seat)
            self._leave(place)
            return
        now = self._world.now_ns - self._began_ns
        if seat.held is None:
            step = self._step(seat, now)
            if step is None:
                self._leave(place)
                return
            if isinstance(step, Pending):
                self._wait(seat, place, step, now)
                return
        held = seat.held
        assert held is not None
        if held.at_ns > now:
            self._plan(seat, held.at_ns - now)
            return
        self._invoke(seat, held, now)
        self._perform(seat, place)

    def _wait(self, seat: Seat, place: _Place, pending: Pending, now: int) -> None:
        place.waits, place.fixed = True, pending.is_fixed
        self._waiting += 1
        self._eager += not place.fixed
        if pending.until_ns is not None:
            self._alarm(seat, place, max(1, pending.until_ns - now))

    def _alarm(self, seat: Seat, place: _Place, delay_ns: int) -> None:
        """Have a worker that waits asked again; an alarm that rings early costs less than many."""
        at_ns = self._world.now_ns + delay_ns
        if place.alarm_ns is None or at_ns < place.alarm_ns:
            place.alarm_ns = at_ns
            self._world.after(delay_ns, self._ring, seat, place, at_ns)

    def _ring(self, seat: Seat, place: _Place, at_ns: int) -> None:
        if place.alarm_ns == at_ns:
            place.alarm_ns = None
            if place.waits:
                self._turn(seat, place.turn)

    def _leave(self, place: _Place) -> None:
        place.left = True
        self._working -= 1

    # -- operations

    def _perform(self, seat: Seat, place: _Place) -> None:
        held = seat.held
        assert held is not None
        if place.core is None:
            opened = self._open(seat)
            if isinstance(opened, Fail):
                self._done(seat, opened)
                return
            place.core = opened
        place.overdue = 0
        try:
            place.conversation = iter(place.core.converse(held.f, held.key, held.argument))
        except ESCAPES as error:
            self._done(seat, Info(raised(error)))
            return
        self._go_on(seat, place, place.turn, None)

    def _open(self, seat: Seat) -> ClientCore | Fail:
        try:
            core = self._core_factory()
            core.open(seat.node, seat.process)
        except ESCAPES as error:  # nothing was sent, whatever it was
            seat.cannot_open = True
            return Fail(f"cannot open: {raised(error)}")
        seat.cannot_open = False
        return core

    def _go_on(self, seat: Seat, place: _Place, turn: int, heard: Heard | None) -> None:
        """Let the client hear something, and carry what it asks next."""
        conversation = place.conversation
        if turn != place.turn or conversation is None:
            return

        def hear(heard: Heard) -> None:
            self._go_on(seat, place, turn, heard)

        try:
            ask = next(conversation) if heard is None else conversation.send(heard)
            if self._world.now_ns >= seat.deadline_ns:
                place.overdue += 1
            if place.overdue > OVERDUE:
                conversation.close()
                self._done(seat, Info("the client asked again and again after its time was up"))
            else:
                self._world.ask(f"p{seat.process}", ask, seat.deadline_ns, hear)
        except StopIteration as ended:
            self._done(seat, ended.value)
        except ESCAPES as error:
            self._done(seat, Info(raised(error)))

    def _done(self, seat: Seat, reply: object) -> None:
        place = self._places[seat.number]
        place.conversation = None
        assert seat.invoke_index is not None
        record, frame = completion(seat.invoke_index, reply, self._world.now_ns)
        self._complete(seat, record, frame)
        if seat.retired:
            seat.retired = False
            place.core = None
        self._plan(seat, int(seat.pause_s * 1e9) if seat.failures else 0)
