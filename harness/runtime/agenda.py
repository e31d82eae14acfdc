"""What a scheduler decides: which fault begins or ends now, and when to look again.

Each fault goes through planned, injecting, active, healing, healed; or it is missed. One whose
target names nobody stays planned, and asks again, until `PATIENCE_S` have passed; one that does not
take hold yet stays injecting, for `INJECT_PATIENCE_S`. Every step is in the journal before or as it
happens, so that a dead controller leaves a true account. Nothing here waits: a thread drives it in
real time, the simulator in virtual time.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from splitbrain.core.cluster import Bed
from splitbrain.core.errors import (
    HarnessError,
    NobodyToHitError,
    NotHealedYetError,
    NotInjectedYetError,
    StoreError,
)
from splitbrain.core.fault import (
    After,
    At,
    Fault,
    Injection,
    Nemesis,
    Resolved,
    Schedule,
    View,
    When,
)
from splitbrain.core.journal import FaultEvent, Note
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.runtime.conditions import Watch
from splitbrain.runtime.journal import Journal
from splitbrain.runtime.reply import raised

POLL_S = 0.05
HEAL_ATTEMPTS = 3
LAST_ATTEMPTS = 60
"""How often healing that other faults were in the way of is tried once all of them are healed."""
PATIENCE_S = 10.0
"""How long a fault waits for somebody to hit: several elections, and on a slow machine one."""
INJECT_PATIENCE_S = 15.0
"""How long a fault that does not take hold is tried again: a newcomer has a whole log to get."""
ASK_AGAIN_S = 0.1


_UNHEALED = ("injecting", "active", "healing")


@dataclass(slots=True)
class _Life:
    """Where a fault stands.

    due_s: when it is injected, or tried again, once that is known. patient_until_s: until when it
    is. waits_for: why it was not, the last time.
    """

    fault: Fault
    state: str = "planned"
    due_s: float | None = None
    deadline_s: float | None = None
    patient_until_s: float | None = None
    waits_for: str | None = None
    heal_at_s: float | None = None
    active_s: float | None = None
    healed_s: float | None = None
    watch: Watch | None = None
    injection: Injection | None = None
    nodes: tuple[str, ...] = ()


@dataclass(slots=True)
class Agenda:
    """One schedule as it is carried out.

    bed: what the nemeses act on. pinned: targets by fault id, instead of resolving them anew.
    watch_for: makes the watch of a condition; it looks only at what comes after it was made when
    the fault waits for another first. now_ns: the run's monotonic clock. poll_s: how often to look
    at conditions. rest_s: how often to look while none is waited for.
    """

    bed: Bed
    nemeses: Mapping[str, Nemesis]
    schedule: Schedule
    journal: Journal
    seed: int
    watch_for: Callable[[When], Watch]
    pinned: Mapping[str, Resolved] = field(default_factory=dict)
    idle: Callable[[], None] | None = None
    now_ns: Callable[[], int] = time.monotonic_ns
    poll_s: float = POLL_S
    rest_s: float = POLL_S
    _lives: list[_Life] = field(default_factory=list)
    _ended: bool = False
    _started_ns: int = 0

    def begin(self) -> None:
        """Begin; times of the schedule count from now."""
        self._started_ns = self.now_ns()
        for fault in self.schedule:
            life = _Life(fault)
            if isinstance(fault.start, At):
                life.due_s = fault.start.s
            self._lives.append(life)
            self._write(life, "planned")

    def advance(self) -> float:
        """Do what is due, and give in how many seconds to look again."""
        for life in self._lives:
            if self._ended:
                break
            self._advance(life)
        if self.idle is not None and not self._ended:
            self.idle()
        return self._pause_s()

    def end(self) -> None:
        """Inject nothing any more."""
        self._ended = True

    def finish(self) -> None:
        """Say what never came; to be called once nothing is under way any more."""
        for life in self._lives:
            why = life.waits_for and f"{life.waits_for}, and the run ended meanwhile"
            if life.state == "injecting":
                self._give_up(life, why or "the run ended meanwhile")
            elif life.state == "planned":
                self._miss(life, why or "the run ended before it was due")

    def heal_all(self) -> list[str]:
        """Heal every fault that is not healed; return a line for each that could not be."""
        errors: dict[str, str | None] = {}
        left = [life for life in reversed(self._lives) if life.state in _UNHEALED]
        for _ in range(1 + LAST_ATTEMPTS):
            for life in left:
                errors[f"{life.fault.kind} {life.fault.id}"] = self._heal(life)
            left = [life for life in left if life.state == "healing" and life.heal_at_s is not None]
            if not left:
                break
        return [f"{fault}: {error}" for fault, error in errors.items() if error is not None]

    def active(self) -> tuple[str, ...]:
        """Give one line for each fault that is active."""
        return tuple(
            f"{life.fault.kind} {','.join(life.nodes)}"
            for life in self._lives
            if life.state == "active"
        )

    def _now_s(self) -> float:
        return (self.now_ns() - self._started_ns) / 1e9

    def _pause_s(self) -> float:
        now = self._now_s()
        times = [life.due_s for life in self._lives if life.state in ("planned", "injecting")]
        times += [life.heal_at_s for life in self._lives if life.state in ("active", "healing")]
        ahead = [moment - now for moment in times if moment is not None]
        return max(0.0, min([self.poll_s if self._watches() else self.rest_s, *ahead]))

    def _watches(self) -> bool:
        return any(life.state == "planned" and life.due_s is None for life in self._lives)

    def _advance(self, life: _Life) -> None:
        now = self._now_s()
        is_on = life.state in ("active", "healing")
        if is_on and life.heal_at_s is not None and now >= life.heal_at_s:
            self._heal(life)
        if life.state == "planned" and life.due_s is None:
            life.due_s = self._due(life, now)
        is_ahead = life.state in ("planned", "injecting")
        if is_ahead and life.due_s is not None and now >= life.due_s:
            self._inject(life)

    def _due(self, life: _Life, now: float) -> float | None:
        start = life.fault.start
        if isinstance(start, After):
            moment = self._moment_of(life, start.fault, healed=start.healed)
            return None if moment is None else moment + start.delay_s
        assert isinstance(start, When)
        if life.watch is None:
            if start.after is not None and self._moment_of(life, start.after) is None:
                return None
            life.watch = self.watch_for(start)
            life.deadline_s = now + start.within_s
        if life.watch.look():
            return self._now_s() + start.delay_s
        if life.deadline_s is not None and now > life.deadline_s:
            self._miss(life, f"its condition did not hold within {start.within_s:g} s")
        return None

    def _moment_of(self, life: _Life, other_id: str, *, healed: bool = False) -> float | None:
        other = next((item for item in self._lives if item.fault.id == other_id), None)
        if other is None or other.state == "missed":
            why = "is not in the schedule" if other is None else "was missed"
            self._miss(life, f"it waits for {other_id!r}, which {why}")
            return None
        return other.healed_s if healed else other.active_s

    def _inject(self, life: _Life) -> None:
        try:
            if life.injection is None and not self._begin(life):
                return
            assert life.injection is not None
            nemesis = self.nemeses[life.fault.kind]
            life.injection = nemesis.inject(self.bed, life.injection.resolved)
        except NotInjectedYetError as later:  # what is in its way may wait for this very thread
            enough = self._wait(life, str(later), INJECT_PATIENCE_S)
            if enough is not None:
                self._give_up(life, enough)
        except HarnessError as error:
            self._give_up(life, str(error))
        except Exception as error:  # noqa: BLE001 - a nemesis is foreign code; the run must go on
            self._note(f"nemesis {life.fault.kind} failed", traceback.format_exc())
            self._give_up(life, raised(error))
        else:
            life.state = "active"
            life.active_s = self._now_s()
            if life.fault.duration_s is not None:
                life.heal_at_s = life.active_s + life.fault.duration_s
            self._write(life, "active", proof=life.injection.proof)

    def _begin(self, life: _Life) -> bool:
        """Decide what the fault hits, and write it down; tell whether that could be done."""
        resolved = self._resolve(life)
        if resolved is None:
            return False
        life.patient_until_s = None
        life.nodes = resolved.nodes
        life.state = "injecting"
        life.injection = Injection(resolved=resolved)
        self._write(life, "injecting", resolved=resolved.to_value())
        return True

    def _wait(self, life: _Life, why: str, patience_s: float) -> str | None:
        """Have a fault tried again, or say that it was for long enough."""
        life.waits_for = why
        now = self._now_s()
        if life.patient_until_s is None:
            life.patient_until_s = now + patience_s
        if now > life.patient_until_s:
            return f"{why}, for {patience_s:g} s now"
        life.due_s = now + ASK_AGAIN_S
        return None

    def _resolve(self, life: _Life) -> Resolved | None:
        """Give what the fault hits, or None when it has to ask again."""
        pinned = self.pinned.get(life.fault.id)
        if pinned is not None:
            return pinned
        primaries = self.bed.primaries() if self.bed.primaries is not None else ()
        rng = Keyed.of(self.seed, "resolve", life.fault.id)
        view = View(nodes=self.bed.nodes, primaries=primaries, rng=rng)
        try:
            return self.nemeses[life.fault.kind].resolve(life.fault, view)
        except NobodyToHitError as error:
            if self.bed.primaries is None:
                raise  # nobody will ever be able to tell
            enough = self._wait(life, str(error), PATIENCE_S)
            if enough is not None:
                raise HarnessError(enough) from error
        return None

    def _give_up(self, life: _Life, reason: str) -> None:
        unhealed = None if life.injection is None else self._heal(life)
        self._miss(life, reason)
        if unhealed is not None:
            life.state = "healing"  # heal_all tries again

    def _miss(self, life: _Life, reason: str) -> None:
        life.state = "missed"
        self._write(life, "missed", error=reason)

    def _heal(self, life: _Life) -> str | None:
        """Heal, and give the reason when it is not healed; `heal_at_s` then says when to go on."""
        assert life.injection is not None
        nemesis = self.nemeses[life.fault.kind]
        goes_on = life.state == "healing" and life.heal_at_s is not None
        life.state = "healing"
        if not goes_on:
            self._write(life, "healing")
        error = "?"
        for _ in range(HEAL_ATTEMPTS):
            try:
                nemesis.heal(self.bed, life.injection)
            except NotHealedYetError as later:  # what is in its way waits for this very thread
                life.heal_at_s = self._now_s() + ASK_AGAIN_S
                return str(later)
            except Exception as failure:  # noqa: BLE001 - healing is tried again, then reported
                error = str(failure) if isinstance(failure, HarnessError) else raised(failure)
            else:
                life.state = "healed"
                life.healed_s = self._now_s()
                self._write(life, "healed")
                return None
        life.heal_at_s = None
        self._write(life, "healing", error=error)
        return error

    def _write(
        self,
        life: _Life,
        state: str,
        *,
        resolved: Value = None,
        proof: Value = None,
        error: str | None = None,
    ) -> None:
        event = FaultEvent(
            fault=life.fault.id,
            kind=life.fault.kind,
            state=state,
            time_ns=self.now_ns(),
            resolved=resolved,
            proof=proof,
            error=error,
        )
        try:
            self._append(event)
        except StoreError:
            if state in ("planned", "injecting"):
                raise  # nothing is done that was not written down before
            # Healing goes on without its account: a full disk must not keep a cluster broken.

    def _note(self, text: str, data: str) -> None:
        note = Note(text=text, time_ns=self.now_ns(), level="error", data=data)
        with contextlib.suppress(StoreError):
            self._append(note)

    def _append(self, record: FaultEvent | Note) -> None:
        with self.journal.lock:
            self.journal.append(record)
