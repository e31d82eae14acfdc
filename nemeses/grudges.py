"""Shapes of network partitions, as pure functions from nodes to a grudge.

A grudge says for each victim whose packets it drops. Where nothing else is said a cut goes both
ways: TCP needs both. Functions keep the order of `nodes`; whoever wants chance shuffles first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from splitbrain.core.cluster import Grudge
from splitbrain.core.errors import HarnessError


def split(*groups: Iterable[str]) -> Grudge:
    """Cut every group off from every other one, both ways.

    Raises: HarnessError when a node is in two groups.
    """
    members = [tuple(group) for group in groups]
    everyone = [node for group in members for node in group]
    if len(set(everyone)) != len(everyone):
        message = "a partition cannot put one node into two groups"
        raise HarnessError(message)
    return _without_empty({node: set(everyone) - set(group) for group in members for node in group})


def isolate(nodes: Sequence[str], group: Iterable[str]) -> Grudge:
    """Cut a group off from all other nodes, both ways; the group keeps together."""
    inside = set(group)
    return split(
        [node for node in nodes if node in inside], [node for node in nodes if node not in inside]
    )


def halves(nodes: Sequence[str]) -> Grudge:
    """Cut the first half off from the second, which has one node more if their number is odd."""
    return split(*split_at(nodes, len(nodes) // 2))


def split_at(nodes: Sequence[str], size: int) -> tuple[Sequence[str], Sequence[str]]:
    """Give the first `size` nodes, and the others."""
    return nodes[:size], nodes[size:]


def majority_size(count: int) -> int:
    """Give how many of `count` nodes are a majority."""
    return count // 2 + 1


def bridge(nodes: Sequence[str]) -> Grudge:
    """Cut two halves off from each other, and leave the node between them joined to both.

    The middle node is the bridge.

    Raises: HarnessError for fewer than three nodes.
    """
    if len(nodes) < 3:
        message = f"a bridge needs three nodes, and there are {len(nodes)}"
        raise HarnessError(message)
    middle = len(nodes) // 2
    return split(nodes[:middle], nodes[middle + 1 :])


def deaf(nodes: Sequence[str], group: Iterable[str]) -> Grudge:
    """Let a group send to the others, but receive nothing from them."""
    inside = set(group)
    outside = [node for node in nodes if node not in inside]
    return _without_empty({node: set(outside) for node in nodes if node in inside})


def mute(nodes: Sequence[str], group: Iterable[str]) -> Grudge:
    """Let a group receive from the others, but none of what it sends arrives."""
    inside = set(group)
    return _without_empty({node: set(inside) for node in nodes if node not in inside})


def majorities_ring(nodes: Sequence[str]) -> Grudge:
    """Let every node see a majority, each another one: no two agree on who is there.

    Links go both ways. The nodes that stay joined are those of the Harary graph H(k, n) with
    k = n // 2, which has the fewest links of all graphs where each node has k neighbours (Harary,
    "The maximum connectivity of a graph", PNAS 1962).

    Raises: HarnessError for fewer than three nodes.
    """
    count = len(nodes)
    if count < 3:
        message = f"a ring of majorities needs three nodes, and there are {count}"
        raise HarnessError(message)
    seen: dict[int, set[int]] = {place: {place} for place in range(count)}
    for left, right in _harary_links(count, count // 2):
        seen[left].add(right)
        seen[right].add(left)
    return _without_empty(
        {
            node: {nodes[other] for other in range(count) if other not in seen[place]}
            for place, node in enumerate(nodes)
        }
    )


def _harary_links(count: int, degree: int) -> Iterable[tuple[int, int]]:
    for place in range(count):
        for distance in range(1, degree // 2 + 1):
            yield place, (place + distance) % count
    if degree % 2:
        # With an odd number of nodes one of them gets a link more: half a link does not exist.
        for place in range((count + 1) // 2):
            yield place, (place + count // 2) % count


def to_value(grudge: Grudge) -> dict[str, list[str]]:
    """Give a grudge as JSON, sorted."""
    return {victim: sorted(grudge[victim]) for victim in sorted(grudge)}


def from_value(value: object, nodes: Sequence[str]) -> Grudge:
    """Read a grudge from JSON.

    Raises: HarnessError when it is none, or names a node that is not there.
    """
    if not isinstance(value, Mapping) or not value:
        message = 'a grudge is an object of nodes with lists of their peers: {"n1": ["n2"]}'
        raise HarnessError(message)
    grudge: dict[str, set[str]] = {}
    for victim, peers in value.items():
        if not isinstance(peers, (list, tuple)) or not all(isinstance(p, str) for p in peers):
            message = f"the grudge of {victim!r} is not a list of nodes"
            raise HarnessError(message)
        grudge[str(victim)] = set(peers)
    _refuse_strangers(grudge, nodes)
    return _without_empty(grudge)


def _refuse_strangers(grudge: Mapping[str, set[str]], nodes: Sequence[str]) -> None:
    for victim, peers in grudge.items():
        strange = sorted(({victim} | peers) - set(nodes))
        if strange:
            message = f"there is no node {strange[0]!r}; there are {', '.join(nodes)}"
            raise HarnessError(message)
        if victim in peers:
            message = f"{victim} cannot be cut off from itself"
            raise HarnessError(message)


def _without_empty(grudge: Mapping[str, set[str]]) -> Grudge:
    return {victim: frozenset(peers) for victim, peers in grudge.items() if peers}
