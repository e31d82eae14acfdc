"""A schedule that was handed in has no fault that can never start."""

from __future__ import annotations

import pytest

from splitbrain.core.errors import UsageError
from splitbrain.core.fault import After, At, Condition, Fault, Schedule, Start, When
from splitbrain.core.startable import require_startable

LIMIT_S = 10.0
LEAD = Condition("trace", {"event": "lead"})


def schedule(**starts: Start) -> Schedule:
    """Give faults by name; each lasts for two seconds, unless its name begins with "endless"."""
    return Schedule(
        tuple(
            Fault(
                id=name,
                kind="kill",
                start=start,
                duration_s=None if name.startswith("endless") else 2.0,
            )
            for name, start in starts.items()
        )
    )


@pytest.mark.parametrize(
    "faults",
    [
        schedule(),
        schedule(a=At(0.0), b=At(9.9)),
        schedule(c=After("b", 1.0), b=After("a", 2.0, healed=True), a=At(1.0)),
        schedule(a=When(LEAD, 100.0), b=When(LEAD, 4.0, after="a", delay_s=9.0)),
        schedule(endless=At(1.0), a=After("endless")),
    ],
)
def test_faults_that_may_start_are_taken(faults: Schedule) -> None:
    require_startable(faults, LIMIT_S)


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (schedule(a=At(10.0)), "fault 'a' of the schedule, start: 'at_s': it can start after 10 s"),
        (schedule(a=At(9.0), b=After("a", 2.0)), "'b' of the schedule, start: 'delay_s': it can s"),
        (schedule(a=At(9.0), b=After("a", healed=True)), "'b' of the schedule, start: 'delay_s'"),
        (schedule(a=When(LEAD, 4.0, delay_s=11.0)), "'delay_s': it can start after 11 s at the"),
        (schedule(cut=At(1.0), a=After("cat")), "no fault 'cat' in the schedule; did you mean cut"),
        (schedule(a=When(LEAD, 4.0, after="x")), "'after': there is no fault 'x' in the schedule"),
        (schedule(a=After("a")), "start: 'after': it goes in a circle: 'a' waits for 'a'"),
        (
            schedule(c=After("a"), a=After("b"), b=When(LEAD, 4.0, after="a")),
            "'a' of the schedule, start: 'after': it goes in a circle: 'a' waits for 'b' waits for",
        ),
        (
            schedule(endless=At(1.0), a=After("endless", healed=True)),
            "'after': 'endless' is healed only when the load ends: give it a duration_s",
        ),
    ],
)
def test_one_that_never_comes_is_named_with_its_field(faults: Schedule, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        require_startable(faults, LIMIT_S)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_chain_of_any_length_is_followed() -> None:
    starts: dict[str, Start] = {f"f{number}": After(f"f{number + 1}") for number in range(3000)}
    require_startable(schedule(**starts, f3000=At(1.0)), LIMIT_S)
