"""All that the gate has to do: each planted bug three ways, and each pair of what is correct."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from splitbrain import catalog
from splitbrain.core.bug import PlantedBug
from splitbrain.core.errors import UsageError
from splitbrain.core.known_names import instead
from splitbrain.core.run import Plan
from splitbrain.core.simulated import Simulated, World
from splitbrain.gate.task import Aim, Task
from splitbrain.runtime.bed import bed_of

SIM = "sim"
NODES = 5
LOAD = Plan(
    system="",
    workload="",
    cluster=SIM,
    node_count=NODES,
    time_limit_s=8.0,
    interval_s=2.5,
    rate_hz=30.0,
)
"""What every pair is loaded with."""
DRAWN_KINDS = ("partition", "kill", "pause", "packets")
DIRECTIONS = ("nodes", "election_ms", "batch_entries")
"""The options of a bug's row that belong to its own schedule; others stay under random ones."""
MIXES = ("partition,kill", "partition,pause,clock", "packets,restart,disk")
EMBEDDED_TRIES = 5


def directed(bugs: Sequence[PlantedBug], seeds: int) -> Sequence[Task]:
    """Give the runs of each bug's own schedule in the simulator."""
    return [
        Task(
            aim=Aim.DIRECTED,
            name=bug.name,
            plan=catalog.plan_of_bug(bug, seed=0, cluster=SIM),
            seeds=seeds,
            bug=bug,
        )
        for bug in bugs
        if is_simulated(bug.system)
    ]


def embedded(bugs: Sequence[PlantedBug]) -> Sequence[Task]:
    """Give the runs of each bug's own schedule on embedded hosts, where once is enough."""
    return [
        Task(
            aim=Aim.EMBEDDED,
            name=bug.name,
            plan=catalog.plan_of_bug(bug, seed=0, cluster="embedded"),
            seeds=EMBEDDED_TRIES,
            bug=bug,
            once=True,
        )
        for bug in bugs
    ]


def drawn(bugs: Sequence[PlantedBug], seeds: int) -> Sequence[Task]:
    """Give the runs of each bug under schedules drawn from the seed."""
    return [
        Task(aim=Aim.DRAWN, name=bug.name, plan=_drawn_plan(bug), seeds=seeds, bug=bug)
        for bug in bugs
        if is_simulated(bug.system)
    ]


def _drawn_plan(bug: PlantedBug) -> Plan:
    options = {name: value for name, value in bug.options.items() if name not in DIRECTIONS}
    return replace(
        LOAD,
        system=bug.system,
        workload=bug.workload,
        nemeses=DRAWN_KINDS,
        time_limit_s=30.0,
        interval_s=None,
        rate_hz=100.0,
        options=options,
        parameters=bug.parameters,
        concurrency=bug.concurrency,
    )


def correct(seeds: int, patterns: Sequence[str] = ("*",)) -> Sequence[Task]:
    """Give the runs of every simulated system under each workload that it speaks and each nemesis.

    patterns: of names such as raft/register/partition, of which one must fit.

    Raises: UsageError for a pattern that fits none.
    """
    tasks = [task for system in catalog.SYSTEMS for task in _pairs_of(system, seeds)]
    names = [task.name for task in tasks]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            message = f"no pair fits {pattern!r}; {instead(pattern, names)}"
            raise UsageError(message)
    return [task for task in tasks if any(fnmatchcase(task.name, pattern) for pattern in patterns)]


def _pairs_of(system: str, seeds: int) -> Iterator[Task]:
    if not is_simulated(system):
        return
    kinds = (*_kinds_for(system), *MIXES)
    for workload in catalog.WORKLOADS:
        if not _speaks(system, workload):
            continue
        for nemeses in kinds:
            plan = replace(
                LOAD, system=system, workload=workload, nemeses=tuple(nemeses.split(","))
            )
            name = f"{system}/{workload}/{nemeses}"
            yield Task(aim=Aim.CORRECT, name=name, plan=plan, seeds=seeds)


def is_simulated(system: str) -> bool:
    """Tell whether the simulator knows a system."""
    return isinstance(catalog.system(system, {}, seed=0), Simulated)


def _speaks(system: str, workload: str) -> bool:
    built = catalog.system(system, {}, seed=0)
    topology = catalog.cluster(SIM, node_count=NODES).topology
    assert isinstance(built, Simulated)
    try:
        built.client_core(catalog.workload(workload).vocabulary, topology)
    except UsageError:
        return False
    return True


def _kinds_for(system: str) -> Sequence[str]:
    """Give the kinds of fault that a correct system survives and the simulator has."""
    built = catalog.system(system, {}, seed=0)
    cluster = catalog.cluster(SIM, node_count=NODES)
    assert isinstance(built, Simulated)
    assert isinstance(cluster, World)
    cluster.inhabit(built, 0)
    bed = bed_of(built, cluster)
    return [
        kind for kind in catalog.PACKAGES["all"] if catalog.nemesis(kind).unavailable(bed) is None
    ]
