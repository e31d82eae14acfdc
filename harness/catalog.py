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

from splitbrain import contract
from splitbrain.cluster.inventory_name import is_inventory
from splitbrain.core.bug import PlantedBug
from splitbrain.core.cluster import Cluster
from splitbrain.core.errors import ContractError, HarnessError, UsageError
from splitbrain.core.fault import Nemesis
from splitbrain.core.known_names import instead
from splitbrain.core.run import Plan
from splitbrain.core.system import System
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker
from splitbrain.core.workload import Workload
from splitbrain.plugin import (
    installed_names,
    load_installed,
    load_reference,
    looks_like_file,
    looks_like_reference,
    references_into,
    where,
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
    "vagrant": Entry(
        "splitbrain.cluster.vagrant:Vagrant",
        "virtual machines by Vagrant, on libvirt or VirtualBox: real disks, clocks and power cuts",
    ),
    "sim": Entry(
        "splitbrain.cluster.sim.simulator:Simulator",
        "the simulator: systems without I/O in virtual time, replayed exactly by their seed",
    ),
    "inventory": Entry(
        "splitbrain.cluster.inventory:Inventory",
        "your own hosts over SSH: name a file as HOSTS.toml, or hosts as ssh:HOST,HOST",
    ),
}

SYSTEMS: Mapping[str, Entry] = {
    "raft": Entry(
        "splitbrain.system_under_test.systems.raft:RaftSystem",
        "the reference Raft: a linearizable keyed store",
    ),
    "store": Entry(
        "splitbrain.system_under_test.systems.store:StoreSystem",
        "the reference store after Dynamo: strong, sequential, causal or eventual, by key",
    ),
}

WORKLOADS: Mapping[str, Entry] = {
    "register": Entry(
        "splitbrain.workloads.register:Register",
        "reads, writes and compare-and-set on independent keys, checked for linearizability",
    ),
    "quorum-register": Entry(
        "splitbrain.workloads.quorum_register:QuorumRegister",
        "reads and writes behind quorums, held to regularity, or to less or more",
    ),
    "deletions": Entry(
        "splitbrain.workloads.deletions:Deletions",
        "values that are written and deleted: what was deleted must not come back",
    ),
    "sessions": Entry(
        "splitbrain.workloads.sessions:Sessions",
        "reads and writes of a few keys by sessions that move between nodes",
    ),
    "causal-chains": Entry(
        "splitbrain.workloads.causal_chains:CausalChains",
        "whoever reads a key writes the next one: effects must not be seen before their causes",
    ),
    "cart": Entry(
        "splitbrain.workloads.cart:ShoppingCart",
        "shopping carts: what was added is there in the end, however carts were merged",
    ),
}

NEMESES: Mapping[str, Entry] = {
    "partition": Entry(
        "splitbrain.nemeses.partition:Partition",
        "cuts the network: halves, one node, rings, bridges, one way, the leader",
    ),
    "packets": Entry(
        "splitbrain.nemeses.packets:Packets",
        "troubles packets: delay, loss, doubles, damage, wrong order, a slow line",
    ),
    "kill": Entry("splitbrain.nemeses.process:Kill", "kills daemons with SIGKILL and starts them"),
    "pause": Entry("splitbrain.nemeses.process:Pause", "stops daemons with SIGSTOP for a while"),
    "stop": Entry(
        "splitbrain.nemeses.process:Stop", "tells daemons to end with SIGTERM and starts them"
    ),
    "restart": Entry(
        "splitbrain.nemeses.process:Restart", "kills and starts daemons again and again"
    ),
    "reboot": Entry("splitbrain.nemeses.machine:Reboot", "restarts machines, alone or together"),
    "power": Entry(
        "splitbrain.nemeses.machine:Power",
        "cuts the power of machines, which loses what was not synced",
    ),
    "stress": Entry(
        "splitbrain.nemeses.stress:Stress",
        "keeps hosts busy: computing, holding memory, writing files",
    ),
    "disk": Entry(
        "splitbrain.nemeses.disk:Disk",
        "troubles the disks beneath the data: full, read-only, slow, failing",
    ),
    "damage": Entry(
        "splitbrain.nemeses.disk:Damage",
        "damages data for good: bits flipped, tails cut off, chunks copied or rolled back",
    ),
    "membership": Entry(
        "splitbrain.nemeses.membership:Membership",
        "removes members and adds them again, through the system's own requests",
    ),
    "clock": Entry(
        "splitbrain.nemeses.clock:Clock",
        "bends wall clocks: jumps, clocks that come and go, clocks that run fast or slow",
    ),
}

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "network": ("partition", "packets"),
    "process": ("kill", "stop", "pause", "restart"),
    "machine": ("reboot", "power"),
    "all": (
        *("partition", "packets", "kill", "stop", "pause", "restart", "reboot", "power"),
        *("stress", "disk", "clock", "membership"),
    ),
}
"""Nemeses by the package: those that a correct system survives, as far as the cluster has them."""

CHECKERS: Mapping[str, Entry] = {
    "linearizable": Entry(
        "splitbrain.checkers.linearizable:Linearizable",
        "every operation takes effect at one instant between its start and its end "
        "(Herlihy & Wing 1990; decided as by Gibbons & Korach 1997 where values are unique, by "
        "versions, or by search: Wing & Gong 1993, Lowe 2017, by Porcupine)",
    ),
    "sequential": Entry(
        "splitbrain.checkers.sequential:Sequential",
        "one order of all operations keeps the order of each session (Lamport 1979)",
    ),
    "causal": Entry(
        "splitbrain.checkers.causal:Causal",
        "whoever sees an effect sees its causes: models ccv, cc and cm "
        "(Bouajjani, Enea, Guerraoui & Hamza 2017)",
    ),
    "read-your-writes": Entry(
        "splitbrain.checkers.read_your_writes:ReadYourWrites",
        "a session sees what it wrote itself, or something newer (Terry et al. 1994)",
    ),
    "monotonic-reads": Entry(
        "splitbrain.checkers.monotonic_reads:MonotonicReads",
        "what a session has seen once, it sees from then on, or something newer "
        "(Terry et al. 1994)",
    ),
    "monotonic-writes": Entry(
        "splitbrain.checkers.monotonic_writes:MonotonicWrites",
        "who sees a write sees what its session wrote before it (Terry et al. 1994)",
    ),
    "writes-follow-reads": Entry(
        "splitbrain.checkers.writes_follow_reads:WritesFollowReads",
        "who sees a write sees what its session had read before it (Terry et al. 1994)",
    ),
    "regular": Entry(
        "splitbrain.checkers.regular:Regular",
        "a read returns the last write that completed before it, or one at its time "
        "(Lamport 1986; Shao et al. 2011)",
    ),
    "staleness": Entry(
        "splitbrain.checkers.staleness:Staleness",
        "how stale reads are, in time and in versions; judges by bounds delta_ms and k "
        "(Golab, Li & Shah 2011; Golab, Hurwitz & Li 2013)",
    ),
    "deletions": Entry(
        "splitbrain.checkers.deletions:Deletions",
        "what was deleted does not come back: regularity where deletes write nothing "
        "(Lamport 1986; Shao et al. 2011)",
    ),
    "cart": Entry(
        "splitbrain.checkers.cart:Cart",
        "what was added to a cart and never removed is there in the end "
        "(DeCandia et al. 2007, 4.4)",
    ),
    "raft": Entry(
        "splitbrain.checkers.raft:Raft",
        "Raft's safety properties, from the nodes' traces (Ongaro & Ousterhout 2014, figure 3)",
    ),
    "stats": Entry(
        "splitbrain.checkers.stats:Stats",
        "counts and latencies; unknown if too few succeeded",
    ),
    "faults": Entry(
        "splitbrain.checkers.faults:Faults",
        "whether every kind of fault took hold and healed",
    ),
    "logs": Entry("splitbrain.checkers.logs:Logs", "panics and the like in the daemons' logs"),
    "recovery": Entry(
        "splitbrain.checkers.recovery:Recovery",
        "whether the system works again in time once every fault is healed",
    ),
    "durability": Entry(
        "splitbrain.checkers.durability:Durability",
        "no acknowledged write is lost: the final dumps hold it or what replaced it "
        "(DeCandia et al. 2007)",
    ),
    "quorum": Entry(
        "splitbrain.checkers.quorum:Quorum",
        "W distinct replicas had made a write durable when it was acknowledged "
        "(Gifford 1979; DeCandia et al. 2007, 4.5)",
    ),
    "convergence": Entry(
        "splitbrain.checkers.convergence:Convergence",
        "once all is healed, the replicas of each key are equal (DeCandia et al. 2007, 4.7)",
    ),
    "siblings": Entry(
        "splitbrain.checkers.siblings:Siblings",
        "the versions of a key are those that no writer had seen, no more and no fewer "
        "(Preguica et al. 2012)",
    ),
    "vector-clocks": Entry(
        "splitbrain.checkers.vector_clocks:VectorClocks",
        "clocks and dots keep their rules, also over restarts (Fidge 1988, Mattern 1989)",
    ),
    "ring": Entry(
        "splitbrain.checkers.ring:Ring",
        "all nodes have the same hash ring, it is balanced, and it moves no more than it must "
        "(Karger et al. 1997)",
    ),
}

FILE_NAMES = 4
"""So many of the classes of a file are offered to whoever named the file alone."""

SIMULATED_RATE_HZ = 30.0
"""Operations a second of simulated clients: see `rate_of`."""

BUGS: tuple[str, ...] = (
    "splitbrain.system_under_test.systems.raft_bugs:BUGS",
    "splitbrain.system_under_test.systems.store_bugs:BUGS",
)

_ROLES = {
    "system": (SYSTEMS, "splitbrain.systems"),
    "workload": (WORKLOADS, "splitbrain.workloads"),
    "nemesis": (NEMESES, "splitbrain.nemeses"),
    "checker": (CHECKERS, "splitbrain.checkers"),
    "cluster": (CLUSTERS, "splitbrain.clusters"),
}

LISTINGS = {
    "system": "systems",
    "workload": "workloads",
    "nemesis": "nemeses",
    "checker": "checkers",
    "cluster": "clusters",
}
"""Under which word `splitbrain list` lists a role."""


def system(name: str, options: Mapping[str, Value], *, seed: int) -> System:
    """Build a system.

    Raises: UsageError when there is none of that name, ContractError when it is no system.
    """
    built = _build("system", name, {"seed": seed, **options})
    contract.require_system(built, name)
    return cast("System", built)


def system_defaults(name: str) -> Mapping[str, object]:
    """Give the values that a system's options have by themselves, as far as it tells.

    Raises: UsageError when there is no system of that name.
    """
    made = _find("system", name)
    signature = _signature(made) if callable(made) else None
    parameters = () if signature is None else signature.parameters.values()
    return {item.name: item.default for item in parameters if item.default is not item.empty}


def workload(name: str) -> Workload:
    """Build a workload.

    Raises: UsageError when there is none of that name, ContractError when it is no workload.
    """
    built = _build("workload", name, {})
    contract.require(built, name, contract.WORKLOAD)
    return cast("Workload", built)


def nemesis(name: str) -> Nemesis:
    """Build a nemesis; one that has only inject and heal is completed.

    Raises: UsageError when there is none of that name, or when it is a package of several,
    ContractError when it is no nemesis.
    """
    if name in PACKAGES:
        message = f"{name!r} is a package of nemeses, no kind: {', '.join(PACKAGES[name])}"
        raise UsageError(message)
    from splitbrain.nemeses.complete import complete  # noqa: PLC0415

    return complete(_build("nemesis", name, {}), name)


def expanded(asked: Iterable[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Give the nemeses that names and packages come to, and those that only a package asks for.

    The latter may be left out where the cluster cannot have them.
    """
    wanted: dict[str, None] = {}
    named: set[str] = set()
    for name in asked:
        wanted |= dict.fromkeys(PACKAGES.get(name, (name,)))
        named |= set() if name in PACKAGES else {name}
    return tuple(wanted), frozenset(wanted) - named


def checker(name: str, parameters: Mapping[str, Value]) -> Checker:
    """Build a checker.

    Raises: UsageError when there is none of that name, ContractError when it is no checker.
    """
    built = _build("checker", name, parameters)
    contract.require_checker(built, name)
    return cast("Checker", built)


def cluster(name: str, *, node_count: int, options: Mapping[str, Value] | None = None) -> Cluster:
    """Build a cluster; nothing is brought up yet.

    Raises: UsageError when there is none of that name, ContractError when it is no cluster.
    """
    arguments: dict[str, object] = {"node_count": node_count, **(options or {})}
    if is_inventory(name):
        arguments["source"] = name
    built = _build("cluster", name, arguments)
    contract.require(built, name, contract.CLUSTER)
    return cast("Cluster", built)


def node_count_of(cluster_name: str) -> int | None:
    """Give how many nodes a cluster has by itself; None where that is for the user to say.

    Raises: UsageError for an inventory that cannot be read.
    """
    if not is_inventory(cluster_name):
        return None
    from splitbrain.cluster.inventory_file import node_names  # noqa: PLC0415

    return len(node_names(cluster_name))


def rate_of(cluster_name: str) -> float | None:
    """Give how many operations a second clients send to a cluster where nobody says.

    None: as many as the workload sends by itself. In virtual time those cost a run thirty times as
    long, and many short runs, each with faults of its own, show more than few long ones.
    """
    return SIMULATED_RATE_HZ if cluster_name == "sim" else None


def is_builtin(role: str, name: str) -> bool:
    """Tell whether a name is one of ours, and building it imports nothing foreign."""
    return name in _ROLES[role][0]


def is_own_cluster(name: str) -> bool:
    """Tell whether a cluster is one of ours, whose options are known; an inventory is."""
    return name in CLUSTERS or is_inventory(name)


def bugs() -> tuple[PlantedBug, ...]:
    """Give the planted bugs of all systems."""
    found: list[PlantedBug] = []
    for reference in BUGS:
        found.extend(cast("Iterable[PlantedBug]", _own(reference)))
    return tuple(found)


def bug(name: str) -> PlantedBug:
    """Give one planted bug.

    Raises: UsageError when there is none of that name.
    """
    table = {item.name: item for item in bugs()}
    if name not in table:
        listed = instead(name, sorted(table), listing="splitbrain list bugs")
        message = f"there is no bug {name!r}; {listed}"
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
        operation_timeout_s=found.operation_timeout_s,
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
    listed |= dict.fromkeys(installed_names(group), "an installed plug-in")
    if role == "nemesis":
        listed |= {name: f"package: {', '.join(kinds)}" for name, kinds in PACKAGES.items()}
    return listed


def _build(role: str, name: str, arguments: Mapping[str, object]) -> object:
    made = _find(role, name)
    if not callable(made):
        return made
    factory = cast("Callable[..., object]", made)
    accepted = _accepted(role, name, factory, arguments)
    try:
        return factory(**accepted)
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        message = f"the {role} {name!r} cannot be made: {where(error)}"
        raise UsageError(message) from error


def _find(role: str, name: str) -> object:
    table, group = _ROLES[role]
    if name in table:
        return _own(table[name].reference)
    if role == "cluster" and is_inventory(name):
        return _own(table["inventory"].reference)
    if looks_like_reference(name):
        return load_reference(name)
    if looks_like_file(name):
        inside = " or ".join(references_into(name)[:FILE_NAMES]) or f"{name} defines none"
        message = f"{name!r} is a file; name the class in it: {inside}"
        raise UsageError(message)
    found = load_installed(group, name)
    if found is None:
        listing = f"splitbrain list {LISTINGS[role]}"
        beside = ", or name one as file.py:Name"
        listed = instead(name, sorted(names(role)), listing=listing, beside=beside)
        message = f"there is no {role} {name!r}; {listed}"
        raise UsageError(message)
    return found


def _own(reference: str) -> object:
    module, _, attribute = reference.partition(":")
    found: object = getattr(importlib.import_module(module), attribute)
    return found


def _signature(factory: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(factory)
    except (TypeError, ValueError):
        return None  # a builtin that does not tell it


def _accepted(
    role: str, name: str, factory: Callable[..., object], arguments: Mapping[str, object]
) -> Mapping[str, object]:
    """Leave out what the harness offers to all but this one does not ask for: the seed.

    Raises: UsageError for what a person asked for and this one does not know, ContractError when it
    asks for more than it is given.
    """
    signature = _signature(factory)
    if signature is None:
        return arguments
    kinds = {item.kind for item in signature.parameters.values()}
    takes_seed = "seed" in signature.parameters or inspect.Parameter.VAR_KEYWORD in kinds
    accepted = {item: value for item, value in arguments.items() if item != "seed" or takes_seed}
    try:
        signature.bind(**accepted)
    except TypeError as error:
        strange = sorted(set(accepted) - set(signature.parameters))
        if strange:
            known = [item for item in signature.parameters if item != "seed"]
            listed = instead(strange[0], known) if known else "it takes none"
            message = f"the {role} {name!r} has no option {strange[0]!r}; {listed}"
            raise UsageError(message) from error
        given = f"with {', '.join(accepted)} alone" if accepted else "without arguments"
        message = f"the {role} {name!r} cannot be made {given}: {error}"
        raise ContractError(message) from error
    return accepted
