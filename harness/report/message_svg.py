"""A message diagram as SVG: Lamport's, lanes for nodes and clients, slanted arrows, time goes down.

Only shapes and texts, all of them escaped: no scripts, no styles from elsewhere, no links.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from xml.sax.saxutils import escape

from splitbrain.core.message import Message
from splitbrain.core.operation import Operation
from splitbrain.report.alphabet import UNICODE
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

LANE, CLIENT_LANE, HEAD, STEP, LEFT = 120, 230, 26, 16, 90
LINE = 12
CELL = 6
OPERATION_CELLS = 34
TEXT_CELLS = 80
NS_PER_MS = 1_000_000


def message_svg(scene: MessageScene) -> str:
    """Give the SVG of a scene.

    Moments are spread evenly, whatever lies between them: their times stand at the left.
    """
    return "\n".join(_Picture(scene).parts()) + "\n"


class _Picture:
    def __init__(self, scene: MessageScene) -> None:
        self._scene = scene
        clients = set(map(client_of, scene.operations))
        self._x: dict[str, int] = {}
        self._width = LEFT
        for name in scene.lanes:
            self._x[name] = self._width + LANE // 2
            self._width += CLIENT_LANE if name in clients else LANE
        self._proof = [(mark, mark_lines(mark, UNICODE, TEXT_CELLS)) for mark in scene.marks]
        ends = [
            self._x[mark.node] + CELL * (len(line) + 2)
            for mark, lines in self._proof
            for line in lines
        ]
        ends += [self._fault_x(span) + CELL * len(_fault_words(span)) for span in scene.faults]
        self._width = max([self._width, *ends])
        self._title = title_lines(scene, UNICODE, min(TEXT_CELLS, self._width // CELL - 4))
        moments = {scene.begin_ns, scene.end_ns}
        for message in scene.messages:
            moments |= {message.sent_ns, arrival_ns(message)}
        for item in scene.operations:
            moments |= {item.start_ns, item.end_ns or scene.end_ns}
        moments |= {mark.time_ns for mark in scene.marks}
        for span in scene.faults:
            moments |= {span.active_ns or scene.begin_ns, span.healed_ns or scene.end_ns}
        inside = sorted(m for m in moments if scene.begin_ns <= m <= scene.end_ns)
        begun = Counter(self._first_lane(span) for span in scene.faults if self._had_begun(span))
        self._head = HEAD + LINE * len(self._title)
        self._top = self._head + LINE * max(begun.values(), default=0) + STEP
        self._marked = Counter(mark.time_ns for mark, lines in self._proof for _ in lines)
        self._y: dict[int, int] = {}
        self._bottom = self._top - STEP
        for moment in inside:
            above = self._marked[moment]  # there stand the words of marks
            self._bottom += STEP + LINE * (above + 1 if above else 0)
            self._y[moment] = self._bottom
        self._bottom = max(self._bottom, self._top + STEP)
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in scene.left_out)
        words = f"not shown: {kinds}" if kinds else ""
        self._left_out = textwrap.wrap(words, TEXT_CELLS, break_on_hyphens=False)
        self._sent = Counter((item.sender, item.sent_ns) for item in scene.messages)

    def parts(self) -> Iterator[str]:
        """Give the elements: what lies behind others first."""
        width, height = self._width, self._bottom + 50 + LINE * max(0, len(self._left_out) - 1)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="10">'
        )
        yield (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#345"/>'
            "</marker></defs>"
        )
        yield f'<rect width="{width}" height="{height}" fill="white"/>'
        yield from self._shades()
        for number, line in enumerate(self._title, start=1):
            yield _text(2 * CELL, 4 + LINE * number, line, colour="#c22", size=11)
        for name, x in self._x.items():
            yield _text(x, self._head, name, anchor="middle", size=13)
            yield f'<path d="M{x} {self._head + 6} V{self._bottom + 14}" stroke="#999"/>'
        yield from self._times()
        yield from self._bars()
        for message in self._scene.messages:
            if message.arrived_ns is not None:
                yield from self._arrow(message, message.arrived_ns)
        yield from self._lost()
        yield from self._operation_names()
        yield from self._marks()
        yield from self._fault_names()
        for number, line in enumerate(self._left_out):
            yield _text(LEFT, self._bottom + 36 + LINE * number, line, colour="#666")
        yield "</svg>"

    def _times(self) -> Iterator[str]:
        for moment, y in self._y.items():
            shown = f"{(moment - self._scene.origin_ns) / NS_PER_MS:.2f} ms"
            yield _text(LEFT - 12, y + 3, shown, anchor="end", size=8, colour="#666")

    def _shades(self) -> Iterator[str]:
        for span in self._scene.faults:
            top, bottom = self._ends(span)
            for x in (self._x[name] for name in span.nodes if name in self._x):
                yield (
                    f'<rect x="{x - LANE // 2 + 6}" y="{top}" width="{LANE - 12}" '
                    f'height="{max(4, bottom - top)}" fill="#e9a23b" fill-opacity="0.18"/>'
                )

    def _fault_names(self) -> Iterator[str]:
        """Give the names where their faults begin; of those that had begun at the lanes' heads."""
        lines: Counter[str] = Counter()
        for span in self._scene.faults:
            lane = self._first_lane(span)
            if self._had_begun(span):
                lines[lane] += 1
                y = self._head + LINE * lines[lane]
            else:
                y = self._ends(span)[0] + 10
            yield _text(self._fault_x(span), y, _fault_words(span), colour="#a05a00")

    def _fault_x(self, span: FaultSpan) -> int:
        return self._x.get(self._first_lane(span), LEFT + LANE // 2) - LANE // 2 + 10

    def _had_begun(self, span: FaultSpan) -> bool:
        return span.active_ns is None or span.active_ns <= self._scene.begin_ns

    def _first_lane(self, span: FaultSpan) -> str:
        return next((name for name in span.nodes if name in self._scene.lanes), "")

    def _ends(self, span: FaultSpan) -> tuple[int, int]:
        scene = self._scene
        return (
            self._at(scene.begin_ns if span.active_ns is None else span.active_ns),
            self._at(scene.end_ns if span.healed_ns is None else span.healed_ns),
        )

    def _arrow(self, message: Message, arrived_ns: int) -> Iterator[str]:
        x, y = self._x[message.sender], self._at(message.sent_ns)
        to, end = self._x[message.receiver], self._at(arrived_ns)
        yield _line((x, y), (to, end), "#345", 'marker-end="url(#head)"')
        # Arrows that begin at one point are told apart near their heads.
        part = 0.7 if self._sent[message.sender, message.sent_ns] > 1 else 0.3
        near, height = x + (to - x) * part, y + (end - y) * part - 3
        yield _text(near, height, words_of(message), anchor="middle", colour="#345", size=9)

    def _lost(self) -> Iterator[str]:
        """Draw what never arrived as a stub, one for all of a kind that were sent at one moment."""
        groups: dict[tuple[str, int, str, str, bool], list[str]] = {}
        for item in self._scene.messages:
            if item.arrived_ns is None:
                to_right = self._x[item.receiver] > self._x[item.sender]
                key = (item.sender, item.sent_ns, item.kind, item.fate, to_right)
                groups.setdefault(key, []).append(item.receiver)
        stubs = Counter[tuple[str, int, bool]]()
        for (sender, sent_ns, kind, fate, to_right), receivers in groups.items():
            place = (sender, sent_ns, to_right)
            x, y = self._x[sender], self._at(sent_ns)
            end = y + STEP // 2 + LINE * stubs[place]
            stubs[place] += 1
            side = 1 if to_right else -1
            yield _line((x, y), (x + side * LANE // 4, end), "#b33", 'stroke-dasharray="4 3"')
            tip = x + side * (LANE // 4 + 4)
            yield _text(tip, end + 4, "\u2717", anchor="middle", colour="#b33", size=12)
            words = f"{kind} to {', '.join(receivers)} ({fate})"
            anchor = "start" if to_right else "end"
            yield _text(tip + side * 8, end + 3, words, anchor=anchor, colour="#b33", size=9)

    def _bars(self) -> Iterator[str]:
        for _, x, top, height in self._operations():
            yield (
                f'<rect x="{x - 5}" y="{top}" width="10" height="{height}" rx="3" fill="#2a6f97"/>'
            )

    def _operation_names(self) -> Iterator[str]:
        for item, x, top, height in self._operations():
            words = operation_text(item, UNICODE, OPERATION_CELLS)
            yield _text(x + 10, top + height / 2 + 3, words, size=11)

    def _marks(self) -> Iterator[str]:
        """Draw what proves the anomaly: diamonds on their lanes, and the words above them."""
        left = self._marked.copy()
        for mark, lines in self._proof:
            x, y = self._x[mark.node], self._at(mark.time_ns)
            yield f'<path d="M{x} {y - 6} L{x + 6} {y} L{x} {y + 6} L{x - 6} {y} z" fill="#c22"/>'
            for line in lines:
                above = y + 4 - LINE * left[mark.time_ns]
                left[mark.time_ns] -= 1
                yield _text(x + 8, above, line, colour="#c22", size=11)

    def _operations(self) -> Iterator[tuple[Operation, int, int, int]]:
        """Give the operations, each with the place, top and height of its bar."""
        for item in self._scene.operations:
            x = self._x.get(client_of(item))
            if x is not None:
                top = self._at(item.start_ns)
                bottom = self._at(self._scene.end_ns if item.end_ns is None else item.end_ns)
                yield item, x, top, max(6, bottom - top)

    def _at(self, moment: int) -> int:
        inside = min(max(moment, self._scene.begin_ns), self._scene.end_ns)
        return self._y[inside]


def _fault_words(span: FaultSpan) -> str:
    return UNICODE.text(" ".join(filter(None, (span.id, span.kind, span.shape))), TEXT_CELLS)


def _line(begin: tuple[float, float], end: tuple[float, float], colour: str, more: str) -> str:
    path = f"M{begin[0]} {begin[1]} L{end[0]} {end[1]}"
    return f'<path d="{path}" stroke="{colour}" fill="none" {more}/>'


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#222", size: int = 10
) -> str:
    """Give words, and white behind them, since not every viewer knows of `paint-order`."""
    shown = escape(UNICODE.text(words, TEXT_CELLS))
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"'
    return (
        f'<text {place} fill="white" stroke="white" stroke-width="3" aria-hidden="true">{shown}'
        f'</text><text {place} fill="{colour}">{shown}</text>'
    )
