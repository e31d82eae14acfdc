"""Chains of compare-and-sets: values that must follow each other with nothing between.

A compare-and-set that succeeded took the value that it expected, which was written once; so the
writer of that value, its readers, and the compare-and-set stand together, and so on along the
chain. Within a chain the order is given: what comes later must not end before something earlier
began.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splitbrain.core.columns import Booleans, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """The chains among some clusters, one after another.

    members: clusters in the order of their chain. starts: where each chain begins in `members`.
    circular: clusters that follow each other in a circle, or follow such a circle.
    """

    members: Integers
    starts: Integers
    circular: Integers


def chains(parent: Integers) -> Chains:
    """Find the chains; parent: by cluster the one that it follows, or itself."""
    follows = np.flatnonzero(parent != np.arange(len(parent)))
    root = parent.copy()
    depth = np.zeros(len(parent), np.int64)
    depth[follows] = 1
    for _ in range(max(1, len(follows)).bit_length() + 1):
        above = root[follows]
        further = depth[above]
        if not further.any():
            break
        further_root = root[above]
        depth[follows] += further
        root[follows] = further_root
    ends = root[follows]
    circular = follows[parent[ends] != ends]
    good = follows[parent[ends] == ends]
    heads = np.zeros(len(parent), np.bool_)
    heads[root[good]] = True
    everyone = np.concatenate([np.flatnonzero(heads), good])
    order = np.lexsort((depth[everyone], root[everyone]))
    members = everyone[order]
    starts = np.flatnonzero(depth[members] == 0)
    return Chains(members=members, starts=starts, circular=circular)


def out_of_order(found: Chains, first_end: Integers, last_start: Integers) -> Integers:
    """Give the places in `members` of clusters that end before something earlier began.

    At most one cluster has any one parent: what forks is wrong already.
    """
    if not len(found.members):
        return np.zeros(0, np.int64)
    begun = last_start[found.members]
    latest = _latest_before(begun, found.starts)
    late: Booleans = first_end[found.members] < latest
    return np.flatnonzero(late)


def _latest_before(begun: Integers, starts: Integers) -> Integers:
    """Give the greatest number before each place within its chain; the least of all at a start."""
    values, number = begun, np.zeros(len(begun), np.int64)
    number[starts[1:]] = 1
    number = np.cumsum(number)
    least = int(begun.min())
    is_wide = int(begun.max()) - least >= (2**62) // (int(number[-1]) + 1)
    if is_wide:
        values, begun = np.unique(begun, return_inverse=True)
        least = 0
    span = int(begun.max()) - least + 1
    greatest = np.maximum.accumulate(begun - least + number * span) - number * span + least
    latest = np.empty(len(begun), np.int64)
    latest[1:] = values[greatest[:-1]] if is_wide else greatest[:-1]
    latest[starts] = np.iinfo(np.int64).min
    return latest


def merged(found: Chains, first_end: Integers, last_start: Integers) -> tuple[Integers, Integers]:
    """Give each chain's earliest end and latest start."""
    if not len(found.starts):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return (
        np.minimum.reduceat(first_end[found.members], found.starts),
        np.maximum.reduceat(last_start[found.members], found.starts),
    )
