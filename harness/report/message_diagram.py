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
from splitbrain.report.message_scene import Limits, message_scene
from splitbrain.report.message_svg import message_svg
from splitbrain.report.message_text import message_lines

TEXT_LIMITS = Limits(messages=60, operations=10, faults=6)
"""About 120 lines."""

SVG_LIMITS = Limits(messages=120, operations=16, faults=12)


def write_diagram(
    console: Console, result: RunResult, anomaly: Anomaly | None, file: Path | None
) -> None:
    """Print the diagram of a run around an anomaly, or write it as SVG and say so.

    Raises: UsageError for a run without a record of its messages or a file of another kind,
    StoreError when the file cannot be written.
    """
    if result.evidence.messages is None:
        message = f"{result.path} has no record of its messages: ask for one by run --messages"
        raise UsageError(message)
    if file is not None and file.suffix != ".svg":
        message = f"a diagram is written as FILE.svg, not as {file}: name RUN before --diagram"
        raise UsageError(message)
    alphabet = alphabet_of(console)
    if not result.evidence.messages:
        path = alphabet.text(str(result.path))
        console.print(Text(f"no messages were sent in {path}"), soft_wrap=True)
        return
    scene = message_scene(
        result.evidence,
        anomaly,
        limits=TEXT_LIMITS if file is None else SVG_LIMITS,
        origin_ns=main_start_ns(result.evidence),
    )
    if file is not None:
        try:
            file.write_text(message_svg(scene), encoding="utf-8")
        except OSError as error:
            message = f"cannot write {file}: {error.strerror}"
            raise StoreError(message) from error
        shown = alphabet.text(str(file))
        console.print(Text(f"the diagram is written to {shown}"), soft_wrap=True)
        return
    for line in message_lines(scene, console.width, alphabet):
        console.print(Text(line), soft_wrap=True, highlight=False)
