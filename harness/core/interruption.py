"""Telling a Ctrl-C from an error, also where something else was made of it."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

_noted: list[int] = []


def note_interruptions() -> None:
    """From now on take note of each Ctrl-C and SIGTERM, which raise KeyboardInterrupt both.

    A Ctrl-C that the program was begun to ignore, as in the background, stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)


def is_interruption(error: BaseException) -> bool:
    """Tell whether a Ctrl-C is behind an error.

    It strikes wherever the program stands. Where that is in a class that is being made or in code
    of a plug-in, it becomes the cause of another error; C code may even raise one of its own, and
    forget the cause. An error after a Ctrl-C is therefore taken for its consequence.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return True
        cause = cause.__cause__ or cause.__context__
    return bool(_noted)


def raise_noted() -> None:
    """Raise KeyboardInterrupt if one was raised before: C code may have lost it."""
    if _noted:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signal's form
    _noted.append(number)
    raise KeyboardInterrupt
