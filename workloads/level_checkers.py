"""What judges a level of consistency: its own checker, and the four session guarantees."""

from __future__ import annotations

from collections.abc import Sequence

from splitbrain.core.verdict import Checker


def level_checkers(level: str) -> Sequence[Checker]:
    """Give the checkers of the level strong, sequential or causal."""
    from splitbrain.checkers.causal import Causal  # noqa: PLC0415 - heavy
    from splitbrain.checkers.linearizable import Linearizable  # noqa: PLC0415
    from splitbrain.checkers.monotonic_reads import MonotonicReads  # noqa: PLC0415
    from splitbrain.checkers.monotonic_writes import MonotonicWrites  # noqa: PLC0415
    from splitbrain.checkers.read_your_writes import ReadYourWrites  # noqa: PLC0415
    from splitbrain.checkers.writes_follow_reads import WritesFollowReads  # noqa: PLC0415

    guarantees: list[Checker] = [
        ReadYourWrites(),
        MonotonicReads(),
        MonotonicWrites(),
        WritesFollowReads(),
    ]
    if level == "strong":
        return [Linearizable(), *guarantees]
    if level == "sequential":
        from splitbrain.checkers.sequential import Sequential  # noqa: PLC0415

        return [Sequential(), *guarantees]
    return [Causal(model="ccv"), *guarantees]
