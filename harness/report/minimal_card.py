"""The card of a minimal history: the few operations in which the anomaly shows still."""

from __future__ import annotations

import shlex

from rich.console import Group, RenderableType
from rich.text import Text

from splitbrain.core.run import MinimalHistory
from splitbrain.report.anomaly_card import OPERATIONS_SHOWN_VERBOSE, Scene
from splitbrain.report.indented import INDENT, Indented
from splitbrain.report.timeline import draw

_WIDTH = 130


def minimal_card(minimal: MinimalHistory, scene: Scene) -> RenderableType:
    """Make the card of a minimal history, with the command that judges it."""
    alphabet = scene.alphabet
    head = Text("minimal history", style="bold")
    head.append(f"  {alphabet.text(minimal.anomaly, 60)}", "dim not bold default")
    head.append(f" by {alphabet.text(minimal.checker, 40)}", "dim not bold default")
    shown = minimal.operations[:OPERATIONS_SHOWN_VERBOSE]
    lines = draw(
        shown,
        scene.spans,
        min(scene.width, _WIDTH) - INDENT,
        alphabet=alphabet,
        origin_ns=scene.origin_ns,
    )
    drawn = Text("\n", no_wrap=True, overflow="crop").join(lines)
    path = str(minimal.path)
    safe = alphabet.text(path)
    command = f"splitbrain check {shlex.quote(path) if safe == path else safe}"
    return Group(
        head,
        Indented(Text(_summary(minimal), style="dim"), most=100),
        "",
        Indented(drawn),
        *(
            [Indented(Text(f"and {len(minimal.operations) - len(shown):,} more", style="dim"))]
            if len(shown) < len(minimal.operations)
            else []
        ),
        Indented(Text(command, no_wrap=True, overflow="ignore")),
    )


def _summary(minimal: MinimalHistory) -> str:
    count = len(minimal.operations)
    line = f"{count:,} of {minimal.total:,} operations"
    if minimal.is_minimal:
        return f"{line}: without any one of them the anomaly is gone"
    return f"{line}: the search ended before it was certain that none of them can go"
