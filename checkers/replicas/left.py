"""All that replicas left, dumps and traces side by side, and what is missing of it."""

from __future__ import annotations

from dataclasses import dataclass

from splitbrain.checkers.replicas.dump import Dumps
from splitbrain.checkers.replicas.trace import Acked, Traces
from splitbrain.core.evidence import Evidence
from splitbrain.core.history import FAIL_CODE, History
from splitbrain.core.value import canonical


@dataclass(frozen=True, slots=True)
class Left:
    """What replicas left.

    nodes: all that dumps, traces and acknowledgements name. whole: those whose traces are here and
    have no gap. deleted: keys that somebody may have deleted. missing: a line for each thing that
    is not here or cannot be read.
    """

    dumps: Dumps
    traces: Traces
    nodes: frozenset[str]
    whole: frozenset[str]
    deleted: frozenset[str]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, evidence: Evidence) -> Left:
        """Read dumps and traces, and hold the one against the other."""
        traces = Traces.shared((evidence.traces or {}).values())
        dumps = Dumps.of(evidence.dumps or {}, traces.named())
        members = {name for names in dumps.members.values() for name in names}
        nodes = frozenset(members | set(dumps.members) | traces.named())
        untraced = [f"the trace of {node} is missing" for node in sorted(nodes - traces.nodes)]
        missing = (*dumps.missing, *untraced, *traces.gaps)
        whole = frozenset(traces.nodes - traces.gapped)
        return cls(dumps, traces, nodes, whole, _deleted(evidence.history, traces), missing)

    def is_excused(self, write: Acked, node: str) -> bool:
        """Tell whether a replica need not hold a write, since it was deleted and buried.

        Who has acknowledged the write must have buried it; others need not have heard of it.
        """
        place = write.place
        buriers = self.traces.buriers(write, keeps_one=self.dumps.keeps_one(place))
        if node in buriers or node in write.acks:
            return node in buriers
        cells = self.dumps.cells.get(place, {})
        return bool(buriers) or (node not in cells and self.dumps.is_leaving(place))

    def is_doubtful(self, write: Acked, node: str) -> bool:
        """Tell whether traces that are missing or gapped may hide what excuses a replica.

        That is a write that replaced this one, where the replica has seen this one; or a burial: on
        a replica that has acknowledged the write it stands in its own trace.
        """
        if self.nodes <= self.whole:
            return False
        cell = self.dumps.cells.get(write.place, {}).get(node)
        if cell is not None and cell.seen.covers(write.dot):
            return True
        is_told = node in self.whole and node in write.acks
        return write.place[1] in self.deleted and not is_told


def _deleted(history: History | None, traces: Traces) -> frozenset[str]:
    keys = {write.place[1] for write in traces.acked if write.deleted}
    keys |= {key for _, key in traces.buried}
    if history is not None:
        rows = (history.is_f("delete") & (history.outcome != FAIL_CODE)).nonzero()[0]
        keys |= {canonical(history[int(row)].key) for row in rows}
    return frozenset(keys)
