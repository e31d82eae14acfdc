"""Guesses at the order of each key's writes: one that fits is proof that the history is in order.

With the order of the writes of every key given, a history is sequentially consistent if and only if
program order, reads-from, that order, and "read before what overwrote it" have no circle together.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from splitbrain.checkers.freshness.spans import by_place
from splitbrain.checkers.order.accesses import Accesses
from splitbrain.checkers.order.cycles import Edges, knots, suspicious
from splitbrain.checkers.order.overwritten import Overwriters
from splitbrain.checkers.order.past import Past, hints
from splitbrain.checkers.order.versions import versions
from splitbrain.core.columns import Integers

_NOWHERE = 2**62


def guesses(past: Past, seen: Overwriters) -> Iterator[tuple[str, Integers]]:
    """Give orders (name, number of each entry), the most likely first."""
    accesses = past.accesses
    ranks = _by_versions(accesses)
    if ranks is not None:
        yield "versions", ranks
    yield "real time", by_place(accesses).visible
    yield "causal order", _settled(past, seen)


def _by_versions(accesses: Accesses) -> Integers | None:
    """Number the entries by versions; None when some write has none, and nothing that saw it has.

    A write of unknown outcome was never answered, so that no version of it is known: it stands
    directly before the first version at which it was seen.
    """
    rank = versions(accesses).rank * 2
    rank[rank < 0] = _NOWHERE
    reads = np.flatnonzero((rank < _NOWHERE) & accesses.reads & (accesses.source >= 0))
    first_seen = np.full(len(accesses), _NOWHERE, np.int64)
    np.minimum.at(first_seen, accesses.source[reads], rank[reads] - 1)
    ranks = np.where(rank < _NOWHERE, rank, first_seen)
    return ranks if (ranks[accesses.writes] < _NOWHERE).all() else None


def fits(past: Past, rank: Integers) -> bool:
    """Tell whether this order of the writes of each key explains the history."""
    accesses = past.accesses
    writes = np.flatnonzero(accesses.writes)
    order = writes[np.lexsort((rank[writes], accesses.key[writes]))]
    same = accesses.key[order][1:] == accesses.key[order][:-1]
    following = np.full(len(accesses), -1, np.int64)
    following[order[:-1][same]] = order[1:][same]
    keys = int(accesses.key.max()) + 1
    first = np.full(keys, -1, np.int64)
    begins = np.ones(len(order), np.bool_)
    begins[1:] = ~same
    first[accesses.key[order[begins]]] = order[begins]
    reads = np.flatnonzero(accesses.reads)
    source = accesses.source[reads]
    later = np.where(source >= 0, following[source], first[accesses.key[reads]])
    over = (later >= 0) & (later != reads)
    previous = past.program.previous
    follows = np.flatnonzero(previous >= 0)
    own = reads[source >= 0]
    edges = Edges.joined(
        (previous[follows], follows, 0),
        (accesses.source[own], own, 1),
        (order[:-1][same], order[1:][same], 1),
        (reads[over], later[over], 1),
    )
    numbers = np.empty(len(accesses), np.int64)
    moment = np.where(accesses.writes, by_place(accesses).visible, hints(accesses))
    numbers[np.argsort(moment, kind="stable")] = np.arange(len(accesses))
    return not knots(suspicious(edges, numbers))


def _settled(past: Past, seen: Overwriters) -> Integers:
    """Number the entries along causal order and what follows from it, the earliest first."""
    accesses = past.accesses
    read, write = seen.concurrent
    previous = past.program.previous
    follows = np.flatnonzero(previous >= 0)
    target = np.flatnonzero(accesses.source >= 0)
    tail = np.concatenate([previous[follows], accesses.source[target], write])
    head = np.concatenate([follows, target, accesses.source[read]])
    by_tail = np.argsort(tail, kind="stable")
    ends = np.searchsorted(tail[by_tail], np.arange(len(accesses) + 1)).tolist()
    heads = head[by_tail].tolist()
    missing = np.bincount(head, minlength=len(accesses)).tolist()
    moment = by_place(accesses).visible.tolist()
    ready = [(moment[entry], entry) for entry, count in enumerate(missing) if not count]
    heapq.heapify(ready)
    rank = np.zeros(len(accesses), np.int64)
    number = 0
    while ready:
        _, entry = heapq.heappop(ready)
        rank[entry] = number = number + 1
        for after in heads[ends[entry] : ends[entry + 1]]:
            missing[after] -= 1
            if not missing[after]:
                heapq.heappush(ready, (moment[after], after))
    return rank
