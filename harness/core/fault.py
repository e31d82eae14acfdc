"""Faults as data, schedules of them, and the nemeses that carry them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Protocol, runtime_checkable

from splitbrain.core.errors import UsageError
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value, same

if TYPE_CHECKING:
    from splitbrain.core.cluster import Bed

SCHEDULE_VERSION = 1
FAULT_LIMIT = 10_000
SECONDS_LIMIT = 1e9


@dataclass(frozen=True, slots=True)
class At:
    """Start this many seconds after the main phase begins."""

    s: float


@dataclass(frozen=True, slots=True)
class After:
    """Start this many seconds after another fault took hold, or was healed if `healed` is set."""

    fault: str
    delay_s: float = 0.0
    healed: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A predicate over single records: of the journal, or of a node's trace.

    source: "journal" or "trace". node: whose trace; None means any. match: field to value; the
    value {"at_least": n} asks for a number of n or more. count: how many records must match.
    """

    source: str
    match: Mapping[str, Value]
    node: str | None = None
    count: int = 1

    def holds_for(self, record: Mapping[str, Value]) -> bool:
        """Tell whether one record matches."""
        return all(_matches(record.get(name), wanted) for name, wanted in self.match.items())


@dataclass(frozen=True, slots=True)
class When:
    """Start when a condition holds; the fault is missed if it does not within `within_s` seconds.

    after: begin to look only once this other fault took hold. delay_s: how long to wait then.
    """

    condition: Condition
    within_s: float
    after: str | None = None
    delay_s: float = 0.0


Start = At | After | When


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to break.

    id: unique in its schedule. kind: the name of the nemesis that knows how. duration_s: None
    means until the end of the run. target: which nodes, as the nemesis understands it: a name such
    as "one", "majority", "primaries", or a list of nodes. params: more, by the nemesis.
    """

    id: str
    kind: str
    start: Start
    duration_s: float | None = None
    target: Value = None
    params: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults in any order; every sub-list of a schedule is a schedule.

    A start that refers to a fault which is not there never comes, and the fault is missed.
    """

    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for fault in self.faults:
            if fault.id in seen:
                message = f"the schedule has two faults with the id {fault.id!r}"
                raise UsageError(message)
            seen.add(fault.id)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of fault that occur, sorted."""
        return tuple(sorted({fault.kind for fault in self.faults}))

    def to_value(self) -> Value:
        """Give the schedule as JSON."""
        return {"version": SCHEDULE_VERSION, "faults": [fault_to_value(f) for f in self.faults]}

    @classmethod
    def from_value(cls, value: Value) -> Schedule:
        """Read a schedule from JSON.

        Raises: UsageError naming the fault and the field that cannot be used.
        """
        if not isinstance(value, dict) or value.get("version") != SCHEDULE_VERSION:
            message = f'a schedule is an object with "version": {SCHEDULE_VERSION} and "faults"'
            raise UsageError(message)
        _Fields(value, "the schedule").require_known("version", "faults")
        faults = value.get("faults")
        if not isinstance(faults, list) or len(faults) > FAULT_LIMIT:
            message = f'"faults" of a schedule is a list of at most {FAULT_LIMIT}'
            raise UsageError(message)
        return cls(tuple(_fault_from(item, place) for place, item in enumerate(faults)))


def fault_to_value(fault: Fault) -> Value:
    """Give one fault as JSON."""
    return {
        "id": fault.id,
        "kind": fault.kind,
        "start": _start_to_value(fault.start),
        "duration_s": fault.duration_s,
        "target": fault.target,
        "params": dict(fault.params),
    }


def _start_to_value(start: Start) -> Value:
    if isinstance(start, At):
        return {"at_s": start.s}
    if isinstance(start, After):
        return {"after": start.fault, "delay_s": start.delay_s, "healed": start.healed}
    condition = start.condition
    when: dict[str, Value] = {"source": condition.source, "match": dict(condition.match)}
    when |= {"node": condition.node, "count": condition.count}
    return {
        "when": when,
        "within_s": start.within_s,
        "after": start.after,
        "delay_s": start.delay_s,
    }


def _fault_from(item: Value, place: int) -> Fault:
    if not isinstance(item, dict):
        message = f"fault {place} of the schedule is not an object"
        raise UsageError(message)
    reader = _Fields(item, f"fault {item.get('id', place)!r} of the schedule")
    reader.require_known("id", "kind", "start", "duration_s", "target", "params")
    duration = None if item.get("duration_s") is None else reader.number("duration_s")
    return Fault(
        id=reader.text("id"),
        kind=reader.text("kind"),
        start=_start_from(_Fields(reader.mapping("start"), f"{reader.place}, start")),
        duration_s=duration,
        target=item.get("target"),
        params=reader.mapping("params") if "params" in item else {},
    )


def _start_from(fields: _Fields) -> Start:
    if "at_s" in fields.item:
        fields.require_known("at_s")
        return At(fields.number("at_s"))
    if "when" in fields.item:
        fields.require_known("when", "within_s", "after", "delay_s")
        condition = _condition_from(_Fields(fields.mapping("when"), f"{fields.place}, when"))
        after = fields.text("after") if fields.item.get("after") is not None else None
        return When(condition, fields.number("within_s"), after, fields.number("delay_s", 0.0))
    if "after" in fields.item:
        fields.require_known("after", "delay_s", "healed")
        healed = fields.item.get("healed", False)
        if not isinstance(healed, bool):
            fields.refuse("healed", "true or false")
        return After(fields.text("after"), fields.number("delay_s", 0.0), healed)
    message = f'{fields.place}: needs one of "at_s", "after" and "when"'
    raise UsageError(message)


def _condition_from(fields: _Fields) -> Condition:
    fields.require_known("source", "match", "node", "count")
    source = fields.text("source")
    if source not in ("journal", "trace"):
        fields.refuse("source", '"journal" or "trace"')
    count = fields.item.get("count", 1)
    if type(count) is not int or count < 1:
        fields.refuse("count", "a whole number of 1 or more")
    node = fields.text("node") if fields.item.get("node") is not None else None
    match = fields.mapping("match")
    for name, wanted in match.items():
        if isinstance(wanted, dict) and "at_least" in wanted and not _is_bound(wanted):
            message = f'{fields.place}, match: {name!r} asks for {{"at_least": NUMBER}} alone'
            raise UsageError(message)
    return Condition(source, match, node, count)


@dataclass(frozen=True, slots=True)
class _Fields:
    item: Mapping[str, Value]
    place: str

    def refuse(self, name: str, wanted: str) -> NoReturn:
        found = f"not {self.item[name]!r}" if name in self.item else "and is missing"
        message = f"{self.place}: {name!r} must be {wanted}, {found}"
        raise UsageError(message)

    def require_known(self, *names: str) -> None:
        strange = [name for name in self.item if name not in names]
        if strange:
            message = f"{self.place}: there is no {strange[0]!r} here; there are {', '.join(names)}"
            raise UsageError(message)

    def text(self, name: str) -> str:
        value = self.item.get(name)
        if not isinstance(value, str) or not value:
            self.refuse(name, "a name")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.item.get(name, default)
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not fits or not 0 <= value <= SECONDS_LIMIT:  # type: ignore[operator]
            self.refuse(name, f"a number of seconds from 0 to {SECONDS_LIMIT:g}")
        return float(value)  # type: ignore[arg-type]

    def mapping(self, name: str) -> Mapping[str, Value]:
        value = self.item.get(name)
        if not isinstance(value, dict):
            self.refuse(name, "an object")
        return value


def _is_bound(wanted: Mapping[str, Value]) -> bool:
    """Tell whether this asks for a number of so much or more."""
    return set(wanted) == {"at_least"} and isinstance(wanted["at_least"], (int, float))


def _matches(found: Value, wanted: Value) -> bool:
    if isinstance(wanted, dict) and _is_bound(wanted):
        return isinstance(found, (int, float)) and found >= wanted["at_least"]  # type: ignore[operator]
    return same(found, wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a nemesis draws its faults for.

    nodes: names, sorted. time_limit_s: length of the main phase. interval_s: about how long from
    the start of one fault of a kind to the start of the next. powers: what the bed can tell or do,
    among "primaries".
    """

    nodes: tuple[str, ...]
    time_limit_s: float
    interval_s: float = 10.0
    powers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a nemesis may know when a fault resolves its targets.

    primaries: the nodes that believe to lead, most recent first; empty when nobody does or when
    the system cannot tell. rng: keyed by the seed and the fault's id.
    """

    nodes: tuple[str, ...]
    primaries: tuple[str, ...]
    rng: Keyed


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A fault with what its target came to; written to the journal before it is injected.

    nodes: the nodes that it hits. detail: whatever else the nemesis decided, as JSON.
    """

    fault: Fault
    nodes: tuple[str, ...]
    detail: Value = None

    def to_value(self) -> Value:
        """Give it as JSON."""
        nodes: list[Value] = list(self.nodes)
        return {"fault": fault_to_value(self.fault), "nodes": nodes, "detail": self.detail}

    @classmethod
    def from_value(cls, value: Value) -> Resolved:
        """Read it from JSON.

        Raises: UsageError when it is something else.
        """
        if not isinstance(value, dict) or not isinstance(value.get("nodes"), list):
            message = 'a resolved fault is an object with "fault", "nodes" and "detail"'
            raise UsageError(message)
        nodes = value["nodes"]
        assert isinstance(nodes, list)
        fault = _fault_from(value.get("fault"), 0)
        return cls(fault=fault, nodes=tuple(map(str, nodes)), detail=value.get("detail"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """A fault that took hold. proof: what shows it, as JSON. undo: what heal needs to know."""

    resolved: Resolved
    proof: Value = None
    undo: Value = None

    @property
    def layer(self) -> str:
        """The layer under which the facets hold this fault: its id."""
        return self.resolved.fault.id


class Nemesis(Protocol):
    """Carries out the faults of one kind.

    Only inject and heal are needed of a simple nemesis; `nemeses.complete` fills in the others.
    """

    @property
    def kind(self) -> str:
        """The kind of fault that it knows."""

    def unavailable(self, bed: Bed) -> str | None:
        """Say why this bed cannot suffer the fault, or None when it can."""

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw faults for a run; the first of them starts in the first two thirds."""

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide which nodes the fault hits. Pure.

        Raises: HarnessError when the target has no meaning now; the fault is missed then.
        """

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Make it so; return once it took hold, with the proof.

        Raises: NotInjectedYetError soon when it has to wait for something: it is called again
        later, with the same nodes. HarnessError when it could not; whatever was begun is undone by
        `heal`.
        """

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Undo it; may be called again, and for an injection that failed half-way.

        Raises: NotHealedYetError soon when other faults are in the way: it is called again later.
        """


@runtime_checkable
class SimpleNemesis(Protocol):
    """What a nemesis of a few lines must have."""

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Make it so."""

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Undo it."""


@runtime_checkable
class Preparing(Protocol):
    """A nemesis that must get the cluster ready before the daemons start."""

    def prepare(self, bed: Bed) -> None:
        """Get ready; called once, where the nemesis is available."""


@runtime_checkable
class KnowsParams(Protocol):
    """A nemesis that tells which parameters its faults may have: a misspelt one is found then."""

    @property
    def params(self) -> frozenset[str]:
        """The names of the parameters."""


NemesisFactory = Callable[[], Nemesis]


def by_kind(nemeses: Iterable[Nemesis]) -> Mapping[str, Nemesis]:
    """Give nemeses by their kind.

    Raises: UsageError when two have the same.
    """
    table: dict[str, Nemesis] = {}
    for nemesis in nemeses:
        if nemesis.kind in table:
            message = f"two nemeses are named {nemesis.kind!r}"
            raise UsageError(message)
        table[nemesis.kind] = nemesis
    return table
