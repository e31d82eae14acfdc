"""A few operations drawn on a line of time: one row for each process, one for each active fault.

Overlap is true: an operation that ended before another began ends to the left of it, and two that
were concurrent share columns, by the order of the journal. Lengths are only about to scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, groupby

from rich.cells import cell_len
from rich.text import Text

from splitbrain.core.operation import Operation, Outcome
from splitbrain.report.alphabet import UNICODE, Alphabet
from splitbrain.report.fault_span import FaultSpan
from splitbrain.report.moments import moment_text
from splitbrain.report.operation_text import operation_text
from splitbrain.report.time_scale import TimeScale, scale

MARGIN = 2
NAME_LIMIT = 14
LEAST_AREA = 20
NO_TIMES = "in this order; the history has no times"
APART = 4
"""Blanks between a label at the left of its bar and the bar of another operation before it."""

OPEN_TAIL = 5
"""Columns behind the last event when an operation is still open there."""

_COLOURS = {Outcome.OK: "cyan", Outcome.FAIL: "red", Outcome.INFO: "yellow"}
_SHADE = "magenta"
_FAINT = "dim"


@dataclass(frozen=True, slots=True)
class _Bar:
    """Something drawn from one column to another, both included, and what is written at it."""

    left: int
    right: int
    drawn: str
    label: str
    style: str


@dataclass(frozen=True, slots=True)
class _Lane:
    name: str
    bars: tuple[_Bar, ...]


class _Canvas:
    """The rows of one lane: bars below, and labels that found no room beside them above."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._rows: list[list[tuple[int, str, str]]] = []

    def put(self, row: int, column: int, text: str, style: str) -> None:
        while len(self._rows) <= row:
            self._rows.append([])
        self._rows[row].append((column, text, style))

    def free(self, row: int, left: int, right: int) -> bool:
        """Tell whether the columns, and one on either side, are empty in this row."""
        if left < 0 or right >= self.width:
            return False
        taken = self._rows[row] if row < len(self._rows) else []
        return all(right + 1 < at or left - 1 >= at + cell_len(text) for at, text, _ in taken)

    def free_row(self, left: int, right: int) -> int:
        """Give the first row above the bars in which these columns are empty."""
        return next(row for row in count(1) if self.free(row, left, right))

    def lines(self) -> list[Text]:
        """Give the rows, top row first."""
        lines = []
        for row in reversed(self._rows):
            line = Text()
            for column, text, style in sorted(row):
                line.append(" " * (column - line.cell_len))
                line.append(text, style)
            lines.append(line)
        return lines


def draw(
    operations: Sequence[Operation],
    faults: Sequence[FaultSpan],
    width: int,
    *,
    alphabet: Alphabet = UNICODE,
    origin_ns: int | None = None,
) -> list[Text]:
    """Draw operations and the faults around them, in lines of at most `width` cells.

    origin_ns: the moment from which the first label of the axis counts. Faults that were not
    active between the first event and the last are left out. Pure.
    """
    if not operations:
        return []
    ordered = sorted(operations, key=lambda operation: operation.invoke_index)
    near = [fault for fault in faults if touches(fault, ordered)]
    names = _names(ordered, near, alphabet)
    name_width = max(cell_len(name) for name in names.values())
    area = max(LEAST_AREA, width - name_width - MARGIN)
    layout = _Layout(ordered, area, alphabet)
    lanes = [_fault_lane(fault, names[fault.id], layout) for fault in near]
    lanes += [_process_lane(p, names, ordered, layout) for p in _processes(ordered)]
    lines = [line for lane in lanes for line in _drawn(lane, name_width, area)]
    axis = Text(" " * (name_width + MARGIN)).append_text(layout.axis(origin_ns))
    return [*lines, axis]


def window_ns(operations: Iterable[Operation]) -> tuple[int, int]:
    """Give the first and the last moment of some operations."""
    items = list(operations)
    ends = [item.start_ns if item.end_ns is None else item.end_ns for item in items]
    return min(item.start_ns for item in items), max(ends)


def touches(fault: FaultSpan, operations: Sequence[Operation]) -> bool:
    """Tell whether a fault was there at some moment of these operations."""
    if fault.begun_ns is None or not fault.took_hold:
        return False
    first_ns, last_ns = window_ns(operations)
    return fault.begun_ns <= last_ns and (fault.healed_ns is None or fault.healed_ns >= first_ns)


class _Layout:
    """Where each event of the operations stands."""

    def __init__(self, operations: Sequence[Operation], area: int, alphabet: Alphabet) -> None:
        self.area = area
        self.alphabet = alphabet
        events = _events(operations)
        still_open = any(item.outcome is Outcome.INFO for item in operations)
        self.scale: TimeScale = scale(
            [time_ns for _, time_ns in events], area - (OPEN_TAIL if still_open else 0)
        )
        self._column = {
            index: column for (index, _), column in zip(events, self.scale.columns, strict=True)
        }
        self._breaks = self.scale.break_columns()

    def bar(self, operation: Operation, node: str | None) -> _Bar:
        left = self._column[operation.invoke_index]
        right = left + 1
        if operation.complete_index is not None:
            right = max(right, self._column[operation.complete_index])
        drawn = self._body(operation, left, min(right, self.area - 1))
        label = operation_text(operation, self.alphabet, self.area * 2 // 3, node=node)
        style = _COLOURS[operation.outcome]
        return _Bar(left, left + len(drawn) - 1, drawn, label, style)

    def _body(self, operation: Operation, left: int, right: int) -> str:
        marks = self.alphabet
        inner = self.broken(marks.line * max(0, right - left - 1), left + 1)
        if operation.outcome is not Outcome.INFO:
            failed = operation.outcome is Outcome.FAIL
            return marks.start + inner + (marks.fail_end if failed else marks.end)
        if operation.complete_index is None:
            tail = self.broken(marks.open_line * (self.area - left - 2), left + 1)
            return marks.start + tail + marks.arrow
        rest = self.broken(marks.open_line * (self.area - right - 2), right + 1)
        return marks.start + inner + marks.unknown + rest + marks.arrow

    def shade(self, fault: FaultSpan) -> _Bar:
        assert fault.begun_ns is not None
        left = self.scale.column_at(fault.begun_ns)
        right = self.area - 1
        if fault.healed_ns is not None and fault.healed_ns <= self.scale.times_ns[-1]:
            right = max(left, self.scale.column_at(fault.healed_ns))
        drawn = self.broken(self.alphabet.shade * (right - left + 1), left)
        what = " ".join(filter(None, [fault.shape, *fault.nodes]))
        label = self.alphabet.text(what, self.area // 2)
        return _Bar(left, right, drawn, label, _SHADE)

    def broken(self, body: str, left: int) -> str:
        """Put the break marks into a body that begins at this column."""
        cells = list(body)
        for column in self._breaks:
            if left <= column < left + len(cells):
                cells[column - left] = self.alphabet.broken
        return "".join(cells)

    def axis(self, origin_ns: int | None) -> Text:
        """Draw the labels of time: the first as a moment, the others as distances from it."""
        times, columns = self.scale.times_ns, self.scale.columns
        if len(times) > 1 and times[0] == times[-1]:
            return Text(NO_TIMES[: self.area], style=_FAINT)
        first = "0" if origin_ns is None else f"at {moment_text(times[0] - origin_ns)}"
        labels = [(0, first)]
        if times[-1] > times[0]:
            last = f"+{moment_text(times[-1] - times[0])}"
            labels.append((min(columns[-1], self.area - len(last)), last))
            for time_ns, column in zip(times[1:-1], columns[1:-1], strict=True):
                text = f"+{moment_text(time_ns - times[0])}"
                if _clear(labels, column, len(text)):
                    labels.append((column, text))
        labels += [(c, self.alphabet.broken) for c in self._breaks if _clear(labels, c, 1)]
        line = Text(style=_FAINT)
        for column, text in sorted(labels):
            line.append(" " * (column - len(line)) + text)
        return line


def _clear(labels: Sequence[tuple[int, str]], column: int, length: int) -> bool:
    return all(column + length < at or column > at + len(text) for at, text in labels)


def _events(operations: Sequence[Operation]) -> list[tuple[int, int]]:
    """Give the events as (index in the journal, time), in the order of the journal."""
    events = []
    for operation in operations:
        events.append((operation.invoke_index, operation.start_ns))
        if operation.complete_index is not None:
            end_ns = operation.start_ns if operation.end_ns is None else operation.end_ns
            events.append((operation.complete_index, end_ns))
    return sorted(set(events))


def _processes(operations: Sequence[Operation]) -> list[int]:
    return list(dict.fromkeys(operation.process for operation in operations))


def _nodes_of(process: int, operations: Sequence[Operation]) -> list[str]:
    nodes = (item.node for item in operations if item.process == process and item.node)
    return list(dict.fromkeys(nodes))


def _names(
    operations: Sequence[Operation], faults: Sequence[FaultSpan], alphabet: Alphabet
) -> dict[int | str, str]:
    """Give the names of the rows: faults by id, processes with their node if they kept to one."""
    names: dict[int | str, str] = {
        fault.id: alphabet.text(fault.id, NAME_LIMIT) for fault in faults
    }
    for process in _processes(operations):
        nodes = _nodes_of(process, operations)
        where = f" {nodes[0]}" if len(nodes) == 1 else ""
        names[process] = alphabet.text(f"p{process}{where}", NAME_LIMIT)
    return names


def _process_lane(
    process: int, names: dict[int | str, str], operations: Sequence[Operation], layout: _Layout
) -> _Lane:
    mine = [operation for operation in operations if operation.process == process]
    roams = len(_nodes_of(process, operations)) > 1
    bars = (layout.bar(item, item.node if roams else None) for item in mine)
    return _Lane(names[process], tuple(bars))


def _fault_lane(fault: FaultSpan, name: str, layout: _Layout) -> _Lane:
    return _Lane(name, (layout.shade(fault),))


def _drawn(lane: _Lane, name_width: int, area: int) -> list[Text]:
    canvas = _Canvas(area)
    outside = [bar for bar in lane.bars if not _put_bar(canvas, bar)]
    for bar in outside:
        _put_label(canvas, bar, alone=len(lane.bars) == 1)
    lines = canvas.lines()
    blank = " " * (name_width + MARGIN)
    named = lane.name + " " * (name_width + MARGIN - cell_len(lane.name))
    heads = [blank] * (len(lines) - 1) + [named]
    return [
        Text(head, style="", end="").append_text(line)
        for head, line in zip(heads, lines, strict=True)
    ]


def _put_bar(canvas: _Canvas, bar: _Bar) -> bool:
    """Draw a bar, with its label in it where one stretch of it has room; tell whether it had."""
    length = cell_len(bar.label)
    at = _room_within(bar.drawn, length + 2)
    if not length or at is None:
        canvas.put(0, bar.left, bar.drawn, bar.style)
        return not length
    canvas.put(0, bar.left, bar.drawn[:at], bar.style)
    canvas.put(0, bar.left + at, f" {bar.label} ", "bold")
    rest = at + length + 2
    canvas.put(0, bar.left + rest, bar.drawn[rest:], bar.style)
    return True


def _room_within(drawn: str, length: int) -> int | None:
    """Find where a bar goes on without a mark for so many cells, one cell spared at each end."""
    at = 0
    for _, stretch in groupby(drawn):
        size = len(list(stretch))
        if size >= length + 2:
            return at + 1
        at += size
    return None


def _put_label(canvas: _Canvas, bar: _Bar, *, alone: bool) -> None:
    """Write a label to the right of its bar, to the left if the bar is alone, or else above."""
    length = cell_len(bar.label)
    right, left = bar.right + 2, bar.left - 1 - length
    if canvas.free(0, right, right + length - 1):
        canvas.put(0, right, bar.label, "bold")
    elif canvas.free(0, left if alone else left - APART, left + length - 1):
        canvas.put(0, left, bar.label, "bold")
    else:
        at = max(0, min(bar.left, canvas.width - length))
        canvas.put(canvas.free_row(at, at + length - 1), at, bar.label, "bold")
