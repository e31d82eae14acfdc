"""All that replicas left, dumps and traces side by side, and what is missing of it."""

from __future__ import annotations

from dataclasses import dataclass

from splitbrain.checkers.replicas.dump import Dumps
from splitbrain.checkers.replicas.trace import Traces
from splitbrain.core.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Left:
    """What replicas left.

    nodes: all that dumps, traces and acknowledgements name. whole: those whose traces are here and
    have no gap. missing: a line for each thing that is not here or cannot be read.
    """

    dumps: Dumps
    traces: Traces
    nodes: frozenset[str]
    whole: frozenset[str]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, evidence: Evidence) -> Left:
        """Read dumps and traces, and hold the one against the other."""
        traces = Traces.of((evidence.traces or {}).values())
        dumps = Dumps.of(evidence.dumps or {}, traces.named())
        members = {name for names in dumps.members.values() for name in names}
        nodes = frozenset(members | set(dumps.members) | traces.named())
        untraced = [f"the trace of {node} is missing" for node in sorted(nodes - traces.nodes)]
        missing = (*dumps.missing, *untraced, *traces.gaps)
        return cls(dumps, traces, nodes, frozenset(traces.nodes - traces.gapped), missing)
