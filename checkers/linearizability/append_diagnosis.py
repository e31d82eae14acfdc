"""Names what is wrong with the history of a key that is appended to.

Each rule is a proof where nothing but reads and appends happened to the key: reads show how the
value grew, so one must be the beginning of the other, and what was appended before a read began is
in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from splitbrain.checkers.linearizability.diagnosis import Finding
from splitbrain.checkers.linearizability.phrases import Phrases, shown
from splitbrain.checkers.linearizability.shrink import contains
from splitbrain.checkers.models import KeyedStore
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical


class AppendCase:
    """What is known of one key that only reads and appends were done to.

    suspects, everything: as in `RegisterCase`.
    """

    def __init__(
        self,
        suspects: Sequence[Operation],
        everything: Sequence[Operation],
        model: KeyedStore,
        initial: Value,
        phrases: Phrases,
    ) -> None:
        self.model = model
        self.initial = model.initial(initial)
        self.phrases = phrases
        self.suspects = [item for item in suspects if _is_read(item)]
        self.reads = [item for item in everything if _is_read(item)]
        self.appends = [
            item
            for item in everything
            if item.f == "append" and item.applied and item.outcome is not Outcome.FAIL
        ]

    def findings(self) -> Iterator[Finding]:
        """Give what the rules find, the plainest rule first."""
        rules: tuple[Callable[[Operation], Finding | None], ...] = (
            self._phantom,
            self._future,
            self._missing,
            self._shorter,
            self._fork,
        )
        for rule in rules:
            for read in self.suspects:
                found = rule(read)
                if found is not None:
                    yield found

    def _elements(self, read: Operation) -> tuple[str, ...]:
        state = self.model.initial(read.result)
        return state if isinstance(state, tuple) else ()

    def _phantom(self, read: Operation) -> Finding | None:
        """An element that nobody appended."""
        if self.model.text or not isinstance(self.initial, tuple):
            return None
        known = {canonical(item.argument) for item in self.appends} | set(self.initial)
        for element in self._elements(read):
            if element not in known:
                return Finding(
                    name="phantom-value",
                    explanation=f"{self.phrases.told(read)}{self.phrases.at(read)}, but nobody "
                    f"ever appended {element}",
                    operations=(read,),
                )
        return None

    def _future(self, read: Operation) -> Finding | None:
        """An element whose every append began later."""
        if self.model.text:
            return None
        for element in self._elements(read):
            appends = [item for item in self.appends if canonical(item.argument) == element]
            if appends and element not in self._start() and _all_later(read, appends):
                return Finding(
                    name="future-read",
                    explanation=f"{self.phrases.told(read)}, and ended "
                    f"{self.phrases.earlier(read, appends[0])} "
                    f"{self.phrases.named(appends[0])} began: nobody else appended {element}",
                    operations=(read, appends[0]),
                )
        return None

    def _start(self) -> tuple[str, ...]:
        return self.initial if isinstance(self.initial, tuple) else ()

    def _missing(self, read: Operation) -> Finding | None:
        """An append that completed before the read began, and is not in it."""
        for append in self.appends:
            if _precedes(append, read) and not contains(self.model, read.result, append.argument):
                late = [item for item in self.reads if _precedes(append, item)]
                lost = len(late) > 1 and not any(
                    contains(self.model, item.result, append.argument) for item in self.reads
                )
                return Finding(
                    name="lost-update" if lost else "stale-read",
                    explanation=f"{self.phrases.told(read)}, without "
                    f"{shown(append.argument)}, although {self.phrases.named(append)} had "
                    f"completed {self.phrases.earlier(append, read)} the read began"
                    + (", and no read ever returned it" if lost else ""),
                    operations=(append, read),
                )
        return None

    def _shorter(self, read: Operation) -> Finding | None:
        """A read that returned less than another that had ended before it began."""
        mine = self._elements(read)
        for other in self.reads:
            theirs = self._elements(other)
            if _precedes(other, read) and len(theirs) > len(mine) == _common(theirs, mine):
                return Finding(
                    name="stale-read",
                    explanation=f"{self.phrases.told(read)}, although "
                    f"{self.phrases.told(other)}, which is longer, "
                    f"{self.phrases.earlier(other, read)} the read began",
                    operations=(other, read),
                )
        return None

    def _fork(self, read: Operation) -> Finding | None:
        """Two reads of which neither is the beginning of the other."""
        mine = self._elements(read)
        for other in self.reads:
            theirs = self._elements(other)
            same = _common(mine, theirs)
            if same < min(len(mine), len(theirs)):
                first, second = sorted((read, other), key=lambda item: item.invoke_index)
                return Finding(
                    name="incompatible-order",
                    explanation=f"{self.phrases.told(first)} and {self.phrases.told(second)}: "
                    f"they agree in the first {same} only, and nothing but appends happened",
                    operations=(first, second),
                )
        return None


def _is_read(operation: Operation) -> bool:
    return operation.f == "read" and operation.outcome is Outcome.OK


def _precedes(first: Operation, second: Operation) -> bool:
    return first.complete_index is not None and first.complete_index < second.invoke_index


def _all_later(read: Operation, appends: Sequence[Operation]) -> bool:
    return all(_precedes(read, item) for item in appends)


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Give the length of the common beginning."""
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))
