"""Every built-in by name, and plug-ins by reference.

A name is looked up here, then among installed plug-ins; `package.module:Attribute` and
`path/to/file.py:Attribute` are imported. Built-ins are imported only when they are asked for.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from splitbrain.core.bug import PlantedBug
from splitbrain.core.cluster import Cluster
from splitbrain.core.errors import UsageError
from splitbrain.core.fault import Nemesis
from splitbrain.core.run import Plan
from splitbrain.core.system import System
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker
from splitbrain.core.workload import Workload
from splitbrain.plugin import (
    installed_names,
    load_installed,
    load_reference,
    looks_like_reference,
    require_methods,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A built-in: where it lies, and what it is in one sentence."""

    reference: str
    summary: str


CLUSTERS: Mapping[str, Entry] = {
    "embedded": Entry(
        "splitbrain.cluster.embedded:Embedded",
        "hosts made of Linux namespaces on this machine, with a root, a network and an sshd each",
    ),
}

SYSTEMS: Mapping[str, Entry] = {
    "raft": Entry(
        "splitbrain.system_under_test.systems.raft:RaftSystem",
        "the reference Raft: a linearizable keyed store",
    ),
}

WORKLOADS: Mapping[str, Entry] = {
    "register": Entry(
        "splitbrain.workloads.register:Register",
        "reads, writes and compare-and-set on independent keys, checked for linearizability",
    ),
}

NEMESES: Mapping[str, Entry] = {
    "partition": Entry(
        "splitbrain.nemeses.partition:Partition",
        "cuts the network: halves, one node, rings, bridges, one way, the leader",
    ),
    "kill": Entry("splitbrain.nemeses.process:Kill", "kills daemons with SIGKILL and starts them"),
    "pause": Entry("splitbrain.nemeses.process:Pause", "stops daemons with SIGSTOP for a while"),
    "clock": Entry(
        "splitbrain.nemeses.clock:Clock",
        "bends wall clocks: jumps, clocks that come and go, clocks that run fast or slow",
    ),
}

CHECKERS: Mapping[str, Entry] = {
    "linearizable": Entry(
        "splitbrain.checkers.linearizable:Linearizable",
        "every operation takes effect at one instant between its start and its end "
        "(Herlihy & Wing 1990; Wing & Gong 1993, Lowe 2017, by Porcupine)",
    ),
    "raft": Entry(
        "splitbrain.checkers.raft:Raft",
        "Raft's safety properties, from the nodes' traces (Ongaro & Ousterhout 2014, figure 3)",
    ),
    "stats": Entry(
        "splitbrain.checkers.stats:Stats", "counts, rates and latencies; unknown if too few succeeded"
    ),
    "faults": Entry(
        "splitbrain.checkers.faults:Faults", "whether every requested kind of fault took hold and healed"
    ),
    "logs": Entry("splitbrain.checkers.logs:Logs", "panics and other patterns in the daemons' logs"),
    "recovery": Entry(
        "splitbrain.checkers.recovery:Recovery",
        "whether the system works again in time once every fault is healed",
    ),
}

BUGS: tuple[str, ...] = ("splitbrain.system_under_test.systems.raft_bugs:BUGS",)

_ROLES = {
    "system": (SYSTEMS, "splitbrain.systems"),
    "workload": (WORKLOADS, "splitbrain.workloads"),
    "nemesis": (NEMESES, "splitbrain.nemeses"),
    "checker": (CHECKERS, "splitbrain.checkers"),
    "cluster": (CLUSTERS, "splitbrain.clusters"),
}

_SYSTEM_METHODS = ("name", "install", "daemons", "client")
_WORKLOAD_METHODS = ("name", "vocabulary", "main", "final", "checkers")
_CHECKER_METHODS = ("name", "check")


def system(name: str, options: Mapping[str, Value], *, seed: int) -> System:
    """Build a system.

    Raises: UsageError when there is none of that name, ContractError when it is no system.
    """
    built = _build("system", name, {"seed": seed, **options})
    require_methods(built, "system", *_SYSTEM_METHODS)
    return cast(System, built)


def workload(name: str) -> Workload:
    """Build a workload.

    Raises: UsageError when there is none of that name, ContractError when it is no workload.
    """
    built = _build("workload", name, {})
    require_methods(built, "workload", *_WORKLOAD_METHODS)
    return cast(Workload, built)


def nemesis(name: str) -> Nemesis:
    """Build a nemesis; one that has only inject and heal is completed.

    Raises: UsageError when there is none of that name, ContractError when it is no nemesis.
    """
    from splitbrain.nemeses.complete import complete  # noqa: PLC0415

    return complete(_build("nemesis", name, {}), name)


def checker(name: str, parameters: Mapping[str, Value]) -> Checker:
    """Build a checker.

    Raises: UsageError when there is none of that name, ContractError when it is no checker.
    """
    built = _build("checker", name, parameters)
    require_methods(built, "checker", *_CHECKER_METHODS)
    return cast(Checker, built)


def cluster(name: str, *, node_count: int) -> Cluster:
    """Build a cluster; nothing is brought up yet.

    Raises: UsageError when there is none of that name.
    """
    return cast(Cluster, _build("cluster", name, {"node_count": node_count}))


def is_builtin(role: str, name: str) -> bool:
    """Tell whether a name is one of ours, and building it imports nothing foreign."""
    return name in _ROLES[role][0]


def bugs() -> tuple[PlantedBug, ...]:
    """Give the planted bugs of all systems."""
    found: list[PlantedBug] = []
    for reference in BUGS:
        found.extend(cast(Iterable[PlantedBug], load_reference(reference)))
    return tuple(found)


def bug(name: str) -> PlantedBug:
    """Give one planted bug.

    Raises: UsageError when there is none of that name.
    """
    table = {item.name: item for item in bugs()}
    if name not in table:
        message = f"there is no bug {name!r}; there are {', '.join(sorted(table))}"
        raise UsageError(message)
    return table[name]


def plan_of_bug(found: PlantedBug, *, seed: int, cluster: str = "embedded") -> Plan:
    """Give the plan that must find a planted bug by its directed schedule."""
    return Plan(
        system=found.system,
        workload=found.workload,
        nemeses=found.schedule.kinds,
        cluster=cluster,
        node_count=found.node_count,
        time_limit_s=found.time_limit_s,
        concurrency=found.concurrency,
        rate_hz=found.rate_hz,
        seed=seed,
        bug=found.name,
        schedule=found.schedule,
        options=found.options,
        parameters=found.parameters,
    )


def names(role: str) -> Mapping[str, str]:
    """Give the names of a role with a sentence each, plug-ins included."""
    table, group = _ROLES[role]
    listed = {name: entry.summary for name, entry in table.items()}
    listed |= {name: "an installed plug-in" for name in installed_names(group)}
    return listed


def _build(role: str, name: str, arguments: Mapping[str, object]) -> object:
    made = _find(role, name)
    if not callable(made):
        return made
    factory = cast(Callable[..., object], made)
    accepted = _accepted(factory, arguments)
    try:
        return factory(**accepted)
    except TypeError as error:
        message = f"the {role} {name!r} cannot be made with {sorted(accepted)}: {error}"
        raise UsageError(message) from error


def _find(role: str, name: str) -> object:
    table, group = _ROLES[role]
    if name in table:
        module, _, attribute = table[name].reference.partition(":")
        return getattr(importlib.import_module(module), attribute)
    if looks_like_reference(name):
        return load_reference(name)
    found = load_installed(group, name)
    if found is None:
        known = ", ".join(sorted([*table, *installed_names(group)]))
        message = f"there is no {role} {name!r}; there are {known}, or name one as file.py:Name"
        raise UsageError(message)
    return found


def _accepted(
    factory: Callable[..., object], arguments: Mapping[str, object]
) -> Mapping[str, object]:
    """Leave out what the harness offers to all but this one does not ask for: the seed."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return arguments
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values()):
        return arguments
    return {name: item for name, item in arguments.items() if name != "seed" or name in parameters}
