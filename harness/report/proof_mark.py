"""Trace records that prove an anomaly, each at the time of the world at which it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from splitbrain.core.message import Message
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly
from splitbrain.report.alphabet import Alphabet
from splitbrain.report.proof_table import BOOKKEEPING, CELL_LIMIT

VALUE_LIMIT = 60
MARK_LINES = 3

UNSAID = BOOKKEEPING | {"node", "seq", "event"}
"""Names of a record that its place in a diagram says, or that come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofMark:
    """A record on the lane of its node."""

    node: str
    time_ns: int
    record: Mapping[str, Value]


def proof_marks(anomaly: Anomaly | None, messages: Sequence[Message]) -> tuple[ProofMark, ...]:
    """Place those records of the proof that can be placed, in the order of time.

    The clocks of a node run fast or slow, are bent, and begin anew. But each message that it sent
    tells what they showed at a time of the world: the nearest one by both clocks tells when a
    record was written, in the same step as a rule.
    """
    proof = () if anomaly is None else anomaly.evidence
    marks = [mark for item in proof if isinstance(item, dict) for mark in _placed(item, messages)]
    return tuple(sorted(marks, key=lambda mark: mark.time_ns))


def mark_lines(mark: ProofMark, alphabet: Alphabet, cells: int) -> list[str]:
    """Write a record as `proof: vote, term 3, for n1`, on a few lines of so many cells."""
    words = [alphabet.key(mark.record.get("event"), CELL_LIMIT)]
    for name, value in mark.record.items():
        if name not in UNSAID:
            words.append(f"{alphabet.text(name, CELL_LIMIT)} {alphabet.key(value, VALUE_LIMIT)}")
    return alphabet.lines(f"proof: {', '.join(words)}", cells, MARK_LINES)


def _placed(record: Mapping[str, Value], messages: Sequence[Message]) -> Iterator[ProofMark]:
    node, boot_ns, wall_ns = (record.get(name) for name in ("node", "boot_ns", "wall_ns"))
    if not isinstance(node, str) or not isinstance(boot_ns, int) or not isinstance(wall_ns, int):
        return
    anchors = [
        (abs(item.boot_ns - boot_ns) + abs(item.wall_ns - wall_ns), item.sent_ns - item.boot_ns)
        for item in messages
        if item.sender == node and item.boot_ns is not None and item.wall_ns is not None
    ]
    if anchors:
        yield ProofMark(node=node, time_ns=boot_ns + min(anchors)[1], record=record)
