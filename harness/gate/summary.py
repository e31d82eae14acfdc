"""What the gate found, as tables: for the terminal, and as Markdown for the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from splitbrain.core.bug import PlantedBug
from splitbrain.gate.memory import Memory
from splitbrain.gate.progress import complaints_about, left_of, results_of
from splitbrain.gate.task import Aim, Task
from splitbrain.gate.trial import Found

NOT_DONE = "not done"
HEADINGS = ("bug", "promise", "found by", "directed", "drawn", "median time", "embedded")
PAIR_HEADINGS = ("pair", "clean", "a run")
NAMED = 5
"""So many of what was not done are named, and the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether the gate is passed.

    complaints: what is wrong. open: what was not done, a line for each kind.
    """

    complaints: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Tell whether all was done and nothing is wrong."""
        return not self.complaints and not self.open


def judge(tasks: Sequence[Task], memory: Memory) -> Judgement:
    """Judge all that is gated."""
    gated = [task for task in tasks if task.is_gated]
    complaints = [line for task in gated for line in complaints_about(task, memory)]
    open_ = [_told_open(aim, gated, memory) for aim in Aim]
    return Judgement(complaints=tuple(complaints), open=tuple(filter(None, open_)))


def _told_open(aim: Aim, tasks: Iterable[Task], memory: Memory) -> str:
    """Say in one line what is left of one kind; nothing when all is done."""
    left = {task.name: len(left_of(task, memory)) for task in tasks if task.aim is aim}
    names = [name for name, seeds in left.items() if seeds]
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{aim}, {sum(left.values())} runs: {', '.join(names[:NAMED])}{more}"


def bug_rows(
    bugs: Iterable[PlantedBug], tasks: Sequence[Task], memory: Memory
) -> Sequence[Sequence[str]]:
    """Give a row for each bug of which there are runs, in the order of the headings."""
    table: Mapping[tuple[Aim, str], Task] = {(task.aim, task.name): task for task in tasks}
    rows = []
    for bug in bugs:
        cells = dict.fromkeys(Aim, NOT_DONE)
        time_s = ""
        for aim in cells:
            task = table.get((aim, bug.name))
            found = {} if task is None else results_of(task, memory)
            if task is None or not found:
                continue
            hits = sum(task.hit(item) for item in found.values())
            cells[aim] = f"{hits}/{len(found)}"
            if aim is Aim.DRAWN:
                time_s = _median_time(task, list(found.values()))
        if set(cells.values()) == {NOT_DONE}:
            continue
        rows.append(
            (
                bug.name,
                bug.promise,
                f"`{bug.checker}`: {bug.anomaly}",
                cells[Aim.DIRECTED],
                cells[Aim.DRAWN],
                time_s,
                cells[Aim.EMBEDDED],
            )
        )
    return rows


def _median_time(task: Task, found: Sequence[Found]) -> str:
    """Give the median of the real time from one find to the next, over runs one after the other."""
    times_s, spent_s = [], 0.0
    for item in found:
        spent_s += item.real_s
        if task.hit(item):
            times_s.append(spent_s)
            spent_s = 0.0
    return f"{median(times_s):.1f} s" if times_s else f"over {spent_s:.0f} s"


def done_columns(
    headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Leave out the columns of what was not done at all: a terminal has no room for them."""
    kept = [at for at in range(len(headings)) if any(row[at] not in ("", NOT_DONE) for row in rows)]
    return [headings[at] for at in kept], [[row[at] for at in kept] for row in rows]


def pair_rows(tasks: Sequence[Task], memory: Memory) -> Sequence[Sequence[str]]:
    """Give a row for each pair of which there are runs: its name, how many were clean, seconds."""
    rows = []
    for task in tasks:
        found = results_of(task, memory)
        if task.aim is not Aim.CORRECT or not found:
            continue
        clean = sum(item.clean for item in found.values())
        each = median(item.real_s for item in found.values())
        rows.append((task.name, f"{clean}/{len(found)}", f"{each:.2f} s"))
    return rows


def as_markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a table as Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
