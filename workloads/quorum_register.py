"""Registers behind read and write quorums: what N, R and W promise, and what they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitbrain.core.generator import Generator
from splitbrain.core.operation import READ, WRITE, Vocabulary
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker
from splitbrain.core.workload import Floor, Load
from splitbrain.workloads.key_by_key import key_by_key
from splitbrain.workloads.parameters import Parameters
from splitbrain.workloads.register import FINAL_TRIES, FinalReads, OneRegister

PROMISES = ("regular", "eventual", "strong")
"""What a run may be held to; the first is the default."""


@dataclass(frozen=True, slots=True)
class QuorumRegister:
    """Reads and writes on keys that a few workers share, one key after another.

    Parameters: `promise` (regular), what the registers are held to: "regular", a read returns the
    newest write before it or one that overlaps, which R+W>N keeps and R+W<=N does not; "eventual",
    which every choice of N, R and W keeps: reads may be stale, the report says by how much;
    "strong", on keys at that level. `ops_per_key` (100), `concurrent_keys` (0: as many as leave
    each key a worker at every node), and the weights `reads` (4) and `writes` (3). N, R and W are
    options of the system.
    """

    @property
    def name(self) -> str:
        """Give "quorum-register"."""
        return "quorum-register"

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
        """Give operations on one key after another, at the load's rate, until its time limit."""
        parameters = _parameters(load)
        weights = (parameters.number("reads"), parameters.number("writes"), 0)
        rng = Keyed.of(load.seed, "quorum-register")
        return key_by_key(
            load,
            rng,
            lambda number: OneRegister(rng.child("key", number), weights),
            at_a_time=parameters.number("concurrent_keys"),
            operations_per_key=parameters.number("ops_per_key"),
            prefix="strong" if parameters.choice("promise") == "strong" else "lww",
        )

    def final(self, load: Load, keys: Sequence[Value]) -> Generator | None:  # noqa: ARG002
        """Give a read of every key, the last used first."""
        return FinalReads(tuple((key, FINAL_TRIES) for key in reversed(keys)))

    def checkers(self, load: Load) -> Sequence[Checker]:
        """Give the checker of the promise, and the statistics that keep the floor."""
        from splitbrain.checkers.linearizable import Linearizable  # noqa: PLC0415 - heavy
        from splitbrain.checkers.regular import Regular  # noqa: PLC0415
        from splitbrain.checkers.staleness import Staleness  # noqa: PLC0415
        from splitbrain.checkers.stats import Stats  # noqa: PLC0415

        promise = _parameters(load).choice("promise")
        judge: Checker = Linearizable() if promise == "strong" else Staleness()
        if promise == "regular":
            judge = Regular()
        floor = self.floor
        return [judge, Stats(floor_during=floor.during, floor_after=floor.after)]


def _parameters(load: Load) -> Parameters:
    return Parameters(
        "quorum-register",
        load,
        numbers={
            "ops_per_key": (1, 100),
            "concurrent_keys": (0, 0),
            "reads": (1, 4),
            "writes": (1, 3),
        },
        choices={"promise": PROMISES},
    )
