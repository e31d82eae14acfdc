"""Anything that rich renders, moved to the right, and without blanks at the ends of its lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

INDENT = 2


@dataclass(frozen=True, slots=True)
class Indented:
    """A renderable with so many blanks before each line; most: its greatest width, None for all.

    Blanks behind a line would only be noise to whoever copies it, or keeps it in a file.
    """

    body: RenderableType
    cells: int = INDENT
    most: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the body in the room that is left."""
        room = max(1, options.max_width - self.cells)
        inner = options.update(width=room if self.most is None else min(room, self.most))
        for line in console.render_lines(self.body, inner, pad=False):
            kept = _trimmed(line)
            if kept:
                yield Segment(" " * self.cells)
                yield from kept
            yield Segment.line()


def _trimmed(line: Iterable[Segment]) -> list[Segment]:
    kept = list(line)
    while kept:
        last = kept.pop()
        visible = last.style is not None and (last.style.bgcolor or last.style.reverse)
        text = last.text if visible else last.text.rstrip(" ")
        if text:
            kept.append(Segment(text, last.style, last.control))
            break
    return kept
