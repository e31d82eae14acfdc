"""Draws the messages of a run around its anomaly, in a terminal or as a file."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from splitbrain.core.errors import StoreError, UsageError
from splitbrain.core.run import RunResult
from splitbrain.core.verdict import Anomaly
from splitbrain.report.alphabet import alphabet_of
from splitbrain.report.fault_span import main_start_ns
from splitbrain.report.message_scene import message_scene
from splitbrain.report.message_svg import message_svg
from splitbrain.report.message_text import message_lines

TEXT_MESSAGES = 60
SVG_MESSAGES = 250


def write_diagram(console: Console, result: RunResult, file: Path | None) -> None:
    """Print the diagram of a run, or write it as SVG.

    Raises: UsageError for a run without a record of its messages or a file of another kind,
    StoreError when the file cannot be written.
    """
    if result.evidence.messages is None:
        message = f"{result.path} has no record of its messages: ask for one by run --messages"
        raise UsageError(message)
    if file is not None and file.suffix != ".svg":
        message = f"a diagram is written as FILE.svg, not as {file}: name RUN before --diagram"
        raise UsageError(message)
    scene = message_scene(
        result.evidence,
        _clearest(result),
        limit=TEXT_MESSAGES if file is None else SVG_MESSAGES,
        origin_ns=main_start_ns(result.evidence),
    )
    if file is not None:
        try:
            file.write_text(message_svg(scene), encoding="utf-8")
        except OSError as error:
            message = f"cannot write {file}: {error.strerror}"
            raise StoreError(message) from error
        return
    for line in message_lines(scene, console.width, alphabet_of(console)):
        console.print(Text(line), soft_wrap=True, highlight=False)


def _clearest(result: RunResult) -> Anomaly | None:
    """Give the anomaly that fewest operations prove, of those that any do."""
    shown = [
        anomaly
        for verdict in result.verdicts.values()
        for anomaly in verdict.anomalies
        if anomaly.operations
    ]
    return min(shown, key=lambda anomaly: len(anomaly.operations), default=None)
