"""A thread that lives as long as the hosts: the kernel ends them with the thread they are of."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class KeeperThread:
    """Runs what it is given, in one thread, until it is ended."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, act: Callable[[], T]) -> T:
        """Run `act` in the thread; give its result, or raise what it raised."""
        done: Future[T] = Future()

        def step() -> None:
            try:
                done.set_result(act())
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                done.set_exception(error)

        self._work.put(step)
        return done.result()

    def end(self) -> None:
        """Let the thread go, and whatever it started with it."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (step := self._work.get()) is not None:
            step()
