"""Sessions that move between nodes: reads and writes of a few keys, judged session by session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from splitbrain.core.generator import Context, Event, Generator, Invocation
from splitbrain.core.operation import READ, WRITE, Vocabulary
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker
from splitbrain.core.workload import Floor, Load
from splitbrain.generators.limits import time_limit
from splitbrain.generators.sequence import Step
from splitbrain.generators.timing import rate
from splitbrain.workloads.key_by_key import WORKER_RATE_HZ
from splitbrain.workloads.parameters import Parameters
from splitbrain.workloads.register import FINAL_TRIES, FinalReads

LEVELS = ("sequential", "causal", "strong")
"""The levels at which sessions are promised something; the first is the default."""


class FewKeys(msgspec.Struct, frozen=True):
    """Reads and writes of a few keys at random; each value is written a single time.

    A set of keys is used for `operations` operations and then retired for the next: what the
    checkers look for lies in a few operations on few keys.
    """

    rng: Keyed
    level: str
    keys: int
    operations: int
    weights: tuple[int, int]
    number: int = 0

    def step(self, context: Context) -> Step:  # noqa: ARG002 - the same for every worker
        """Give a read or a write."""
        number = self.number + 1
        reads, writes = self.weights
        after = FewKeys(self.rng, self.level, self.keys, self.operations, self.weights, number)
        place = self.rng.integer(self.keys, number)
        key = f"{self.level}/{self.number // self.operations}.{place}"
        if self.rng.integer(reads + writes, -number) < reads:
            return Invocation("read", key), after
        return Invocation("write", key, number), after

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Stay as it is."""
        return self


@dataclass(frozen=True, slots=True)
class Sessions:
    """Every worker is a session that reads and writes a few keys, at one node after the other.

    Parameters: `level` (sequential), also causal or strong; `keys` (4), how many are in use at a
    time; `ops_per_set` (400), after which the next few are taken; the weights `reads` (3) and
    `writes` (2). What is checked is what the level promises, and the four session guarantees.
    """

    @property
    def name(self) -> str:
        """Give "sessions"."""
        return "sessions"

    @property
    def vocabulary(self) -> Vocabulary:
        """Give read and write."""
        return Vocabulary.of(READ, WRITE)

    @property
    def floor(self) -> Floor:
        """Ask for ten successes under faults and one after healing."""
        return Floor(during=10, after=1)

    @property
    def facts(self) -> Mapping[str, Value]:
        """Say that a key that nobody wrote reads as null."""
        return {"initial": None}

    def setup(self, load: Load) -> Generator | None:
        """Check the parameters; nothing needs to be written first.

        Raises: UsageError naming the parameter that cannot be used.
        """
        _parameters(load)
        return None

    def main(self, load: Load) -> Generator:
        """Give operations at the load's rate, until its time limit."""
        parameters = _parameters(load)
        rng = Keyed.of(load.seed, "sessions")
        operations = FewKeys(
            rng=rng.child("keys"),
            level=parameters.choice("level"),
            keys=parameters.number("keys"),
            operations=parameters.number("ops_per_set"),
            weights=(parameters.number("reads"), parameters.number("writes")),
        )
        hz = load.rate_hz or WORKER_RATE_HZ * load.concurrency
        return time_limit(rate(operations, hz, rng.child("rate")), load.time_limit_s)

    def final(self, load: Load, keys: Sequence[Value]) -> Generator | None:  # noqa: ARG002
        """Give a read of every key, the last used first."""
        return FinalReads(tuple((key, FINAL_TRIES) for key in reversed(keys)))

    def checkers(self, load: Load) -> Sequence[Checker]:
        """Give the checker of the level, the session guarantees, and the statistics."""
        from splitbrain.checkers.stats import Stats  # noqa: PLC0415 - heavy
        from splitbrain.workloads.level_checkers import level_checkers  # noqa: PLC0415

        floor = self.floor
        return [
            *level_checkers(_parameters(load).choice("level")),
            Stats(floor_during=floor.during, floor_after=floor.after),
        ]


def _parameters(load: Load) -> Parameters:
    return Parameters(
        "sessions",
        load,
        numbers={"keys": (1, 4), "ops_per_set": (1, 400), "reads": (1, 3), "writes": (1, 2)},
        choices={"level": LEVELS},
    )
