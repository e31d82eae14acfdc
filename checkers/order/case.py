"""What the checkers of registers by session have in common: refusals, and how they conclude."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from splitbrain.checkers.linearizability.phrases import Phrases, shown
from splitbrain.checkers.models.register import pair
from splitbrain.checkers.order.accesses import Accesses, accesses, unknown_functions
from splitbrain.core.evidence import Evidence
from splitbrain.core.history import OK_CODE, History
from splitbrain.core.operation import Operation
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Status, Verdict, unknown

MINIMUM_OK = "minimum_ok"
SHOWN_OF_EACH = 3
_KEYS_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A history that can be judged. initial: the value of each key before everything else."""

    accesses: Accesses
    initial: Value
    phrases: Phrases

    @property
    def history(self) -> History:
        """The whole history."""
        return self.accesses.history

    def operations(self, entries: Iterable[int], rows: Iterable[int] = ()) -> tuple[Operation, ...]:
        """Give the operations of these entries and rows, once each, in their order.

        What has an unknown outcome took effect because somebody saw it, who belongs to the proof.
        """
        known = {int(entry) for entry in entries}
        pending = list(known)
        while pending:
            entry = pending.pop()
            readers = self.readers(entry) if self.accesses.late[entry] else []
            if readers and not known & set(readers):
                known.add(readers[0])
                pending.append(readers[0])
        picked = {int(self.accesses.row[entry]) for entry in known} | set(rows)
        return tuple(self.history[row] for row in sorted(picked))

    def readers(self, entry: int) -> list[int]:
        """Give the entries that saw what an entry wrote."""
        return np.flatnonzero(self.accesses.source == entry).tolist()

    def named(self, entry: int) -> str:
        """Name the operation of an entry."""
        return self.phrases.named(self.accesses.operation(entry))

    def told(self, entry: int) -> str:
        """Tell what the operation of an entry saw."""
        operation = self.accesses.operation(entry)
        if self.accesses.late[entry]:
            seen = self.named(self.readers(entry)[0])
            return f"{self.phrases.named(operation)} took effect, since {seen} saw it"
        if operation.f == "cas" and not operation.applied:
            return f"{self.phrases.named(operation)}, refused, returned {shown(operation.result)}"
        return self.phrases.told(operation)


def prepare(evidence: Evidence) -> Case | Verdict:
    """Find out whether this evidence can be judged; a verdict says why it cannot."""
    history = evidence.history
    if history is None:
        return unknown("there is no history")
    minimum_ok = evidence.facts.get(MINIMUM_OK, 1)
    required = max(1, minimum_ok if isinstance(minimum_ok, int) else 1)
    succeeded = int((history.outcome == OK_CODE).sum())
    if succeeded < required:
        told = f"{succeeded or 'no'} operation{'s' * (succeeded != 1)}"
        return unknown(f"{told} succeeded, {required} or more must have", operations=len(history))
    strange = unknown_functions(history)
    if strange:
        return unknown(
            f"only read, write and cas of registers are known, not {', '.join(strange)}",
            operations=len(history),
        )
    initial = evidence.facts.get("initial")
    try:
        found = accesses(history, initial)
    except ValueError:
        return unknown(_without_pair(history), operations=len(history))
    return Case(
        accesses=found,
        initial=initial,
        phrases=Phrases(int(history.start_ns.min()) if len(history) else 0),
    )


def _without_pair(history: History) -> str:
    """Name the first compare-and-set whose argument is no pair: one stopped all of them."""
    for row in np.flatnonzero(history.is_f("cas")).tolist():
        try:
            pair(history.argument.value(row))
        except ValueError as error:
            return f"operation {int(history.invoke_index[row])}: {error}"
    message = "every compare-and-set has a pair"
    raise AssertionError(message)


@dataclass(slots=True)
class Found:
    """Anomalies, a few of each name; counts: all that was found, by name."""

    anomalies: list[Anomaly] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, anomalies: Sequence[Anomaly], count: int | None = None) -> None:
        """Add anomalies of one name. count: how many there are, shown here or not."""
        if anomalies:
            name = anomalies[0].name
            self.anomalies += anomalies[: max(0, SHOWN_OF_EACH - self.counts[name])]
            self.counts[name] += len(anomalies) if count is None else count

    def take(self, other: Found) -> None:
        """Add all that another one found."""
        self.anomalies += other.anomalies
        self.counts += other.counts

    def __bool__(self) -> bool:
        return bool(self.anomalies)


def thin_air(case: Case) -> list[Anomaly]:
    """Give the reads of what nobody wrote, or only an operation that failed for certain."""
    found = []
    for row, failed in case.accesses.thin_air:
        operation = case.history[row]
        value = operation.result
        if operation.f == "cas" and operation.applied and isinstance(operation.argument, list):
            value = operation.argument[0]
        place = int(np.searchsorted(case.accesses.row, row))
        kept = place < len(case.accesses) and int(case.accesses.row[place]) == row
        entries = [place] if kept else []
        named = case.told(place) if kept else case.phrases.told(operation)
        told = f"{named}{case.phrases.at(operation)}"
        if operation.f == "cas":
            told += f", and so found {shown(value)}"
        if failed < 0:
            found.append(
                Anomaly(
                    name="thin-air-read",
                    explanation=f"{told}, but nobody ever wrote {shown(value)}",
                    operations=case.operations(entries, [row]),
                )
            )
            continue
        writer = case.history[failed]
        found.append(
            Anomaly(
                name="failed-write-observed",
                explanation=f"{told}, but {case.phrases.named(writer)} had failed for certain, and "
                f"nobody else wrote {shown(value)}",
                operations=case.operations(entries, [row, failed]),
            )
        )
    return found


def add_thin_air(case: Case, found: Found) -> None:
    """Add the reads of what nobody wrote, by name."""
    every = thin_air(case)
    for name in ("thin-air-read", "failed-write-observed"):
        found.add([item for item in every if item.name == name])


def conclude(
    case: Case,
    found: Found,
    *,
    reasons: Sequence[str] = (),
    notes: Sequence[str] = (),
    checked: int | None = None,
    more: Mapping[str, Value] | None = None,
    **stats: Value,
) -> Verdict:
    """Make the verdict. reasons: why it is unknown; notes: what limits it but not its status.

    checked: how many operations saw something; None counts the reads that have a source. more,
    stats: figures.
    """
    doubts = [*_ambiguity(case), *reasons]
    seen = int(case.accesses.reads.sum()) if checked is None else checked
    if not seen and not doubts:
        doubts.append("no read and no compare-and-set was seen that could be wrong")
    remarks = list(notes)
    if case.accesses.split:
        remarks.append("operations of one session overlap: there each process counts as a session")
    status = Status.INVALID if found else Status.UNKNOWN if doubts else Status.VALID
    return Verdict(
        status=status,
        anomalies=tuple(found.anomalies),
        reasons=(*doubts, *remarks),
        stats={**figures_of(case), "found": _sorted(found.counts), **(more or {}), **stats},
    )


def _sorted(counts: Counter[str]) -> Value:
    return dict(sorted(counts.items()))


def figures_of(case: Case) -> Mapping[str, Value]:
    """Give what every one of these checkers tells of its history."""
    found = case.accesses
    return {
        "operations": len(case.history),
        "judged": len(found),
        "keys": int((np.bincount(found.key, minlength=1) > 0).sum()),
        "sessions": found.session_count,
        "not_used": _sorted(found.unused),
    }


def _ambiguity(case: Case) -> list[str]:
    """Say of which keys the reads are not all used, since their values are not unique."""
    rows = case.accesses.ambiguous
    if not len(rows):
        return []
    keys: dict[str, int] = {}
    for row in rows[:1000].tolist():
        name = shown(case.history.key.value(row))
        keys.setdefault(name, row)
    row = next(iter(keys.values()))
    operation = case.history[row]
    value = operation.result
    if operation.f == "cas" and operation.applied and isinstance(operation.argument, list):
        value = operation.argument[0]
    where = "" if operation.key is None else f" of key {', '.join([*keys][:_KEYS_NAMED])}"
    more = f" and {len(keys) - _KEYS_NAMED} keys more" if len(keys) > _KEYS_NAMED else ""
    reads = f"{len(rows)} read{'s' * (len(rows) != 1)}{where}{more}"
    why = f"the value {shown(value)}, for one, may be from several writes"
    return [f"{reads} cannot be used: {why}"]
