"""Notices that virtual time stands still, and says where: what the simulator calls blocks."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from splitbrain.core.simulated import World

STILL_S = 10.0
LOOK_S = 0.1
ACTS = ("start", "run_until", "stop")
"""What of a world lets the system act."""


class Standstill:
    """Watches the thread in which a world lives, from another one."""

    def __init__(self, world: World, thread: threading.Thread, *, limit_s: float = STILL_S) -> None:
        self._world = world
        self._thread = thread
        self._limit_s = limit_s
        self._told = False
        self._seen_ns = -1
        self._since_s = 0.0

    def look(self) -> str | None:
        """Give a line, once, when time has not passed for so long."""
        now_ns, now_s = self._world.now_ns, time.monotonic()
        if now_ns != self._seen_ns:
            self._seen_ns, self._since_s = now_ns, now_s
        if self._told or now_s - self._since_s < self._limit_s:
            return None
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - as documented
        if frame is None or not self._is_in_world(frame):
            return None
        self._told = True
        at = traceback.extract_stack(frame, limit=1)[0]
        return (
            f"virtual time has stood still for {self._limit_s:g} s in {at.name} "
            f"({Path(at.filename).name}, line {at.lineno}): what the simulator calls must not block"
        )

    def _is_in_world(self, frame: FrameType | None) -> bool:
        """Tell whether the thread is where time should pass: what a run left is read in peace."""
        world = type(self._world)
        acts = {getattr(getattr(world, name, None), "__code__", None) for name in ACTS}
        while frame is not None:
            if frame.f_code in acts:
                return True
            frame = frame.f_back
        return False


@contextmanager
def telling_standstill(
    world: World, say: Callable[[str], None], *, limit_s: float = STILL_S
) -> Iterator[None]:
    """Say it, from another thread, when time stands still in this one meanwhile."""
    standstill = Standstill(world, threading.current_thread(), limit_s=limit_s)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            line = standstill.look()
            if line is not None:
                say(line)

    watcher = threading.Thread(target=watch, name="standstill", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
