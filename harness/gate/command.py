"""The command `python -m splitbrain.gate`: carries out what is left, and judges.

Exit codes: 0 passed, 1 a bug was missed or something correct is not clean, 2 not all was done, 254
bad usage, 255 the gate itself failed.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from splitbrain import catalog
from splitbrain.core.bug import PlantedBug
from splitbrain.core.errors import HarnessError, UsageError
from splitbrain.core.interruption import note_interruptions
from splitbrain.exit_code import BAD_USAGE, FAILED, INVALID, UNKNOWN, VALID
from splitbrain.gate import agenda
from splitbrain.gate.memory import Memory
from splitbrain.gate.progress import results_of, seconds_left
from splitbrain.gate.sources import sources_hash
from splitbrain.gate.summary import (
    HEADINGS,
    PAIR_HEADINGS,
    as_markdown,
    bug_rows,
    done_columns,
    judge,
    pair_rows,
)
from splitbrain.gate.task import Aim, Task
from splitbrain.gate.workers import carry_out_alone, carry_out_side_by_side

TELL_S = 10.0
SHOWN = 20


class Teller:
    """Says every few seconds how far it is, and when it will be over."""

    def __init__(self, console: Console, tasks: Sequence[Task], memory: Memory, jobs: int) -> None:
        self._console = console
        self._tasks = tasks
        self._memory = memory
        self._jobs = jobs
        self._told_s = -math.inf

    def tell(self) -> None:
        """Say it, unless it was said just now."""
        now_s = time.monotonic()
        if now_s - self._told_s < TELL_S:
            return
        self._told_s = now_s
        done = sum(len(results_of(task, self._memory)) for task in self._tasks)
        of = sum(task.seeds for task in self._tasks)
        left = _duration(seconds_left(self._tasks, self._memory, self._jobs))
        wrong = len(judge(self._tasks, self._memory).complaints)
        line = f"gate: {done:,} of {of:,} runs, about {left} left"
        self._console.print(Text(line + (f", {wrong} wrong" if wrong else "")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out what is left, judge, and give the exit code.

    Raises: UsageError for words that cannot be used, HarnessError when a worker died.
    """
    asked = _parser().parse_args(arguments)
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    began_s = time.monotonic()
    bugs = _bugs(asked.only)
    patterns = asked.pairs or ([] if asked.only else ["*"])
    alone = agenda.embedded(bugs) if asked.embedded > 0 else []
    side_by_side = [
        *agenda.directed(bugs, asked.bugs),
        *(agenda.correct(asked.seeds, patterns) if asked.seeds and patterns else []),
        *agenda.drawn(bugs, asked.drawn),
    ]
    tasks = [*alone, *side_by_side]
    memory = Memory.of(asked.state, sources_hash())
    teller = Teller(console, tasks, memory, asked.jobs)
    deadline_s = began_s + asked.limit
    teller.tell()
    try:
        carry_out_alone(alone, memory, min(deadline_s, began_s + asked.embedded), teller.tell)
        carry_out_side_by_side(side_by_side, memory, deadline_s, teller.tell, asked.jobs)
    except KeyboardInterrupt:
        console.print(Text("gate: stopped; the same command goes on from here"))
    _show(console, bugs, tasks, memory, markdown=asked.markdown)
    return _verdict(console, tasks, memory, time.monotonic() - began_s, asked.partly)


def _verdict(
    console: Console, tasks: Sequence[Task], memory: Memory, seconds: float, partly: Sequence[Aim]
) -> int:
    judgement = judge(tasks, memory)
    for line in judgement.open:
        console.print(Text(f"not done: {line}"))
    # Last, so that whoever sees but the end of what was said sees what is wrong.
    for line in judgement.complaints[:SHOWN]:
        console.print(Text(line, style="bold red"))
    if len(judgement.complaints) > SHOWN:
        console.print(Text(f"and {len(judgement.complaints) - SHOWN} more"))
    if judgement.complaints:
        code, word = INVALID, "failed"
    elif [line for line in judgement.open if not line.startswith(tuple(partly))]:
        code, word = UNKNOWN, "not done: the same command goes on from here"
    else:
        code, word = VALID, "passed"
    done = sum(len(results_of(task, memory)) for task in tasks)
    console.print(Text(f"gate: {word}; {done:,} runs known, {_duration(seconds)} now"))
    return code


def _show(
    console: Console,
    bugs: Sequence[PlantedBug],
    tasks: Sequence[Task],
    memory: Memory,
    *,
    markdown: bool,
) -> None:
    headings: Sequence[str] = HEADINGS
    rows = bug_rows(bugs, tasks, memory)
    if not markdown:  # the promises are for pages
        headings = (HEADINGS[0], *HEADINGS[2:])
        rows = [(name, *rest) for name, _, *rest in rows]
    tables: list[tuple[Sequence[str], Sequence[Sequence[str]]]] = [
        (headings, rows),
        (PAIR_HEADINGS, pair_rows(tasks, memory)),
    ]
    for headed, found in tables:
        if found:
            names, lines = done_columns(headed, found)
            shown = Text(as_markdown(names, lines)) if markdown else _table(names, lines)
            console.print(shown)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _bugs(only: Sequence[str]) -> Sequence[PlantedBug]:
    return [catalog.bug(name) for name in only] if only else catalog.bugs()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


class _Parser(argparse.ArgumentParser):
    """Refuses what it does not know as every command of ours does."""

    def error(self, message: str) -> NoReturn:
        """Refuse."""
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m splitbrain.gate", description=__doc__)
    add = parser.add_argument
    add("--bugs", type=_count, default=100, help="seeds for each bug's own schedule (100)")
    add("--seeds", type=_count, default=1000, help="seeds for each pair (1000); 0: no pairs")
    add("--drawn", type=_count, default=50, help="random schedules for each bug (50), not gated")
    add("--pairs", type=_words, default=[],
        help="patterns such as raft/register/*, by comma (all, or none beside --only)")  # fmt: skip
    add("--only", type=_words, default=[],
        help="these bugs alone, by comma, and no pairs but those of --pairs")  # fmt: skip
    add("--embedded", type=float, default=math.inf, metavar="SECONDS",
        help="begin no run on embedded hosts after so many seconds; 0: none at all")  # fmt: skip
    add("--limit", type=float, default=math.inf, metavar="SECONDS", help="begin no run after that")
    add("--partly", type=_words, default=[],
        help="what may be left undone: embedded, correct, by comma")  # fmt: skip
    add("--jobs", type=_count, default=os.cpu_count() or 1, help="how many runs at a time")
    add("--state", type=Path, default=Path(".gate"), help="where results are kept (.gate)")
    add("--markdown", action="store_true", help="print the tables as Markdown")
    return parser


def _count(text: str) -> int:
    if not (text.isdecimal() and text.isascii()):
        message = f"{text!r} is not a whole number from 0 on"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def entry(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command and map every error to its exit code and one line."""
    note_interruptions()
    try:
        return main(arguments)
    except UsageError as error:
        sys.stderr.write(f"gate: {error}\n")
        return BAD_USAGE
    except HarnessError as error:
        sys.stderr.write(f"gate: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("gate: interrupted\n")
        return UNKNOWN
