"""The life of each fault, gathered from its steps in the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from splitbrain.core.evidence import Evidence
from splitbrain.core.journal import FaultEvent
from splitbrain.core.value import Value

MAIN_PHASE = "main"
_SIZES = {"offset_s": (1, "s"), "rate_ppb": (1e-7, "%")}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpan:
    """One fault: what it was, what it hit, and when.

    state: of its last step. shape: what sort of its kind it was ("majority", "jump +2.5s"), empty
    if the journal does not say. begun_ns: its injection began. active_ns: it took hold. healed_ns:
    it was undone. All by the controller's monotonic clock. reason: why it was missed, or what its
    healing met.
    """

    id: str
    kind: str
    state: str
    shape: str = ""
    nodes: tuple[str, ...] = ()
    begun_ns: int | None = None
    active_ns: int | None = None
    healed_ns: int | None = None
    reason: str | None = None

    @property
    def took_hold(self) -> bool:
        """True once the fault was active."""
        return self.active_ns is not None

    @property
    def missed(self) -> bool:
        """True when the fault never took hold, whatever was undone of it."""
        return not self.took_hold and self.state != "expired"


def fault_spans(evidence: Evidence) -> tuple[FaultSpan, ...]:
    """Give the faults of a run: those that began in the order of their beginning, then the rest."""
    spans: dict[str, FaultSpan] = {}
    for _, event in evidence.faults or ():
        before = spans.get(event.fault)
        if before is None:
            before = FaultSpan(id=event.fault, kind=event.kind, state=event.state)
        spans[event.fault] = _advanced(before, event)
    began = [span for span in spans.values() if span.begun_ns is not None]
    others = [span for span in spans.values() if span.begun_ns is None]
    return (*sorted(began, key=lambda span: span.begun_ns or 0), *others)


def main_start_ns(evidence: Evidence) -> int | None:
    """Give the moment from which people count: the start of the main phase, or of the history."""
    for _, phase in evidence.phases or ():
        if phase.name == MAIN_PHASE:
            return phase.time_ns
    if evidence.history is not None and len(evidence.history):
        return int(evidence.history.start_ns[0])
    return None


def _advanced(span: FaultSpan, event: FaultEvent) -> FaultSpan:
    at_ns = event.time_ns
    span = replace(span, state=event.state, reason=event.error or span.reason)
    if event.resolved is not None:
        span = replace(span, nodes=_nodes(event.resolved), shape=_shape(event.resolved))
    if event.state == "injecting":
        return replace(span, begun_ns=at_ns)
    if event.state == "active":
        return replace(span, active_ns=at_ns, begun_ns=span.begun_ns or at_ns)
    if event.state in ("healed", "expired"):
        return replace(span, healed_ns=at_ns)
    return span


def _nodes(resolved: Value) -> tuple[str, ...]:
    nodes = resolved.get("nodes") if isinstance(resolved, dict) else None
    return tuple(str(node) for node in nodes) if isinstance(nodes, list) else ()


def _shape(resolved: Value) -> str:
    """Give the word for the sort of a fault, with its size where that is one number."""
    if not isinstance(resolved, dict):
        return ""
    fault = _object(resolved.get("fault"))
    params, detail = _object(fault.get("params")), _object(resolved.get("detail"))
    words = (detail.get("shape"), params.get("shape"), fault.get("target"))
    word = next((word for word in words if isinstance(word, str)), "")
    return " ".join(filter(None, [word, *_sizes(params)]))


def _sizes(params: Mapping[str, Value]) -> Iterator[str]:
    for name, (factor, unit) in _SIZES.items():
        size = params.get(name)
        if isinstance(size, (int, float)) and not isinstance(size, bool):
            yield f"{size * factor:+.4g}{unit}"


def _object(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, dict) else {}
