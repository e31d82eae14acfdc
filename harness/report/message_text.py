"""A message diagram in a terminal: a lane for each node and client, time goes down."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from splitbrain.core.message import Message
from splitbrain.report.alphabet import Alphabet
from splitbrain.report.fault_span import FaultSpan
from splitbrain.report.message_scene import (
    MessageScene,
    arrival_ns,
    client_of,
    title_lines,
    words_of,
)
from splitbrain.report.operation_text import operation_text
from splitbrain.report.proof_mark import mark_lines

TIME_CELLS = 11
LEAST_LANE = 4
LEAST_NAME = 5
MOST_LANE = 16
NS_PER_MS = 1_000_000


def message_lines(scene: MessageScene, width: int, alphabet: Alphabet) -> list[str]:
    """Draw a scene, none of the lines wider than `width`.

    A message stands where it arrived, or where it was sent if it never did; the figure behind it is
    how long it took. The anomaly is named first, then faults that had begun before.
    """
    drawing = _Drawing(scene, width, alphabet)
    rows = sorted(drawing.rows(), key=lambda row: (row[0], row[1]))
    title = title_lines(scene, alphabet, width)
    lines = [*title, *drawing.active(), drawing.head(), *(line for _, _, line in rows)]
    if scene.left_out:
        kinds = ", ".join(f"{count:,} {alphabet.text(kind, 24)}" for kind, count in scene.left_out)
        lines += textwrap.wrap(f"not shown: {kinds}", width, break_on_hyphens=False)
    return [line.rstrip()[:width] for line in lines]


class _Drawing:
    def __init__(self, scene: MessageScene, width: int, alphabet: Alphabet) -> None:
        self._scene = scene
        self._alphabet = alphabet
        count = max(1, len(scene.lanes))
        # Half of the line is for words, but no lane is thinner than its name, or than an arrow.
        room = (width - TIME_CELLS) // 2 // count
        longest = max((len(name) for name in scene.lanes), default=0)
        least = max(LEAST_LANE, min(LEAST_NAME, longest) + 1)
        self._lane = min(MOST_LANE, max(least, room))
        self._words = max(10, width - TIME_CELLS - self._lane * count - 1)
        self._bar = "|" if alphabet.ascii_only else "│"

    def head(self) -> str:
        names = [self._alphabet.text(name, self._lane - 1) for name in self._scene.lanes]
        return " " * TIME_CELLS + "".join(name.ljust(self._lane) for name in names)

    def active(self) -> Iterator[str]:
        """Name the faults that had begun before the window."""
        for span in self._scene.faults:
            if self._had_begun(span):
                what = " ".join(filter(None, (span.kind, span.shape, *span.nodes)))
                yield f"active: {self._alphabet.text(what)} ({self._alphabet.text(span.id)})"

    def rows(self) -> Iterator[tuple[int, int, str]]:
        """Give each row with its time and its rank among those of one time."""
        scene = self._scene
        for item in scene.operations:
            lane = client_of(item)
            name = operation_text(item, self._alphabet, self._words - 7)
            yield item.start_ns, 0, self._at(item.start_ns, {lane: "o"}, f"begins {name}")
            if item.end_ns is not None:
                yield item.end_ns, 2, self._at(item.end_ns, {lane: "o"}, f"ends {name}")
        for message in scene.messages:
            when = arrival_ns(message)
            rank = 3 if message.arrived_ns is None else 1  # what is sent comes of what came
            yield when, rank, self._arrow(when, message)
        for mark in scene.marks:
            first, *rest = mark_lines(mark, self._alphabet, self._words)
            yield mark.time_ns, 2, self._at(mark.time_ns, {mark.node: self._alphabet.mark}, first)
            for more in rest:
                yield mark.time_ns, 2, " " * TIME_CELLS + self._lanes({}, more)
        for span in scene.faults:
            what = " ".join(filter(None, (span.id, span.kind, span.shape)))
            text = self._alphabet.text(what, self._words - 10)
            marks = dict.fromkeys(span.nodes, self._alphabet.shade)
            if span.active_ns is not None and not self._had_begun(span):
                yield span.active_ns, 4, self._at(span.active_ns, marks, f"fault {text}")
            if span.healed_ns is not None and span.healed_ns <= scene.end_ns:
                yield span.healed_ns, 4, self._at(span.healed_ns, marks, f"healed {text}")

    def _had_begun(self, span: FaultSpan) -> bool:
        return span.active_ns is not None and span.active_ns < self._scene.begin_ns

    def _at(self, time_ns: int, marks: dict[str, str], words: str) -> str:
        return self._time(time_ns) + self._lanes(marks, words)

    def _lanes(self, marks: dict[str, str], words: str) -> str:
        cells = [marks.get(name, self._bar).ljust(self._lane) for name in self._scene.lanes]
        return "".join(cells) + words[: self._words]

    def _arrow(self, time_ns: int, message: Message) -> str:
        lanes, line = self._scene.lanes, self._alphabet.line
        places = lanes.index(message.sender), lanes.index(message.receiver)
        first, last = min(places), max(places)
        lost = message.arrived_ns is None
        cells = []
        for place in range(len(lanes)):
            if place == last or not first <= place < last:
                cells.append(self._bar + " " * (self._lane - 1))
            else:
                cells.append((self._bar if place == first else line) + line * (self._lane - 1))
        text = list("".join(cells))
        begin, end = first * self._lane, last * self._lane
        if places[0] < places[1]:
            text[end - 1] = self._alphabet.fail_end if lost else ">"
        else:
            text[begin + 1] = self._alphabet.fail_end if lost else "<"
        if begin == end:  # to itself: it comes back
            text[begin + 2] = line
        kind = self._alphabet.text(words_of(message), 40)
        took = (message.arrived_ns or 0) - message.sent_ns
        fate = self._alphabet.text(message.fate, 24) if lost else f"{took / NS_PER_MS:.2f} ms"
        return self._time(time_ns) + "".join(text) + f"{kind} {fate}"[: self._words]

    def _time(self, time_ns: int) -> str:
        return f"{(time_ns - self._scene.origin_ns) / NS_PER_MS:>9.2f}".ljust(TIME_CELLS)
