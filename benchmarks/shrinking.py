"""How small failures become: `splitbrain shrink`, delta debugging alone, and Hypothesis.

    python benchmarks/shrinking.py [--json] [--limit SECONDS] [BUG ...]

All begin with the same failing run of a planted bug, its faults at the times when they came and its
operations one by one, and all ask the same simulator, with the one checker that found it. Delta
debugging alone leaves out nodes, faults and operations by halves. Hypothesis's shrinker holds the
faults and the operations as lists, and numbers for nodes, time and seed. `seconds` are of processor
time, and each has so many of them at most; `least` says whether it came to its own end within them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture.data import ConjectureData
from hypothesis.internal.conjecture.engine import ConjectureRunner
from hypothesis.internal.escalation import InterestingOrigin

from splitbrain import catalog
from splitbrain.check import show_path
from splitbrain.core.delta_debugging import reduced
from splitbrain.core.fault import Fault, Schedule
from splitbrain.core.planned import PlannedOperation
from splitbrain.core.run import Plan
from splitbrain.execute import execute
from splitbrain.report.quiet import Quiet
from splitbrain.shrink import at_their_times, shrink
from splitbrain.shrinking.shrinker import LEAST_NODES, of_nodes
from splitbrain.shrinking.target import Target
from splitbrain.shrinking.trial import SimulatedTrial

T = TypeVar("T")
Fails = Callable[[Plan], bool]
Shrunk = Callable[[Plan, Fails], None]

BUGS = (
    "stale-read", "forgotten-vote", "lone-commit", "duplicate-request", "wall-clock",
    "dropped-hint",
)  # fmt: skip
LIMIT_S = 60.0
RUN_LIMIT = 10_000
OTHER_SEEDS = 20
_FAILS = InterestingOrigin.from_exception(AssertionError())


class TimeIsUp(BaseException):
    """Ends a search; no `Exception`, so that Hypothesis does not take it for a finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one way made of one failure. nodes, faults, operations: before and after."""

    bug: str
    way: str
    faults: tuple[int, int]
    operations: tuple[int, int]
    nodes: tuple[int, int]
    runs: int
    seconds: float
    least: bool


def ours(path: Path, store: Path, limit_s: float) -> Row:
    """Shrink as the command does, the last run with all checkers included."""
    began_s = time.process_time()
    found = shrink(path, store=store, monitor=Quiet(), time_limit_s=limit_s, now=time.process_time)
    plan = found.result.plan
    assert plan is not None
    return Row(
        bug=str(plan.bug),
        way="shrink",
        faults=found.faults,
        operations=found.operations,
        nodes=found.nodes,
        runs=found.runs,
        seconds=time.process_time() - began_s,
        least=found.is_minimal,
    )


def by(way: str, shrunk: Shrunk, path: Path, limit_s: float) -> Row:
    """Shrink the whole run by one algorithm, without knowledge of runs and anomalies."""
    began_s = time.process_time()
    stored = show_path(path)
    plan = stored.plan
    assert plan is not None
    assert plan.bug is not None
    bug = catalog.bug(plan.bug)
    whole = at_their_times(plan, stored)
    trial = SimulatedTrial(
        Target(checker=bug.checker, anomaly=bug.anomaly),
        lambda: time.process_time() - began_s < limit_s,
        RUN_LIMIT,
    )
    least = whole

    def fails(smaller: Plan) -> bool:
        nonlocal least
        if not trial.may_go_on():
            raise TimeIsUp
        if trial.fails(smaller) is None:
            return False
        least = smaller
        return True

    with contextlib.suppress(TimeIsUp):
        shrunk(whole, fails)
    return Row(
        bug=plan.bug,
        way=way,
        faults=(len(whole.schedule or ()), len(least.schedule or ())),
        operations=(len(whole.operations or ()), len(least.operations or ())),
        nodes=(whole.node_count, least.node_count),
        runs=trial.runs,
        seconds=time.process_time() - began_s,
        least=trial.may_go_on(),
    )


def by_delta_debugging(whole: Plan, fails: Fails) -> None:
    """Leave out nodes, faults and operations, in that order, until nothing more can go."""
    least = whole
    for count in range(LEAST_NODES, whole.node_count):
        if fails(of_nodes(whole, count)):
            least = of_nodes(whole, count)
            break

    def without_faults(kept: tuple[Fault, ...], places: range) -> tuple[Fault, ...] | None:
        nonlocal least
        rest = tuple(item for place, item in enumerate(kept) if place not in places)
        smaller = replace(least, schedule=Schedule(rest))
        if not fails(smaller):
            return None
        least = smaller
        return rest

    def without(
        kept: tuple[PlannedOperation, ...], places: range
    ) -> tuple[PlannedOperation, ...] | None:
        nonlocal least
        rest = tuple(item for place, item in enumerate(kept) if place not in places)
        smaller = replace(least, operations=rest)
        if not fails(smaller):
            return None
        least = smaller
        return rest

    reduced(tuple(least.schedule or ()), without_faults, lambda: True)
    reduced(least.operations or (), without, lambda: True)


def by_hypothesis(whole: Plan, fails: Fails) -> None:
    """Shrink by the engine below `given`, which alone can begin with a case that is known."""
    faults, operations = tuple(whole.schedule or ()), whole.operations or ()
    tenths = round(whole.time_limit_s * 10)

    def decide(data: ConjectureData) -> None:
        node_count = data.draw_integer(LEAST_NODES, whole.node_count)
        limit = data.draw_integer(1, tenths)
        seed = data.draw_integer(0, OTHER_SEEDS)
        kept, done = _some(data, faults), _some(data, operations)
        smaller = replace(
            of_nodes(replace(whole, operations=tuple(done)), node_count),
            time_limit_s=limit / 10,
            seed=whole.seed + seed,
            schedule=Schedule(tuple(kept)),
        )
        if fails(smaller):
            data.mark_interesting(_FAILS)

    runner = ConjectureRunner(
        decide,
        settings=settings(database=None, suppress_health_check=list(HealthCheck)),
        random=Random(0),
        ignore_limits=True,
    )
    runner.cached_test_function((whole.node_count, tenths, 0, *_all(faults), *_all(operations)))
    runner.shrink_interesting_test_cases()


def _some(data: ConjectureData, items: Sequence[T]) -> list[T]:
    """Draw some of the items as Hypothesis draws lists, of which it leaves out elements well."""
    places = set()
    while True:
        data.start_span(1)
        more = bool(items) and data.draw_boolean()
        if more:
            places.add(data.draw_integer(0, len(items) - 1))
        data.stop_span()
        if not more:
            return [item for place, item in enumerate(items) if place in places]


def _all(items: Sequence[object]) -> list[bool | int]:
    """Give the choices by which all are drawn."""
    each: list[bool | int] = [part for place in range(len(items)) for part in (True, place)]
    return [*each, False] if items else []


def compare(bugs: Sequence[str], limit_s: float) -> list[Row]:
    """Shrink a failure of each bug in both ways."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        for name in bugs:
            plan = catalog.plan_of_bug(catalog.bug(name), seed=0, cluster="sim")
            path = execute(plan, store=store, monitor=Quiet()).path
            rows += [
                ours(path, store, limit_s),
                by("delta debugging", by_delta_debugging, path, limit_s),
                by("Hypothesis", by_hypothesis, path, limit_s),
            ]
    return rows


def main() -> None:
    """Print a line for each failure and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bugs", nargs="*", metavar="BUG", default=BUGS)
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    for row in compare(asked.bugs, asked.limit):
        if asked.json:
            print(json.dumps(asdict(row)))
            continue
        print(
            f"{row.bug:18} {row.way:16} faults {row.faults[0]} to {row.faults[1]}, operations "
            f"{row.operations[0]:,} to {row.operations[1]:,}, nodes {row.nodes[0]} to "
            f"{row.nodes[1]}; {row.runs:,} runs, {row.seconds:.1f} s"
            f"{'' if row.least else ', time ran out'}"
        )


if __name__ == "__main__":
    main()
