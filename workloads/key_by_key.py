"""What a load does where its keys are independent: one key after another, a few at a time."""

from __future__ import annotations

from collections.abc import Callable

from splitbrain.core.generator import Generator
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.core.workload import Load
from splitbrain.generators.keys import independent_keys
from splitbrain.generators.limits import time_limit
from splitbrain.generators.timing import rate

WORKER_RATE_HZ = 100.0
"""Operations a second and worker where the load names no rate: much, but the system can breathe."""
UNKNOWN_LIMIT = 2
"""After so many operations of unknown outcome a key is retired where a workload says no other."""


def key_by_key(
    load: Load,
    rng: Keyed,
    make: Callable[[int], Generator],
    *,
    at_a_time: int,
    operations_per_key: int,
    prefix: str | None = None,
    unknown_limit: int = UNKNOWN_LIMIT,
    worker_rate_hz: float = WORKER_RATE_HZ,
) -> Generator:
    """Give what `make` gives for each key's number, at the load's rate, until its time limit.

    rng: of the workload. at_a_time: how many keys are in use at once; 0: as many as leave each a
    worker at every node. prefix: what stands before a key's number; None: the number is the key.
    """
    keys = at_a_time or max(1, load.concurrency // len(load.nodes))

    def named(number: int) -> Value:
        return number if prefix is None else f"{prefix}/{number}"

    operations = independent_keys(
        lambda number, _key: make(number),
        group_size=max(1, load.concurrency // keys),
        operations_per_key=operations_per_key,
        unknown_limit=unknown_limit,
        make_key=named,
    )
    hz = load.rate_hz or worker_rate_hz * load.concurrency
    return time_limit(rate(operations, hz, rng.child("rate")), load.time_limit_s)
