"""What a message diagram shows: who spoke to whom around an anomaly, in the order of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from splitbrain.core.evidence import Evidence
from splitbrain.core.message import Message
from splitbrain.core.operation import Operation
from splitbrain.core.verdict import Anomaly
from splitbrain.report.fault_span import FaultSpan, fault_spans

MARGIN_NS = 20_000_000
LANE_LIMIT = 12
SPOKEN_WITH_CLIENTS = ("request", "reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageScene:
    """A window of a run. lanes: nodes first, then the clients of the operations.

    left_out: how many messages of each kind are not shown, where there were too many.
    """

    lanes: tuple[str, ...]
    messages: tuple[Message, ...]
    operations: tuple[Operation, ...]
    faults: tuple[FaultSpan, ...]
    begin_ns: int
    end_ns: int
    origin_ns: int
    left_out: tuple[tuple[str, int], ...] = ()


def message_scene(
    evidence: Evidence, anomaly: Anomaly | None, *, limit: int, origin_ns: int | None
) -> MessageScene:
    """Choose what to show: the window of the anomaly's operations, or else of all.

    limit: how many messages at most; the kinds that are most common go first, since heartbeats
    say least, and of what is left then the earliest.
    """
    everything = tuple(evidence.history or ())
    shown = anomaly.operations if anomaly is not None and anomaly.operations else everything
    begin, end = _window(shown, evidence.messages or ())
    operations = tuple(item for item in shown if item.start_ns <= end)
    nodes, clients = _lanes(evidence.messages or (), operations)
    lanes = (*nodes, *clients)
    inside = [
        item
        for item in evidence.messages or ()
        if item.sender in lanes
        and item.receiver in lanes
        and item.sent_ns <= end
        and (item.sent_ns if item.arrived_ns is None else item.arrived_ns) >= begin
    ]
    messages, left_out = _fewer(inside, limit)
    faults = tuple(
        span
        for span in fault_spans(evidence)
        if span.active_ns is not None
        and span.active_ns <= end
        and (span.healed_ns is None or span.healed_ns >= begin)
    )
    return MessageScene(
        lanes=lanes,
        messages=messages,
        operations=operations,
        faults=faults,
        begin_ns=begin,
        end_ns=end,
        origin_ns=begin if origin_ns is None else origin_ns,
        left_out=left_out,
    )


def _window(operations: Sequence[Operation], messages: Sequence[Message]) -> tuple[int, int]:
    if not operations:
        times = [item.sent_ns for item in messages]
        return (min(times, default=0), max(times, default=0))
    ends = [item.end_ns if item.end_ns is not None else item.start_ns for item in operations]
    begin = min(item.start_ns for item in operations)
    return begin - MARGIN_NS, max(ends) + MARGIN_NS


def _lanes(
    messages: Iterable[Message], operations: Sequence[Operation]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the nodes, and the clients of these operations as the simulator calls them."""
    clients = tuple(dict.fromkeys(f"p{item.process}" for item in operations))
    nodes = set()
    for item in messages:
        if item.kind not in SPOKEN_WITH_CLIENTS:
            nodes |= {item.sender, item.receiver}
        else:
            nodes.add(item.receiver if item.kind == "request" else item.sender)
    ordered = sorted(nodes, key=lambda name: (len(name), name))
    return tuple(ordered[:LANE_LIMIT]), clients[:LANE_LIMIT]


def _fewer(
    messages: Sequence[Message], limit: int
) -> tuple[tuple[Message, ...], tuple[tuple[str, int], ...]]:
    kept, left_out = list(messages), Counter[str]()
    while len(kept) > limit:
        kinds = Counter(item.kind for item in kept if item.kind not in SPOKEN_WITH_CLIENTS)
        if not kinds:
            left_out.update(item.kind for item in kept[:-limit])
            kept = kept[-limit:]
            break
        kind, count = kinds.most_common(1)[0]
        room = max(0, limit - (len(kept) - count))
        of_kind = [item for item in kept if item.kind == kind]
        dropped = {item.number for item in of_kind[: count - room]}
        left_out[kind] += len(dropped)
        kept = [item for item in kept if item.number not in dropped]
    return tuple(kept), tuple(sorted(left_out.items()))
