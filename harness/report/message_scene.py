"""What a message diagram shows: who spoke to whom around an anomaly, in the order of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from splitbrain.core.evidence import Evidence
from splitbrain.core.message import Message
from splitbrain.core.operation import Operation
from splitbrain.core.verdict import Anomaly
from splitbrain.report.alphabet import Alphabet
from splitbrain.report.fault_span import FaultSpan, fault_spans
from splitbrain.report.proof_mark import ProofMark, proof_marks

MARGIN_NS = 20_000_000
REACH_NS = 100_000_000
"""How far from an anomaly messages are shown where not all can be."""

NODE_LIMIT = 12
CLIENT_LIMIT = 7
MARK_LIMIT = 10
TITLE_LINES = 4
UNRELATED = 3
"""So many times as far counts what passes the anomaly's nodes by, and what came after it."""

SPOKEN_WITH_CLIENTS = ("request", "reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of each a diagram shows at most."""

    messages: int
    operations: int
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageScene:
    """A window of a run. lanes: nodes first, then the clients of the operations.

    title: the anomaly and why it cannot be. marks: records that prove it. left_out: how much of
    each kind lies in this window and is not shown.
    """

    lanes: tuple[str, ...]
    messages: tuple[Message, ...]
    operations: tuple[Operation, ...]
    faults: tuple[FaultSpan, ...]
    begin_ns: int
    end_ns: int
    origin_ns: int
    title: str = ""
    marks: tuple[ProofMark, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()


def client_of(operation: Operation) -> str:
    """Give the client of an operation, as the simulator calls it."""
    return f"p{operation.process}"


def words_of(message: Message) -> str:
    """Give the kind of a message, and whether it came a second time."""
    again = message.fate.removeprefix("delivered") if message.arrived_ns is not None else ""
    return f"{message.kind}{again}"


def title_lines(scene: MessageScene, alphabet: Alphabet, cells: int) -> list[str]:
    """Give the title on a few lines of so many cells."""
    return alphabet.lines(scene.title, cells, TITLE_LINES)


def message_scene(
    evidence: Evidence, anomaly: Anomaly | None, *, limits: Limits, origin_ns: int | None
) -> MessageScene:
    """Choose what to show: all of a run that is small, or else what is nearest to the anomaly.

    A few operations are all shown; of many those that prove the anomaly, or the nearest. Proof that
    has no time, such as what a replica held in the end, is about the operations on its key.
    """
    every, sent = tuple(evidence.history or ()), evidence.messages or ()
    proof = proof_marks(anomaly, sent)
    marks = proof[:MARK_LIMIT]
    own = () if anomaly is None else anomaly.operations[: limits.operations]
    if anomaly is not None and not own and not marks:
        own = _on_keys_of(anomaly, every)[-limits.operations :]
    focus = _Focus(marks, own)
    operations = _operations(every, own, focus, limits.operations)
    lanes = (*_nodes(sent, focus.nodes), *dict.fromkeys(map(client_of, operations)))
    messages = _nearest(_drawable(sent, lanes, operations), focus, limits.messages)

    wide = [(begin - MARGIN_NS, end + MARGIN_NS) for begin, end in focus.moments]
    wide += [(item.start_ns - MARGIN_NS, _end_ns(item) + MARGIN_NS) for item in operations]
    wide += [(item.sent_ns, arrival_ns(item)) for item in messages]
    begin = min((begin for begin, _ in wide), default=0)
    end = max((end for _, end in wide), default=0)
    spans = [span for span in fault_spans(evidence) if _is_in(span, begin, end)]
    faults = sorted(spans, key=focus.from_fault_ns)[: limits.faults]

    seen = Counter(item.kind for item in sent if arrival_ns(item) >= begin and item.sent_ns <= end)
    seen.subtract(item.kind for item in messages)
    others = sum(item.start_ns <= end and _end_ns(item) >= begin for item in every)
    left_out = [
        ("other operations", others - len(operations)),
        ("of the faults", len(spans) - len(faults)),
        ("of the proof", len(proof) - len(marks)),
        *sorted(seen.items()),
    ]
    return MessageScene(
        lanes=lanes,
        messages=messages,
        operations=operations,
        faults=tuple(span for span in spans if span in faults),
        begin_ns=begin,
        end_ns=end,
        origin_ns=begin if origin_ns is None else origin_ns,
        title="" if anomaly is None else f"{anomaly.name}: {anomaly.explanation}",
        marks=marks,
        left_out=tuple((what, count) for what, count in left_out if count > 0),
    )


class _Focus:
    """The anomaly in time: moments, each with its begin and end, and the nodes that it is about."""

    def __init__(self, marks: Sequence[ProofMark], operations: Sequence[Operation]) -> None:
        self.moments = [(mark.time_ns, mark.time_ns) for mark in marks]
        self.moments += [(item.start_ns, _end_ns(item)) for item in operations]
        nodes = [mark.node for mark in marks] + [item.node for item in operations if item.node]
        self.nodes = tuple(dict.fromkeys(nodes))[:NODE_LIMIT]

    def from_ns(self, begin_ns: int, end_ns: int) -> int:
        """Give how far something is from the nearest moment, 0 where there is none."""
        return min(
            (max(first - end_ns, UNRELATED * (begin_ns - last), 0) for first, last in self.moments),
            default=0,
        )

    def from_message_ns(self, message: Message) -> int:
        """Give how far a message is; one between a client and a node belongs to what is shown."""
        if message.kind in SPOKEN_WITH_CLIENTS:
            return 0
        is_near = message.sender in self.nodes or message.receiver in self.nodes
        far_ns = self.from_ns(message.sent_ns, arrival_ns(message))
        return far_ns if is_near else UNRELATED * far_ns

    def from_fault_ns(self, span: FaultSpan) -> int:
        """Give how far the nearer end of a fault is."""
        ends = [time_ns for time_ns in (span.active_ns, span.healed_ns) if time_ns is not None]
        return min((self.from_ns(time_ns, time_ns) for time_ns in ends), default=0)


def _on_keys_of(anomaly: Anomaly, every: Iterable[Operation]) -> tuple[Operation, ...]:
    keys = [item["key"] for item in anomaly.evidence if isinstance(item, dict) and "key" in item]
    return tuple(item for item in every if item.key in keys)


def _operations(
    every: Sequence[Operation], own: Sequence[Operation], focus: _Focus, limit: int
) -> tuple[Operation, ...]:
    def far_ns(item: Operation) -> int:
        return focus.from_ns(item.start_ns, _end_ns(item))

    if len(every) <= limit and len(set(map(client_of, every))) <= CLIENT_LIMIT:
        return tuple(every)
    wanted = own or sorted((item for item in every if far_ns(item) <= MARGIN_NS), key=far_ns)
    kept: list[Operation] = []
    clients = set[str]()
    for item in wanted:
        if len(kept) < limit and len(clients | {client_of(item)}) <= CLIENT_LIMIT:
            kept.append(item)
            clients.add(client_of(item))
    return tuple(sorted(kept, key=lambda item: item.invoke_index))


def _nodes(messages: Iterable[Message], first: Collection[str]) -> Iterator[str]:
    """Give the nodes by name; where they are too many, those that come first and some others."""
    nodes = set(first)
    for item in messages:
        if item.kind != "request":
            nodes.add(item.sender)
        if item.kind != "reply":
            nodes.add(item.receiver)
    kept = sorted(nodes, key=lambda name: (name not in first, len(name), name))[:NODE_LIMIT]
    return iter(sorted(kept, key=lambda name: (len(name), name)))


def _drawable(
    messages: Iterable[Message], lanes: Collection[str], operations: Iterable[Operation]
) -> list[Message]:
    """Give the messages between lanes; of a client only what one of its operations brought."""
    asked: dict[str, list[Operation]] = {}
    for operation in operations:
        asked.setdefault(client_of(operation), []).append(operation)
    return [
        item
        for item in messages
        if item.sender in lanes
        and item.receiver in lanes
        and (
            item.kind not in SPOKEN_WITH_CLIENTS
            or any(
                one.start_ns <= item.sent_ns and (one.end_ns is None or item.sent_ns <= one.end_ns)
                for one in (*asked.get(item.sender, ()), *asked.get(item.receiver, ()))
            )
        )
    ]


def _nearest(messages: Sequence[Message], focus: _Focus, limit: int) -> tuple[Message, ...]:
    """Leave out what is farthest; of what is about as far the most common: heartbeats say least."""
    if len(messages) <= limit:
        return tuple(messages)
    common = Counter(map(_sort, messages))

    def rank(item: Message) -> tuple[int, int, int, int]:
        far_ns = focus.from_message_ns(item)
        return far_ns // MARGIN_NS, common[_sort(item)], far_ns, -item.number

    near = [item for item in messages if focus.from_message_ns(item) <= REACH_NS]
    return tuple(sorted(sorted(near, key=rank)[:limit], key=lambda item: item.number))


def _sort(message: Message) -> tuple[str, ...]:
    """Give what it is one of many of: a client asks few times, unless it asks again and again."""
    if message.kind in SPOKEN_WITH_CLIENTS:
        return message.sender, message.receiver
    return (message.kind,)


def _is_in(span: FaultSpan, begin_ns: int, end_ns: int) -> bool:
    return (
        span.active_ns is not None
        and span.active_ns <= end_ns
        and (span.healed_ns is None or span.healed_ns >= begin_ns)
    )


def arrival_ns(message: Message) -> int:
    """Give when a message arrived, or when it was sent where it never did."""
    return message.sent_ns if message.arrived_ns is None else message.arrived_ns


def _end_ns(operation: Operation) -> int:
    return operation.start_ns if operation.end_ns is None else operation.end_ns
