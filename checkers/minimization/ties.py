"""Which operations of a history can only go together, so that none seems wrong that was not.

A read whose writer is gone looks made up. So whoever may have seen what an operation left goes with
it, and what those left, and so on. What is tied like this to nothing that stays can be left out of
any order that explains the whole, and what is left is explained: if it is not, neither was the
whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical

Mark = tuple[str, str]
"""A value of a key, both in canonical text."""

_READS = ("read", "dequeue")
_WRITES = ("write",)
_ADDS = ("append", "add")
_QUEUES = ("enqueue", "dequeue")
_KNOWN = (*_READS, *_WRITES, *_ADDS, *_QUEUES, "cas")


@dataclass(slots=True)
class Ties:
    """The ties between some operations, by their number.

    is_timely: whether the checker holds that nobody sees what is not begun yet. Where it does not,
    a read may be explained by a write that came after it.
    """

    operations: Sequence[Operation]
    is_timely: bool = False
    _left: dict[int, Mark] = field(init=False, default_factory=dict)
    _writers: dict[Mark, list[int]] = field(init=False, default_factory=lambda: defaultdict(list))
    _watchers: dict[Mark, list[int]] = field(init=False, default_factory=lambda: defaultdict(list))
    _seen: dict[int, list[Mark]] = field(init=False, default_factory=lambda: defaultdict(list))
    _refusals: dict[str, list[tuple[int, str]]] = field(
        init=False, default_factory=lambda: defaultdict(list)
    )
    _watchers_of_key: dict[str, list[int]] = field(
        init=False, default_factory=lambda: defaultdict(list)
    )
    _of_key: dict[str, list[int]] = field(init=False, default_factory=lambda: defaultdict(list))
    _growing: set[str] = field(init=False, default_factory=set)
    _strange: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        for number, item in enumerate(self.operations):
            self._note(number, item, canonical(item.key))

    def marks(self, number: int) -> tuple[Mark, ...]:
        """Give the values that an operation left or saw."""
        left = self._left.get(number)
        return tuple(dict.fromkeys((*(() if left is None else (left,)), *self._seen[number])))

    def closure(self, kept: Iterable[int], dropped: Iterable[int]) -> set[int]:
        """Give what of the kept must go when these are dropped, themselves among it."""
        staying = set(kept)
        gone: set[int] = set()
        ahead = [number for number in dropped if number in staying]
        while ahead:
            number = ahead.pop()
            if number in gone:
                continue
            gone.add(number)
            ahead += [
                other
                for other in self._bound(number, staying, gone)
                if other in staying and other not in gone
            ]
        return gone

    def founded(self, kept: Iterable[int]) -> set[int]:
        """Give the kept with a writer of each value that one of them saw, where there is any."""
        staying = set(kept)
        ahead = list(staying)
        while ahead:
            for mark in self._seen[ahead.pop()]:
                writers = self._writers[mark]
                if writers and staying.isdisjoint(writers):
                    staying.update(writers)
                    ahead += writers
        return staying

    def _note(self, number: int, item: Operation, key: str) -> None:
        self._of_key[key].append(number)
        if item.f not in _KNOWN:
            self._strange.add(key)
            return
        left, refused = _left(item), _refused(item)
        if left is not None:
            mark = key, canonical(left[0])
            self._left[number] = mark
            self._writers[mark].append(number)
        if item.f == "append":
            self._growing.add(key)
        if refused is not None:
            self._refusals[key].append((number, canonical(refused[0])))
        for value in _seen(item):
            mark = key, canonical(value)
            self._watchers[mark].append(number)
            self._seen[number].append(mark)
        if item.f not in (*_WRITES, *_ADDS):
            self._watchers_of_key[key].append(number)

    def _bound(self, number: int, staying: set[int], gone: set[int]) -> Iterator[int]:
        """Give those that go with one that goes: they may have seen what it left."""
        item = self.operations[number]
        key = canonical(item.key)
        if key in self._strange:
            yield from self._of_key[key]
            return
        if item.f == "dequeue":
            # What was not taken out stays in the queue, before all that came later.
            for taken in self._seen[number]:
                yield from self._writers[taken]
        mark = self._left.get(number)
        if mark is None:
            return
        all_see = key in self._growing and not _is_element(item)
        watchers = self._watchers_of_key[key] if all_see else self._watchers[mark]
        yield from (other for other in watchers if self._can_see(other, item))
        for other, expected in self._refusals[key]:
            if expected != mark[1] and self._can_see(other, item):
                yield other
        if all(other in gone or other not in staying for other in self._writers[mark]):
            yield from self._watchers[mark]

    def _can_see(self, watcher: int, setter: Operation) -> bool:
        if not self.is_timely:
            return True
        ended = self.operations[watcher].complete_index
        return (inf if ended is None else ended) > setter.invoke_index


def _is_element(item: Operation) -> bool:
    """Tell whether an append shows as an element of what is read, and not as a part of a text."""
    return item.f == "append" and not isinstance(item.argument, (str, list))


def _left(item: Operation) -> tuple[Value] | None:
    """Give what an operation leaves, None for what leaves nothing."""
    if item.f in (*_WRITES, *_ADDS, "enqueue"):
        return (item.argument,)
    if item.f == "cas" and _matched(item):
        return (_pair(item)[1],)
    return None


def _seen(item: Operation) -> Iterator[Value]:
    """Give what an operation saw, or would have seen: a list, and each of its elements."""
    if item.f == "cas" and _matched(item):
        saw = _pair(item)[0]
    elif item.f in _READS and item.outcome is Outcome.OK:
        saw = item.result
    else:
        return
    yield saw
    if isinstance(saw, list):
        yield from saw


def _refused(item: Operation) -> tuple[Value] | None:
    """Give the value that a refusal says was not there."""
    return (_pair(item)[0],) if item.f == "cas" and not _matched(item) else None


def _matched(item: Operation) -> bool:
    return item.applied or item.outcome is not Outcome.OK


def _pair(item: Operation) -> tuple[Value, Value]:
    match item.argument:
        case [old, new]:
            return old, new
    return None, None
