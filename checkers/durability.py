"""No acknowledged write is lost: the final dumps hold it, or something that rightly replaced it.

What rightly replaces a write: a version whose writer had seen it (a causal successor), or, where a
key keeps one version, one of a higher rank. Where clocks decide the rank, and where the system says
that ranks follow real time, a write that had ended before the lost one began is no such excuse: the
later write was acknowledged and is gone. Loss is claimed only when the system had settled.

A write that some replicas hold is not lost. A replica that acknowledged it must hold it, though,
and the other ones must where something mends replicas afterwards (the fact `mends`). What
was deleted and buried need not be held. What missing dumps or traces may hold or tell is doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from splitbrain.checkers.replicas.dump import Place
from splitbrain.checkers.replicas.findings import (
    Findings,
    are_mended,
    listed,
    shown_cell,
    shown_write,
    unsettled_reason,
)
from splitbrain.checkers.replicas.left import Left
from splitbrain.checkers.replicas.past import Contexts, Past
from splitbrain.checkers.replicas.trace import Acked, Traces
from splitbrain.checkers.replicas.version import Cell, Version, named
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.value import Value, canonical
from splitbrain.core.verdict import Verdict, unknown


class Durability:
    """Checks that every replica of a key holds each acknowledged write, or what replaced it."""

    name = "durability"
    needs = frozenset({Need.HISTORY, Need.DUMPS, Need.TRACES, Need.PHASES})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Look for each acknowledged write in the dumps."""
        assert evidence.history is not None
        left = Left.of(evidence)
        dumps, traces = left.dumps, left.traces
        writes = _Writes.of(evidence.history)
        findings = Findings(reasons=[*left.missing])
        untraced = writes.untraced(traces, evidence.facts)
        if untraced:
            findings.reasons.append(
                f"{untraced} acknowledged writes stand in no trace: nobody says what they were"
            )
        unsettled = unsettled_reason(evidence)
        if unsettled is not None:
            return unknown(unsettled, *findings.reasons[:10])
        by_place: dict[Place, list[Acked]] = {}
        for write in traces.acked:
            by_place.setdefault(write.place, []).append(write)
        contexts = {place: Contexts.of(own) for place, own in by_place.items()}
        case = _Case(left, writes, evidence.facts, contexts)
        for write in traces.acked:
            _look_for(write, case, findings)
        return findings.verdict(
            len(traces.acked),
            "no write was acknowledged: there was nothing to lose",
            acknowledged=len(traces.acked),
            keys=len(dumps.cells),
        )


@dataclass(frozen=True, slots=True)
class _Writes:
    """The writes of the history by key and value, where those name one operation alone."""

    by_value: Mapping[tuple[str, str], Operation]

    @classmethod
    def of(cls, history: History) -> _Writes:
        """Sort the writes of a history."""
        found: dict[tuple[str, str], list[Operation]] = {}
        for row in history.is_f("write").nonzero()[0]:
            item = history[int(row)]
            found.setdefault((canonical(item.key), canonical(item.argument)), []).append(item)
        single = {place: items[0] for place, items in found.items() if len(items) == 1}
        return cls(single)

    def of_version(self, place: Place, value: Value) -> Operation | None:
        """Give the one operation that wrote a value to a key, None where several may have."""
        return self.by_value.get((place[1], canonical(value)))

    def untraced(self, traces: Traces, facts: Mapping[str, Value]) -> int:
        """Count the acknowledged writes that no coordinator's trace names."""
        traced = {(write.place[1], canonical(write.value)) for write in traces.acked}
        return sum(
            item.outcome is Outcome.OK
            and place not in traced
            and not _is_sequential(item.key, facts)
            for place, item in self.by_value.items()
        )


def _is_sequential(key: Value, facts: Mapping[str, Value]) -> bool:
    """Tell whether a key is of the level that one log orders; its writes have no versions."""
    levels = facts.get("levels")
    prefix = key.partition("/")[0] if isinstance(key, str) and "/" in key else None
    if prefix is not None and isinstance(levels, list) and prefix in levels:
        return prefix == "sequential"
    return facts.get("level") == "sequential"


@dataclass(frozen=True, slots=True)
class _Case:
    """What a write is looked for in. pasts: of the cells that were looked at, by node and place."""

    left: Left
    writes: _Writes
    facts: Mapping[str, Value]
    contexts: Mapping[Place, Contexts]
    pasts: dict[tuple[str, Place], Past] = field(default_factory=dict)

    def excuse(self, write: Acked, cell: Cell) -> Version | None:
        """Give the version that holds or replaced a write, None when it is lost.

        What replaced it may have been replaced in its turn. Of versions that stand side by side any
        is given: which one did it counts where one alone is kept.
        """
        if not cell.versions:
            return None
        by = cell.versions[0]
        if cell.keeps_one:
            by = max(cell.versions, key=lambda version: version.rank)
            if by.rank >= (write.stamp, *write.dot):
                return by
        place = cell.node, cell.place
        if place not in self.pasts:
            self.pasts[place] = Past.of(cell, self.contexts[write.place])
        return by if self.pasts[place].covers(write.dot) else None


def _look_for(write: Acked, case: _Case, findings: Findings) -> None:
    dumps, writes, place = case.left.dumps, case.writes, write.place
    own = writes.of_version(place, write.value) if not write.deleted else None
    operations = [] if own is None else [own]
    held = dumps.cells.get(place, {})
    what = f"the write {named(write.dot)} to key {place[1]} ({place[0]})"
    looked = _Looked()
    for node in dumps.replicas(place) or sorted(case.left.nodes):
        cell = held.get(node)
        by = None if cell is None else case.excuse(write, cell)
        if cell is None or by is None:
            _without(write, node, case.left, looked).append(node)
            continue
        looked.holders.append(node)
        winner = writes.of_version(place, by.value)
        if by.dot != write.dot and own and winner and _outlives(cell, case.facts, write, by):
            ended = winner.complete_index
            if winner.outcome is Outcome.OK and ended is not None and ended < own.invoke_index:
                findings.add(
                    "lost-write",
                    f"{what} was acknowledged by {write.node}, and on {node} it is "
                    f"outranked by {named(by.dot)}, which had ended before it began: the stamp "
                    f"{by.stamp} is greater than {write.stamp}, and the later write is gone",
                    (shown_write(write), shown_cell(cell)),
                    [own, winner],
                )
                return
    is_mended = bool(held) and are_mended(place[0], case.facts)
    claim = _claim(write, looked, is_held=bool(held), is_mended=is_mended)
    if claim is not None:
        name, told, node = claim
        cell = held.get(node)
        findings.add(
            name,
            f"{what} was acknowledged by {write.node}, and {told}",
            (shown_write(write), *(() if cell is None else (shown_cell(cell),))),
            operations,
        )


@dataclass(frozen=True, slots=True)
class _Looked:
    """The replicas by what their dumps say of a write; all nodes where nobody knows the replicas.

    buried: it was deleted there, rightly. hidden: what would tell is missing.
    """

    holders: list[str] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


def _without(write: Acked, node: str, left: Left, looked: _Looked) -> list[str]:
    """Say what it means that a node shows neither a write nor what replaced it."""
    if node not in left.dumps.members:
        return looked.hidden
    if left.is_excused(write, node):
        return looked.buried
    return looked.hidden if left.is_doubtful(write, node) else looked.lacking


def _claim(
    write: Acked, looked: _Looked, *, is_held: bool, is_mended: bool
) -> tuple[str, str, str] | None:
    """Give the name of what is wrong, the rest of its sentence, and a node that shows it."""
    if not looked.lacking:
        return None
    first = looked.lacking[0]
    if not (looked.holders or looked.buried or looked.hidden):
        what = "it or anything that replaced it" if is_held else "the key"
        return "lost-write", f"no replica holds {what}", first
    nothing = "neither it nor anything that replaced it"
    for node in looked.lacking:
        if node in write.acks:
            told = f"{node}, which had told that it was durable there, holds {nothing}"
            return "forgotten-write", f"{told}; {_others(looked)}", node
    if not is_mended:
        return None
    told = f"{first}, a replica of the key, holds {nothing}; {_others(looked)}"
    return "under-replicated", told, first


def _others(looked: _Looked) -> str:
    """Say what the other replicas have."""
    if looked.holders:
        return f"{listed(looked.holders)} still {'does' if len(looked.holders) == 1 else 'do'}"
    if looked.buried:
        return f"{listed(looked.buried)} had it, and dropped it as it was deleted"
    return f"whether {listed(looked.hidden)} did cannot be known"


def _outlives(cell: Cell, facts: Mapping[str, Value], write: Acked, by: Version) -> bool:
    """Tell whether the rank of versions must follow real time, or else writes are lost.

    A version whose writer had seen the write replaced it, whatever the clocks say.
    """
    if by.context.covers(write.dot) or not cell.keeps_one:
        return False
    if cell.level == "strong":
        return True
    if cell.level != "eventual":
        return False
    if facts.get("timestamps") == "wall":
        return True
    n, r, w = facts.get("n"), facts.get("r"), facts.get("w")
    if facts.get("timestamps") != "quorum" or facts.get("sloppy") is True:
        return False
    return isinstance(n, int) and isinstance(r, int) and isinstance(w, int) and r + w > n
