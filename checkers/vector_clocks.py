"""Vector clocks and dots keep their rules, in every dump and along every trace.

Fidge 1988, Mattern 1989; dots after Preguiça et al. 2012. A dot names one write for good; a
coordinator's numbers only rise, also over restarts; a write is not in its own past; what a replica
holds it has seen; and of the versions that stand side by side, none is in the past of another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from splitbrain.checkers.replicas.dump import Place
from splitbrain.checkers.replicas.findings import Findings, shown_cell, shown_write
from splitbrain.checkers.replicas.left import Left
from splitbrain.checkers.replicas.trace import Traces
from splitbrain.checkers.replicas.version import Cell, Dot, named
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Verdict


class VectorClocks:
    """Checks dots, contexts and antichains of versions."""

    name = "vector-clocks"
    needs = frozenset({Need.DUMPS, Need.TRACES})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Look at every version that a dump or an acknowledgement names."""
        left = Left.of(evidence)
        dumps, traces = left.dumps, left.traces
        findings = Findings(reasons=[*left.missing])
        cells = list(dumps.all_cells())
        for cell in cells:
            _check_cell(cell, findings)
        _check_names(traces, cells, findings)
        _check_numbers(traces, findings)
        for write in traces.acked:
            if write.context.covers(write.dot):
                findings.add(
                    "clock-not-above-context",
                    f"{write.node} gave a write to key {write.place[1]} the dot "
                    f"{named(write.dot)}, which its writer had seen already",
                    (shown_write(write),),
                )
        versions = sum(len(cell.versions) for cell in cells)
        return findings.verdict(
            versions + len(traces.acked),
            "there is no version, and no write was acknowledged: there were no clocks",
            versions=versions,
            acknowledged=len(traces.acked),
        )


def _check_cell(cell: Cell, findings: Findings) -> None:
    where = f"{cell.node}'s key {canonical(cell.key)} ({cell.level})"
    for version in cell.versions:
        if not cell.seen.covers(version.dot):
            findings.add(
                "clock-behind-version",
                f"{where} holds the version {named(version.dot)}, and its clock does not say so",
                (shown_cell(cell),),
            )
        for other in cell.versions:
            if other.dot != version.dot and other.context.covers(version.dot):
                findings.add(
                    "dominated-version",
                    f"{where} holds {named(version.dot)} beside {named(other.dot)}, whose writer "
                    "had seen it: of versions side by side, none is in the past of another",
                    (shown_cell(cell),),
                )


def _check_names(traces: Traces, cells: list[Cell], findings: Findings) -> None:
    """A dot names one key and one value."""
    named_so: dict[Dot, tuple[Place, str, Value]] = {}
    told = [
        *(
            ((w.place, canonical([w.value, w.deleted])), w.dot, shown_write(w))
            for w in traces.acked
        ),
        *(
            ((cell.place, canonical([v.value, v.deleted])), v.dot, shown_cell(cell))
            for cell in cells
            for v in cell.versions
        ),
    ]
    for (place, content), dot, proof in told:
        first = named_so.setdefault(dot, (place, content, proof))
        if first[:2] != (place, content):
            findings.add(
                "duplicate-dot",
                f"the dot {named(dot)} names two writes: one to key {first[0][1]} and another to "
                f"key {place[1]}",
                (first[2], proof),
            )


def _check_numbers(traces: Traces, findings: Findings) -> None:
    """The numbers that a node gives rise along its trace, and each boot begins above them.

    Writes are acknowledged out of turn, so numbers are compared from boot to boot; that no number
    comes twice is for the dots.
    """
    for node, boots in traces.boots.items():
        own = [w for w in traces.acked if w.node == node and w.dot[0] == node]
        due, highest = deque(sorted(own, key=lambda write: write.at)), None
        for at, number in boots[1:]:
            while due and due[0].at < at:
                write = due.popleft()
                if highest is None or write.dot[1] > highest.dot[1]:
                    highest = write
            if highest is not None and highest.dot[1] > number:
                findings.add(
                    "counter-went-back",
                    f"{node} started again and gives numbers above {number}, although it had "
                    f"acknowledged {named(highest.dot)}",
                    (shown_write(highest),),
                )
