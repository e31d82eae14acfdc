"""The exit codes of the commands, and which of several wins."""

from __future__ import annotations

from collections.abc import Iterable

from splitbrain.core.run import RunResult
from splitbrain.core.verdict import Status

VALID, INVALID, UNKNOWN, BAD_USAGE, FAILED = 0, 1, 2, 254, 255

_WORST_FIRST = (FAILED, BAD_USAGE, INVALID, UNKNOWN, VALID)
_OF_STATUS = {Status.VALID: VALID, Status.INVALID: INVALID, Status.UNKNOWN: UNKNOWN}


def worst_code(codes: Iterable[int]) -> int:
    """Give the worst of several exit codes; unknown of none."""
    found = set(codes)
    return next((code for code in _WORST_FIRST if code in found), UNKNOWN)


def code_of(result: RunResult) -> int:
    """Give the exit code of one run or path."""
    if result.failure is not None:
        return BAD_USAGE if result.refused else FAILED
    return _OF_STATUS[result.status]
