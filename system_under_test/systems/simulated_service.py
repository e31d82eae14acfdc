"""Makes a node's service live in the simulator: what the shell does on a host, done step by step.

The log has the bytes that a real one has, messages go through the real codec, and the trace has the
real format, so that what reads them notices no difference.
"""

from __future__ import annotations

import json
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from splitbrain.core.cluster import Topology
from splitbrain.core.errors import ESCAPES
from splitbrain.core.evidence import Trace as NodeTrace
from splitbrain.core.simulated import (
    Asked,
    Booted,
    Delivered,
    Event,
    Moment,
    NodeDied,
    Step,
)
from splitbrain.core.value import Value
from splitbrain.system_under_test.node import effects
from splitbrain.system_under_test.node.canonical import Json, compact_bytes
from splitbrain.system_under_test.node.durable import (
    NOTHING,
    Image,
    encode_log_frame,
    log_identity,
    read_image,
)
from splitbrain.system_under_test.node.effects import (
    Persist,
    Persisted,
    Received,
    Reply,
    Requested,
    Send,
    SetTimer,
    Stop,
    Tick,
    Trace,
)
from splitbrain.system_under_test.node.errors import NodeError, RequestError, refusal
from splitbrain.system_under_test.node.main import service_of
from splitbrain.system_under_test.node.shell import Service
from splitbrain.system_under_test.node.trace import read_trace
from splitbrain.system_under_test.node.wire import WireError
from splitbrain.system_under_test.systems import quick_json
from splitbrain.system_under_test.systems.node_client import AsksNodes
from splitbrain.system_under_test.systems.quick_json import decode

Known = dict[bytes, object]
Encode = Callable[[Json], bytes]
KNOWN = 256
"""So many messages are known by their bytes."""

LOG_PATH = Path("/var/lib/splitbrain/node.log")
"""Where messages say that the log lies."""


@dataclass(frozen=True, slots=True)
class _Codec:
    """How JSON is written. encode: over the wire. compact: into the log."""

    encode: Encode
    compact: Encode


def _strict(value: Json) -> bytes:
    """Give a value as a node on a host writes it. Raises: ValueError for what nobody could read."""
    text = compact_bytes(value)
    if b"\\ud" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            message = f"half of a character cannot be written: {error}"
            raise ValueError(message) from None
    return text


_STRICT = _Codec(_strict, _strict)
"""What is no JSON is an error."""

_QUICK = _Codec(quick_json.encode, quick_json.compact)
"""For those who write nothing else."""


class SimulatedNodes(AsksNodes, ABC):
    """What the simulator needs of a system whose nodes are services, beside its client cores.

    What nodes trace is evidence. `ask_all` puts an operator's question to them, which is how a
    system gets further powers, such as to tell who leads.

    ordered_links: links keep the order, as TCP does; a protocol that bears more may say so.
    is_well_behaved: nodes write and send nothing but JSON, and change no record that they were
    given, so that neither is looked after, which takes several times as long.
    messages_are_values: nothing in a message can be changed, and equal ones look alike on the wire,
    so that bytes that came before need not be read again, for whichever node.
    """

    name: str
    ordered_links = True
    is_well_behaved = False
    messages_are_values = False

    @cached_property
    def _codec(self) -> _Codec:
        return _QUICK if self.is_well_behaved else _STRICT

    @cached_property
    def _known(self) -> Known | None:
        return {} if self.messages_are_values else None

    @cached_property
    def _images(self) -> dict[str, tuple[bytes, Image]]:
        return {}

    @abstractmethod
    def make(self, node: str, topology: Topology, records: Sequence[Json], now_ns: int) -> Service:
        """Make a node from the records that its log holds. Raises: NodeError."""

    def boot(
        self, node: str, topology: Topology, disk: bytes, moment: Moment, number: int
    ) -> Booted:
        """Begin a node's life from the bytes of its log.

        Raises: NodeDied when the log is damaged, or the node refuses it.
        """
        identity = log_identity(self.name, node)
        try:
            image = self._read(node, disk, identity)
            service = self.make(node, topology, image.records, moment.now_ns)
            core = service.core
        except ESCAPES as error:
            raise _death(error) from error
        torn = len(disk) - image.end
        notes = (f"the log had a torn tail: {torn} bytes cut off",) if torn else ()
        kept, frames = disk[: image.end], image.frames
        if not frames:
            kept, frames = encode_log_frame(0, [identity]), 1
        life = ServiceLife(
            service,
            core,
            node=node,
            boot=f"{node}-{number}",
            identity=identity,
            frames=frames,
            codec=self._codec,
            known=self._known,
        )
        return Booted(life=life, disk=kept, notes=notes)

    def _read(self, node: str, disk: bytes, identity: Mapping[str, Json]) -> Image:
        """Read a node's log; what an earlier life of it read is not read again."""
        if not self.is_well_behaved:
            return read_image(LOG_PATH, disk, identity, parse=quick_json.parse)
        before, known = self._images.get(node, (b"", NOTHING))
        if not disk.startswith(before):
            known = NOTHING
        image = read_image(LOG_PATH, disk, identity, known=known, parse=quick_json.parse)
        self._images[node] = disk[: image.end], image
        return image

    def encode_request(self, request: Mapping[str, Value]) -> bytes:
        """Give a client's request as it goes over the wire."""
        return self._codec.encode(request)

    def decode_reply(self, payload: bytes) -> Mapping[str, Value]:
        """Read a node's reply."""
        value: Mapping[str, Value] = decode(payload)
        return value

    def message_kind(self, payload: bytes) -> str:
        """Name the kind of a message: its type."""
        value = decode(payload)
        return str(value.get("type", "?")) if isinstance(value, dict) else "?"

    def trace_path(self, node: str) -> str:  # noqa: ARG002 - the same on every node
        """Say where a node writes its trace."""
        return f"/var/lib/splitbrain/trace/{self.name}.jsonl"

    def read_trace(self, node: str, data: bytes) -> NodeTrace:
        """Read a node's trace, and name its gaps."""
        records, gaps = read_trace(data, quick_json.parse_lines)
        objects = cast("list[dict[str, Value]]", records)
        return NodeTrace(node=node, records=tuple(objects), gaps=tuple(gaps))


class SimulatedService(SimulatedNodes):
    """The same for a reference system: its nodes are what the node program runs on a host."""

    is_well_behaved = True

    @abstractmethod
    def configuration(self, node: str, topology: Topology) -> Mapping[str, Value]:
        """Give what a node's configuration file says."""

    def make(self, node: str, topology: Topology, records: Sequence[Json], now_ns: int) -> Service:
        """Make a node as the program would. Raises: NodeError."""
        text = json.dumps(self.configuration(node, topology)).encode()
        return service_of(self.name, text, records, now_ns)


class ServiceLife:
    """One life of a service.

    identity: the first frame of its log. frames: how many that has. codec: what writes its JSON.
    known: messages by their bytes, of all nodes; None where messages are no values.
    """

    def __init__(
        self,
        service: Service,
        core: effects.Core,
        *,
        node: str,
        boot: str,
        identity: Mapping[str, Json],
        frames: int,
        codec: _Codec,
        known: Known | None,
    ) -> None:
        self._service = service
        self._core = core
        self._node = node
        self._boot = boot
        self._identity = identity
        self._frames = frames
        self._codec = codec
        self._encode = codec.encode
        self._known = known
        self._seq = 0

    def start(self, moment: Moment) -> Step:  # noqa: ARG002 - the service was made with it
        """Begin."""
        try:
            return self._step(self._core.start())
        except ESCAPES as error:
            raise _death(error) from error

    def handle(self, moment: Moment, events: Sequence[Event]) -> Step:
        """Hand the core all that came, as one batch."""
        batch: list[effects.Event] = [Tick(moment.now_ns, moment.wall_ns)]
        refused: list[tuple[int, bytes]] = []
        for event in events:
            if type(event) is Delivered:
                message = self._message(event.payload)
                if message is not None:
                    batch.append(Received(event.sender, message))
            elif isinstance(event, Asked):
                try:
                    request = self._service.decode_request(decode(event.payload))
                except RequestError as error:
                    refused.append((event.token, self._body(refusal(error))))
                except ESCAPES as error:
                    raise _death(error) from error
                else:
                    batch.append(Requested(event.token, request))
        step = self._hand(batch)
        if refused:
            step.replies = [*refused, *step.replies]
        return step

    def persisted(self, moment: Moment, marks: Sequence[object]) -> Step:  # noqa: ARG002
        """Tell the core that its records are durable."""
        return self._hand([Persisted(mark) for mark in marks])

    def stop(self, moment: Moment) -> Step:
        """Tell the core that it ends."""
        return self._hand([Tick(moment.now_ns, moment.wall_ns), Stop()])

    def encode_traces(self, moment: Moment, traces: Sequence[object]) -> bytes:
        """Give the lines of the trace, numbered and dated as on a host."""
        try:
            return self._lines(moment, traces)
        except ESCAPES as error:
            raise _death(error) from error

    def _lines(self, moment: Moment, traces: Sequence[object]) -> bytes:
        lines = []
        for item in traces:
            trace = cast("Trace", item)
            record = {
                "node": self._node,
                "boot": self._boot,
                "seq": self._seq,
                "boot_ns": moment.now_ns,
                "wall_ns": moment.wall_ns,
                "event": trace.event,
                **trace.fields,
            }
            lines.append(self._encode(record))
            self._seq += 1
        lines.append(b"")
        return b"\n".join(lines)

    def answer(self, question: str) -> Mapping[str, Value] | None:
        """Answer an operator, with values of his own."""
        try:
            answer = self._service.admin(question)
            value: Mapping[str, Value] = decode(self._body({"ok": True, **answer}))
        except RequestError:
            return None
        except ESCAPES as error:
            raise _death(error) from error
        return value

    def _hand(self, batch: Sequence[effects.Event]) -> Step:
        try:
            return self._step(self._core.handle_batch(batch))
        except ESCAPES as error:
            raise _death(error) from error

    def _message(self, payload: bytes) -> object | None:
        """Read a message; one that is none costs a real node its connection, and us nothing."""
        known = self._known
        if known is not None and payload in known:
            return known[payload]
        try:
            message = self._service.decode_message(decode(payload))
        except WireError:
            return None
        except ESCAPES as error:
            raise _death(error) from error
        if known is not None:
            if len(known) >= KNOWN:
                known.clear()
            known[payload] = message
        return message

    def _body(self, body: Mapping[str, Json]) -> bytes:
        return self._encode({**body, "node": self._node})

    def _step(self, found: Sequence[effects.Effect]) -> Step:
        step = Step()
        persists: list[Persist] = []
        traces: list[object] = []
        sends: list[tuple[str, bytes]] = []
        replies: list[tuple[int, bytes]] = []
        last, payload = None, b""
        for effect in found if self._codec is _QUICK else map(_plain, found):
            if isinstance(effect, Trace):
                traces.append(effect)
            elif isinstance(effect, Send):
                message = effect.message
                if self._known is None or message != last:
                    payload = self._encode(self._service.encode_message(message))
                    last = message
                sends.append((effect.to, payload))
            elif isinstance(effect, SetTimer):
                step.timer_ns, step.sets_timer = effect.at_ns, True
            elif isinstance(effect, Persist):
                persists.append(effect)
            elif isinstance(effect, Reply):
                replies.append((effect.token, self._body(effect.body)))
            else:
                text = f"the simulator knows no effect {effect!r}"
                raise TypeError(text)
        if persists:
            self._persist(step, persists)
        step.traces, step.sends, step.replies = traces, sends, replies
        return step

    def _persist(self, step: Step, persists: Sequence[Persist]) -> None:
        """Put records into one frame of the log, or into a log of their own."""
        records: list[Json] = []
        for persist in persists:
            if persist.replaces:
                records.clear()
                step.rewrites = True
            records.extend(persist.records)
        step.marks = [persist.mark for persist in persists if persist.mark is not None]
        if step.rewrites:
            step.writes = self._frame(0, [self._identity]) + self._frame(1, records)
            self._frames = 2
        elif records:
            step.writes = self._frame(self._frames, records)
            self._frames += 1

    def _frame(self, number: int, records: Sequence[Json]) -> bytes:
        return encode_log_frame(number, records, self._codec.compact)


def _plain(effect: effects.Effect) -> effects.Effect:
    """Give an effect of a user's node on. Raises: TypeError for what no shell could carry out."""
    match effect:
        case Send(to=str()) | Reply(token=int()) | SetTimer(at_ns=int() | None):
            return effect
        case Send() | Reply() | SetTimer():
            message = f"this cannot be carried out: {effect!r}"
            raise TypeError(message)
    return effect


def _death(error: BaseException) -> NodeDied:
    """Turn what ends a daemon into the death of a node, with what its log would say."""
    if isinstance(error, NodeError):
        return NodeDied(str(error))
    if isinstance(error, SystemExit):
        return NodeDied(f"exit: {error.code}")
    # A core that failed half-way may hold anything: it must not say another word.
    return NodeDied("".join(traceback.format_exception(error)))
