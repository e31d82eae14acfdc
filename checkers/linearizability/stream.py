"""Linearizability of registers while operations arrive, in memory that their number does not fill.

The clusters of `register_route`, kept for each key as far as something can still return them. What
a cluster forbids only grows: its earliest end is fixed by the first completion, and its latest
start only rises. So two clusters that must each come before the other are found at the completion
that first proves it, and are proved for good.

Exact for reads and writes of values that are set once. A compare-and-set counts as a read of what
it expected and a write of what it left: whatever that shows is a violation, but not that nothing
can stand between the two. A key is no longer followed once a value is written that is still there,
or after an append; the judgement at the end of a run decides about these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from splitbrain.checkers.linearizability.phrases import Phrases
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Anomaly

_START = -1

_REPLACED = "another value had replaced that one before it began"


class RegisterStream:
    """Follows the registers of a run.

    initial: the value of every key before the first operation.
    """

    def __init__(self, initial: Value = None) -> None:
        self._initial = canonical(initial)
        self._keys: dict[str, _Key] = {}
        self._phrases = Phrases()
        self._violation: Anomaly | None = None

    @property
    def violation(self) -> Anomaly | None:
        """The first violation that was proved; it stands whatever comes after it."""
        return self._violation

    @property
    def held(self) -> int:
        """How many values are kept."""
        return sum(len(key.clusters) for key in self._keys.values())

    def feed(self, operations: Iterable[Operation]) -> Anomaly | None:
        """Take operations in the order of the journal, and give the first violation so far.

        Each comes twice: when it is invoked, with neither outcome nor completion (INFO and None),
        and when it completes; one that never completes comes once.
        """
        for operation in operations:
            if self._violation is not None:
                break
            name = canonical(operation.key)
            key = self._keys.get(name)
            if key is None:
                key = self._keys[name] = _Key({self._initial: _Cluster(_START, _START)})
            problem = key.take(operation)
            if problem is not None:
                explanation = f"{self._phrases.told(operation)}, but {problem}"
                self._violation = Anomaly(
                    name="nonlinearizable", explanation=explanation, operations=(operation,)
                )
        return self._violation


@dataclass(slots=True)
class _Cluster:
    """A value. first_end, last_start: of what set or saw it.

    is_open: what set it has not completed yet. is_seen: something certain saw it. is_taken: a
    compare-and-set certainly took it.
    """

    first_end: float
    last_start: int
    is_open: bool = False
    is_seen: bool = False
    is_taken: bool = False


@dataclass(slots=True)
class _Key:
    """One register. open: the operations, by invoke_index, that may still return a value.

    latest: the latest start of all values that nothing can return any more; a value that something
    ended on before that cannot be returned either. clusters is empty once it is not followed.
    """

    clusters: dict[str, _Cluster]
    open: set[int] = field(default_factory=set)
    latest: float = -inf
    is_followed: bool = True

    def take(self, operation: Operation) -> str | None:
        """Take an invocation or a completion; say what is wrong with it, if anything is."""
        if not self.is_followed:
            return None
        if not _is_clear(operation):
            self._give_up()
            return None
        if operation.outcome is Outcome.INFO and operation.complete_index is None:
            self._invoke(operation)
            return None
        problem = self._complete(operation)
        self.open.discard(operation.invoke_index)
        if operation.complete_index is not None:
            self._retire(operation.complete_index)
        return problem

    def _give_up(self) -> None:
        self.is_followed = False
        self.clusters.clear()
        self.open.clear()

    def _invoke(self, operation: Operation) -> None:
        if operation.f in ("read", "cas"):
            self.open.add(operation.invoke_index)
        left = _left(operation)
        if left in self.clusters:
            self._give_up()
        elif left is not None:
            self.clusters[left] = _Cluster(inf, operation.invoke_index, is_open=True)

    def _complete(self, operation: Operation) -> str | None:
        left, end = _left(operation), operation.complete_index
        cluster = None if left is None else self.clusters.get(left)
        if cluster is not None:
            cluster.is_open = False
        if operation.outcome is Outcome.INFO or end is None:
            return None
        if operation.outcome is Outcome.FAIL or not operation.applied:
            if left is not None:
                self.clusters.pop(left, None)
            return "its value was seen" if cluster is not None and cluster.is_seen else None
        problem = self._see(operation, end)
        if problem is None and cluster is not None:
            problem = self._grow(cluster, operation.invoke_index, end)
        return problem

    def _see(self, operation: Operation, end: int) -> str | None:
        """Take what a read returned, or a compare-and-set expected."""
        if operation.f == "write":
            return None
        seen = operation.result if operation.f == "read" else _pair(operation.argument)[0]
        cluster = self.clusters.get(canonical(seen))
        if cluster is None:
            return "that value had gone, or was never there"
        if _left(operation) is not None:
            if cluster.is_taken:
                return "another compare-and-set had taken the value that it expected"
            cluster.is_taken = True
        cluster.is_seen = True
        problem = self._grow(cluster, operation.invoke_index, end)
        return _REPLACED if cluster.first_end < self.latest else problem

    def _grow(self, cluster: _Cluster, begun: int, end: int) -> str | None:
        first = cluster.first_end = min(cluster.first_end, end)
        last = cluster.last_start = max(cluster.last_start, begun)
        for other in self.clusters.values():
            if other is not cluster and first < other.last_start and other.first_end < last:
                return _REPLACED
        return None

    def _retire(self, now: int) -> None:
        """Forget values that nothing can return any more without breaking the register."""
        low = min(self.open, default=now)
        settled = [
            (value, cluster)
            for value, cluster in self.clusters.items()
            if cluster.first_end < low and not cluster.is_open
        ]
        newest = max((cluster.last_start for _, cluster in settled), default=-inf)
        newest = max(newest, self.latest)
        for value, cluster in settled:
            if cluster.first_end < newest and cluster.last_start != newest:
                del self.clusters[value]
                self.latest = max(self.latest, cluster.last_start)


def _pair(argument: Value) -> tuple[Value, Value]:
    assert isinstance(argument, list)
    return argument[0], argument[1]


def _is_clear(operation: Operation) -> bool:
    pair = operation.argument
    is_pair = isinstance(pair, list) and len(pair) == 2
    return operation.f in ("read", "write") or (operation.f == "cas" and is_pair)


def _left(operation: Operation) -> str | None:
    """Give the value that an operation leaves; none if it is what a compare-and-set expects."""
    if operation.f == "write":
        return canonical(operation.argument)
    if operation.f != "cas":
        return None
    old, new = (canonical(item) for item in _pair(operation.argument))
    return None if old == new else new
