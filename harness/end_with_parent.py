"""Programs that work for another one end when that one does, also where it was killed."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """From now on end at once when the program that began this one is there no more.

    A worker of a pool waits for its next task on a pipe that it holds open itself: without this it
    would wait for ever once nobody is left to give it one.
    """
    parent = parent_process()
    assert parent is not None, "only a program that multiprocessing began has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
