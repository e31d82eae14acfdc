"""How several answers of "not now" make one."""

from __future__ import annotations

from splitbrain.core.generator import Pending


def sooner(left: Pending | None, right: Pending) -> Pending:
    """Give the pending that asks again when either would."""
    if left is None or left.until_ns is None:
        return right
    if right.until_ns is None:
        return left
    return left if left.until_ns <= right.until_ns else right
