"""Puts events together into operations in one go, for histories in which nothing is amiss.

`Pairing` is the definition: it goes event by event and names what it refuses. This does the same on
whole columns, and gives None for whatever breaks a rule, so that `Pairing` may say what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitbrain.core.columns import (
    Booleans,
    CodedColumn,
    Column,
    IntegerColumn,
    Integers,
    build,
    coded,
    integers,
    missing,
)
from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.history import FAIL_CODE, INFO_CODE, OK_CODE, OPEN, History
from splitbrain.core.value import Value, canonical, same
from splitbrain.foreign.pairing import ALIASES, NO_RESULT, Paired
from splitbrain.foreign.table import TYPES, EventTable
from splitbrain.foreign.tuples import pair_of

Objects = NDArray[np.object_]

_RENUMBERED_BELOW = 2**62


def pair_quickly(table: EventTable, path: Path, *, observe_refusals: bool) -> Paired | None:
    """Give what `Pairing` would; None when it would refuse the events, or when there are none."""
    if not len(table):
        return None
    try:
        return _Quick(table, path, observe_refusals).run()
    except (_SurpriseError, OverflowError, MalformedHistoryError):
        return None


class _SurpriseError(Exception):
    """Something that only the exact route can judge."""


@dataclass(frozen=True, slots=True)
class _Values:
    """What operations were given and gave, as objects."""

    key: Objects
    argument: Objects
    result: Objects


class _Quick:
    def __init__(self, table: EventTable, path: Path, observe_refusals: bool) -> None:
        count = len(table)
        self._table = table
        self._path = path
        self._observe = observe_refusals
        self._process = np.fromiter(table.process, np.int64, count)
        self._type = np.fromiter(map(TYPES.__getitem__, table.type), np.int8, count)
        self._names: list[str] = list(dict.fromkeys(table.f))
        codes = {name: code for code, name in enumerate(self._names)}
        self._f = np.fromiter(map(codes.__getitem__, table.f), np.int32, count)
        self._begun, self._done = self._pairs()
        self._finished = self._done >= 0

    def run(self) -> Paired:
        self._require_order()
        outcome, applied, refused = self._outcomes()
        values, changed = self._values(outcome)
        values, tupled = self._untupled(values, outcome)
        own = self._process[self._begun]
        process, renumbered = _renumbered(own, outcome)
        time = self._integers("time_ns")
        history = History(
            process=process,
            session=self._sessions(own),
            f=self._functions(),
            key=_column(values.key),
            argument=_column(values.argument),
            result=_column(values.result),
            version=_where(self._integers("version"), self._done),
            applied=applied,
            outcome=outcome,
            invoke_index=self._begun + 1,
            complete_index=np.where(self._finished, self._done + 1, OPEN),
            start_ns=time.items[self._begun],
            end_ns=_where(time, self._done),
            node=self._nodes(),
            error=self._errors(),
        )
        history.validate()
        return Paired(
            history=history,
            nemesis=self._table.nemesis,
            renumbered=renumbered,
            aliases=tuple(sorted(name for name in self._names if name in ALIASES)),
            refused=refused,
            unfinished=int((~self._finished).sum()),
            changed=changed,
            tupled=tupled,
        )

    def _pairs(self) -> tuple[Integers, Integers]:
        """Give the places of the invocations, and of what completed them, -1 where nothing did."""
        order = np.argsort(self._process, kind="stable")
        process, invokes = self._process[order], self._type[order] == 0
        goes_on = np.concatenate([[False], process[1:] == process[:-1]])
        is_open = goes_on & np.concatenate([[False], invokes[:-1]])
        if (invokes == is_open).any():
            raise _SurpriseError  # an invocation too many, or a completion of nothing
        ends = np.flatnonzero(~invokes)
        if (self._f[order][ends] != self._f[order][ends - 1]).any():
            raise _SurpriseError
        if self._table.key:
            keys = _objects(self._table.key)
            if not all(map(_is_of_key, keys[order[ends]], keys[order[ends - 1]])):
                raise _SurpriseError
        done_of = np.full(len(order), -1, np.int64)
        done_of[order[ends - 1]] = order[ends]
        begun = np.flatnonzero(self._type == 0)
        return begun, done_of[begun]

    def _require_order(self) -> None:
        told = [index for index in self._table.index if index is not None]
        places = np.fromiter(told, np.int64, len(told))
        if (np.diff(places) < 0).any():
            raise _SurpriseError

    def _is(self, *names: str) -> Booleans:
        """Mark the operations whose `f` is one of these, or another name of one."""
        codes = [i for i, name in enumerate(self._names) if ALIASES.get(name, name) in names]
        marked: Booleans = np.isin(self._f[self._begun], codes)
        return marked

    def _outcomes(self) -> tuple[NDArray[np.int8], Booleans, int]:
        last = self._type[self._done]
        outcome = np.where(self._finished, last - 1, INFO_CODE).astype(np.int8)
        applied = np.ones(len(outcome), np.bool_)
        ok = outcome == OK_CODE
        if self._table.applied:
            flags = np.fromiter(self._table.applied, np.bool_, len(self._table))[self._done]
            outcome[(outcome == FAIL_CODE) & ~flags] = OK_CODE
            ok = outcome == OK_CODE
            applied = flags | ~ok
        if self._table.is_told and (ok & self._is("read") & ~self._told(self._done)).any():
            raise _SurpriseError
        refusals = self._is("cas") & (outcome == FAIL_CODE)
        if self._table.error:
            errors = _objects(self._table.error)[self._done]
            refusals &= errors == None  # noqa: E711 - an array is compared, item by item
        if self._observe:
            outcome[refusals] = OK_CODE
            applied[refusals] = False
        return outcome, applied, int(refusals.sum())

    def _told(self, rows: Integers) -> Booleans:
        if not self._table.is_told:
            return np.ones(len(rows), np.bool_)
        flags = np.fromiter(self._table.is_told, np.bool_, len(self._table))
        told: Booleans = flags[rows]
        return told

    def _values(self, outcome: NDArray[np.int8]) -> tuple[_Values, int]:
        given = _objects(self._table.value)
        argument, last = given[self._begun], given[self._done]
        silent = self._is(*NO_RESULT)
        reads = np.flatnonzero(self._is("read"))
        if set(map(type, argument[reads])) - {type(None)}:
            plain = [not isinstance(item, (list, dict)) for item in argument[reads]]
            argument[reads[np.array(plain, np.bool_)]] = None
        # What the last event says counts only where the operation truly ended well.
        ended_ok = self._finished & (self._type[self._done] == TYPES["ok"])
        tells = ended_ok & self._told(self._done)
        if (silent & ~self._told(self._begun) & ~tells).any():
            raise _SurpriseError
        rows = np.flatnonzero(silent & tells)
        changed = _settle(argument, last, rows)
        result = last
        result[(outcome != OK_CODE) | silent | ~self._finished] = None
        keys = self._table.key
        key = _objects(keys)[self._begun] if keys else np.full(len(argument), None, np.object_)
        return _Values(key, argument, result), changed

    def _untupled(self, values: _Values, outcome: NDArray[np.int8]) -> tuple[_Values, int]:
        """Take keys out of values, as `untupled` does."""
        reads = self._is("read")
        asked = values.argument[reads].tolist()
        if list not in set(map(type, asked)) or not any(map(_is_pair_of_key, asked)):
            return values, 0
        if any(item is not None for item in values.key):
            return values, 0
        ok = (outcome == OK_CODE).tolist()
        columns: list[tuple[Value, Value, Value]] = []
        rows = zip(values.argument, values.result, reads.tolist(), ok, strict=True)
        for argument, result, is_read, is_ok in rows:
            columns.append(_split(argument, result, is_read=is_read, is_ok=is_ok))
        key, argument, result = zip(*columns, strict=True)
        found = _Values(_objects(key), _objects(argument), _objects(result))
        return found, len(set(map(canonical, key)))

    def _functions(self) -> CodedColumn:
        final = list(dict.fromkeys(ALIASES.get(name, name) for name in self._names))
        code_of = [final.index(ALIASES.get(name, name)) for name in self._names]
        codes = np.array(code_of, np.int32)[self._f[self._begun]]
        return CodedColumn(codes, tuple(map(canonical, final)))

    def _integers(self, name: str) -> IntegerColumn:
        items = getattr(self._table, name)
        count = len(self._table)
        if not items:
            return IntegerColumn(np.zeros(count, np.int64), np.zeros(count, np.bool_))
        return integers(items)

    def _sessions(self, own: Integers) -> Integers:
        told = _where(self._integers("session"), self._begun)
        return np.where(told.present, told.items, own)

    def _nodes(self) -> CodedColumn:
        if not self._table.node:
            return missing(len(self._begun))
        column = coded(self._table.node)
        last = np.where(self._finished, column.items[self._done], -1)
        named = np.where(last >= 0, last, column.items[self._begun])
        return _as_text(CodedColumn(named.astype(np.int32), column.dictionary))

    def _errors(self) -> CodedColumn:
        if not self._table.error:
            return missing(len(self._begun))
        column = coded(self._table.error)
        last = np.where(self._finished, column.items[self._done], -1)
        return CodedColumn(last.astype(np.int32), column.dictionary)


def _as_text(column: CodedColumn) -> CodedColumn:
    """Give a column of nodes in which an empty name is as good as none, as `Pairing` has it."""
    if '""' not in column.dictionary:
        return column
    raise _SurpriseError


def _objects(items: object) -> Objects:
    found: Objects = np.fromiter(items, np.object_, len(items))  # type: ignore[call-overload, arg-type]
    return found


def _column(items: Objects) -> Column:
    return build(items.tolist())


def _where(column: IntegerColumn, rows: Integers) -> IntegerColumn:
    """Give the items of these rows; nothing where the row is -1."""
    present = column.present[rows] & (rows >= 0)
    return IntegerColumn(np.where(present, column.items[rows], 0), present)


def _settle(argument: Objects, last: Objects, rows: Integers) -> int:
    """Fill in what clients chose themselves; give how many ended with another value than given."""
    changed = 0
    kinds = set(map(type, argument[rows])) | set(map(type, last[rows]))
    if kinds in ({int}, {str}):
        rows = rows[argument[rows] != last[rows]]
    for row, first, final in zip(rows.tolist(), argument[rows], last[rows], strict=True):
        if final is None or _alike(first, final):
            continue
        if first is None:
            argument[row] = final
        else:
            changed += 1
    return changed


def _alike(left: Value, right: Value) -> bool:
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is int or kind is str:
        return left == right
    if left == right and kind is list and set(map(type, left)) == set(map(type, right)) == {int}:  # type: ignore[arg-type]
        return True
    return same(left, right)


def _is_of_key(told: Value, key: Value) -> bool:
    """Tell whether an operation ended on its key; its end need not name it."""
    return told is None or _alike(told, key)


def _is_pair_of_key(item: Value) -> bool:
    pair = pair_of(item)
    return pair is not None and pair[0] is not None and pair[1] is None


def _split(
    argument: Value, result: Value, *, is_read: bool, is_ok: bool
) -> tuple[Value, Value, Value]:
    """Give key, argument and result of one operation whose values have keys in them."""
    pair = pair_of(argument)
    if pair is None or pair[0] is None or (is_read and pair[1] is not None):
        raise _SurpriseError
    if not is_read:
        return pair[0], pair[1], result
    got = pair_of(result)
    if is_ok and (got is None or not same(got[0], pair[0])):
        raise _SurpriseError
    return pair[0], None, got[1] if got is not None else result


def _renumbered(session: Integers, outcome: NDArray[np.int8]) -> tuple[Integers, int]:
    """Give each process that goes on after an unknown outcome a number that nobody has."""
    order = np.argsort(session, kind="stable")
    own, info = session[order], outcome[order] == INFO_CODE
    goes_on = np.concatenate([[False], own[1:] == own[:-1]])
    retired = goes_on & np.concatenate([[False], info[:-1]])
    restarts = np.sort(order[retired])
    if not len(restarts):
        return session, 0
    first = int(session.max()) + 1
    if first >= _RENUMBERED_BELOW:
        raise _SurpriseError
    numbers = session.copy()
    numbers[restarts] = first + np.arange(len(restarts))
    begins = retired | ~goes_on
    since = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    result = np.empty_like(session)
    result[order] = numbers[order][since]
    return result, len(restarts)
