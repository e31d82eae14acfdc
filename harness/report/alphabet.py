"""What a console can show: the marks that drawings are made of, and how foreign text is written."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

from rich.console import Console

from splitbrain.core.value import Value
from splitbrain.report import safe_text
from splitbrain.report.safe_text import ENDLESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphabet:
    """The marks of reports, each one cell wide unless it says so; `UNICODE` and `ASCII` are all.

    start, end, fail_end: ends of a bar. line: its body. open_line, arrow: an operation that never
    ended. unknown: the moment at which its client gave up. broken: time is left out here. shade:
    a fault is active. mark: a record that proves something. left, right: from an argument, to a
    result (right may be two cells).
    """

    ascii_only: bool
    start: str
    end: str
    fail_end: str
    line: str
    open_line: str
    arrow: str
    unknown: str
    broken: str
    shade: str
    mark: str
    tick: str
    left: str
    right: str
    dot: str
    times: str
    ellipsis: str
    done: str
    bar_full: str
    bar_rest: str
    levels: str

    @property
    def overflow(self) -> Literal["crop", "ellipsis"]:
        """How rich may cut what is too wide for a column; its ellipsis is no ASCII."""
        return "crop" if self.ascii_only else "ellipsis"

    def text(self, text: str, cells: int = ENDLESS) -> str:
        """Give foreign text, harmless and at most so many cells wide."""
        shown = safe_text.safe(text[: 3 * cells + 1], ascii_only=self.ascii_only)
        return safe_text.shorten(shown, cells, ellipsis=self.ellipsis)

    def lines(self, text: str, cells: int, most: int) -> list[str]:
        """Give foreign text on at most so many lines, each of so many cells."""
        shown = self.text(text, most * cells)
        return textwrap.wrap(shown, cells, max_lines=most, placeholder=f" {self.ellipsis}")

    def value(self, value: Value, cells: int = ENDLESS) -> str:
        """Give a JSON value on one line, at most so many cells wide."""
        return safe_text.value_text(
            value, cells, ascii_only=self.ascii_only, ellipsis=self.ellipsis
        )

    def key(self, key: Value, cells: int = ENDLESS) -> str:
        """Give a key on one line, at most so many cells wide."""
        return safe_text.key_text(key, cells, ascii_only=self.ascii_only, ellipsis=self.ellipsis)


UNICODE = Alphabet(
    ascii_only=False,
    start="├",
    end="┤",
    fail_end="✗",
    line="─",
    open_line="╌",
    arrow="→",
    unknown="?",
    broken="≈",
    shade="░",
    mark="◆",
    tick="┴",
    left="←",
    right="→",
    dot="·",
    times="×",  # noqa: RUF001 - it does mean the sign
    ellipsis="…",
    done="›",  # noqa: RUF001 - it does mean the sign
    bar_full="━",
    bar_rest="─",
    levels="▁▂▃▄▅▆▇█",
)

ASCII = Alphabet(
    ascii_only=True,
    start="|",
    end="|",
    fail_end="x",
    line="-",
    open_line=".",
    arrow=">",
    unknown="?",
    broken="~",
    shade=":",
    mark="#",
    tick="+",
    left="<-",
    right="->",
    dot="|",
    times="x",
    ellipsis="...",
    done=">",
    bar_full="#",
    bar_rest=".",
    levels="_.-=+*%#",
)


def alphabet_of(console: Console) -> Alphabet:
    """Give the marks that this console's encoding has."""
    plain = not console.encoding.startswith("utf") or console.legacy_windows
    return ASCII if plain else UNICODE
