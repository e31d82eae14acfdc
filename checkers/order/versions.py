"""Versions that replies carry, believed only where what was read bears them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.checkers.order.accesses import INITIAL, Accesses, dense
from splitbrain.core.columns import Booleans, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The order of the writes of a key, as the system tells it.

    rank: of an entry, comparable within its key. trusted: by key, whether every write of it has a
    version of its own, and every read with a version returned the last write up to that version.
    refuted: the keys where some read did not.
    """

    rank: Integers
    trusted: Booleans
    refuted: Integers


def versions(accesses: Accesses) -> Versions:
    """Check the versions of all keys by replaying each key in their order."""
    column = accesses.history.version
    present = column.present[accesses.row]
    rank = np.where(present, dense(column.items[accesses.row]), -1)
    key_count = int(accesses.key.max()) + 1 if len(accesses) else 0
    trusted = np.zeros(key_count, np.bool_)
    writes = np.flatnonzero(accesses.writes)
    trusted[accesses.key[writes]] = True
    trusted[accesses.key[writes[~present[writes]]]] = False
    span = int(rank.max()) + 2 if len(rank) else 1
    place = accesses.key * span + rank
    order = writes[np.argsort(place[writes], kind="stable")]
    twice = order[1:][place[order][1:] == place[order][:-1]]
    trusted[accesses.key[twice]] = False
    refuted = _refuted(accesses, order, place, trusted, present)
    trusted[refuted] = False
    return Versions(rank=rank, trusted=trusted, refuted=refuted)


def _refuted(
    accesses: Accesses, order: Integers, place: Integers, trusted: Booleans, present: Booleans
) -> Integers:
    """Give the keys in which a read returned another write than the last one up to its version."""
    reads = np.flatnonzero(accesses.reads & present & trusted[accesses.key])
    if not len(reads):
        return np.zeros(0, np.int64)
    # A compare-and-set sees what was there before its own version.
    wanted = place[reads] - accesses.writes[reads]
    at = np.searchsorted(place[order], wanted, side="right") - 1
    last = order[np.maximum(at, 0)]
    none = (at < 0) | (accesses.key[last] != accesses.key[reads])
    expected = np.where(none, INITIAL, last)
    return np.unique(accesses.key[reads[expected != accesses.source[reads]]])
