"""Independent keys: groups of workers, each at work on a key of its own, one key after another."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from splitbrain.core.errors import ContractError, UsageError
from splitbrain.core.generator import PENDING, Context, Event, Generator, Invocation
from splitbrain.core.operation import Outcome
from splitbrain.core.value import Value
from splitbrain.generators.sequence import DONE, Step

EMPTY_KEYS_LIMIT = 1000


class Group(msgspec.Struct, frozen=True):
    """A group's key, what is done with it, and how much of that was given and stayed unknown."""

    key: Value
    generator: Generator
    given: int = 0
    unknown: int = 0


class IndependentKeys(msgspec.Struct, frozen=True):
    """Workers in groups of `group_size`; each group takes a key until that is retired.

    A key is retired once `operations_per_key` were given, once `unknown_limit` of them ended with
    unknown outcome (each of which is concurrent with everything after it, which makes histories
    costly to judge), or once its generator is exhausted. make_key: gives the nth key, None when
    there are no more. make: gives the generator of a key, whose operations are sent to that key.
    """

    make_key: Callable[[int], Value]
    make: Callable[[int, Value], Generator]
    group_size: int
    operations_per_key: int
    unknown_limit: int
    next_number: int = 0
    groups: tuple[Group | None, ...] = ()

    def step(self, context: Context) -> Step:
        """Give the next operation of the asking worker's group."""
        wanted = max(1, context.workers // self.group_size)
        place = min(context.worker // self.group_size, wanted - 1)
        groups = self.groups
        if len(groups) < wanted:
            groups += (None,) * (wanted - len(groups))
        group, number = groups[place], self.next_number
        for _ in range(EMPTY_KEYS_LIMIT):
            if group is None or self._retired(group):
                group, number = self._begin(number)
                if group is None:
                    return self._nothing_more(groups, place, number)
            step, generator = group.generator.step(context)
            if step is not None:
                break
            group = None
        else:
            message = f"{EMPTY_KEYS_LIMIT} keys in a row had no operations"
            raise ContractError(message)
        given = group.given
        if type(step) is Invocation:
            given += 1
            step = Invocation(step.f, group.key, step.argument, step.at_ns)
        group = Group(group.key, generator, given, group.unknown)
        return step, self._with(groups, place, group, number)

    def update(self, context: Context, event: Event) -> Generator:
        """Tell the group that is at work on the event's key, if one still is."""
        for place, group in enumerate(self.groups):
            if group is not None and group.key == event.key and type(group.key) is type(event.key):
                unknown = group.unknown + (event.outcome is Outcome.INFO)
                generator = group.generator.update(context, event)
                if generator is group.generator and unknown == group.unknown:
                    return self
                changed = Group(group.key, generator, group.given, unknown)
                return self._with(self.groups, place, changed, self.next_number)
        return self

    def _retired(self, group: Group) -> bool:
        return group.given >= self.operations_per_key or group.unknown >= self.unknown_limit

    def _begin(self, number: int) -> tuple[Group | None, int]:
        key = self.make_key(number)
        if key is None:
            return None, number
        return Group(key, self.make(number, key)), number + 1

    def _nothing_more(self, groups: tuple[Group | None, ...], place: int, number: int) -> Step:
        after = self._with(groups, place, None, number)
        busy = any(group is not None and not self._retired(group) for group in after.groups)
        return (PENDING, after) if busy else (None, DONE)

    def _with(
        self, groups: tuple[Group | None, ...], place: int, group: Group | None, number: int
    ) -> IndependentKeys:
        return IndependentKeys(
            self.make_key,
            self.make,
            self.group_size,
            self.operations_per_key,
            self.unknown_limit,
            number,
            (*groups[:place], group, *groups[place + 1 :]),
        )


def independent_keys(
    make: Callable[[int, Value], Generator],
    *,
    group_size: int,
    operations_per_key: int,
    unknown_limit: int = 2,
    make_key: Callable[[int], Value] = lambda number: number,
) -> Generator:
    """Make a generator of operations on independent keys, one key a group of workers at a time.

    Raises: UsageError unless group_size, operations_per_key and unknown_limit are positive.
    """
    if min(group_size, operations_per_key, unknown_limit) < 1:
        message = "the size of a group and the limits of a key must be at least 1"
        raise UsageError(message)
    return IndependentKeys(make_key, make, group_size, operations_per_key, unknown_limit)
