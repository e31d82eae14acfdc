"""Clusters: each value of each key with the operation that set it and those that saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.linearizability.numbering import compacted
from splitbrain.checkers.linearizability.parts import Parts, Windows, counts
from splitbrain.core.columns import Booleans, Integers

NOWHERE = -1

_DENSE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Every cluster of a history.

    The first `len(row)` are of writes and compare-and-sets, by their row; behind them each key has
    one of the value that it began with. first_end, last_start: of what set and saw the value, on
    the time of `Windows`. taken: by cluster the one whose value its compare-and-set took, itself
    for none, `NOWHERE` for a value that nobody set. is_in: whether it takes part; an operation of
    unknown outcome that nobody saw does not. watcher: rows of what saw a value and left it there,
    with the cluster of the value, or NOWHERE. refused: by refusal, the cluster of the value that
    was expected, or NOWHERE where the key can do without it. unclear: keys whose values were set
    several times and seen. doubtful: refusals that expected a value that was set several times.
    """

    row: Integers
    key: Integers
    first_end: Integers
    last_start: Integers
    taken: Integers
    is_in: Booleans
    watcher: Integers
    watched: Integers
    refused: Integers
    doubtful: Booleans
    unclear: Integers
    premature: Booleans
    """By watcher: whether it ended before the operation began that alone set its value."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """Values of keys as numbers: what setters set, takers took, watchers and refusals saw.

    initial: by key.
    """

    set: Integers
    taken: Integers
    watched: Integers
    refused: Integers
    initial: Integers
    limit: int


def clusters_of(parts: Parts, windows: Windows) -> Clusters:
    """Build the clusters of a history.

    A compare-and-set that expects what it leaves is no setter: it sees the value, if it is known to
    have been applied.
    """
    moves = parts.swap_old != parts.swap_new
    takers = parts.swaps[moves]
    looks = ~moves & ~parts.pending[parts.swaps]
    row = np.concatenate([parts.writes, takers])
    watcher = np.concatenate([parts.reads, parts.swaps[looks]])
    cells = _cells(
        parts,
        (row, np.concatenate([parts.write_value, parts.swap_new[moves]])),
        (takers, parts.swap_old[moves]),
        (watcher, np.concatenate([parts.read_value, parts.swap_old[looks]])),
    )
    size = len(row)
    pending = parts.pending[row]
    seen = _seen(cells, pending[len(parts.writes) :])
    setters = counts(cells.set, cells.limit)
    setters[cells.initial] += 1
    every_key = np.arange(parts.key_count)
    key = np.concatenate([parts.key[row], every_key])
    owner = np.full(cells.limit, NOWHERE, np.int64)
    owner[cells.set] = np.arange(size)
    owner[cells.initial] = size + every_key

    is_in = np.concatenate([~pending | seen[cells.set], np.ones(parts.key_count, np.bool_)])
    taken = np.arange(size + parts.key_count)
    taken[len(parts.writes) : size] = owner[cells.taken]
    taken[~is_in] = np.flatnonzero(~is_in)
    watched = owner[cells.watched]
    first_end = np.concatenate([windows.ends(row, key[:size]), windows.before(every_key)])
    last_start = np.concatenate([windows.starts(row, key[:size]), windows.before(every_key)])
    known = np.flatnonzero(watched != NOWHERE)
    sight, cluster = watcher[known], watched[known]
    ends = windows.ends(sight, parts.key[sight])
    premature = np.zeros(len(watcher), np.bool_)
    premature[known] = ends < last_start[cluster]
    np.minimum.at(first_end, cluster, ends)
    np.maximum.at(last_start, cluster, windows.starts(sight, parts.key[sight]))

    twice = seen & (setters > 1)
    refused, doubtful = _refused(cells, owner, seen, pending)
    return Clusters(
        row=row,
        key=key,
        first_end=first_end,
        last_start=last_start,
        taken=taken,
        is_in=is_in,
        watcher=watcher,
        watched=watched,
        refused=refused,
        doubtful=doubtful,
        unclear=np.concatenate(
            [parts.key[row[twice[cells.set]]], np.flatnonzero(twice[cells.initial])]
        ),
        premature=premature,
    )


def _cells(parts: Parts, *groups: tuple[Integers, Integers]) -> _Cells:
    """Number the values of keys; groups: rows of setters, takers (both alike) and watchers."""
    rows = np.concatenate([*(rows for rows, _ in groups), parts.refusals])
    values = np.concatenate([*(values for _, values in groups), parts.refused])
    every_key = np.arange(parts.key_count)
    if parts.key_count == 1:
        cells, limit = np.concatenate([values, [parts.initial]]), parts.value_limit
    else:
        cells = np.concatenate([parts.key[rows], every_key]) * parts.value_limit
        cells += np.concatenate([values, np.full(parts.key_count, parts.initial)])
        limit = parts.key_count * parts.value_limit
    if limit > _DENSE * len(cells) + 1024:
        cells, limit = compacted(cells, np.ones(len(cells), np.bool_))
    sizes = np.cumsum([*(len(rows) for rows, _ in groups), len(parts.refusals)])
    made, taken, watched, refused, initial = np.split(cells, sizes)
    return _Cells(made, taken, watched, refused, initial, limit)


def _seen(cells: _Cells, taker_pending: Booleans) -> Booleans:
    """Give the values that were certainly seen.

    A compare-and-set of unknown outcome saw its value if what it left was seen. Any other may have
    come after everything else, or never.
    """
    seen = np.zeros(cells.limit, np.bool_)
    seen[cells.watched] = True
    seen[cells.taken[~taker_pending]] = True
    left = cells.set[len(cells.set) - len(cells.taken) :]
    waiting = np.flatnonzero(taker_pending)
    if not len(waiting):
        return seen
    waiting = waiting[np.argsort(left[waiting], kind="stable")]
    left = left[waiting]
    found = np.flatnonzero(seen[left])
    while len(found):
        cell = np.unique(cells.taken[waiting[found]])
        cell = cell[~seen[cell]]
        seen[cell] = True
        found = _all_of(left, cell)
    return seen


def _all_of(ordered: Integers, wanted: Integers) -> Integers:
    """Give the places of wanted numbers among ordered ones."""
    low, high = np.searchsorted(ordered, wanted), np.searchsorted(ordered, wanted, "right")
    length = high - low
    begins = np.repeat(low - np.concatenate([[0], np.cumsum(length)[:-1]]), length)
    return begins + np.arange(len(begins)) if len(begins) else begins


def _refused(
    cells: _Cells, owner: Integers, seen: Booleans, pending: Booleans
) -> tuple[Integers, Booleans]:
    if not len(cells.refused):
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    done = np.flatnonzero(~pending)
    certain = np.full(cells.limit, NOWHERE, np.int64)
    certain[cells.set[done]] = done
    certain[cells.initial] = owner[cells.initial]
    times = counts(cells.set[done], cells.limit)
    times[cells.initial] += 1
    expected = np.where(seen[cells.refused], owner[cells.refused], certain[cells.refused])
    return expected, (times[cells.refused] > 1) & ~seen[cells.refused]
