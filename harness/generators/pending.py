"""How several answers of "not now" make one."""

from __future__ import annotations

from splitbrain.core.generator import Pending


def sooner(left: Pending | None, right: Pending) -> Pending:
    """Give the pending that asks again when either would."""
    if left is None:
        return right
    moments = [item.until_ns for item in (left, right) if item.until_ns is not None]
    return Pending(min(moments, default=None), left.is_fixed and right.is_fixed)
