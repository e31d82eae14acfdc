"""What is left to do, in which order, and how long that will take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from splitbrain.gate.memory import Memory
from splitbrain.gate.task import Aim, Task
from splitbrain.gate.trial import Found

ROUND = 5
"""So many seeds of a task are done before it is the next one's turn."""
CHECKED = 5
"""After so many of them it is asked whether the task is over."""
ENOUGH = 5
"""After so many complaints about a task its other seeds are left out: it is broken."""
GUESS_S: Mapping[Aim, float] = {
    Aim.EMBEDDED: 15.0, Aim.DIRECTED: 1.0, Aim.CORRECT: 2.0, Aim.DRAWN: 2.0,
}  # fmt: skip
"""How long a run is thought to take as long as none of its kind was done."""


def results_of(task: Task, memory: Memory) -> Mapping[int, Found]:
    """Give the results of a task for the seeds that it has, in their order."""
    found = memory.of_task(task.key)
    return {seed: found[seed] for seed in range(task.seeds) if seed in found}


def complaints_about(task: Task, memory: Memory) -> Sequence[str]:
    """Say what is wrong with the runs of a task."""
    results = results_of(task, memory)
    if task.once and (_is_satisfied(task, results) or len(results) < task.seeds):
        return ()
    told = (task.complaint(seed, found) for seed, found in results.items())
    return [line for line in told if line is not None]


def left_of(task: Task, memory: Memory) -> Sequence[int]:
    """Give the seeds that are still to be done."""
    if is_over(task, memory):
        return ()
    done = memory.of_task(task.key)
    return [seed for seed in range(task.seeds) if seed not in done]


def is_over(task: Task, memory: Memory) -> bool:
    """Tell whether more runs of a task would tell nothing new."""
    if task.once:
        return _is_satisfied(task, results_of(task, memory))
    return len(complaints_about(task, memory)) >= ENOUGH


def _is_satisfied(task: Task, results: Mapping[int, Found]) -> bool:
    return any(task.hit(found) for found in results.values())


def in_turns(tasks: Sequence[Task], memory: Memory) -> Iterator[tuple[Task, int]]:
    """Give what is left, some seeds of each task by turns; what is over meanwhile is left out."""
    most = max((task.seeds for task in tasks), default=0)
    for first in range(0, most, ROUND):
        for task in tasks:
            for seed in range(first, min(task.seeds, first + ROUND)):
                if seed % CHECKED == 0 and is_over(task, memory):
                    break
                if seed not in memory.of_task(task.key):
                    yield task, seed


def seconds_left(tasks: Sequence[Task], memory: Memory, jobs: int) -> float:
    """Predict how long the rest takes with so many runs at a time; embedded ones go alone."""
    total_s = 0.0
    for task in tasks:
        left = len(left_of(task, memory))
        if left:
            alone = task.aim is Aim.EMBEDDED
            total_s += left * _seconds_each(task, tasks, memory) / (1 if alone else jobs)
    return total_s


def _seconds_each(task: Task, tasks: Sequence[Task], memory: Memory) -> float:
    own = [found.real_s for found in results_of(task, memory).values()]
    if own:
        return fmean(own)
    alike = [
        found.real_s
        for other in tasks
        if other.aim is task.aim
        for found in results_of(other, memory).values()
    ]
    return fmean(alike) if alike else GUESS_S[task.aim]
