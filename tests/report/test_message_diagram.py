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
from splitbrain.report.message_scene import Limits, MessageScene, message_scene
from splitbrain.report.message_svg import message_svg
from splitbrain.report.message_text import message_lines
from splitbrain.report.proof_mark import ProofMark

GOLDEN = Path(__file__).parent / "golden" / "messages.svg"
MS = 1_000_000


def message(number, sender, receiver, kind, sent_ms, arrived_ms, **more):
    return Message(
        number=number, sender=sender, receiver=receiver, kind=kind, sent_ns=int(sent_ms * MS),
        arrived_ns=None if arrived_ms is None else int(arrived_ms * MS),
        **{"fate": "cut" if arrived_ms is None else "delivered"} | more,
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


STALE = Anomaly(name="stale-read", explanation="e", operations=(READ,))


def limits(messages=50, operations=10, faults=8):
    return Limits(messages=messages, operations=operations, faults=faults)


def drawn(evidence, anomaly=None, at_most=None):
    return message_scene(evidence, anomaly, limits=at_most or limits(), origin_ns=0)


def scene(limit=50):
    evidence = Evidence(history=History.of([READ]), messages=MESSAGES)
    return message_scene(evidence, STALE, limits=limits(limit), origin_ns=100 * MS)


def test_the_diagram_in_a_terminal():
    assert message_lines(scene(), 80, ASCII) == [
        "stale-read: e",
        "           n1         n2         p0",
        "   -98.00  |--------->|          |          append 1.00 ms",
        '     0.00  |          |          o          begins read "<script>" -> 1',
        "     1.00  |<--------------------|          request 1.00 ms",
        "     2.00  |--------->|          |          append 1.00 ms",
        "     2.00  |x---------|          |          <b>&\\x1b[31m cut",
        "     4.00  |-------------------->|          reply 1.00 ms",
        '     4.00  |          |          o          ends read "<script>" -> 1',
    ]


def test_a_message_to_its_own_sender_comes_back_to_its_lane():
    own = (message(0, "n1", "n2", "vote", 1, 2), message(1, "n2", "n2", "vote", 1, 3))
    lost = message(2, "n1", "n1", "vote", 1, None)
    evidence = Evidence(history=History.of([]), messages=(*own, lost))
    assert message_lines(drawn(evidence), 60, ASCII)[1:] == [
        "     1.00  |x-         |           vote cut",
        "     2.00  |---------->|           vote 1.00 ms",
        "     3.00  |           |<-         vote 2.00 ms",
    ]


def test_no_line_is_too_wide():
    for width in (40, 80, 120):
        assert all(len(line) <= width for line in message_lines(scene(), width, UNICODE))


def test_what_is_wrong_stands_above_the_lanes_and_is_cut_where_it_is_long():
    anomaly = Anomaly(name="lost", explanation="it is\x1b[31m gone & " * 100, operations=(READ,))
    told = drawn(Evidence(history=History.of([READ]), messages=MESSAGES), anomaly)
    first, *_, last = above = message_lines(told, 80, UNICODE)[:4]
    assert all(len(line) <= 80 for line in above)
    assert first.startswith("lost: it is\\x1b[31m gone & it is")
    assert last.endswith(" …")
    assert message_lines(told, 80, UNICODE)[4].split() == ["n1", "n2", "p0"]
    texts = [element for element in ET.fromstring(message_svg(told)).iter() if element.text]
    heights = {element.text: float(element.get("y", 0)) for element in texts}
    title = [height for words, height in heights.items() if "gone & it" in words]
    assert len(title) == 4
    assert max(title) < heights["n1"]


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

    A title, two records of a trace that were written at one moment, a message that came twice.

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
        message(7, "n1", "n3", "append", 101, 104.5, fate="delivered a second time"),
    )
    records = [{"event": "append", "first": 7}, {"event": "commit", "index": 7, "by": ["n1"]}]
    picture = MessageScene(
        lanes=("n1", "n2", "n3", "n4", "p0"),
        messages=sent,
        operations=(READ,),
        faults=(span("cut", "partition", ("n4",)), span("slow", "clock", ("n4",))),
        begin_ns=99 * MS,
        end_ns=105 * MS,
        origin_ns=99 * MS,
        title="stale-read: process 0's read of key 1 on n1 returned 1, although 2 had been written",
        marks=tuple(ProofMark(node="n1", time_ns=103 * MS, record=item) for item in records),
        left_out=(("beat", 12),),
    )
    text = message_svg(picture)
    if os.environ.get("SPLITBRAIN_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_what_was_sent_to_many_and_lost_is_said_once():
    sent = tuple(message(n, "n1", f"n{n}", "append", 1, None) for n in (2, 3, 4))
    evidence = Evidence(history=History.of([]), messages=sent)
    text = message_svg(drawn(evidence))
    words = [element.text for element in ET.fromstring(text).iter() if element.text]
    assert words.count("append to n2, n3, n4 (cut)") == 2  # and the white behind it


def read(number, start_ms, end_ms):
    return Operation(
        process=number, session=number, f="read", key=number, result=1, outcome=Outcome.OK,
        node="n1", invoke_index=2 * number, complete_index=2 * number + 1,
        start_ns=int(start_ms * MS), end_ns=int(end_ms * MS),
    )  # fmt: skip


def beats(begin_ms, end_ms, step_ms, sender="n1", receiver="n2", number=0):
    """Messages that come at even times; the clocks of nodes show the world's time."""
    return tuple(
        message(
            number + place, sender, receiver, "beat", at_ms, at_ms + 1,
            boot_ns=at_ms * MS, wall_ns=at_ms * MS,
        )
        for place, at_ms in enumerate(range(begin_ms, end_ms, step_ms))
    )  # fmt: skip


def vote(boot_ms, wall_ms, node="n2"):
    return {
        "node": node, "boot": "b", "seq": 7, "boot_ns": int(boot_ms * MS),
        "wall_ns": int(wall_ms * MS), "event": "vote", "term": 3, "for": "n1",
    }  # fmt: skip


def double_vote(*records):
    return Anomaly(name="double-vote", explanation="e", evidence=records)


def test_a_record_of_a_trace_stands_on_its_node_at_its_time_with_its_words():
    evidence = Evidence(messages=(*beats(0, 900, 10, "n2", "n1"),))
    shown = drawn(evidence, double_vote(vote(702, 702)), limits(6))
    assert shown.begin_ns <= 702 * MS <= shown.end_ns
    assert [item.sent_ns // MS for item in shown.messages] == [660, 670, 680, 690, 700, 710]
    marked = [line for line in message_lines(shown, 80, ASCII) if "#" in line]
    assert marked == ["   702.00  |               #               proof: vote, term 3, for n1"]
    assert "proof: vote, term 3, for n1" in message_svg(shown)


def test_a_record_is_placed_by_what_its_node_sent_however_its_clocks_run():
    """The boot clock is 2 % fast and began anew, the wall clock jumped back by a second."""
    sent = (
        message(0, "n2", "n1", "beat", 1000, 1001, boot_ns=1020 * MS, wall_ns=9000 * MS),
        message(1, "n2", "n1", "beat", 2000, 2001, boot_ns=2040 * MS, wall_ns=9000 * MS),
        message(2, "n2", "n1", "beat", 3000, 3001, boot_ns=1020 * MS, wall_ns=10_000 * MS),
    )
    evidence = Evidence(messages=sent)
    places = [(2040, 9000, 2000), (1020, 9000, 1000), (1021, 10_001, 3001), (1020, 10_000, 3000)]
    for boot_ms, wall_ms, at_ms in places:
        shown = drawn(evidence, double_vote(vote(boot_ms, wall_ms)))
        assert [mark.time_ns for mark in shown.marks] == [at_ms * MS]


def test_what_has_no_time_or_no_node_is_not_placed():
    evidence = Evidence(messages=beats(0, 50, 10))
    for record in ("text", {"node": "n2"}, vote(1, 1, node="n9"), vote(1, 1) | {"boot_ns": "1"}):
        assert drawn(evidence, double_vote(record)).marks == ()


def test_what_is_farthest_from_the_proof_is_left_out_first():
    """Not what is most common, and what others tell each other before what its nodes hear."""
    own = beats(0, 1000, 20, "n1", "n2")
    others = beats(5, 1000, 20, "n3", "n4", number=100)
    later = beats(1000, 2000, 20, "n2", "n1", number=200)
    evidence = Evidence(messages=(*own, *others, *later))
    shown = drawn(evidence, double_vote(vote(1000, 1000)), limits(6))
    told = [(item.receiver, item.sent_ns // MS) for item in shown.messages]
    near = [("n2", 940), ("n2", 960), ("n2", 980), ("n4", 985), ("n1", 1000), ("n1", 1020)]
    assert sorted(told, key=lambda item: item[1]) == near
    assert shown.left_out == (("beat", len([
        item for item in (*own, *others, *later)
        if item.arrived_ns >= shown.begin_ns and item.sent_ns <= shown.end_ns
    ]) - 6),)  # fmt: skip


def test_what_is_far_from_the_proof_says_nothing_about_it():
    sent = beats(0, 1000, 20, "n1", "n2")
    shown = drawn(Evidence(messages=sent), double_vote(vote(1000, 1000, "n1")), limits(40))
    assert [item.sent_ns // MS for item in shown.messages] == [900, 920, 940, 960, 980]


def test_proof_without_a_time_is_about_the_operations_on_its_key():
    operations = [read(number, 10 * number, 10 * number + 5) for number in range(50)]
    evidence = Evidence(history=History.of(operations), messages=beats(0, 500, 1))
    cell = Anomaly(name="siblings", explanation="e", evidence=({"node": "n1", "key": 33},))
    assert [item.key for item in drawn(evidence, cell).operations] == [33]


def test_a_long_record_takes_several_lines():
    long = vote(2, 2, "n1") | {"members": ["n1", "n2", "n3", "n4", "n5"], "hash": "0123456789"}
    evidence = Evidence(messages=beats(0, 4, 1))
    lines = message_lines(drawn(evidence, double_vote(long)), 70, ASCII)
    place = next(place for place, line in enumerate(lines) if "#" in line)
    assert lines[place : place + 3] == [
        "     2.00  #             |             proof: vote, term 3, for n1,",
        '           |             |             members ["n1", "n2", "n3",',
        '           |             |             "n4", "n5"], hash "0123456789"',
    ]


def test_a_picture_holds_all_words_of_a_proof_and_is_as_wide():
    record = {"event": "acked", **{f"of-{number}": [number] * 5 for number in range(9)}}
    picture = MessageScene(
        lanes=("n1", "n2"),
        messages=(message(0, "n1", "n2", "put", 1, 2),),
        operations=(),
        faults=(span("a-long-name-of-a-fault", "partition", ("n2",)),),
        begin_ns=0,
        end_ns=105 * MS,
        origin_ns=0,
        marks=(ProofMark(node="n2", time_ns=2 * MS, record=record),),
    )
    root = ET.fromstring(message_svg(picture))
    texts = [item for item in root.iter() if item.tag.endswith("text")]
    own = [item for item in texts if item.get("aria-hidden") is None]
    proof = [item for item in own if item.get("fill") == "#c22"]
    assert "".join(item.text for item in proof).endswith("of-8 [8, 8, 8, 8, 8]")
    assert len({item.get("y") for item in proof}) == len(proof) > 1
    begins = [item for item in own if item.get("text-anchor") == "start"]
    ends = [float(item.get("x")) + 5.5 * len(item.text) for item in begins]
    assert max(ends) <= float(root.get("width"))


def test_rare_messages_stay_before_those_that_are_as_near_and_common():
    sent = (*beats(990, 1000, 1), message(50, "n1", "n2", "vote", 989, 990))
    shown = drawn(Evidence(messages=sent), double_vote(vote(1000, 1000, "n1")), limits(4))
    assert [item.kind for item in shown.messages].count("vote") == 1


def test_where_there_are_few_operations_all_of_them_are_shown():
    operations = [read(0, 100, 104), read(1, 400, 404), read(2, 900, 904)]
    evidence = Evidence(history=History.of(operations), messages=beats(0, 1000, 2))
    anomaly = Anomaly(name="stale-read", explanation="e", operations=(operations[1],))
    shown = drawn(evidence, anomaly)
    assert [item.process for item in shown.operations] == [0, 1, 2]
    assert shown.begin_ns <= 100 * MS
    assert shown.end_ns >= 904 * MS


def test_many_operations_and_faults_leave_a_diagram_that_can_be_read():
    operations = [read(number, number, number + 300) for number in range(800)]
    asked = tuple(
        message(1000 + number, f"p{number}", "n1", "request", number, number + 1)
        for number in range(800)
    )
    evidence = Evidence(history=History.of(operations), messages=(*beats(0, 1100, 1), *asked))
    anomalies = [
        None,
        double_vote(vote(2, 2, "n1"), vote(900, 900, "n1")),
        Anomaly(name="no-leader", explanation="e", operations=tuple(operations)),
    ]
    for anomaly in anomalies:
        lines = message_lines(drawn(evidence, anomaly, limits(60)), 120, ASCII)
        assert len(lines) <= 120
        assert " other operations, " in lines[-1]
        begun = [line for line in lines if "begins read" in line]
        assert 3 <= len(begun) <= 10
        assert all("o" in line.partition("begins")[0] for line in begun)


def test_a_terminal_tells_of_faults_that_had_begun_before():
    picture = MessageScene(
        lanes=("n1", "n2"), messages=MESSAGES[2:3], operations=(), begin_ns=99 * MS,
        faults=(span("kill-1", "kill", ("n2",)),), end_ns=105 * MS, origin_ns=99 * MS,
    )  # fmt: skip
    lines = message_lines(picture, 80, ASCII)
    assert lines[0] == "active: kill n2 (kill-1)"
    assert any("healed kill-1 kill" in line for line in lines)


def test_a_message_that_came_a_second_time_says_so():
    twice = message(5, "n1", "n2", "append", 101, 103, fate="delivered a second time")
    picture = drawn(Evidence(messages=(MESSAGES[2], twice)))
    words = [line.partition("append")[2] for line in message_lines(picture, 80, ASCII)[1:]]
    assert words == [" 1.00 ms", " a second time 2.00 ms"]
    assert "append a second time" in message_svg(picture)
