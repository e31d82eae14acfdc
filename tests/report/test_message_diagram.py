"""A message diagram shows the window of the anomaly, and what others wrote stays words."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

from splitbrain.core.evidence import Evidence
from splitbrain.core.history import History
from splitbrain.core.message import Message
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Anomaly
from splitbrain.report.alphabet import ASCII, UNICODE
from splitbrain.report.fault_span import FaultSpan
from splitbrain.report.message_scene import MessageScene, message_scene
from splitbrain.report.message_svg import message_svg
from splitbrain.report.message_text import message_lines

GOLDEN = Path(__file__).parent / "golden" / "messages.svg"
MS = 1_000_000


def message(number, sender, receiver, kind, sent_ms, arrived_ms):
    return Message(
        number=number, sender=sender, receiver=receiver, kind=kind, sent_ns=int(sent_ms * MS),
        arrived_ns=None if arrived_ms is None else int(arrived_ms * MS),
        fate="cut" if arrived_ms is None else "delivered",
    )  # fmt: skip


READ = Operation(
    process=0, session=0, f="read", key="<script>", result=1, outcome=Outcome.OK, node="n1",
    invoke_index=0, complete_index=1, start_ns=100 * MS, end_ns=104 * MS,
)  # fmt: skip
MESSAGES = (
    message(0, "n1", "n2", "append", 1, 2),
    message(1, "p0", "n1", "request", 100, 101),
    message(2, "n1", "n2", "append", 101, 102),
    message(3, "n2", "n1", "<b>&\x1b[31m", 102, None),
    message(4, "n1", "p0", "reply", 103, 104),
)


def scene(limit=50):
    evidence = Evidence(history=History.of([READ]), messages=MESSAGES)
    anomaly = Anomaly(name="stale-read", explanation="e", operations=(READ,))
    return message_scene(evidence, anomaly, limit=limit, origin_ns=100 * MS)


def test_the_diagram_in_a_terminal():
    assert message_lines(scene(), 80, ASCII) == [
        "           n1         n2         p0",
        '     0.00  |          |          o          begins read "<script>" -> 1',
        "     1.00  |<--------------------|          request 1.00 ms",
        "     2.00  |--------->|          |          append 1.00 ms",
        "     2.00  |x---------|          |          <b>&\\x1b[31m cut",
        "     4.00  |-------------------->|          reply 1.00 ms",
        '     4.00  |          |          o          ends read "<script>" -> 1',
    ]


def test_no_line_is_too_wide():
    for width in (40, 80, 120):
        assert all(len(line) <= width for line in message_lines(scene(), width, UNICODE))


def test_what_is_most_common_is_left_out_first_and_counted():
    small = scene(limit=3)
    assert [item.number for item in small.messages if item.kind in ("request", "reply")] == [1, 4]
    assert sum(count for _, count in small.left_out) == 1
    assert message_lines(small, 80, ASCII)[-1].startswith("not shown: 1 ")


def test_the_picture_is_well_formed_and_holds_no_marks_of_others():
    text = message_svg(scene())
    root = ET.fromstring(text)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "defs", "marker", "path", "rect", "text"}
    assert "\x1b" not in text
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert any("<b>&" in (word or "") for word in words)


def span(name, kind, nodes):
    return FaultSpan(
        id=name, kind=kind, state="healed", nodes=nodes, active_ns=90 * MS, healed_ns=103 * MS,
    )  # fmt: skip


def test_the_picture_looks_as_it_did():
    """Two faults on one node, arrows that begin at one point, two lost messages as one stub.

    SPLITBRAIN_WRITE_GOLDEN=1 draws the picture anew: look at it in a browser.
    """
    sent = (
        message(0, "p0", "n1", "request", 100, 100.5),
        message(1, "n1", "n2", "append", 101, 102),
        message(2, "n1", "n3", "append", 101, 103),
        message(3, "n4", "n1", "append", 101.5, None),
        message(4, "n4", "n2", "append", 101.5, None),
        message(5, "n2", "n1", "append-reply", 102, 103),
        message(6, "n1", "p0", "reply", 103, 104),
    )
    picture = MessageScene(
        lanes=("n1", "n2", "n3", "n4", "p0"),
        messages=sent,
        operations=(READ,),
        faults=(span("cut", "partition", ("n4",)), span("slow", "clock", ("n4",))),
        begin_ns=99 * MS,
        end_ns=105 * MS,
        origin_ns=99 * MS,
        left_out=(("beat", 12),),
    )
    text = message_svg(picture)
    if os.environ.get("SPLITBRAIN_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_what_was_sent_to_many_and_lost_is_said_once():
    sent = tuple(message(n, "n1", f"n{n}", "append", 1, None) for n in (2, 3, 4))
    evidence = Evidence(history=History.of([]), messages=sent)
    text = message_svg(message_scene(evidence, None, limit=9, origin_ns=0))
    words = [element.text for element in ET.fromstring(text).iter() if element.text]
    assert words.count("append to n2, n3, n4 (cut)") == 2  # and the white behind it
