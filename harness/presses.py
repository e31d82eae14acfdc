"""Ctrl-C as something that was pressed, instead of an exception wherever the program stands."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def presses() -> Iterator[Sequence[int]]:
    """Collect Ctrl-C (and SIGTERM) in a list that grows, for whoever looks at it.

    Only the main thread may do so; in any other the list stays empty.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = {
        number: signal.signal(number, lambda number, _frame: pressed.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield pressed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deaf_programs() -> Iterator[None]:
    """Let programs that begin meanwhile never hear a Ctrl-C, from their first moment on.

    A terminal sends it to all of them. A thread that begins meanwhile passes that on.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
