"""What there is to choose from, and what this machine lacks, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from splitbrain.report.alphabet import Alphabet, alphabet_of
from splitbrain.report.indented import Indented
from splitbrain.report.paper import paper

DoctorRow = tuple[str, str, Sequence[tuple[str, str]]]
"""A cluster, its status (OK, DEGRADED, MISSING), and what it lacks with the line that mends it."""

_STYLES = {"OK": "bold green", "DEGRADED": "bold yellow", "MISSING": "bold red"}
NAME_LIMIT = 40
SUMMARY_LIMIT = 400


def show_listing(console: Console, title: str, rows: Mapping[str, str]) -> None:
    """Print names with a sentence each."""
    alphabet = alphabet_of(console)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, overflow=alphabet.overflow)
    table.add_column(overflow="fold")
    for name, summary in rows.items():
        table.add_row(
            Text(alphabet.text(name, NAME_LIMIT), style="bold"),
            Text(alphabet.text(summary, SUMMARY_LIMIT)),
        )
    body = table if rows else Text("none", style="dim")
    with paper(console):
        console.print(Text(alphabet.text(title, NAME_LIMIT), style="dim"))
        console.print(Indented(body))


def show_doctor(console: Console, rows: Sequence[DoctorRow]) -> None:
    """Print the state of each cluster; commands stand on lines of their own, never broken."""
    alphabet = alphabet_of(console)
    width = max((len(alphabet.text(name, NAME_LIMIT)) for name, _, _ in rows), default=0)
    with paper(console):
        for name, status, lacks in rows:
            line = Text(alphabet.text(name, NAME_LIMIT).ljust(width + 2), style="bold")
            line.append(alphabet.text(status, NAME_LIMIT), _STYLES.get(status, ""))
            console.print(line, soft_wrap=True)
            for what, advice in lacks:
                _show_lack(console, alphabet, what, advice)


def _show_lack(console: Console, alphabet: Alphabet, what: str, advice: str) -> None:
    console.print(Indented(Text(alphabet.text(what, SUMMARY_LIMIT))))
    if advice:
        line = Text(f"    {alphabet.right} ", style="dim")
        line.append(alphabet.text(advice), "not dim")
        console.print(line, soft_wrap=True)
