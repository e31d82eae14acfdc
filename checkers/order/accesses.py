"""What a history of registers says: who read and who wrote which value, and who read from whom.

Values are unique: a value that was written once on its key tells its writer. What was read and may
have come from several writers is not used, and named.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from splitbrain.checkers.order.values import PlainIntegers, Texts, codes_for
from splitbrain.core.columns import Booleans, IntegerColumn, Integers
from splitbrain.core.history import FAIL_CODE, INFO_CODE, OK_CODE, History
from splitbrain.core.operation import Operation
from splitbrain.core.value import Value

INITIAL = -1
"""The source of a read of the initial value."""

NO_SOURCE = -2
"""The source of what read nothing, or nothing that is used."""

_DIRECT = 8
"""How many places a table may have for each operation, to be looked up without a search."""

FUNCTIONS = frozenset({"read", "write", "cas"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """The operations that constrain anything, one entry each, in the order of invocation.

    row: of the history. session: dense codes. key: codes of the key. writes: whether a value was
    written. source: the entry whose value was read, or INITIAL, or NO_SOURCE. late: of unknown
    outcome, but seen, so that it took effect at some time after its invocation. thin_air: entries
    that read what nobody wrote, each with the row of a failed write of that value, or -1.
    ambiguous: rows of reads of values that may have several writers. unused: operations that
    constrain nothing, counted by why. split: whether a session had operations that overlap, and
    counts as one session a process.
    """

    history: History
    row: Integers
    session: Integers
    key: Integers
    writes: Booleans
    source: Integers
    late: Booleans
    thin_air: tuple[tuple[int, int], ...]
    ambiguous: Integers
    unused: Counter[str] = field(default_factory=Counter)
    split: bool = False

    def __len__(self) -> int:
        return len(self.row)

    @property
    def reads(self) -> Booleans:
        """Which entries read something that is used."""
        found: Booleans = self.source != NO_SOURCE
        return found

    @property
    def session_count(self) -> int:
        """How many sessions there are."""
        return int(self.session.max()) + 1 if len(self) else 0

    def operation(self, entry: int) -> Operation:
        """Give the operation of an entry."""
        return self.history[int(self.row[entry])]

    def key_value(self, entry: int) -> Value:
        """Give the key of an entry."""
        return self.history.key.value(int(self.row[entry]))


@dataclass(slots=True, kw_only=True)
class _Table:
    """Every operation that may constrain something. read, wrote: codes of values, -1 for none."""

    row: Integers
    key: Integers
    read: Integers
    wrote: Integers
    late: Booleans
    initial: int
    values: int


def unknown_functions(history: History) -> tuple[str, ...]:
    """Give the operations that are none of a register."""
    used = np.bincount(history.f.items + 1, minlength=1)[1:]
    names = {text[1:-1] for text, count in zip(history.f.dictionary, used, strict=False) if count}
    return tuple(sorted(names - FUNCTIONS))


def accesses(history: History, initial: Value) -> Accesses:
    """Find out who read from whom. initial: of every key.

    Raises: ValueError for a compare-and-set whose argument is no pair.
    """
    unused: Counter[str] = Counter()
    codes = _codes(history)
    keys = _key_codes(history)
    table = _table(history, keys, codes, initial, unused)
    source, choices = _sources(table)
    used = _seen(table, source)
    unused["unseen operations of unknown outcome"] = int((~used).sum())
    doubtful = used & (choices > 1)
    lonely = used & (table.read >= 0) & (choices == 0)
    thin_air = _thin_air(history, table, codes, keys, np.flatnonzero(lonely))
    source[doubtful | lonely] = NO_SOURCE
    used &= (table.wrote >= 0) | (source != NO_SOURCE)
    number = np.cumsum(used) - 1
    known = source >= 0
    source[known] = number[source[known]]
    kept = np.flatnonzero(used)
    rows = table.row[kept]
    sessions, split = _sessions(history, rows, table.late[kept])
    return Accesses(
        history=history,
        row=rows,
        session=sessions,
        key=table.key[kept],
        writes=table.wrote[kept] >= 0,
        source=source[kept],
        late=table.late[kept],
        thin_air=thin_air,
        ambiguous=table.row[doubtful],
        unused=+unused,
        split=split,
    )


def _codes(history: History) -> PlainIntegers | Texts:
    if history.is_f("cas").any():
        return Texts()
    return codes_for(history.argument, history.result)


def _key_codes(history: History) -> Integers:
    column = history.key
    if isinstance(column, IntegerColumn):
        return np.where(column.present, dense(column.items) + 1, 0)
    return column.codes().items.astype(np.int64) + 1


def dense(items: Integers) -> Integers:
    """Give small codes: equal for equal numbers, in the order of the numbers, from 0 on."""
    if not len(items):
        return items
    low, high = int(items.min()), int(items.max())
    if high - low > 4 * len(items) + 1000:
        found: Integers = np.unique(items, return_inverse=True)[1].astype(np.int64)
        return found
    used = np.zeros(high - low + 1, np.bool_)
    used[items - low] = True
    return (np.cumsum(used) - 1)[items - low]


def _table(
    history: History,
    keys: Integers,
    codes: PlainIntegers | Texts,
    initial: Value,
    unused: Counter[str],
) -> _Table:
    is_read, is_write, is_cas = (history.is_f(name) for name in ("read", "write", "cas"))
    ok, info = history.outcome == OK_CODE, history.outcome == INFO_CODE
    applied = history.applied | info
    told = is_cas & ok & ~applied & _told(history)
    reading = (is_read & ok & applied) | told
    writing = is_write & ~(history.outcome == FAIL_CODE) & applied
    setting = is_cas & ~(history.outcome == FAIL_CODE) & applied
    unused["failed"] = int((history.outcome == FAIL_CODE).sum())
    unused["reads of unknown outcome"] = int((is_read & info).sum())
    refused = ok & ~applied & ~told
    for name, mask in (("reads", is_read), ("writes", is_write), ("compare-and-sets", is_cas)):
        unused[f"refused {name}"] = int((refused & mask).sum())
    read = np.full(len(history), -1, np.int64)
    wrote = np.full(len(history), -1, np.int64)
    rows = np.flatnonzero(reading)
    read[rows] = codes.of(history.result, rows)
    rows = np.flatnonzero(writing)
    wrote[rows] = codes.of(history.argument, rows)
    rows = np.flatnonzero(setting)
    if len(rows):
        read[rows], wrote[rows] = codes.of_pairs(history.argument, rows)
    first = codes.of_value(initial)
    kept = np.flatnonzero(reading | writing | setting)
    return _Table(
        row=kept,
        key=keys[kept],
        read=read[kept],
        wrote=wrote[kept],
        late=info[kept],
        initial=first,
        values=codes.count,
    )


def _told(history: History) -> Booleans:
    """Tell which operations came back with a value: not with null, and not with yes or no."""
    column = history.result
    present = getattr(column, "present", None)
    if present is not None:
        return np.asarray(present, np.bool_)
    coded = column.codes()
    plain = [code for code, text in enumerate(coded.dictionary) if text in ("true", "false")]
    told: Booleans = (coded.items >= 0) & ~np.isin(coded.items, plain)
    return told


def _sources(table: _Table) -> tuple[Integers, Integers]:
    """Give the source of each entry, and how many there could be; 1 where nothing was read."""
    writers = np.flatnonzero(table.wrote >= 0)
    readers = np.flatnonzero(table.read >= 0)
    found, several = _writers_of(table, writers, readers)
    is_initial = table.read[readers] == table.initial
    source = np.full(len(table.row), NO_SOURCE, np.int64)
    source[readers] = np.where(found >= 0, found, np.where(is_initial, INITIAL, NO_SOURCE))
    choices = np.ones(len(table.row), np.int64)
    choices[readers] = is_initial.astype(np.int64) + (found >= 0) + several
    source[choices > 1] = NO_SOURCE
    return source, choices


def _writers_of(table: _Table, writers: Integers, readers: Integers) -> tuple[Integers, Booleans]:
    """Give a writer of what each reader read, -1 for none, and whether there are more."""
    limit = _DIRECT * len(table.row) + 1000
    keys = int(table.key.max()) + 1 if len(table.key) else 1
    if keys * table.values <= limit:
        joint = table.key * table.values
        return _direct(writers, joint[writers] + table.wrote[writers],
                       joint[readers] + table.read[readers], keys * table.values)  # fmt: skip
    if table.values <= limit:
        # Mostly a value is written once among all keys, and tells its key.
        found, several = _direct(writers, table.wrote[writers], table.read[readers], table.values)
        if not several.any():
            strange = (found >= 0) & (table.key[found] != table.key[readers])
            return np.where(strange, -1, found), several
    joint = table.key * table.values
    return _searched(
        writers, joint[writers] + table.wrote[writers], joint[readers] + table.read[readers]
    )


def _direct(
    writers: Integers, written: Integers, wanted: Integers, space: int
) -> tuple[Integers, Booleans]:
    """Look the wanted numbers up among the written ones, all of them below `space`."""
    table = np.full(space, -1, np.int64)
    table[written] = writers
    found = table[wanted]
    several = np.zeros(len(wanted), np.bool_)
    if np.count_nonzero(table >= 0) < len(writers):
        several = (np.bincount(written, minlength=space) > 1)[wanted]
    return found, several


def _searched(writers: Integers, written: Integers, wanted: Integers) -> tuple[Integers, Booleans]:
    """Do the same as `_direct` for numbers of any size."""
    if not len(writers):
        return np.full(len(wanted), -1, np.int64), np.zeros(len(wanted), np.bool_)
    order = np.argsort(written, kind="stable")
    ordered = written[order]
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    hit = ordered[at] == wanted
    after = np.minimum(at + 1, len(ordered) - 1)
    several: Booleans = hit & (after > at) & (ordered[after] == wanted)
    return np.where(hit, writers[order[at]], -1), several


def _seen(table: _Table, source: Integers) -> Booleans:
    """Give the entries that count: of those of unknown outcome, the ones that were seen.

    One that was seen took effect, so that what it saw itself counts in turn.
    """
    used = ~table.late
    frontier = np.flatnonzero(used)
    while len(frontier):
        found = source[frontier]
        found = found[found >= 0]
        frontier = np.unique(found[~used[found]])
        used[frontier] = True
    return used


def _thin_air(
    history: History,
    table: _Table,
    codes: PlainIntegers | Texts,
    keys: Integers,
    lonely: Integers,
) -> tuple[tuple[int, int], ...]:
    """Give the rows that read what nobody wrote, each with that of a failed write, or -1."""
    if not len(lonely):
        return ()
    failed: dict[tuple[int, int], int] = {}
    rows = np.flatnonzero((history.outcome == FAIL_CODE) & history.is_f("write"))
    for row, value in zip(rows.tolist(), codes.of(history.argument, rows).tolist(), strict=True):
        failed.setdefault((int(keys[row]), value), row)
    for row in np.flatnonzero((history.outcome == FAIL_CODE) & history.is_f("cas")).tolist():
        argument = history.argument.value(row)
        if isinstance(argument, list) and len(argument) == 2:  # what failed may make no sense
            failed.setdefault((int(keys[row]), codes.of_value(argument[1])), row)
    return tuple(
        (int(table.row[i]), failed.get((int(table.key[i]), int(table.read[i])), -1))
        for i in lonely.tolist()
    )


def _sessions(history: History, rows: Integers, late: Booleans) -> tuple[Integers, bool]:
    """Give dense codes of the sessions; one whose operations overlap is taken apart by process."""
    session = dense(history.session[rows])
    overlap = _overlapping(history, rows, session, late)
    if not len(overlap):
        return session, False
    apart = np.isin(session, overlap)
    process = dense(history.process[rows])
    mixed = session * (len(rows) + 1) + np.where(apart, 1 + process, 0)
    return dense(mixed), True


def _overlapping(history: History, rows: Integers, session: Integers, late: Booleans) -> Integers:
    """Give the sessions in which an operation begins before an earlier one has ended.

    One of unknown outcome has no end that could matter.
    """
    order = np.argsort(session, kind="stable")
    ends = np.flatnonzero(~late[order])
    before: Integers = np.cumsum(~late[order]).astype(np.int64) - ~late[order] - 1
    place = np.flatnonzero(before >= 0)
    earlier, later = order[ends[before[place]]], order[place]
    overlap = history.complete_index[rows[earlier]] > history.invoke_index[rows[later]]
    found: Integers = np.unique(session[later[overlap & (session[earlier] == session[later])]])
    return found
