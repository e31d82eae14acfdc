"""Which nodes a fault hits: `Fault.target` resolved to names, without asking anybody.

A target is a list of nodes, or one of these names:
"one" (any node), "minority" (the most that leave a majority), "majority" (the fewest that are one),
"all", "primaries" (all that believe to lead), "leader" (the most recent of them), "one-follower"
(any node that does not believe to lead). Where nobody leads, or where the system cannot tell, the
last three have no meaning: the fault waits a little for a leader and is then missed; it never falls
on somebody else instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from splitbrain.core.errors import HarnessError, NobodyToHitError, UsageError
from splitbrain.core.fault import View
from splitbrain.core.value import Value

NEED_PRIMARIES = ("primaries", "leader", "one-follower")
"""The names that only a system with the power "primaries" gives a meaning."""


def resolve(target: Value, view: View) -> tuple[str, ...]:
    """Give the nodes of a target, in the order of the view.

    Raises: UsageError for what is no target, NobodyToHitError for one that names nobody now,
    HarnessError for one that never does.
    """
    if isinstance(target, list):
        return _listed(target, view)
    if not isinstance(target, str) or target not in _NAMED:
        message = f"{target!r} is no target; say {', '.join(_NAMED)} or a list of nodes"
        raise UsageError(message)
    return _ordered(_NAMED[target](view), view)


def _one(view: View) -> Iterable[str]:
    return [view.rng.choice(view.nodes)]


def _minority(view: View) -> Iterable[str]:
    size = (len(view.nodes) - 1) // 2
    if size == 0:
        message = f"{len(view.nodes)} nodes have no minority to hit"
        raise HarnessError(message)
    return view.rng.sample(view.nodes, size)


def _majority(view: View) -> Iterable[str]:
    return view.rng.sample(view.nodes, len(view.nodes) // 2 + 1)


def _all(view: View) -> Iterable[str]:
    return view.nodes


def _primaries(view: View) -> Iterable[str]:
    known = [node for node in view.primaries if node in view.nodes]
    if not known:
        message = "nobody believes to lead, or the system cannot tell who leads"
        raise NobodyToHitError(message)
    return known


def _leader(view: View) -> Iterable[str]:
    return list(_primaries(view))[:1]


def _one_follower(view: View) -> Iterable[str]:
    leading = set(_primaries(view))
    followers = [node for node in view.nodes if node not in leading]
    if not followers:
        message = "every node believes to lead: there is no follower"
        raise NobodyToHitError(message)
    return [view.rng.choice(followers)]


_NAMED: Mapping[str, Callable[[View], Iterable[str]]] = {
    "one": _one,
    "minority": _minority,
    "majority": _majority,
    "all": _all,
    "primaries": _primaries,
    "leader": _leader,
    "one-follower": _one_follower,
}
NAMES = tuple(_NAMED)
"""The targets that have a name."""


def _listed(target: list[Value], view: View) -> tuple[str, ...]:
    strange = [node for node in target if node not in view.nodes]
    if strange:
        message = f"there is no node {strange[0]!r}; there are {', '.join(view.nodes)}"
        raise UsageError(message)
    if not target:
        message = "the target is an empty list of nodes"
        raise UsageError(message)
    return _ordered([str(node) for node in target], view)


def _ordered(found: Iterable[str], view: View) -> tuple[str, ...]:
    wanted = set(found)
    return tuple(node for node in view.nodes if node in wanted)
