"""Makes histories of a causally consistent store whose replicas lag behind, without a loop."""

from __future__ import annotations

import numpy as np

from checker_rows.registers import HANDOVER, SEED, Integers
from checker_rows.row import Case
from splitbrain.core.columns import CodedColumn, IntegerColumn
from splitbrain.core.history import INFO_CODE, OK_CODE, OPEN, History

LAG = 6
"""How many rounds of all sessions a replica may lag behind."""


def replicated_history(case: Case) -> History:
    """Give a history that is causally convergent, and mostly not linearizable: half of it reads.

    `concurrency` sessions take turns. Writes stand in one log, of which each session sees a prefix
    that only grows, and that holds what it wrote itself. Half of the crashed writes act; their
    sessions go on as another process, and need not see them.
    """
    rng = np.random.default_rng(SEED)
    n, sessions = case.size, case.concurrency
    number = np.arange(n)
    session = number % sessions
    key = rng.integers(0, case.keys, n)
    is_read = rng.random(n) < 0.5
    crashed = ~is_read & (rng.random(n) < case.crashed)
    acts = ~is_read & ~(crashed & (rng.random(n) < 0.5))
    lag = rng.integers(0, LAG * sessions, n)
    sees = np.where(acts & ~crashed, number + 1, np.maximum(number - lag, 0))
    rounds = -(-n // sessions)
    table = np.zeros(rounds * sessions, np.int64)
    table[:n] = sees
    prefix = np.maximum.accumulate(table.reshape(rounds, sessions), axis=0).reshape(-1)[:n]
    result = _last_below(key, np.flatnonzero(acts), prefix)
    ended = number + sessions * rng.random(n)
    begun = np.concatenate([number[:sessions] - sessions, ended[:-sessions] + HANDOVER])
    place = np.empty(2 * n, np.int64)
    place[np.argsort(np.concatenate([begun, ended]), kind="stable")] = np.arange(2 * n)
    order = np.argsort(place[:n], kind="stable")
    everything, none = np.ones(n, np.bool_), CodedColumn(np.full(n, -1, np.int32), ())
    history = History(
        process=_processes(session, crashed, sessions)[order],
        session=session[order],
        f=CodedColumn(np.where(is_read, 0, 1).astype(np.int32)[order], ('"read"', '"write"')),
        key=IntegerColumn(key[order], everything),
        argument=IntegerColumn(np.where(is_read, 0, number)[order], ~is_read[order]),
        result=IntegerColumn(np.where(is_read, result, 0)[order], (is_read & (result >= 0))[order]),
        version=IntegerColumn(np.zeros(n, np.int64), ~everything),
        applied=everything,
        outcome=np.where(crashed, INFO_CODE, OK_CODE).astype(np.int8)[order],
        invoke_index=place[:n][order],
        complete_index=np.where(crashed, OPEN, place[n:])[order],
        start_ns=place[:n][order],
        end_ns=IntegerColumn(place[n:][order], ~crashed[order]),
        node=none,
        error=none,
    )
    history.validate()
    return history


def _last_below(key: Integers, writes: Integers, prefix: Integers) -> Integers:
    """Give for each operation the last write of its key below its prefix, -1 for none."""
    span = len(key) + 1
    places = np.sort(key[writes] * span + writes)
    at = np.searchsorted(places, key * span + prefix) - 1
    found = places[np.maximum(at, 0)]
    return np.where((at >= 0) & (found // span == key), found % span, -1)


def _processes(session: Integers, crashed: Integers, sessions: int) -> Integers:
    """Number the processes of each session: another one behind every crash."""
    order = np.argsort(session, kind="stable")
    before = np.cumsum(crashed[order]) - crashed[order]
    starts = np.searchsorted(session[order], session[order])
    retired = np.empty(len(session), np.int64)
    retired[order] = before - before[starts]
    return session + sessions * retired
