"""How fast the simulator is: virtual time beside real time, and how that grows.

    python benchmarks/simulator.py [--json] [--rounds N] [--seconds S] [--quick]

The scenario: five nodes of the reference Raft with a heartbeat of 100 ms, clients with 20
operations a second in all, partitions and kills, 60 virtual seconds. `ratio` is virtual seconds a
second of processor time of the run itself, without the verdict; `runs_a_minute` is of whole runs,
verdicts and all, on two cores, by the clock on the wall. The engine alone, a heap of events, is
measured beside SimPy in the same process, in turns: events that each plan the next.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import simpy

from splitbrain.campaign import simulate_seeds
from splitbrain.cluster.sim.virtual_time import VirtualTime
from splitbrain.core.run import Plan
from splitbrain.core.verdict import Status
from splitbrain.execute import judge_all, prepare
from splitbrain.report.quiet import Quiet
from splitbrain.runtime.control import Control
from splitbrain.runtime.lifecycle import Lifecycle
from splitbrain.runtime.store import MemoryRun

PLAN = Plan(
    system="raft",
    workload="register",
    nemeses=("partition", "kill"),
    cluster="sim",
    node_count=5,
    time_limit_s=60.0,
    rate_hz=20.0,
    options={"heartbeat_ms": 100},
)
WANTED_RATIO = 100.0
NODES = (3, 5, 7, 9)
RATES_HZ = (5.0, 20.0, 80.0, 320.0)
EVENTS = 100_000
CHAINS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run cost: run_s, while virtual time passed; judge_s, for the verdict."""

    virtual_s: float
    run_s: float
    judge_s: float

    @property
    def ratio(self) -> float:
        """How many virtual seconds a second of the run gives."""
        return self.virtual_s / self.run_s


def measure(plan: Plan) -> Cost:
    """Carry a plan out once, and say what it cost in processor time."""
    began_s = time.process_time()
    ready = prepare(plan)
    run = MemoryRun(f"sim-{plan.seed}")
    outcome = Lifecycle(ready.experiment, run, Quiet(), Control()).perform()
    ran_s = time.process_time()
    verdicts = judge_all(ready.checkers, outcome.evidence)
    judged_s = time.process_time()
    assert outcome.failure is None, outcome.failure
    assert all(v.status is not Status.INVALID for v in verdicts.values()), verdicts
    phases = [phase.time_ns for _, phase in outcome.evidence.phases or ()]
    return Cost(
        virtual_s=(phases[-1] - phases[0]) / 1e9,
        run_s=ran_s - began_s,
        judge_s=judged_s - ran_s,
    )


def median_of(plan: Plan, rounds: int) -> Cost:
    """Give the median round by its ratio; each round has a seed of its own."""
    costs = [measure(replace(plan, seed=seed)) for seed in range(1, rounds + 1)]
    return sorted(costs, key=lambda cost: cost.ratio)[len(costs) // 2]


def our_events() -> float:
    """Give events a second of our heap, each planning the next."""
    world = VirtualTime()
    left = EVENTS

    def step(number: int) -> None:
        nonlocal left
        left -= 1
        world.after(1000 + number, step, number)

    for number in range(CHAINS):
        world.after(number, step, number)
    began_s = time.process_time()
    world.run_until(lambda: left <= 0, 1 << 62)
    return EVENTS / (time.process_time() - began_s)


def simpy_events() -> float:
    """Give events a second of SimPy, each planning the next."""
    environment = simpy.Environment()
    left = EVENTS
    ended = environment.event()

    def chain(number: int) -> Generator[simpy.Event, object, None]:
        nonlocal left
        while True:
            yield environment.timeout(1000 + number)
            left -= 1
            if left == 0:
                ended.succeed()

    for number in range(CHAINS):
        environment.process(chain(number))
    began_s = time.process_time()
    environment.run(until=ended)
    return EVENTS / (time.process_time() - began_s)


def runs_a_minute(plan: Plan, count: int) -> float:
    """Give whole runs a minute on two cores, without the time in which programs start."""
    with tempfile.TemporaryDirectory() as store:
        marks: list[float] = []
        simulate_seeds(
            plan,
            count,
            store=Path(store),
            watch=lambda result: marks.append(time.monotonic()) if result else None,
            workers=2,
        )
    return 60 * (len(marks) - 1) / (marks[-1] - marks[0])


def in_turns(
    first: Callable[[], float], other: Callable[[], float], rounds: int
) -> Sequence[float]:
    """Give the medians of two measurements that take turns."""
    pairs = [(first(), other()) for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*pairs, strict=True)]


def main() -> None:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the scenario alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="virtual, of each run")
    asked = parser.parse_args()
    plan = replace(PLAN, time_limit_s=asked.seconds)
    measure(replace(plan, time_limit_s=5.0))  # what is imported late is imported now
    scenario = median_of(plan, asked.rounds)
    found: dict[str, object] = {
        "scenario": asdict(scenario) | {"ratio": round(scenario.ratio, 1)},
        "wanted_ratio": WANTED_RATIO,
        "reached": scenario.ratio >= WANTED_RATIO,
    }
    if not asked.quick:
        ours, theirs = in_turns(our_events, simpy_events, asked.rounds)
        found["engine"] = {
            "events_per_s": round(ours),
            f"simpy {simpy.__version__}": round(theirs),
            "ratio": round(ours / theirs, 2),
        }
        found["by_nodes"] = {
            count: round(median_of(replace(plan, node_count=count), 3).ratio, 1) for count in NODES
        }
        found["by_rate_hz"] = {
            hz: round(median_of(replace(plan, rate_hz=hz), 3).ratio, 1) for hz in RATES_HZ
        }
        found["runs_a_minute"] = round(runs_a_minute(plan, 24), 1)
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:14} {json.dumps(value)}")


if __name__ == "__main__":
    main()
