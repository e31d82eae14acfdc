"""Registers whose values are deleted again: what was deleted must not come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from splitbrain.core.generator import Context, Event, Generator, Invocation
from splitbrain.core.operation import DELETE, READ, WRITE, Vocabulary
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker
from splitbrain.core.workload import Floor, Load
from splitbrain.generators.sequence import Step
from splitbrain.workloads.key_by_key import key_by_key
from splitbrain.workloads.parameters import Parameters
from splitbrain.workloads.register import FINAL_TRIES, FinalReads

LEVELS = ("eventual", "strong")
"""The levels at which registers lie; the first is the default, and keeps the last write."""


class OneValue(msgspec.Struct, frozen=True):
    """Reads, writes and deletes of one key by weight; each value is written a single time."""

    rng: Keyed
    weights: tuple[int, int, int]
    number: int = 0

    def step(self, context: Context) -> Step:  # noqa: ARG002 - the same for every worker
        """Give an operation."""
        number = self.number + 1
        reads, writes, deletes = self.weights
        draw = self.rng.integer(reads + writes + deletes, number)
        after = OneValue(self.rng, self.weights, number)
        if draw < reads:
            return Invocation("read"), after
        if draw < reads + writes:
            return Invocation("write", None, number), after
        return Invocation("delete"), after

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Stay as it is."""
        return self


@dataclass(frozen=True, slots=True)
class Deletions:
    """Reads, writes and deletes on keys that a few workers share, one key after another.

    Parameters: `level` (eventual), also strong; `ops_per_key` (100), `concurrent_keys` (0: as many
    as leave each key a worker at every node), and the weights `reads` (4), `writes` (2) and
    `deletes` (2). Registers are held to regularity, which R+W>N keeps: a read returns what the
    newest write or delete before it left, or one that overlaps.
    """

    @property
    def name(self) -> str:
        """Give "deletions"."""
        return "deletions"

    @property
    def vocabulary(self) -> Vocabulary:
        """Give read, write and delete."""
        return Vocabulary.of(READ, WRITE, DELETE)

    @property
    def floor(self) -> Floor:
        """Ask for ten successes under faults and one after healing."""
        return Floor(during=10, after=1)

    @property
    def facts(self) -> Mapping[str, Value]:
        """Say that a key that nobody wrote reads as null, as one that was deleted does."""
        return {"initial": None}

    def setup(self, load: Load) -> Generator | None:
        """Check the parameters; nothing needs to be written first.

        Raises: UsageError naming the parameter that cannot be used.
        """
        _parameters(load)
        return None

    def main(self, load: Load) -> Generator:
        """Give operations on one key after another, at the load's rate, until its time limit."""
        parameters = _parameters(load)
        weights = (
            parameters.number("reads"),
            parameters.number("writes"),
            parameters.number("deletes"),
        )
        rng = Keyed.of(load.seed, "deletions")
        return key_by_key(
            load,
            rng,
            lambda number: OneValue(rng.child("key", number), weights),
            at_a_time=parameters.number("concurrent_keys"),
            operations_per_key=parameters.number("ops_per_key"),
            prefix="strong" if parameters.choice("level") == "strong" else "lww",
        )

    def final(self, load: Load, keys: Sequence[Value]) -> Generator | None:  # noqa: ARG002
        """Give a read of every key, the last used first."""
        return FinalReads(tuple((key, FINAL_TRIES) for key in reversed(keys)))

    def checkers(self, load: Load) -> Sequence[Checker]:  # noqa: ARG002 - the same for any load
        """Give the checker of deletions, and the statistics that keep the floor."""
        from splitbrain.checkers.deletions import Deletions as Judge  # noqa: PLC0415 - heavy
        from splitbrain.checkers.stats import Stats  # noqa: PLC0415

        floor = self.floor
        return [Judge(), Stats(floor_during=floor.during, floor_after=floor.after)]


def _parameters(load: Load) -> Parameters:
    return Parameters(
        "deletions",
        load,
        numbers={
            "ops_per_key": (1, 100),
            "concurrent_keys": (0, 0),
            "reads": (1, 4),
            "writes": (1, 2),
            "deletes": (1, 2),
        },
        choices={"level": LEVELS},
    )
