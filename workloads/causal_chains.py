"""Causal chains across keys: whoever reads a key writes the next one, at whichever node."""

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


class Chain(msgspec.Struct, frozen=True):
    """Each worker reads a key, the one before it and the one behind it, and overwrites the last.

    So what stands at a key is the effect of what stood before it; who reads an effect looks for its
    cause next; and whoever writes has seen what that replaces, so the order of a key's writes is
    known mostly. Each value is written a single time. turns: how many operations each worker was
    given. A ring of `keys` keys is used for `operations` operations and then retired for the next.
    """

    rng: Keyed
    keys: int
    operations: int
    number: int = 0
    turns: tuple[int, ...] = ()

    def step(self, context: Context) -> Step:
        """Give the worker's read, or the write that follows it."""
        number, worker = self.number + 1, context.worker
        turns = self.turns + (0,) * (context.workers - len(self.turns))
        turn = turns[worker]
        ring = self.number // self.operations
        first = self.rng.child(worker).integer(self.keys, turn // 4)
        after = Chain(
            self.rng,
            self.keys,
            self.operations,
            number,
            (*turns[:worker], turn + 1, *turns[worker + 1 :]),
        )
        place = (first, first - 1, first + 1, first + 1)[turn % 4] % self.keys
        if turn % 4 < 3:
            return Invocation("read", f"causal/{ring}.{place}"), after
        return Invocation("write", f"causal/{ring}.{place}", number), after

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Stay as it is."""
        return self


@dataclass(frozen=True, slots=True)
class CausalChains:
    """Chains of reads and writes over rings of keys at the level causal.

    Parameters: `keys` (4), the length of a ring; `ops_per_ring` (300), after which the next ring is
    taken. Whoever sees a write must see what its writer had read, at whichever node it asks.
    """

    @property
    def name(self) -> str:
        """Give "causal-chains"."""
        return "causal-chains"

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
        """Give chains at the load's rate, until its time limit."""
        parameters = _parameters(load)
        rng = Keyed.of(load.seed, "causal-chains")
        operations = Chain(
            rng=rng.child("chain"),
            keys=parameters.number("keys"),
            operations=parameters.number("ops_per_ring"),
        )
        hz = load.rate_hz or WORKER_RATE_HZ * load.concurrency
        return time_limit(rate(operations, hz, rng.child("rate")), load.time_limit_s)

    def final(self, load: Load, keys: Sequence[Value]) -> Generator | None:  # noqa: ARG002
        """Give a read of every key, the last used first."""
        return FinalReads(tuple((key, FINAL_TRIES) for key in reversed(keys)))

    def checkers(self, load: Load) -> Sequence[Checker]:  # noqa: ARG002 - the same for any load
        """Give causal convergence, the session guarantees, and the statistics."""
        from splitbrain.checkers.stats import Stats  # noqa: PLC0415 - heavy
        from splitbrain.workloads.level_checkers import level_checkers  # noqa: PLC0415

        floor = self.floor
        return [
            *level_checkers("causal"),
            Stats(floor_during=floor.during, floor_after=floor.after),
        ]


def _parameters(load: Load) -> Parameters:
    return Parameters("causal-chains", load, numbers={"keys": (2, 4), "ops_per_ring": (1, 300)})
