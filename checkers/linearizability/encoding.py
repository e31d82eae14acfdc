"""Turns the operations of one key into the columns that the Porcupine helper reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from splitbrain.checkers.models import KeyedStore, Model, model_of_key
from splitbrain.checkers.models.register import pair
from splitbrain.checkers.porcupine.process import (
    APPEND,
    CAS,
    PENDING,
    READ,
    REFUSED,
    WRITE,
    Partition,
)
from splitbrain.core.history import FAIL_CODE, INFO_CODE, OPEN, History
from splitbrain.core.value import Value, canonical

_KINDS = {"read": READ, "write": WRITE, "cas": CAS, "append": APPEND}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One key as a partition. rows: the row of the key's history behind each of its operations.

    model: what the key is judged by. unused: operations that constrain nothing, counted by why.
    problem: why this key cannot be judged at all.
    """

    key: Value
    history: History
    model: Model
    partition: Partition
    rows: Sequence[int]
    unused: Counter[str] = field(default_factory=Counter)
    problem: str | None = None

    @property
    def observed(self) -> bool:
        """Whether any operation saw something of the key's value."""
        return any(
            kind in (READ, REFUSED) or (kind == CAS and end != PENDING)
            for kind, end in zip(self.partition.kind, self.partition.return_, strict=True)
        )


class Encoder:
    """Gives equal values equal codes over all keys of a history.

    With a keyed store, a code stands for a sequence of tokens: the elements of a list, or the
    characters of a text; what is neither is one token of its own. Which of the two a key holds is
    decided for each key, since no two keys are ever compared.
    """

    def __init__(self, model: Model) -> None:
        self._is_store = isinstance(model, KeyedStore)
        self._model = model
        self._codes: dict[object, int] = {}
        self._elements: dict[str, int] = {}
        self._tokens: list[list[int]] = []

    @property
    def tokens(self) -> list[list[int]] | None:
        """The tokens of every code so far; None where codes are opaque."""
        return self._tokens if self._is_store else None

    def encode(self, key: Value, history: History, initial: Value) -> Encoded:
        """Encode the operations of one key."""
        self._model = model_of_key(self._model, history, initial)
        partition = Partition(initial=self._state(initial))
        unused: Counter[str] = Counter()
        rows: list[int] = []
        problem = None
        try:
            for row in range(len(history)):
                try:
                    reason = self._add(partition, history, row)
                except ValueError as error:
                    message = f"operation {int(history.invoke_index[row])}: {error}"
                    raise ValueError(message) from error
                if reason is None:
                    rows.append(row)
                else:
                    unused[reason] += 1
            self._require_sequences(partition, history, initial)
        except ValueError as error:
            problem = str(error)
        encoded = Encoded(
            key=key,
            history=history,
            model=self._model,
            partition=partition,
            rows=rows,
            unused=unused,
            problem=problem,
        )
        return encoded if problem or APPEND in partition.kind else _without_unobserved(encoded)

    def _add(self, partition: Partition, history: History, row: int) -> str | None:
        """Add one operation, or give the reason why it constrains nothing."""
        outcome = int(history.outcome[row])
        f = str(history.f.value(row))
        if outcome == FAIL_CODE:
            return "failed"
        call, argument = int(history.invoke_index[row]), history.argument.value(row)
        ended = int(history.complete_index[row])
        return_ = PENDING if outcome == INFO_CODE or ended == OPEN else ended
        if f == "cas":
            return self._add_cas(partition, call, return_, argument, bool(history.applied[row]))
        if f == "read" and return_ == PENDING:
            return "reads of unknown outcome"
        if return_ != PENDING and not history.applied[row]:
            return f"refused {f}s"
        if f == "read":
            partition.add(READ, call, return_, value=self._state(history.result.value(row)))
            return None
        value = self._appended(argument) if f == "append" else self._state(argument)
        partition.add(_KINDS[f], call, return_, value=value)
        return None

    def _add_cas(
        self, partition: Partition, call: int, return_: int, argument: Value, applied: bool
    ) -> str | None:
        old, new = (self._state(item) for item in pair(argument))
        kind = CAS if applied or return_ == PENDING else REFUSED
        partition.add(kind, call, return_, value=new if kind == CAS else old, expected=old)
        return None

    def _state(self, value: Value) -> int:
        state = self._model.initial(value)
        if state not in self._codes:
            self._codes[state] = len(self._codes)
            if self._is_store:
                self._tokens.append(self._sequence(state))
        return self._codes[state]

    def _sequence(self, state: object) -> list[int]:
        """Give the tokens of a keyed store's state; a scalar is one that no element can be."""
        if isinstance(state, tuple):
            return [self._element(item) for item in state]
        return [-1 - self._element(str(state))]

    def _element(self, text: str) -> int:
        return self._elements.setdefault(text, len(self._elements))

    def _appended(self, argument: Value) -> int:
        store = self._model
        added = store.appends(argument) if isinstance(store, KeyedStore) else None
        if added is None:
            message = f"an append of {canonical(argument)[:80]}, which is no text"
            raise ValueError(message)
        if added not in self._codes:
            self._codes[added] = len(self._codes)
            self._tokens.append([self._element(item) for item in added])
        return self._codes[added]

    def _require_sequences(self, partition: Partition, history: History, initial: Value) -> None:
        """Refuse to guess what an append to a scalar gives.

        Raises: ValueError when a key has appends, and a value that nothing can be appended to.
        """
        if APPEND not in partition.kind:
            return
        values = [initial]
        values += _arguments(history, "write")
        values += [pair(a)[1] for a in _arguments(history, "cas")]
        for value in values:
            if not isinstance(self._model.initial(value), tuple):
                message = f"an append to {canonical(value)[:80]}, which cannot be made longer"
                raise ValueError(message)  # noqa: TRY004 - one error for all that has no meaning


def _arguments(history: History, f: str) -> list[Value]:
    rows = history.is_f(f) & (history.outcome != FAIL_CODE)
    return [history.argument.value(int(row)) for row in rows.nonzero()[0]]


def _without_unobserved(encoded: Encoded) -> Encoded:
    """Leave out operations of unknown outcome whose value nobody can have seen.

    Such a one may have taken effect after everything else, or never. A refused compare-and-set
    sees every value but one, so all stay where there is a refusal.
    """
    partition = encoded.partition
    if REFUSED in partition.kind:
        return encoded
    seen: Counter[int] = Counter()
    for kind, value, expected in zip(
        partition.kind, partition.value, partition.expected, strict=True
    ):
        if kind == READ:
            seen[value] += 1
        elif kind == CAS:
            seen[expected] += 1
    dropped = _unobserved(partition, seen)
    if not dropped:
        return encoded
    kept = Partition(initial=partition.initial)
    for row in range(len(partition)):
        if row not in dropped:
            kept.add(
                partition.kind[row],
                partition.call[row],
                partition.return_[row],
                value=partition.value[row],
                expected=partition.expected[row],
            )
    return replace(
        encoded,
        partition=kept,
        rows=[item for row, item in enumerate(encoded.rows) if row not in dropped],
        unused=encoded.unused + Counter({"unseen operations of unknown outcome": len(dropped)}),
    )


def _unobserved(partition: Partition, seen: Counter[int]) -> set[int]:
    pending = [row for row, end in enumerate(partition.return_) if end == PENDING]
    dropped: set[int] = set()
    while True:
        more = [row for row in pending if row not in dropped and not seen[partition.value[row]]]
        if not more:
            return dropped
        for row in more:
            dropped.add(row)
            if partition.kind[row] == CAS:
                # What it expected may be unseen now, and its writer superfluous in turn.
                seen[partition.expected[row]] -= 1
