"""Leaves out of a failing run what its anomaly does not need: faults, operations, nodes, time.

Randomness in the simulator is keyed by what it is for, so that whatever stays behaves as before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from splitbrain.core.delta_debugging import reduced
from splitbrain.core.fault import At, Fault
from splitbrain.core.operation import Operation
from splitbrain.core.planned import PlannedOperation, planned_of
from splitbrain.core.run import LIMITS, Plan, RunResult
from splitbrain.core.value import Value, canonical
from splitbrain.shrinking.later import later
from splitbrain.shrinking.room import moments, roomier
from splitbrain.shrinking.rounding import simpler
from splitbrain.shrinking.target import Target
from splitbrain.shrinking.trial import Trial
from splitbrain.shrinking.with_faults import with_faults

LEAST_NODES = 3
ROUNDS = 4
SECOND_NS = 1_000_000_000
END_S = 0.1
"""How exactly the end of the load is sought."""

UNKNOWN_DOUBLINGS = 8
"""So often a threshold's least value is doubled, where nobody knows what it is by itself."""

LEADS_S = (1, 2, 5)
"""So long before what happens first a run may begin."""

FEW = 8
"""So few operations are left out one by one, whatever the checker shows as its proof."""

FEW_ENOUGH, MANY_STILL = 3, 6
"""So few operations are enough; more than so many are left out by luck, too."""

FEW_SEEDS, SEEDS, MANY_SEEDS = 8, 20, 40
"""How many other seeds are tried: at the beginning, where leaving out got no further, and before
all that a run did is gone through."""

MANY = 16
"""Fewer operations than this are left out by stretches of any length."""


@dataclass(slots=True)
class Shrinker:
    """Holds the least failing plan so far, and what came of it.

    thresholds: options of the plan's system that may be lowered, each with its least value.
    defaults: what such options are where the plan does not say, as far as that is known.
    """

    plan: Plan
    result: RunResult
    target: Target
    trial: Trial
    thresholds: Mapping[str, int] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    _vain: set[str] = field(default_factory=set)

    def shrink(self) -> None:
        """Make the plan as small as it gets within the trial's limits."""
        options = self.plan.options
        self._lower_thresholds(options)
        self._drop_nodes()
        if len(self._operations) >= MANY:
            self._leap()
        self._drop_in_turn()
        if len(self._operations) > FEW_ENOUGH and self._lower_thresholds(self.thresholds):
            self._drop_in_turn()
        if len(self._operations) > FEW_ENOUGH and self._to_own_workers():
            self._drop_in_turn()
        if self._to_last_operations(SEEDS):
            self._drop_in_turn()
        self._drop_operations_by_luck()
        self._restore_thresholds(options)
        self._drop_nodes(seeds=FEW_SEEDS)
        self._drop_workers()
        self.round_faults()
        self._drop_faults()
        self._drop_operations()

    def _leap(self) -> None:
        """Come from many operations to few at once, since to leave out part after part takes long.

        Thresholds may ask for many of them, or the last few may do with other luck.
        """
        self._cut_end()
        if not self.to_witness() and not (
            self._lower_thresholds(self.thresholds) and self.to_witness()
        ):
            self._to_last_operations(FEW_SEEDS)

    def _drop_in_turn(self) -> None:
        for _ in range(ROUNDS):
            before = self.plan
            self._cut_end()
            if len(self._operations) > FEW:
                self.to_witness()
            self._drop_faults()
            self._cut_beginning()
            self._drop_operations()
            self._drop_nodes()
            if self.plan == before:
                break

    def drop_faults_alone(self) -> None:
        """Leave out faults, and make the rest round; operations stay as they are."""
        self._drop_faults()
        self.round_faults()

    def try_plan(self, plan: Plan) -> bool:
        """Take a plan if it fails still."""
        if plan == self.plan or repr(plan) in self._vain or not self.trial.may_go_on():
            return False
        result = self.trial.fails(plan)
        if result is None:
            self._vain.add(repr(plan))
            return False
        self.plan, self.result = plan, result
        return True

    # -- operations

    @property
    def _operations(self) -> tuple[PlannedOperation, ...]:
        return self.plan.operations or ()

    def _with(self, operations: Iterable[PlannedOperation]) -> Plan:
        return replace(self.plan, operations=tuple(operations))

    def to_witness(self) -> bool:
        """Keep what the checker shows as its proof alone, or what else was done to the same keys.

        False: none of these fails, and everything was left as it is.
        """
        shown = self._shown()
        places = {item.invoke_index for item in shown}
        history = self.result.evidence.history
        if history is None:
            return False
        recorded = planned_of(self.result.evidence, self.plan.concurrency)
        proof = {
            _identity(planned)
            for planned, operation in zip(recorded, history, strict=True)
            if operation.invoke_index in places
        }
        keys = {canonical(item.key) for item in shown}
        writes = [
            item
            for item in self._operations
            if _identity(item) in proof or (canonical(item.key) in keys and item.f != "read")
        ]
        alone = [item for item in self._operations if _identity(item) in proof]
        same_keys = [item for item in self._operations if canonical(item.key) in keys]
        plans = [self._with(operations) for operations in (alone, writes, same_keys)]
        return any(map(self.try_plan, plans)) or self._try_luck(plans[0], FEW_SEEDS)

    def to_witness_apart(self) -> bool:
        """Keep the proof alone, each operation at its node, and end with the last of them.

        A client that goes from node to node needs all that brought it there; and what its node
        hears first is luck, which costs little to try without all the others.
        """
        places = {item.invoke_index for item in self._shown()}
        alone = self._with_own_workers(waiting=False, only=places)
        planned = alone.operations or ()
        if not planned:
            return False
        if all(item.phase == "main" for item in planned):
            last_s = max(item.at_ns for item in planned) / SECOND_NS
            limit_s = min(alone.time_limit_s, round(last_s + END_S, 1))
            alone = replace(alone, time_limit_s=limit_s)
        return self.try_plan(alone) or self._try_luck(alone, MANY_SEEDS)

    def _shown(self) -> Sequence[Operation]:
        """Give the operations that the checker shows as its proof."""
        found = self.target.found(self.result.verdicts)
        return found.operations if found is not None else ()

    def to_nothing(self) -> bool:
        """Do without clients: what nodes do wrong among themselves needs none."""
        return self.try_plan(self._with(()))

    def _to_own_workers(self) -> bool:
        """Give operations workers of their own, each at the node where it was performed.

        A client that goes from node to node performs some for nothing but to come to the node of a
        later one, or to be late for it. Alone, each begins where and when it did, and these can go.
        """
        plans = [self._with_own_workers(waiting=waiting) for waiting in (False, True)]
        return any(self.try_plan(plan) or self._try_luck(plan, FEW_SEEDS) for plan in plans)

    def _with_own_workers(self, *, waiting: bool, only: Container[int] | None = None) -> Plan:
        """Give that plan. waiting: those that began as one ended stay with that one's worker.

        only: operations by where they were invoked, the others are left out; else all of them.
        """
        count, evidence = self.plan.node_count, self.result.evidence
        homes = {f"n{number + 1}": number for number in range(count)}
        worker_at = _free_workers(count)
        last: dict[int, tuple[int, int | None]] = {}
        operations = []
        recorded = planned_of(evidence, self.plan.concurrency)
        for planned, done in zip(recorded, evidence.history or (), strict=True):
            if only is not None and done.invoke_index not in only:
                continue
            worker, end_ns = last.get(planned.worker, (0, None))
            if not waiting or end_ns != done.start_ns:
                worker = worker_at(homes.get(done.node or "", planned.worker % count))
            last[planned.worker] = worker, done.end_ns
            operations.append(replace(planned, worker=worker))
        workers = max((item.worker for item in operations), default=0) + 1
        return replace(self._with(operations), concurrency=workers)

    def _to_last_operations(self, seeds: int) -> bool:
        """Try the last few operations alone, with so many other seeds.

        To leave one out changes the draws of those that come after it, so that some stay for
        nothing but the luck of a later one. With other luck they can go. What happens every so many
        operations needs a certain number of them, so any is tried where there are few.
        """
        operations = self._operations
        if any(
            self.try_plan(self._with(operations[-few:]))
            for few in range(1, min(MANY, len(operations)))
        ):
            return True
        few = 2
        while few < len(operations):
            last = self._with(operations[-few:])
            if self.try_plan(last) or self._try_luck(last, seeds):
                return True
            few *= 2
        return False

    def _drop_operations_by_luck(self) -> None:
        """Leave out single operations with other seeds, too, while there are many still."""

        def is_less() -> bool:
            operations = self._operations
            rests = (
                (*operations[:place], *operations[place + 1 :]) for place in range(len(operations))
            )
            return any(self._try_luck(self._with(rest), FEW_SEEDS) for rest in rests)

        while MANY_STILL < len(self._operations) < MANY and is_less():
            self._drop_operations()

    def _try_luck(self, plan: Plan, count: int) -> bool:
        """Try a plan with so many other seeds."""
        numbers = range(1, count + 1)
        return any(self.try_plan(replace(plan, seed=plan.seed + number)) for number in numbers)

    def _drop_operations(self) -> None:
        by_key: dict[str, list[PlannedOperation]] = {}
        for item in self._operations:
            by_key.setdefault(canonical(item.key), []).append(item)
        if len(by_key) > 1:
            self._reduce([tuple(group) for group in by_key.values()])
        self._reduce([(item,) for item in self._operations])
        self._drop_stretches()

    def _drop_stretches(self) -> None:
        """Leave out any stretch of neighbours, where there are few: perhaps only all can go."""
        length = len(self._operations) - 1
        while 1 < length < MANY and self.trial.may_go_on():
            operations = self._operations
            places = range(len(operations) - length + 1)
            rests = [(*operations[:place], *operations[place + length :]) for place in places]
            if any(self.try_plan(self._with(rest)) for rest in rests):
                length = min(length, len(self._operations) - 1)
            else:
                length -= 1

    def _reduce(self, groups: list[tuple[PlannedOperation, ...]]) -> None:
        def without(
            kept: tuple[tuple[PlannedOperation, ...], ...], places: range
        ) -> tuple[tuple[PlannedOperation, ...], ...] | None:
            rest = tuple(group for place, group in enumerate(kept) if place not in places)
            left = {id(item) for group in rest for item in group}
            operations = [item for item in self._operations if id(item) in left]
            return rest if self.try_plan(self._with(operations)) else None

        reduced(groups, without, self.trial.may_go_on)

    # -- faults

    @property
    def _faults(self) -> tuple[Fault, ...]:
        return self.plan.schedule.faults if self.plan.schedule is not None else ()

    def _drop_faults(self) -> None:
        def without(kept: tuple[Fault, ...], places: range) -> tuple[Fault, ...] | None:
            rest = tuple(fault for place, fault in enumerate(kept) if place not in places)
            return rest if self.try_plan(with_faults(self.plan, rest)) else None

        reduced(self._faults, without, self.trial.may_go_on)

    def round_faults(self) -> None:
        """Give faults short durations and round times, where it fails still."""
        for fault in self._faults:
            for form in simpler(fault):
                faults = (form if item.id == fault.id else item for item in self._faults)
                if self.try_plan(with_faults(self.plan, faults)):
                    break

    def give_room(self) -> None:
        """Let time pass after faults begin and end, where it fails so, too: hosts need it."""
        place = 0
        while place < len(times_s := moments(self.plan)):
            any(map(self.try_plan, roomier(self.plan, times_s[place])))
            place += 1

    # -- thresholds, time, nodes, workers

    def _lower_thresholds(self, names: Container[str]) -> bool:
        """Let what happens every so often happen more often, which asks for fewer operations."""
        before = self.plan
        for name in [name for name in self.thresholds if name in names]:
            for lower in self._lower(name, self.thresholds[name]):
                if self.try_plan(replace(self.plan, options={**self.plan.options, name: lower})):
                    break
        return self.plan != before

    def _lower(self, name: str, least: int) -> Iterator[int]:
        """Give the values of a threshold that are worth a try, the least first."""
        value = self.plan.options.get(name, self.defaults.get(name))
        if type(value) is not int and name not in self.plan.options:
            value = (least or 1) << UNKNOWN_DOUBLINGS
        lower = least
        while type(value) is int and lower < value:
            yield lower
            lower = lower * 2 or 1

    def _restore_thresholds(self, options: Mapping[str, Value]) -> None:
        """Leave thresholds at what they were where it fails so, too."""
        for name in self.thresholds:
            before = {name: options[name]} if name in options else {}
            others = {item: value for item, value in self.plan.options.items() if item != name}
            self.try_plan(replace(self.plan, options={**others, **before}))

    def _cut_end(self) -> None:
        """End the load as early as may be, and leave out what would come later."""
        least, most = LIMITS["time_limit_s"][0], self.plan.time_limit_s
        while most - least > END_S and self.trial.may_go_on():
            limit_s = round((least + most) / 2, 1)
            if not least < limit_s < most:
                return
            if self.try_plan(self._until(limit_s)):
                most = limit_s
            else:
                least = limit_s

    def _cut_beginning(self) -> None:
        """Leave out the time before anything happens: what a run takes, each later one takes too.

        Whole seconds go, so that what nodes do every so often comes at the same moments.
        """
        times_s = [item.at_ns / SECOND_NS for item in self._operations if item.phase == "main"]
        times_s += [item.start.s for item in self._faults if isinstance(item.start, At)]
        first_s = int(min(times_s, default=0.0))
        plans = [
            later(self.plan, lead_s - first_s, since_s=-math.inf)
            for lead_s in LEADS_S
            if lead_s < first_s
        ]
        if plans and not any(map(self.try_plan, plans)):
            self._try_luck(plans[0], FEW_SEEDS)

    def _until(self, limit_s: float) -> Plan:
        early = [
            item
            for item in self._operations
            if item.phase != "main" or item.at_ns < limit_s * SECOND_NS
        ]
        return replace(self._with(early), time_limit_s=limit_s)

    def _drop_nodes(self, *, seeds: int = 0) -> None:
        """Do with fewer nodes. seeds: how many others to try, where the same one does not do."""
        for count in range(LEAST_NODES, self.plan.node_count):
            smaller = of_nodes(self.plan, count)
            if self.try_plan(smaller) or self._try_luck(smaller, seeds):
                return

    def _drop_workers(self) -> None:
        """Do with fewer workers: the first at each node, or at least none after the last."""
        count = self.plan.node_count
        worker_at = _free_workers(count)
        used = sorted({item.worker for item in self._operations})
        first = {worker: worker_at(worker % count) for worker in used}
        renumbered = self._with(
            replace(item, worker=first[item.worker]) for item in self._operations
        )
        for plan in (renumbered, self.plan):
            most = max((item.worker for item in plan.operations or ()), default=0) + 1
            if self.try_plan(replace(plan, concurrency=most)):
                break


def _free_workers(count: int) -> Callable[[int], int]:
    """Give what gives workers at one of so many nodes, by its place: the first that is free."""
    taken: Counter[int] = Counter()

    def worker_at(home: int) -> int:
        taken[home] += 1
        return home + count * (taken[home] - 1)

    return worker_at


def of_nodes(plan: Plan, count: int) -> Plan:
    """Give the plan for the first nodes: operations on these stay there, others move."""
    before = plan.node_count
    operations = tuple(
        replace(item, worker=(item.worker % before) % count + count * (item.worker // before))
        for item in plan.operations or ()
    )
    options = dict(plan.options)
    own = options.get("nodes")
    if isinstance(own, dict):
        names = {f"n{number}" for number in range(1, count + 1)}
        options["nodes"] = {name: item for name, item in own.items() if name in names}
    workers = count * math.ceil(plan.concurrency / before)
    return replace(
        plan, operations=operations, node_count=count, options=options, concurrency=workers
    )


def _identity(item: PlannedOperation) -> tuple[str, int, int, str]:
    return item.phase, item.worker, item.at_ns, item.f
