"""Heals this node when its controller's lease runs out.

The lease is a deadline on the boot-time clock, which no fault touches. Somebody on the controller's
side, apart from the controller itself, renews it. What was healed is recorded.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from . import (
    burden,
    daemons,
    detour,
    disks,
    firewall,
    lasting,
    places,
    skew,
    wall_clock,
)

_POLL_S = 0.5


def heal() -> list[str]:
    """Undo whatever faults of ours this node has; give what there was.

    Daemons that are held down stay down: nobody here knows whether they should run. It is said.
    """
    undone = []
    with contextlib.suppress(firewall.FirewallError):
        if firewall.clear():
            undone.append("network")
    with contextlib.suppress(detour.DetourError, TimeoutError):
        if detour.clear():
            undone.append("packets")
    if disks.clear():
        undone.append("disks")
    with contextlib.suppress(TimeoutError):
        if burden.clear():
            undone.append("burden")
    if skew.clear():
        undone.append("clock")
    with contextlib.suppress(OSError, TimeoutError):
        if wall_clock.clear():
            undone.append("wall clock")
    paused = [name for name in daemons.known() if daemons.stopped(name)]
    daemons.resume({"names": daemons.known()})
    undone += [f"paused {name}" for name in paused]
    if daemons.HELD_DOWN in places.intents():
        undone += [f"left down {name}" for name in daemons.down()]
        places.forget(daemons.HELD_DOWN)
    return undone


def watch() -> None:
    """Heal whenever the lease has run out and something is held; never returns."""
    while True:
        if lease_left_s() < 0 and places.intents():
            undone = heal()
            if undone:
                _record(undone)
        time.sleep(_POLL_S)


def lease_left_s() -> float:
    """Give how long the lease still holds; negative once it ran out."""
    try:
        deadline_s = float(places.LEASE.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0  # being written this moment, or never granted
    return deadline_s - time.clock_gettime(time.CLOCK_BOOTTIME)


def grant(lease_s: float) -> None:
    """Renew the lease."""
    deadline_s = time.clock_gettime(time.CLOCK_BOOTTIME) + lease_s
    places.write_whole(places.LEASE, f"{deadline_s:.3f}\n")


def ensure() -> int:
    """Start the watchdog if it does not run; give its process id."""
    pid = lasting.running(places.WATCHDOG)
    return lasting.start(places.WATCHDOG, watch) if pid is None else pid


def expired(_request: dict[str, Any]) -> dict[str, Any]:
    """Give what was healed because the lease ran out."""
    with contextlib.suppress(OSError):
        text = places.EXPIRED.read_text(encoding="utf-8")
        return {"events": [json.loads(line) for line in text.splitlines() if line.strip()]}
    return {"events": []}


def _record(undone: list[str]) -> None:
    event = {
        "undone": undone,
        "boot_time_s": round(time.clock_gettime(time.CLOCK_BOOTTIME), 3),
        "wall_time_s": round(time.time(), 3),
    }
    with places.EXPIRED.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")
        file.flush()
        os.fsync(file.fileno())
