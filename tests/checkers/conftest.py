"""What the tests of checkers share: linearizability by its definition, as slow as it comes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest

from splitbrain.core.operation import Operation, Outcome

sys.path.insert(0, str(Path(__file__).parent))  # definitions and small histories lie beside this


@pytest.fixture(scope="session")
def explained() -> Callable[[Sequence[Operation], Any], bool]:
    """The brute force: tells whether some order explains operations from an initial value."""
    return _explained


# The brute force: a history is linearizable when its operations of unknown outcome can be chosen to
# have happened or not, and all that happened be put into an order that keeps every "ended before
# the other began" and in which each returns what a sequential object returns. It shares no code
# with what it tests.


def _explained(operations: Sequence[Operation], initial: Any) -> bool:
    """Try every choice and every order."""
    known = [o for o in operations if o.outcome is Outcome.OK]
    unknown = [o for o in operations if o.outcome is Outcome.INFO]
    return any(
        _keeps_real_time(order) and _replays(order, initial)
        for count in range(len(unknown) + 1)
        for chosen in combinations(unknown, count)
        for order in permutations([*known, *chosen])
    )


def _keeps_real_time(order: Sequence[Operation]) -> bool:
    return not any(
        later.outcome is Outcome.OK
        and later.complete_index is not None
        and later.complete_index < earlier.invoke_index
        for place, earlier in enumerate(order)
        for later in order[place + 1 :]
    )


def _replays(order: Sequence[Operation], initial: Any) -> bool:
    now = initial
    for o in order:
        if o.f == "read":
            if o.outcome is Outcome.OK and o.result != now:
                return False
        elif o.f == "write":
            now = o.argument
        elif o.f == "append":
            if o.applied:
                now = _longer(now, o.argument)
        else:
            old, new = o.argument
            if o.applied != (old == now):
                return False
            now = new if o.applied else now
    return True


def _longer(now: Any, item: Any) -> Any:
    """A text grows by a text, anything else is a list that grows by one element."""
    return (now or "") + item if isinstance(item, str) else [*(now or []), item]
