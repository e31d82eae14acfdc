"""Shopping carts: items are added and removed by whoever has the cart, and carts are merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from splitbrain.core.generator import Context, Event, Generator, Invocation
from splitbrain.core.operation import ADD, READ, REMOVE, Vocabulary
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker
from splitbrain.core.workload import Floor, Load
from splitbrain.generators.sequence import Step
from splitbrain.workloads.key_by_key import key_by_key
from splitbrain.workloads.parameters import Parameters
from splitbrain.workloads.register import FINAL_TRIES, FinalReads

WORKER_RATE_HZ = 40.0
"""Operations a second and worker where the load names no rate; each is a read and a write."""

CONFLICTS = ("siblings", "merge")
"""Who merges: the client, who is given all that stands side by side, or the store."""


class OneCart(msgspec.Struct, frozen=True):
    """Adds of new items, removals of items added before, and reads, by weight."""

    rng: Keyed
    weights: tuple[int, int, int]
    number: int = 0

    def step(self, context: Context) -> Step:  # noqa: ARG002 - the same for every worker
        """Give an operation."""
        number = self.number + 1
        adds, removals, reads = self.weights
        draw = self.rng.integer(adds + removals + reads, number)
        after = OneCart(self.rng, self.weights, number)
        if draw < reads:
            return Invocation("read"), after
        if draw < reads + removals and number > 1:
            return Invocation("remove", None, 1 + self.rng.integer(number - 1, -number)), after
        return Invocation("add", None, number), after

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Stay as it is."""
        return self


@dataclass(frozen=True, slots=True)
class ShoppingCart:
    """Workers fill carts together, one cart after another.

    Parameters: `merge_by` (siblings): the client merges what stands side by side, or "merge": the
    store does. `ops_per_cart` (30), `concurrent_carts` (0: as many as leave each a worker at every
    node), and the weights `adds` (6), `removals` (1), `reads` (2).
    """

    @property
    def name(self) -> str:
        """Give "cart"."""
        return "cart"

    @property
    def vocabulary(self) -> Vocabulary:
        """Give read, add and remove."""
        return Vocabulary.of(READ, ADD, REMOVE)

    @property
    def floor(self) -> Floor:
        """Ask for ten successes under faults and one after healing."""
        return Floor(during=10, after=1)

    @property
    def facts(self) -> Mapping[str, Value]:
        """Give nothing: a cart that nobody touched is an empty list or null."""
        return {}

    def setup(self, load: Load) -> Generator | None:
        """Check the parameters; nothing needs to be written first.

        Raises: UsageError naming the parameter that cannot be used.
        """
        _parameters(load)
        return None

    def main(self, load: Load) -> Generator:
        """Give operations on one cart after another, at the load's rate, until its time limit."""
        parameters = _parameters(load)
        weights = (
            parameters.number("adds"),
            parameters.number("removals"),
            parameters.number("reads"),
        )
        rng = Keyed.of(load.seed, "cart")
        return key_by_key(
            load,
            rng,
            lambda number: OneCart(rng.child("cart", number), weights),
            at_a_time=parameters.number("concurrent_carts"),
            operations_per_key=parameters.number("ops_per_cart"),
            prefix=parameters.choice("merge_by"),
            unknown_limit=parameters.number("ops_per_cart"),
            worker_rate_hz=WORKER_RATE_HZ,
        )

    def final(self, load: Load, keys: Sequence[Value]) -> Generator | None:  # noqa: ARG002
        """Give a read of every cart, the last used first."""
        return FinalReads(tuple((key, FINAL_TRIES) for key in reversed(keys)))

    def checkers(self, load: Load) -> Sequence[Checker]:  # noqa: ARG002 - the same for any load
        """Give the checker of carts, and the statistics that keep the floor."""
        from splitbrain.checkers.cart import Cart  # noqa: PLC0415 - heavy
        from splitbrain.checkers.stats import Stats  # noqa: PLC0415

        floor = self.floor
        return [Cart(), Stats(floor_during=floor.during, floor_after=floor.after)]


def _parameters(load: Load) -> Parameters:
    return Parameters(
        "cart",
        load,
        numbers={
            "ops_per_cart": (1, 30),
            "concurrent_carts": (0, 0),
            "adds": (1, 6),
            "removals": (0, 1),
            "reads": (0, 2),
        },
        choices={"merge_by": CONFLICTS},
    )
