"""Virtual time: a heap of what is to happen, and a clock that jumps from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from splitbrain.core.errors import HarnessError

START_NS = 1_000_000_000
"""When virtual time begins, so that no moment of a run is 0."""

STANDSTILL = 200_000
"""How many events may happen at one moment before the run is given up: time does not pass."""

Act = Callable[..., None]
Entry = tuple[int, int, Act, tuple[object, ...]]


class VirtualTime:
    """What is to happen, in the order of time and, at one time, of asking."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self._heap: list[Entry] = []
        self._order = 0

    def after(self, delay_ns: int, act: Act, *arguments: object) -> None:
        """Do something later; a delay below 0 is none."""
        self._order = order = self._order + 1
        at_ns = self.now_ns + delay_ns if delay_ns > 0 else self.now_ns
        heappush(self._heap, (at_ns, order, act, arguments))

    def pending(self) -> Iterator[Entry]:
        """Give what is to happen, in order."""
        return iter(sorted(self._heap))

    def withdraw(self, entry: Entry) -> None:
        """Let something that `pending` gave not happen."""
        self._heap.remove(entry)
        heapify(self._heap)

    def run_until(self, holds: Callable[[], bool], deadline_ns: int) -> bool:
        """Let time pass until something holds, or until a time; tell whether it holds.

        Raises: HarnessError when events follow events and time does not pass.
        """
        if holds():
            return True
        heap, pop = self._heap, heappop
        standing = 0
        while heap and heap[0][0] <= deadline_ns:
            at_ns, _, act, arguments = pop(heap)
            if at_ns == self.now_ns:
                standing += 1
                if standing > STANDSTILL:
                    message = f"{STANDSTILL} events at one moment: virtual time does not pass"
                    raise HarnessError(message)
            else:
                standing = 0
                self.now_ns = at_ns
            act(*arguments)
            if holds():
                return True
        self.now_ns = max(self.now_ns, deadline_ns)
        return False
