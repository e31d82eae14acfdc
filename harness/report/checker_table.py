"""The table of checkers: what each says, and on what grounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.table import Table
from rich.text import Text

from splitbrain.core.value import Value
from splitbrain.core.verdict import Status, Verdict
from splitbrain.report.alphabet import Alphabet

STATUS_STYLES: Mapping[Status, str] = {
    Status.VALID: "green",
    Status.UNKNOWN: "yellow",
    Status.INVALID: "red",
}
NAME_LIMIT = 20
REASON_LIMIT = 400
REASONS_SHOWN = 3
FIGURES_SHOWN = 6
LABEL_LIMIT = 32
FIGURE_LIMIT = 24
_UNITS = {"_s": " s", "_ms": " ms", "_hz": "/s"}


def checker_table(
    verdicts: Mapping[str, Verdict],
    alphabet: Alphabet,
    *,
    said: bool = False,
    verbose: bool = False,
) -> Table:
    """Make the table of verdicts, the worst first.

    said: the reasons of unknown verdicts were given above, and are not repeated. verbose: every
    reason and every figure, instead of the first few.
    """
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, overflow=alphabet.overflow)
    table.add_column(no_wrap=True, overflow=alphabet.overflow)
    table.add_column(overflow="fold")
    rank = [Status.INVALID, Status.UNKNOWN, Status.VALID]
    ordered = sorted(
        verdicts.items(), key=lambda item: (not item[1].judges, rank.index(item[1].status))
    )
    for name, verdict in ordered:
        table.add_row(
            Text(alphabet.text(name, NAME_LIMIT)),
            status_text(verdict),
            _says(verdict, alphabet, said=said, verbose=verbose),
        )
    return table


def status_text(verdict: Verdict) -> Text:
    """Give the status as one coloured word; a statistic has none."""
    if not verdict.judges:
        return Text("figures", style="dim")
    return Text(verdict.status.value.upper(), style=f"bold {STATUS_STYLES[verdict.status]}")


def anomaly_names(verdict: Verdict, alphabet: Alphabet) -> str:
    """Give the names of a verdict's anomalies with how many there are: "stale-read x2"."""
    counted = Counter(anomaly.name for anomaly in verdict.anomalies)
    return ", ".join(
        alphabet.text(name, 40) + (f" {alphabet.times}{count}" if count > 1 else "")
        for name, count in counted.items()
    )


def _says(verdict: Verdict, alphabet: Alphabet, *, said: bool, verbose: bool) -> Text:
    lines: list[Text] = []
    if verdict.anomalies:
        lines.append(Text(anomaly_names(verdict, alphabet)))
    if said and verdict.status is Status.UNKNOWN:
        lines.append(Text("for the reason above", style="dim"))
    else:
        lines += _reasons(verdict, alphabet, verbose=verbose)
    figures = _figures(verdict.stats, alphabet, verbose=verbose)
    if figures:
        lines.append(Text(figures, style="dim"))
    return Text("\n").join(lines)


def _reasons(verdict: Verdict, alphabet: Alphabet, *, verbose: bool) -> Iterator[Text]:
    shown = verdict.reasons if verbose else verdict.reasons[:REASONS_SHOWN]
    for reason in shown:
        yield Text(alphabet.text(reason, REASON_LIMIT))
    if len(shown) < len(verdict.reasons):
        yield Text(f"and {len(verdict.reasons) - len(shown)} more", style="dim")


def _figures(stats: Mapping[str, Value], alphabet: Alphabet, *, verbose: bool) -> str:
    """Give the plain figures on one line; tables among them have a place of their own."""
    plain = [
        _named_figure(name, value, alphabet)
        for name, value in stats.items()
        if value is not None and (verbose or not isinstance(value, (dict, list)))
    ]
    shown = plain if verbose else plain[:FIGURES_SHOWN]
    return f" {alphabet.dot} ".join(shown)


def _named_figure(name: str, value: Value, alphabet: Alphabet) -> str:
    """Write `recovered_in_s` of 0.8 as "recovered in 0.8 s"."""
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    words = name.rpartition("_")[0] if unit else name
    return f"{alphabet.text(words.replace('_', ' '), LABEL_LIMIT)} {_figure(value, alphabet)}{unit}"


def _figure(value: Value, alphabet: Alphabet) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) < 10**15:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, str):
        return alphabet.text(value, FIGURE_LIMIT)
    return alphabet.value(value, 2 * FIGURE_LIMIT)
