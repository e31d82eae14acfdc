"""Daemons that are killed, told to end, restarted again and again, or that stand still for a while.

`params["daemon"]` names one daemon of each node; without it all of a node's daemons are hit.
For a restart `params["down_s"]` and `params["up_s"]` say for how long daemons are held down and let
run by turns.
"""

from __future__ import annotations

import contextlib
import math
import threading
from dataclasses import dataclass, field

from splitbrain.core.cluster import Bed
from splitbrain.core.errors import HarnessError, UsageError
from splitbrain.core.fault import Fault, Injection, Resolved, View
from splitbrain.nemeses.node_fault import NodeFault, pinned

DOWN_S, UP_S = 0.2, 0.8


class _DaemonFault(NodeFault):
    """A fault of one daemon of each node, or of all daemons."""

    params = frozenset({"daemon"})

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide which nodes it hits.

        Raises: UsageError for what is no target or no daemon, HarnessError for a target without a
        meaning now.
        """
        daemon = fault.params.get("daemon")
        if daemon is not None and not isinstance(daemon, str):
            message = f"the fault {fault.id!r}: 'daemon' must be a name, not {daemon!r}"
            raise UsageError(message)
        resolved = super().resolve(fault, view)
        assert isinstance(resolved.detail, dict)
        resolved.detail["daemon"] = daemon
        return resolved

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Start, or let go on, what nothing else holds."""
        bed.daemons.release(injection.layer)


class Kill(_DaemonFault):
    """Kills daemons with SIGKILL, holds them down, and starts them again."""

    kind = "kill"

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Kill; the proof says what died."""
        nodes, daemon = pinned(bed, resolved), _daemon_of(resolved)
        proof = bed.daemons.kill(resolved.fault.id, nodes, daemon)
        return Injection(resolved=resolved, proof=proof)


class Pause(_DaemonFault):
    """Stops daemons with SIGSTOP, and lets them go on."""

    kind = "pause"

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Stop; the proof says what stands still."""
        nodes, daemon = pinned(bed, resolved), _daemon_of(resolved)
        proof = bed.daemons.pause(resolved.fault.id, nodes, daemon)
        return Injection(resolved=resolved, proof=proof)


class Stop(_DaemonFault):
    """Tells daemons to end with SIGTERM, holds them down, and starts them again."""

    kind = "stop"

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Ask them to end; the proof says who was asked, and who had to be killed."""
        nodes, daemon = pinned(bed, resolved), _daemon_of(resolved)
        proof = bed.daemons.terminate(resolved.fault.id, nodes, daemon)
        return Injection(resolved=resolved, proof=proof)


@dataclass(slots=True)
class _Loop:
    """A restart under way, by turns, until told to end."""

    bed: Bed
    layer: str
    nodes: tuple[str, ...]
    daemon: str | None
    down_s: float
    up_s: float
    ending: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def begin(self) -> None:
        """Go on by turns: in a thread, or in virtual time."""
        if self.bed.later is not None:
            self.bed.later(self.down_s, self._up)
            return
        name = f"restart {self.layer}"
        self.thread = threading.Thread(target=self._take_turns, name=name, daemon=True)
        self.thread.start()

    def end(self) -> None:
        """End, and wait until nothing is under way."""
        self.ending.set()
        if self.thread is not None:
            self.thread.join()

    def _take_turns(self) -> None:
        while not self.ending.wait(self.down_s):
            with contextlib.suppress(HarnessError):  # the next turn, or healing, tries again
                self.bed.daemons.release(self.layer)
                if self.ending.wait(self.up_s):
                    return
                self.bed.daemons.kill(self.layer, self.nodes, self.daemon)

    def _up(self) -> None:
        if self.bed.later is not None and not self.ending.is_set():
            self.bed.daemons.release(self.layer)
            self.bed.later(self.up_s, self._down)

    def _down(self) -> None:
        if self.bed.later is not None and not self.ending.is_set():
            self.bed.daemons.kill(self.layer, self.nodes, self.daemon)
            self.bed.later(self.down_s, self._up)


class Restart(_DaemonFault):
    """Kills daemons and starts them, again and again, for as long as the fault lasts."""

    kind = "restart"
    params = frozenset({"daemon", "down_s", "up_s"})

    def __init__(self) -> None:
        self._loops: dict[str, _Loop] = {}

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide which nodes it hits, and how fast.

        Raises: UsageError for a target or a parameter that cannot be used, HarnessError for a
        target without a meaning now.
        """
        resolved = super().resolve(fault, view)
        assert isinstance(resolved.detail, dict)
        resolved.detail["down_s"] = _seconds(fault, "down_s", DOWN_S)
        resolved.detail["up_s"] = _seconds(fault, "up_s", UP_S)
        return resolved

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Kill for the first time, and begin to go on by turns; the proof says what died."""
        nodes, daemon = pinned(bed, resolved), _daemon_of(resolved)
        layer, detail = resolved.fault.id, resolved.detail
        assert isinstance(detail, dict)
        down_s, up_s = (float(str(detail[name])) for name in ("down_s", "up_s"))
        proof = bed.daemons.kill(layer, nodes, daemon)
        loop = self._loops[layer] = _Loop(bed, layer, nodes, daemon, down_s, up_s)
        loop.begin()
        return Injection(resolved=resolved, proof=proof)

    def heal(self, bed: Bed, injection: Injection) -> None:
        """End the turns, and start what nothing else holds down."""
        loop = self._loops.pop(injection.layer, None)
        if loop is not None:
            loop.end()
        super().heal(bed, injection)


def _seconds(fault: Fault, name: str, default: float) -> float:
    value = fault.params.get(name, default)
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not fits or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        message = f"the fault {fault.id!r}: {name!r} must be a time in seconds, not {value!r}"
        raise UsageError(message)
    return float(value)  # type: ignore[arg-type]


def _daemon_of(resolved: Resolved) -> str | None:
    detail = resolved.detail
    daemon = detail.get("daemon") if isinstance(detail, dict) else None
    return daemon if isinstance(daemon, str) else None
