"""Several results in a few lines: what came of each, and how many came out how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from splitbrain.core.run import RunResult
from splitbrain.core.verdict import Status
from splitbrain.report.alphabet import Alphabet, alphabet_of
from splitbrain.report.checker_table import STATUS_STYLES, anomaly_names
from splitbrain.report.indented import Indented
from splitbrain.report.paper import paper

LABEL_LIMIT = 50
REASON_LIMIT = 200


def show_summary(console: Console, results: Sequence[RunResult]) -> None:
    """Print a line for each result, and the counts below; nothing for a single one."""
    if len(results) < 2:
        return
    alphabet = alphabet_of(console)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, overflow=alphabet.overflow)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for result in results:
        status = Text(result.status.value.upper(), style=f"bold {STATUS_STYLES[result.status]}")
        label = alphabet.text(_label(result), LABEL_LIMIT)
        table.add_row(status, Text(label), Text(_why(result, alphabet), style="dim"))
    counts = Counter(result.status for result in results)
    total = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])
    with paper(console):
        console.print()
        console.print(Indented(table, 0))
        console.print(Text(f"{len(results)} in all: {total}"), soft_wrap=True)


def _label(result: RunResult) -> str:
    return result.label if result.plan is None else f"{result.label} seed {result.plan.seed}"


def _why(result: RunResult, alphabet: Alphabet) -> str:
    """Give the first reason for a verdict that is not valid."""
    if result.failure is not None:
        return alphabet.text(result.failure, REASON_LIMIT)
    decisive = [
        verdict
        for verdict in result.verdicts.values()
        if verdict.judges and verdict.status is result.status
    ]
    if result.status is Status.INVALID:
        return ", ".join(anomaly_names(verdict, alphabet) for verdict in decisive)
    reasons = [reason for verdict in decisive for reason in verdict.reasons]
    if result.status is Status.VALID or not reasons:
        return ""
    return alphabet.text(reasons[0], REASON_LIMIT)
