"""Draws a schedule for a run: the faults of every kind that was asked for, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from splitbrain.core.errors import ContractError, HarnessError
from splitbrain.core.fault import At, Fault, Nemesis, Schedule, Shape, by_kind
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import require_value


def draw_schedule(nemeses: Sequence[Nemesis], seed: int, shape: Shape) -> Schedule:
    """Draw the faults of all kinds, sorted by their start.

    The faults of a kind depend on the seed and the kind alone: another kind more or less leaves
    them as they are. Every kind has one that starts in the first two thirds of the main phase.

    Raises: UsageError when two nemeses are of one kind, ContractError when one draws faults of
    another kind, none in time, or one that is there already.
    """
    found: list[Fault] = []
    for kind, nemesis in sorted(by_kind(nemeses).items()):
        drawn = drawn_by(nemesis, Keyed.of(seed, "draw", kind), shape)
        if not any(_in_time(fault, shape) for fault in drawn):
            message = (
                f"the nemesis {kind!r} drew no fault that starts in the first two thirds of "
                f"{shape.time_limit_s:g} s for {', '.join(shape.nodes)}"
            )
            raise ContractError(message, advice="take more nodes, or a longer time limit")
        found.extend(drawn)
    _require_unique(found)
    return Schedule(tuple(sorted(found, key=by_start)))


def drawn_by(nemesis: Nemesis, rng: Keyed, shape: Shape) -> tuple[Fault, ...]:
    """Let one nemesis draw, and check that what it drew can be kept as data."""
    kind = nemesis.kind
    try:
        drawn = tuple(nemesis.draw(rng, shape))
    except HarnessError:
        raise
    except Exception as error:
        message = f"the nemesis {kind!r} cannot draw: {type(error).__name__}: {error}"
        raise ContractError(message) from error
    for fault in drawn:
        if not isinstance(fault, Fault):
            message = f"the nemesis {kind!r} drew {fault!r}, which is no Fault"
            raise ContractError(message)
        if fault.kind != kind:
            message = f"the nemesis {kind!r} drew a fault of the kind {fault.kind!r}"
            raise ContractError(message)
    _require_unique(drawn)
    try:
        return Schedule.from_value(require_value(Schedule(drawn).to_value())).faults
    except (HarnessError, ValueError, AttributeError) as error:
        message = f"the nemesis {kind!r} drew a fault that cannot be written down: {error}"
        raise ContractError(message) from error


def _require_unique(found: Sequence[Fault]) -> None:
    seen: set[str] = set()
    for fault in found:
        if fault.id in seen:
            message = f"the nemesis {fault.kind!r} drew a second fault with the id {fault.id!r}"
            raise ContractError(message)
        seen.add(fault.id)


def _in_time(fault: Fault, shape: Shape) -> bool:
    """Tell whether a fault starts early enough; only the run can tell of one that waits."""
    return not isinstance(fault.start, At) or fault.start.s <= shape.time_limit_s * 2 / 3


def by_start(fault: Fault) -> tuple[float, str]:
    """Give the key by which faults are sorted; those that wait for something come last."""
    return (fault.start.s if isinstance(fault.start, At) else float("inf"), fault.id)
