"""The table of latencies by operation."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from splitbrain.core.value import Value
from splitbrain.core.verdict import Verdict
from splitbrain.report.alphabet import Alphabet

COLUMNS = ("count", "p50", "p95", "p99", "max")
STATISTIC = "stats"
FIGURE = "latency_ms"


def latency_table(verdicts: Mapping[str, Verdict], alphabet: Alphabet) -> Table | None:
    """Make the table from the figures of the checker `stats`; None when it gave none."""
    verdict = verdicts.get(STATISTIC)
    latencies = None if verdict is None else verdict.stats.get(FIGURE)
    if not isinstance(latencies, dict):
        return None
    rows = {name: row for name, row in latencies.items() if isinstance(row, dict)}
    if not rows:
        return None
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True, overflow=alphabet.overflow)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True, overflow=alphabet.overflow)
    for name, row in rows.items():
        cells = [Text(_cell(column, row.get(column))) for column in COLUMNS]
        table.add_row(Text(alphabet.text(name, 20)), *cells)
    return table


def _cell(column: str, value: Value) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-"
    if column == "count":
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
