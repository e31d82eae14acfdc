"""Doing a stored run again: what it was asked to do, and how to tell whether it is the same run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from splitbrain.core.errors import UsageError
from splitbrain.core.run import Plan
from splitbrain.runtime.store import load_run
from splitbrain.version import __version__

_HASH_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A stored run to be done again.

    trace_hash: what it left behind, where doing the plan again must leave the same; None for runs
    in real time, of another version, or that did not come to their own end.
    """

    plan: Plan
    trace_hash: str | None

    def hash_for(self, plan: Plan) -> str | None:
        """Give the trace hash that a plan must lead to, if it is the same plan."""
        return self.trace_hash if plan == self.plan else None


def load_replay(path: Path) -> Replay:
    """Read what a stored run was asked to do. Raises: UsageError where that is not known."""
    stored = load_run(path)
    if stored.plan is None:
        message = f"{path} has no plan.json, so that it cannot be run again"
        raise UsageError(message)
    result = stored.result if isinstance(stored.result, dict) else {}
    trace_hash = result.get("trace_hash")
    repeats = (
        result.get("version") == __version__
        and result.get("failure") is None
        and result.get("interrupted") is False
    )
    return Replay(
        plan=stored.plan,
        trace_hash=trace_hash if repeats and isinstance(trace_hash, str) else None,
    )


def differs(before: str, now: str) -> str:
    """Say of a plan that was carried out twice that it left different things behind."""
    return (
        f"this is not the same run again (trace hash {now[:_HASH_SHOWN]}, before "
        f"{before[:_HASH_SHOWN]}): the system is not deterministic, or its code has changed"
    )
