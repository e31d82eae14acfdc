"""Names what is wrong with a register's history, where a few operations prove it by themselves.

Each rule is a proof: its operations cannot be linearized, whatever else happened to the key. The
names are those of the literature on registers: Gibbons & Korach 1997 for stale reads as a conflict
of two clusters (a value's writer and its readers must stand together).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from splitbrain.checkers.linearizability.phrases import Phrases, shown
from splitbrain.checkers.linearizability.shrink import effect, is_match, observation
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical, from_canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A named violation, told in a sentence, with the operations that prove it."""

    name: str
    explanation: str
    operations: tuple[Operation, ...]


class RegisterCase:
    """What is known of one register: few suspects, and everything else that happened to it.

    suspects: operations that cannot be linearized together, or all of them. everything: the whole
    history of the key, FAIL included; or, when it `is_cut`, what is left of it without operations
    that cannot have mattered. Both without the ends of operations of unknown outcome.
    """

    def __init__(
        self,
        suspects: Sequence[Operation],
        everything: Sequence[Operation],
        initial: Value,
        phrases: Phrases,
        *,
        is_cut: bool = False,
    ) -> None:
        self.is_cut = is_cut
        self.initial = canonical(initial)
        self.phrases = phrases
        latest_first = sorted(suspects, key=lambda item: -item.invoke_index)
        self.observers = [item for item in latest_first if _observes(item)]
        self.setters: dict[str, list[Operation]] = defaultdict(list)
        self.failed: dict[str, list[Operation]] = defaultdict(list)
        self.seen: dict[str, list[Operation]] = defaultdict(list)
        for item in everything:
            if item.f in ("write", "cas") and item.applied:
                where = self.failed if item.outcome is Outcome.FAIL else self.setters
                where[canonical(effect(item))].append(item)
            if _observes(item):
                self.seen[value_of(item)].append(item)

    def findings(self) -> Iterator[Finding]:
        """Give what the rules find, the plainest rule first."""
        rules: tuple[Callable[[Operation], Finding | None], ...] = (
            self._phantom,
            self._future,
            self._double,
            self._stale,
            self._flip,
        )
        for rule in rules[3:] if self.is_cut else rules:
            for observer in self.observers:
                found = rule(observer)
                if found is not None:
                    yield found

    def _phantom(self, observer: Operation) -> Finding | None:
        """A value that nobody wrote."""
        value = value_of(observer)
        if value == self.initial or self.setters[value]:
            return None
        told = f"{_saw(observer, self.phrases)}{self.phrases.at(observer)}"
        if not self.failed[value]:
            return Finding(
                name="phantom-value",
                explanation=f"{told}, but nobody ever wrote {_shown(observer)}",
                operations=(observer,),
            )
        failed = self.failed[value][0]
        return Finding(
            name="failed-write-observed",
            explanation=f"{told}, but {self.phrases.named(failed)} had failed for certain, and "
            f"nobody else wrote {_shown(observer)}",
            operations=_ordered(failed, observer),
        )

    def _future(self, observer: Operation) -> Finding | None:
        """A value whose every writer began later."""
        value = value_of(observer)
        setters = self.setters[value]
        if value == self.initial or not setters:
            return None
        if not all(_precedes(observer, item) for item in setters):
            return None
        first = min(setters, key=lambda item: item.invoke_index)
        return Finding(
            name="future-read",
            explanation=f"{_saw(observer, self.phrases)}, and ended "
            f"{self.phrases.earlier(observer, first)} {self.phrases.named(first)} began: nobody "
            f"else wrote {_shown(observer)}",
            operations=_ordered(observer, first),
        )

    def _double(self, observer: Operation) -> Finding | None:
        """Two compare-and-sets that both took the same value, which was there only once."""
        value = value_of(observer)
        times = len(self.setters[value]) + (value == self.initial)
        takers = [item for item in self.seen[value] if _takes(item)]
        if times != 1 or len(takers) < 2 or observer not in takers[1:]:
            return None
        first = takers[0]
        return Finding(
            name="double-cas",
            explanation=f"{self.phrases.told(first)} and {self.phrases.told(observer)}: both "
            f"found {_shown(observer)}, which was there only once",
            operations=_ordered(*self.setters[value], first, observer),
        )

    def _stale(self, observer: Operation) -> Finding | None:
        """A value that was overwritten before the observer began, and not written again."""
        value = value_of(observer)
        setters = [item for item in self.setters[value] if not _precedes(observer, item)]
        if not setters and value != self.initial:
            return None
        overwriters = [
            item
            for other, items in self.setters.items()
            for item in items
            if other != value
            and _precedes(item, observer)
            and (all(_precedes(setter, item) for setter in setters) or self._took(item, value))
        ]
        if not overwriters:
            return None
        newer = max(overwriters, key=lambda item: item.invoke_index)
        nothing = "nothing that can have happened" if self.is_cut else "nothing"
        again = f"{nothing} wrote {_shown(observer)} after it"
        return Finding(
            name=self._kind(observer, newer),
            explanation=f"{_saw(observer, self.phrases)}, although {self.phrases.named(newer)} had "
            f"completed {self.phrases.earlier(newer, observer)} the {_noun(observer)} began and "
            f"{again}",
            operations=_ordered(*setters[-1:], newer, observer),
        )

    def _took(self, item: Operation, value: str) -> bool:
        """Tell whether a compare-and-set certainly came after the only writer of a value."""
        return self._is_single(value) and _observes(item) and value_of(item) == value

    def _kind(self, observer: Operation, newer: Operation) -> str:
        """A newer value that nobody ever saw was lost; one that was seen makes the read stale."""
        if observer.f == "cas":
            return "lost-update"
        late = [item for item in self.seen[value_of(observer)] if _precedes(newer, item)]
        unseen = not self.seen[canonical(effect(newer))]
        return "lost-update" if unseen and len(late) > 1 else "stale-read"

    def _flip(self, observer: Operation) -> Finding | None:
        """A value that was there, then another, then the first again; both were written once."""
        value = value_of(observer)
        if not self._is_single(value):
            return None
        cluster = self._cluster(value)
        for other in [item for item in self.setters if item != value and self._is_single(item)]:
            proof = self._conflict(observer, cluster, self._cluster(other), value == self.initial)
            if proof is not None:
                return self._told_flip(observer, other, *proof)
        return None

    def _is_single(self, value: str) -> bool:
        return len(self.setters[value]) + (value == self.initial) == 1

    def _cluster(self, value: str) -> list[Operation]:
        return [*self.setters[value], *self.seen[value]]

    def _conflict(
        self,
        observer: Operation,
        mine: Sequence[Operation],
        theirs: Sequence[Operation],
        is_initial: bool,
    ) -> tuple[Operation, Operation | None, Operation | None] | None:
        """Give (what shows the other value before the observer, and a pair the other way round)."""
        visible = min(theirs, key=_end)
        if not _precedes(visible, observer):
            return None
        if is_initial:
            return visible, None, None
        early = min(mine, key=_end)
        late = max(theirs, key=lambda item: item.invoke_index)
        return (visible, early, late) if _precedes(early, late) else None

    def _told_flip(
        self,
        observer: Operation,
        other: str,
        visible: Operation,
        early: Operation | None,
        late: Operation | None,
    ) -> Finding:
        since, shown_other = "", shown(from_canonical(other))
        if early is not None and late is not None:
            since = f", and {_shown(observer)} was older: {self.phrases.told(early)} "
            since += f"{self.phrases.earlier(early, late)} {self.phrases.named(late)} began"
        setters = [*self.setters[value_of(observer)], *self.setters[other]]
        extra = [item for item in (early, late) if item is not None]
        return Finding(
            name="lost-update" if observer.f == "cas" else "stale-read",
            explanation=f"{_saw(observer, self.phrases)}, although {shown_other} had been there "
            f"before: {self.phrases.told(visible)} {self.phrases.earlier(visible, observer)} the "
            f"{_noun(observer)} began{since}",
            operations=_ordered(*setters, *extra, visible, observer),
        )


def value_of(operation: Operation) -> str:
    """Give the canonical text of the value that an observer saw."""
    return canonical(observation(operation))


def _observes(operation: Operation) -> bool:
    """Tell whether an operation certainly saw a value: a read or an applied compare-and-set."""
    done = operation.outcome is Outcome.OK and operation.complete_index is not None
    return done and operation.f in ("read", "cas") and is_match(operation)


def _takes(operation: Operation) -> bool:
    return operation.f == "cas" and value_of(operation) != canonical(effect(operation))


def _precedes(first: Operation, second: Operation) -> bool:
    return first.complete_index is not None and first.complete_index < second.invoke_index


def _end(operation: Operation) -> float:
    return inf if operation.complete_index is None else operation.complete_index


def _noun(operation: Operation) -> str:
    return "read" if operation.f == "read" else "compare-and-set"


def _shown(operation: Operation) -> str:
    return shown(observation(operation))


def _saw(operation: Operation, phrases: Phrases) -> str:
    if operation.f == "read":
        return phrases.told(operation)
    return f"{phrases.told(operation)}, and so found {_shown(operation)}"


def _ordered(*operations: Operation) -> tuple[Operation, ...]:
    unique = {item.invoke_index: item for item in operations}
    return tuple(unique[index] for index in sorted(unique))
