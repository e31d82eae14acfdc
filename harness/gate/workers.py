"""Carries out what is left: simulated runs on all cores, those on hosts alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from splitbrain.core.errors import HarnessError
from splitbrain.core.run import Plan
from splitbrain.end_with_parent import end_with_parent
from splitbrain.gate.memory import Memory
from splitbrain.gate.progress import in_turns, left_of
from splitbrain.gate.task import Task
from splitbrain.gate.trial import Found
from splitbrain.presses import deaf_programs, presses

Carrier = Callable[[Plan, int], Found]


def carry_out_alone(
    tasks: Sequence[Task], memory: Memory, deadline_s: float, tell: Callable[[], None]
) -> None:
    """Carry out runs one after the other, as long as there is time."""
    for task in tasks:
        for seed in left_of(task, memory):
            if time.monotonic() >= deadline_s:
                return
            if seed not in left_of(task, memory):
                break  # one was enough
            memory.add(task.key, seed, _safely(task.carrier, task.plan, seed))
            tell()


def carry_out_side_by_side(
    tasks: Sequence[Task],
    memory: Memory,
    deadline_s: float,
    tell: Callable[[], None],
    jobs: int,
) -> None:
    """Carry out runs on so many cores, as long as there is time.

    Raises: KeyboardInterrupt after Ctrl-C, when the runs under way have come to their end,
    HarnessError when a worker died.
    """
    ahead = in_turns(tasks, memory)
    if jobs <= 1:
        _one_by_one(ahead, memory, deadline_s, tell)
        return
    running: dict[Future[Found], tuple[Task, int]] = {}
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=end_with_parent)
    try:
        with presses() as pressed:
            while True:
                if not pressed:
                    _keep_busy(pool, running, ahead, jobs, deadline_s)
                if not running:
                    break
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    task, seed = running.pop(future)
                    memory.add(task.key, seed, future.result())
                tell()
    except BrokenProcessPool as error:
        message = "a worker of the gate died; perhaps the memory was too little for --jobs"
        raise HarnessError(message) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if pressed:
        raise KeyboardInterrupt


def _one_by_one(
    ahead: Iterator[tuple[Task, int]], memory: Memory, deadline_s: float, tell: Callable[[], None]
) -> None:
    while time.monotonic() < deadline_s:
        item = next(ahead, None)
        if item is None:
            return
        task, seed = item
        memory.add(task.key, seed, _safely(task.carrier, task.plan, seed))
        tell()


def _keep_busy(
    pool: ProcessPoolExecutor,
    running: dict[Future[Found], tuple[Task, int]],
    ahead: Iterator[tuple[Task, int]],
    jobs: int,
    deadline_s: float,
) -> None:
    while len(running) < 2 * jobs and time.monotonic() < deadline_s:
        item = next(ahead, None)
        if item is None:
            return
        task, seed = item
        with deaf_programs():  # Ctrl-C is for the gate itself, which lets running ones end
            running[pool.submit(_safely, task.carrier, task.plan, seed)] = item


def _safely(carrier: Carrier, plan: Plan, seed: int) -> Found:
    """Carry out one run; what the harness refuses or fails at is unknown, and so never clean."""
    began_s = time.monotonic()
    try:
        return carrier(plan, seed)
    except Exception as error:  # noqa: BLE001 - one run's crash must not end all others
        reason = f"{type(error).__name__}: {error}"
        return Found(status="unknown", reasons=(reason,), real_s=time.monotonic() - began_s)
