"""Judges registers whose seen values were set once: exactly, all keys in one pass.

Gibbons & Korach, "Testing Shared Memories", 1997; by locality (Herlihy & Wing 1990) keys that have
windows of time of their own are judged together. The history of a key is linearizable exactly when

- each value that was seen was set, and not for the first time after it was seen;
- no two compare-and-sets took the same value, and what they left forms no circle;
- within a chain of compare-and-sets nothing ended before something earlier began;
- the blocks (chains, and clusters outside of any) can be put in order, see `zones`.

Values that were seen and set several times, appends, and arguments that make no sense are left to
others, and so are refused compare-and-sets that this does not settle, see `refusals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from splitbrain.checkers.linearizability.chains import Chains, chains, merged, out_of_order
from splitbrain.checkers.linearizability.clusters import NOWHERE, Clusters, clusters_of
from splitbrain.checkers.linearizability.parts import Parts, Windows, counts, parts_of
from splitbrain.checkers.linearizability.refusals import unsettled
from splitbrain.checkers.linearizability.zones import conflicts
from splitbrain.checkers.models import Model
from splitbrain.core.columns import Integers
from splitbrain.core.history import History
from splitbrain.core.value import Value


class Judgement(IntEnum):
    """What is known of a key: nothing happened, it is linearizable, it is not, others must say.

    REFUSALS: all but its refused compare-and-sets is linearizable; others must say.
    """

    UNUSED = 0
    HOLDS = 1
    BROKEN = 2
    OTHERS = 3
    REFUSALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong, wherever it is; keys that are left to others are among them.

    astray: rows of what saw, or took, a value from nowhere, or from the future. forked: clusters
    whose value was taken twice. circular: clusters of compare-and-sets that go round. late: places
    in `chains.members` that ended before something earlier in their chain began. blocks: pairs that
    must each come before the other; a block below `len(lone)` is that cluster, one from there on a
    chain.
    """

    astray: Integers
    forked: Integers
    circular: Integers
    late: Integers
    blocks: tuple[Integers, Integers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A history with what is known of each of its keys, by the number of the key."""

    parts: Parts
    clusters: Clusters
    chains: Chains
    lone: Integers
    faults: Faults
    judgement: NDArray[np.int8]


def judge(history: History, model: Model, initial: Value) -> Judged:
    """Judge every key of a history."""
    parts = parts_of(history, model, initial)
    windows = Windows.of(history, parts)
    clusters = clusters_of(parts, windows)
    found = chains(
        np.where(clusters.taken == NOWHERE, np.arange(len(clusters.key)), clusters.taken)
    )
    lone = _lone(clusters, found)
    faults = _faults(clusters, found, lone)
    judgement = np.zeros(parts.key_count, np.int8)
    judgement[parts.key] = Judgement.HOLDS
    if len(parts.refusals):
        waiting = unsettled(parts, clusters, windows)
        judgement[parts.key[parts.refusals[waiting]]] = Judgement.REFUSALS
    for keys in _broken(parts, clusters, found, lone, faults):
        judgement[keys] = Judgement.BROKEN
    judgement[clusters.unclear] = Judgement.OTHERS
    judgement[parts.key[parts.others]] = Judgement.OTHERS
    return Judged(
        parts=parts,
        clusters=clusters,
        chains=found,
        lone=lone,
        faults=faults,
        judgement=judgement,
    )


def _lone(clusters: Clusters, found: Chains) -> Integers:
    is_lone = clusters.is_in.copy()
    is_lone[found.members] = False
    is_lone[found.circular] = False
    return np.flatnonzero(is_lone)


def _faults(clusters: Clusters, found: Chains, lone: Integers) -> Faults:
    follows = np.flatnonzero(clusters.taken != np.arange(len(clusters.key)))
    lost = follows[clusters.taken[follows] == NOWHERE]
    taken = clusters.taken[follows[clusters.taken[follows] != NOWHERE]]
    astray = (clusters.watched == NOWHERE) | clusters.premature
    first, last = clusters.first_end, clusters.last_start
    chain_end, chain_start = merged(found, first, last)
    return Faults(
        astray=np.concatenate([clusters.watcher[astray], clusters.row[lost]]),
        forked=np.flatnonzero(counts(taken, len(clusters.key)) > 1),
        circular=found.circular,
        late=out_of_order(found, first, last),
        blocks=conflicts(
            np.concatenate([first[lone], chain_end]), np.concatenate([last[lone], chain_start])
        ),
    )


def _broken(
    parts: Parts, clusters: Clusters, found: Chains, lone: Integers, faults: Faults
) -> tuple[Integers, ...]:
    """Give the keys in which something is wrong."""
    block_key = np.concatenate([clusters.key[lone], clusters.key[found.members[found.starts]]])
    return (
        parts.key[faults.astray],
        clusters.key[faults.forked],
        clusters.key[faults.circular],
        clusters.key[found.members[faults.late]],
        block_key[faults.blocks[0]],
    )
