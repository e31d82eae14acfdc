"""The register workload: reads, writes and compare-and-set on independent keys, linearizable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from splitbrain.core.errors import UsageError
from splitbrain.core.generator import PENDING, Context, Event, Generator, Invocation
from splitbrain.core.known_names import instead
from splitbrain.core.operation import REGISTER, Outcome, Vocabulary
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker
from splitbrain.core.workload import Floor, Load
from splitbrain.generators.sequence import DONE, Step
from splitbrain.workloads.key_by_key import key_by_key

RECENT = 3
FINAL_TRIES = 5

DEFAULTS: Mapping[str, int] = {
    "ops_per_key": 100,
    "concurrent_keys": 0,
    "reads": 4,
    "writes": 3,
    "cas": 3,
}


class OneRegister(msgspec.Struct, frozen=True):
    """Operations on one key, at random by weight; each value is written a single time.

    rng: keyed by seed and key. recent: values that the key was lately seen to have, newest first;
    compare-and-set expects one of these, so that some match and some are refused.
    """

    rng: Keyed
    weights: tuple[int, int, int]
    number: int = 0
    recent: tuple[Value, ...] = ()

    def step(self, context: Context) -> Step:  # noqa: ARG002 - the same for every worker
        """Give a read, a write, or a compare-and-set once a value was seen."""
        number = self.number + 1
        reads, writes, swaps = self.weights
        draw = self.rng.integer(reads + writes + swaps, number)
        after = OneRegister(self.rng, self.weights, number, self.recent)
        if draw < reads:
            return Invocation("read"), after
        if draw < reads + writes or not self.recent:
            return Invocation("write", None, number), after
        return Invocation("cas", None, [self._expected(number), number]), after

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Remember what a completed operation says about the key's value."""
        if event.outcome is not Outcome.OK or not event.applied:
            return self
        value: Value
        if event.f == "read":
            value = event.result
        elif isinstance(event.argument, list):
            value = event.argument[1]
        else:
            value = event.argument
        if value is None or (self.recent and self.recent[0] == value):
            return self
        recent = (value, *(item for item in self.recent if item != value))[:RECENT]
        return OneRegister(self.rng, self.weights, self.number, recent)

    def _expected(self, number: int) -> Value:
        """Give the newest value mostly, and sometimes one that may be gone."""
        old = self.rng.integer(4 * len(self.recent), -number)
        return self.recent[max(0, old - 3 * len(self.recent))]


class FinalReads(msgspec.Struct, frozen=True):
    """One read for each key, tried again after a failure, `tries` times in all.

    queue: (key, tries left), to be read. held: by worker, the entry that it is reading.
    """

    queue: tuple[tuple[Value, int], ...]
    held: tuple[tuple[int, tuple[Value, int]], ...] = ()

    def step(self, context: Context) -> Step:
        """Give the next read."""
        if not self.queue:
            return (PENDING, self) if self.held else (None, DONE)
        entry = self.queue[0]
        held = (*self.held, (context.worker, entry))
        return Invocation("read", entry[0]), FinalReads(self.queue[1:], held)

    def update(self, context: Context, event: Event) -> Generator:  # noqa: ARG002
        """Queue a read again that was not OK."""
        if event.outcome is None:
            return self
        entry = next((item for worker, item in self.held if worker == event.worker), None)
        if entry is None:
            return self
        held = tuple(item for item in self.held if item[0] != event.worker)
        key, tries = entry
        if event.outcome is Outcome.OK or tries <= 1:
            return FinalReads(self.queue, held)
        return FinalReads((*self.queue, (key, tries - 1)), held)


@dataclass(frozen=True, slots=True)
class Register:
    """Reads, writes and compare-and-set on keys that a few workers share, one key after another.

    Parameters of a load: `ops_per_key` (100), after which a key is retired (as it is after two
    operations of unknown outcome); `concurrent_keys`, how many are in use at a time (0: as many as
    leave each key a worker at every node); and the weights `reads` (4), `writes` (3), `cas` (3).
    A system that says that it has no compare-and-set is spared it. Without a rate, `WORKER_RATE_HZ`
    for each worker is the most that is asked of the system.

    After healing every key that was used is read once, the last used first, since these saw the
    last faults; a read that is not OK is tried again `FINAL_TRIES` times in all.
    """

    @property
    def name(self) -> str:
        """Give "register"."""
        return "register"

    @property
    def vocabulary(self) -> Vocabulary:
        """Give read, write and cas."""
        return REGISTER

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
        weights = (parameters["reads"], parameters["writes"], parameters["cas"])
        rng = Keyed.of(load.seed, "register")
        return key_by_key(
            load,
            rng,
            lambda number: OneRegister(rng.child("key", number), weights),
            at_a_time=parameters["concurrent_keys"],
            operations_per_key=parameters["ops_per_key"],
        )

    def final(self, load: Load, keys: Sequence[Value]) -> Generator | None:  # noqa: ARG002
        """Give a read of every key, the last used first."""
        return FinalReads(tuple((key, FINAL_TRIES) for key in reversed(keys)))

    def checkers(self, load: Load) -> Sequence[Checker]:  # noqa: ARG002 - the same for any load
        """Give the linearizability checker, and the statistics that keep the floor."""
        from splitbrain.checkers.linearizable import Linearizable  # noqa: PLC0415 - heavy
        from splitbrain.checkers.stats import Stats  # noqa: PLC0415

        floor = self.floor
        return [Linearizable(), Stats(floor_during=floor.during, floor_after=floor.after)]


def _parameters(load: Load) -> dict[str, int]:
    values = dict(DEFAULTS)
    for name, value in load.params.items():
        least = 1 if name == "ops_per_key" else 0
        if name not in DEFAULTS:
            listed = instead(name, sorted(DEFAULTS))
            message = f"the workload register has no parameter {name!r}; {listed}"
            raise UsageError(message)
        if type(value) is not int or value < least:
            message = f"parameter {name} must be a whole number from {least} on, not {value!r}"
            raise UsageError(message)
        values[name] = value
    if load.functions is not None and "cas" not in load.functions:
        values["cas"] = 0
    if not values["reads"] + values["writes"]:
        message = "one of the weights reads and writes must be more than 0"
        raise UsageError(message)
    if values["concurrent_keys"] > load.concurrency:
        message = f"{values['concurrent_keys']} concurrent keys need as many workers"
        raise UsageError(message)
    return values
