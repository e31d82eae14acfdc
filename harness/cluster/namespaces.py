"""A private network namespace that threads of this process enter and leave."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator

from splitbrain.core.errors import SetupError

_CLONE_NEWNET = 0x40000000
_OWN_NETWORK = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


class PrivateNetwork:
    """A network of one run: made when the first thread enters it.

    Threads and processes that a thread inside starts are inside as well. Nothing leads out of it,
    and the kernel removes it with the last that is inside.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._inside = 0

    @property
    def exists(self) -> bool:
        """True while some thread is inside through `entered`."""
        return self._descriptor is not None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread inside, and back at the end; may be nested.

        Raises: SetupError when the kernel refuses, for want of root, be it of a user namespace.
        """
        outside = os.open(_OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._enter()
            try:
                yield
            finally:
                move_to(outside)
                self._leave()
        finally:
            os.close(outside)

    @contextlib.contextmanager
    def visited(self) -> Iterator[None]:
        """Move the calling thread inside for a moment, if the network exists.

        Raises: SetupError when it does not.
        """
        with self._lock:
            if self._descriptor is None:
                message = "the cluster's network is not there: act within `entered`"
                raise SetupError(message)
            inside = os.dup(self._descriptor)
        try:
            outside = os.open(_OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
            try:
                move_to(inside)
                try:
                    yield
                finally:
                    move_to(outside)
            finally:
                os.close(outside)
        finally:
            os.close(inside)

    def _enter(self) -> None:
        with self._lock:
            if self._descriptor is None:
                _call("unshare", _libc.unshare(_CLONE_NEWNET))
                self._descriptor = os.open(_OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
            else:
                move_to(self._descriptor)
            self._inside += 1

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


@contextlib.contextmanager
def own_network() -> Iterator[int]:
    """Lend a descriptor of the network that the calling thread is in."""
    descriptor = os.open(_OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def move_to(descriptor: int) -> None:
    """Move the calling thread into a network. Raises: SetupError when the kernel refuses."""
    _call("setns", _libc.setns(descriptor, _CLONE_NEWNET))


def _call(what: str, result: int) -> None:
    if result != 0:
        reason = os.strerror(ctypes.get_errno())
        message = f"cannot enter a private network ({what}: {reason})"
        raise SetupError(message, advice="run it as root, or see `splitbrain doctor`")
