"""Moments of a run of Raft on which the faults of directed schedules wait."""

from __future__ import annotations

from splitbrain.core.fault import Condition, When

WORKING = When(Condition("trace", {"event": "commit", "index": {"at_least": 20}}), within_s=8.0)
"""Somebody leads, and the clients have written a little."""
