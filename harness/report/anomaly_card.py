"""The card of an anomaly: its name, the sentence that says why it cannot be, and the proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from splitbrain.core.evidence import Evidence
from splitbrain.core.operation import Operation
from splitbrain.core.verdict import Anomaly
from splitbrain.report.alphabet import Alphabet
from splitbrain.report.fault_span import FaultSpan
from splitbrain.report.indented import INDENT, Indented
from splitbrain.report.moments import NS_PER_MS, duration_text
from splitbrain.report.proof_table import ROWS_SHOWN, proof_table
from splitbrain.report.timeline import draw, touches, window_ns

PROSE_WIDTH = 100
DRAWING_WIDTH = 130
OPERATIONS_SHOWN = 12
OPERATIONS_SHOWN_VERBOSE = 60
EXPLANATION_LIMIT = 1200
OFFSET_SHOWN_NS = NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What anomalies are shown against.

    spans: the faults of the run. origin_ns: the moment from which times count. width: cells of a
    line. verbose: more of the operations and of the other proof.
    """

    evidence: Evidence
    spans: Sequence[FaultSpan]
    alphabet: Alphabet
    width: int
    origin_ns: int | None = None
    verbose: bool = False


def anomaly_card(anomaly: Anomaly, checker: str, scene: Scene) -> RenderableType:
    """Make the card of one anomaly that a checker found."""
    alphabet = scene.alphabet
    head = Text(alphabet.text(anomaly.name, 60), style="bold red")
    head.append(f"  {alphabet.text(checker, 40)}", "dim not bold default")
    prose = Text(alphabet.text(anomaly.explanation, EXPLANATION_LIMIT))
    parts: list[RenderableType] = [head, Indented(prose, most=PROSE_WIDTH)]
    if anomaly.operations:
        parts += ["", Indented(_drawing(anomaly, scene))]
    if anomaly.evidence:
        parts += ["", Indented(_proof(anomaly, scene))]
    return Group(*parts)


def _drawing(anomaly: Anomaly, scene: Scene) -> RenderableType:
    limit = OPERATIONS_SHOWN_VERBOSE if scene.verbose else OPERATIONS_SHOWN
    operations = anomaly.operations[:limit]
    lines = draw(
        operations,
        scene.spans,
        min(scene.width, DRAWING_WIDTH) - INDENT,
        alphabet=scene.alphabet,
        origin_ns=scene.origin_ns,
    )
    drawn = Text("\n", no_wrap=True, overflow="crop").join(lines)
    remarks = [Text(remark, style="dim") for remark in _remarks(anomaly, operations, scene)]
    return Group(drawn, *remarks)


def _proof(anomaly: Anomaly, scene: Scene) -> RenderableType:
    items = anomaly.evidence if scene.verbose else anomaly.evidence[:ROWS_SHOWN]
    table = proof_table(items, scene.alphabet, scene.width - INDENT)
    left_out = len(anomaly.evidence) - len(items)
    return Group(table, Text(f"and {left_out:,} more", style="dim")) if left_out else table


def _remarks(anomaly: Anomaly, operations: Sequence[Operation], scene: Scene) -> Iterator[str]:
    left_out = len(anomaly.operations) - len(operations)
    if left_out:
        yield f"and {left_out:,} more operations"
    evidence = scene.evidence
    if evidence.faults is not None and not any(touches(s, operations) for s in scene.spans):
        yield _last_fault(operations, scene)
    offsets = _offsets(operations, scene)
    if offsets:
        yield f"clocks off by {offsets}"


def _last_fault(operations: Sequence[Operation], scene: Scene) -> str:
    """Say that no fault was active, and which was the last before."""
    first_ns, _ = window_ns(operations)
    ended = [(span.healed_ns, span) for span in scene.spans if span.took_hold and span.healed_ns]
    before = [(end_ns, span) for end_ns, span in ended if end_ns < first_ns]
    if not before:
        return "no fault was active"
    end_ns, last = max(before, key=lambda item: item[0])
    where = f" on {scene.alphabet.text(' '.join(last.nodes), 40)}" if last.nodes else ""
    what = scene.alphabet.text(last.id, 24) + where
    return f"no fault was active; {what} was healed {duration_text(first_ns - end_ns)} before"


def _offsets(operations: Sequence[Operation], scene: Scene) -> str:
    """Give the clocks of the operations' nodes that were off for certain, as last measured."""
    _, last_ns = window_ns(operations)
    nodes = {operation.node for operation in operations if operation.node}
    latest: dict[str, int] = {}
    for _, sample in scene.evidence.clocks or ():
        if sample.node in nodes and sample.time_ns <= last_ns:
            certain = abs(sample.offset_ns) - sample.uncertainty_ns >= OFFSET_SHOWN_NS
            latest[sample.node] = sample.offset_ns if certain else 0
    return ", ".join(
        f"{'+' if offset > 0 else ''}{duration_text(offset)} on {scene.alphabet.text(node, 16)}"
        for node, offset in sorted(latest.items())
        if offset
    )
