"""Operations in words."""

from __future__ import annotations

from dataclasses import dataclass

from splitbrain.checkers.models.register import pair
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical

_TEXT_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Phrases:
    """Puts operations of a run that began at `origin_ns` into words."""

    origin_ns: int = 0

    def named(self, operation: Operation) -> str:
        """Give "process 4's read of key 3 on n2"."""
        return f"{self._who(operation)}'s {self._what(operation)}{_where(operation)}"

    def told(self, operation: Operation) -> str:
        """Give "process 4's read of key 3 on n2 returned 7"."""
        named = self.named(operation)
        if operation.outcome is not Outcome.OK:
            return f"{named} had no certain outcome"
        if operation.f == "read":
            return f"{named} returned {shown(operation.result)}"
        if operation.f == "cas" and not operation.applied:
            return f"{named} was refused"
        return f"{named} succeeded"

    def at(self, operation: Operation) -> str:
        """Give " at 1.204 s", when the operation began; nothing where a history has no times."""
        if not _timed(operation):
            return ""
        return f" at {(operation.start_ns - self.origin_ns) / 1e9:.3f} s"

    def earlier(self, first: Operation, second: Operation) -> str:
        """Give "0.80 s before": from the end of one operation to the beginning of another."""
        if first.end_ns is None or not (_timed(first) and _timed(second)):
            return "before"
        gap_ns = second.start_ns - first.end_ns
        return f"{duration(gap_ns)} before" if gap_ns > 0 else "before"

    def _who(self, operation: Operation) -> str:
        return f"process {operation.process}"

    def _what(self, operation: Operation) -> str:
        if operation.f == "write":
            return f"write of {shown(operation.argument)}"
        if operation.f == "append":
            return f"append of {shown(operation.argument)}"
        if operation.f == "cas":
            old, new = pair(operation.argument)
            return f"compare-and-set from {shown(old)} to {shown(new)}"
        return operation.f


def _where(operation: Operation) -> str:
    key = "" if operation.key is None else f" of key {shown(operation.key)}"
    if operation.f not in ("read", "delete"):
        key = key.replace(" of ", " to ", 1)
    return key + ("" if operation.node is None else f" on {operation.node}")


def _timed(operation: Operation) -> bool:
    return operation.end_ns is not None or operation.start_ns != 0


def shown(value: Value) -> str:
    """Give a value as text, cut where it is long."""
    text = canonical(value)
    if len(text) <= _TEXT_LIMIT:
        return text
    return f"{text[: _TEXT_LIMIT // 2]}...{text[-_TEXT_LIMIT // 3 :]} ({len(text)} characters)"


def duration(length_ns: int) -> str:
    """Give a duration in the unit that suits it."""
    if length_ns < 1_000_000:
        return f"{length_ns / 1e3:.0f} us"
    if length_ns < 1_000_000_000:
        return f"{length_ns / 1e6:.1f} ms"
    return f"{length_ns / 1e9:.2f} s"


def listed(items: list[str], last: str = "and") -> str:
    """Give "a, b and c"."""
    return f" {last} ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
