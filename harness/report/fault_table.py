"""The table of faults: what each was, what it hit, when and for how long, and which never were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from splitbrain.report.alphabet import Alphabet
from splitbrain.report.fault_span import FaultSpan
from splitbrain.report.moments import seconds_text

ROWS_SHOWN = 12
NODES_LIMIT = 26
REASON_LIMIT = 200
NODES_COUNTED = 10
IDS_SHOWN = 5


def fault_table(
    spans: Sequence[FaultSpan],
    alphabet: Alphabet,
    *,
    origin_ns: int | None,
    end_ns: int | None = None,
    verbose: bool = False,
) -> Table:
    """Make the table of faults.

    origin_ns: the moment that the column "at" counts from. end_ns: the end of the run, to which a
    fault lasted that was never healed. verbose: all of them, instead of `ROWS_SHOWN`; what is left
    out then are faults that went as planned.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True, overflow=alphabet.overflow)
    table.add_column("shape", overflow="fold")
    table.add_column("nodes", overflow="fold")
    table.add_column("at", justify="right", no_wrap=True, overflow=alphabet.overflow)
    table.add_column("for", justify="right", no_wrap=True, overflow=alphabet.overflow)
    table.add_column("", no_wrap=True, overflow=alphabet.overflow)
    shown = spans if verbose else _chosen(spans)
    for span in shown:
        origin = span.active_ns if origin_ns is None else origin_ns
        table.add_row(
            Text(_name(span, alphabet)),
            Text(alphabet.text(span.shape, 24)),
            Text(alphabet.text(" ".join(span.nodes), NODES_LIMIT)),
            Text(_at(span, origin)),
            Text(_for(span, end_ns)),
            _state(span),
        )
    if len(shown) < len(spans):
        left_out = f"{alphabet.ellipsis} {len(spans) - len(shown)} more"
        table.add_row(Text(left_out, style="dim"), "", "", "", "", "")
    return table


def fault_summary(spans: Sequence[FaultSpan], alphabet: Alphabet) -> str:
    """Say in one line how many faults took hold, and how often each node was hit."""
    held = [span for span in spans if span.took_hold]
    missed = sum(span.missed for span in spans)
    words = [f"{len(held)} took hold" + (f", {missed} missed" if missed else "")]
    hits = Counter(node for span in held for node in span.nodes)
    most = sorted(hits.items())[:NODES_COUNTED]
    if most:
        words.append(" ".join(f"{alphabet.text(n, 16)} {alphabet.times}{c}" for n, c in most))
    return f" {alphabet.dot} ".join(words)


def _chosen(spans: Sequence[FaultSpan]) -> Sequence[FaultSpan]:
    """Keep the order, and drop the last of those that went as planned where there are too many."""
    if len(spans) <= ROWS_SHOWN:
        return spans
    odd = [span for span in spans if span.state != "healed" or span.missed][:ROWS_SHOWN]
    even = [span for span in spans if span.state == "healed" and not span.missed]
    kept = {span.id for span in [*odd, *even[: ROWS_SHOWN - len(odd)]]}
    return [span for span in spans if span.id in kept]


def _name(span: FaultSpan, alphabet: Alphabet) -> str:
    if span.kind in span.id:
        return alphabet.text(span.id, 24)
    return alphabet.text(f"{span.id} {span.kind}", 24)


def _at(span: FaultSpan, origin_ns: int | None) -> str:
    at_ns = span.active_ns if span.took_hold else span.begun_ns
    if at_ns is None or origin_ns is None:
        return "-"
    return seconds_text(at_ns - origin_ns)


def _for(span: FaultSpan, end_ns: int | None) -> str:
    until_ns = end_ns if span.healed_ns is None else span.healed_ns
    if span.active_ns is None or until_ns is None:
        return "-"
    return seconds_text(until_ns - span.active_ns)


def fault_reasons(spans: Sequence[FaultSpan], alphabet: Alphabet) -> list[Text]:
    """Give a line for each reason for which faults were missed, or not healed."""
    groups: dict[tuple[str, str], list[str]] = {}
    for span in spans:
        if span.state != "expired" and (span.missed or span.state != "healed"):
            verb = "missed" if span.missed else "not healed"
            reason = span.reason or (f"it stayed {span.state}" if span.missed else "")
            groups.setdefault((verb, reason), []).append(span.id)
    lines = []
    for (verb, reason), ids in groups.items():
        if reason:
            more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
            names = ", ".join(alphabet.text(item, 24) for item in ids[:IDS_SHOWN])
            style = "yellow" if verb == "missed" else "red"
            why = alphabet.text(reason, REASON_LIMIT)
            lines.append(Text(f"{names}{more} {verb}: {why}", style=style))
    return lines


def _state(span: FaultSpan) -> Text:
    if span.state == "expired":
        return Text("lease ran out", style="magenta")
    if span.missed:
        return Text("missed", style="yellow")
    if span.state == "healed":
        return Text("healed", style="dim")
    return Text("not healed", style="red")
