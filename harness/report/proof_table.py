"""Proof that is no operation, such as trace records: a compact table, or a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from splitbrain.core.value import Value
from splitbrain.report.alphabet import Alphabet

ROWS_SHOWN = 12
COLUMNS_LIMIT = 16
CELL_LIMIT = 28
BOOKKEEPING = frozenset({"boot", "boot_ns", "wall_ns"})
"""Names of a trace record that say when and in which life of a node; the JSON has them."""


def proof_table(items: Sequence[Value], alphabet: Alphabet, width: int) -> RenderableType:
    """Show JSON objects with a column for each of their names; anything else as a line each.

    A table that would not fit into `width` cells becomes lines too.
    """
    items = [_without_bookkeeping(item) for item in items]
    records = [item for item in items if isinstance(item, dict)]
    names = list(dict.fromkeys(name for record in records for name in record))
    if len(records) < len(items) or not names or len(names) > COLUMNS_LIMIT:
        return _lines(items, alphabet, width)
    rows = [[_cell(record, name, alphabet) for name in names] for record in records]
    heads = [alphabet.text(name, CELL_LIMIT) for name in names]
    widths = [max(map(cell_len, column)) for column in zip(heads, *rows, strict=True)]
    if sum(widths) + 2 * len(widths) > width:
        return _lines(items, alphabet, width)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for place, head in enumerate(heads):
        numbers = all(_is_number(record.get(names[place])) for record in records)
        table.add_column(
            Text(head),
            justify="right" if numbers else "left",
            no_wrap=True,
            overflow=alphabet.overflow,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _without_bookkeeping(item: Value) -> Value:
    if not isinstance(item, dict):
        return item
    return {name: value for name, value in item.items() if name not in BOOKKEEPING}


def _cell(record: Mapping[str, Value], name: str, alphabet: Alphabet) -> str:
    return alphabet.key(record[name], CELL_LIMIT) if name in record else ""


def _is_number(value: Value) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _lines(items: Sequence[Value], alphabet: Alphabet, width: int) -> Text:
    lines = []
    for item in items:
        if isinstance(item, dict):
            line = Text()
            for name, value in item.items():
                line.append(("  " if line else "") + alphabet.text(name, CELL_LIMIT) + " ", "dim")
                line.append(alphabet.key(value, max(CELL_LIMIT, width // 2)))
            lines.append(line)
        else:
            lines.append(Text(alphabet.value(item, 4 * width)))
    return Text("\n").join(lines)
