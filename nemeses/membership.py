"""Nodes that are removed from the cluster and added again, through the system's own requests.

`params["wish"]` is "remove" (the default; healing adds them again), "add" (nodes that the system
began without; they stay) or "transfer" (the first node is to lead; there is nothing to heal).
A change is asked for again until the system took it up, one node at a time, and a removal never
leaves less than a majority of all nodes as members.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from splitbrain.core.cluster import Bed, Members
from splitbrain.core.errors import (
    HarnessError,
    NotHealedYetError,
    NotInjectedYetError,
    UsageError,
)
from splitbrain.core.fault import At, Fault, Injection, Resolved, Shape, View
from splitbrain.core.randomness import Keyed
from splitbrain.core.value import Value
from splitbrain.nemeses.node_fault import NodeFault, pinned
from splitbrain.nemeses.timing import alternating, slots

WISHES = ("remove", "add", "transfer")
STEP_S = 0.1
PATIENCE_S = 15.0
"""How long changes that follow in virtual time are asked for."""
TURN_S = 1.0
"""How long healing goes on before other faults have their turn, which may be what it waits for."""


class Membership(NodeFault):
    """Removes members and adds them again."""

    kind = "membership"
    params = frozenset({"wish"})

    def __init__(self) -> None:
        self._out: dict[str, frozenset[str]] = {}
        self._before: dict[str, tuple[str, ...]] = {}

    def unavailable(self, bed: Bed) -> str | None:
        """Say why members cannot be changed here."""
        return "this system cannot change its members" if bed.members is None else None

    def draw(self, rng: Keyed, shape: Shape) -> Sequence[Fault]:
        """Draw removals of one node, of a minority and of the leader in turn."""
        gentle = ["one"] + ["minority"] * (len(shape.nodes) >= 5)
        if "primaries" in shape.powers:
            gentle.append("leader")
        order = alternating(rng, gentle)
        return [
            Fault(
                id=f"{self.kind}-{slot.number}",
                kind=self.kind,
                start=At(slot.start_s),
                duration_s=slot.duration_s,
                target=order[(slot.number - 1) % len(order)],
            )
            for slot in slots(rng, shape)
            if len(shape.nodes) >= 3
        ]

    def resolve(self, fault: Fault, view: View) -> Resolved:
        """Decide whom it concerns.

        Raises: UsageError for what is no wish or no target, HarnessError for a target without a
        meaning now.
        """
        wish = fault.params.get("wish", "remove")
        if wish not in WISHES:
            message = f"the fault {fault.id!r}: 'wish' must be one of {', '.join(WISHES)}"
            raise UsageError(message)
        resolved = super().resolve(fault, view)
        assert isinstance(resolved.detail, dict)
        resolved.detail["wish"] = wish
        return resolved

    def inject(self, bed: Bed, resolved: Resolved) -> Injection:
        """Ask the system until it is done; the proof: the members before and after.

        In virtual time the proof is that the system took up the first change; the rest follows.
        Raises: NotInjectedYetError while that is not so, HarnessError when a removal would leave no
        majority.
        """
        nodes, layer = pinned(bed, resolved), resolved.fault.id
        detail = resolved.detail
        wish = str(detail["wish"]) if isinstance(detail, dict) else "remove"
        members = _members_of(bed)
        if wish == "remove":
            gone = frozenset(nodes).union(*self._out.values())
            if 2 * len(gone) >= len(bed.nodes):
                message = f"without {', '.join(sorted(gone))} there would be no majority of all"
                raise HarnessError(message)
            self._out[layer] = frozenset(nodes)
        before = self._before[layer] = self._before.get(layer) or members.current()
        work = _Work(bed, wish, nodes)
        if not work.advance():
            message = f"the system did not take it up: {work.reason}"
            raise NotInjectedYetError(message)
        proof: dict[str, Value] = {"wish": wish}
        proof |= {"before": list(before), "after": list(members.current())}
        return Injection(resolved=resolved, proof=proof)

    def heal(self, bed: Bed, injection: Injection) -> None:
        """Add again whom nothing else keeps out."""
        self._out.pop(injection.layer, None)
        self._before.pop(injection.layer, None)
        out = frozenset().union(*self._out.values())
        back = tuple(node for node in bed.nodes if node not in out)
        work = _Work(bed, "add", back)
        if not work.go_on():
            message = f"the members are not all back: {work.reason}"
            raise NotHealedYetError(message)


def _members_of(bed: Bed) -> Members:
    if bed.members is None:
        message = "this system cannot change its members"
        raise HarnessError(message)
    return bed.members


class _Found(Enum):
    """What a step came to."""

    DONE = auto()
    TAKEN = auto()
    REFUSED = auto()


@dataclass(slots=True)
class _Work:
    """Changes under way, one node after the other. reason: why it is not done."""

    bed: Bed
    wish: str
    nodes: tuple[str, ...]
    reason: str = "nobody answers"
    steps: int = 0

    def advance(self) -> bool:
        """Take one step, and tell whether all is done; in virtual time, whether it is under way."""
        found = self._step()
        if self.bed.later is None or found is not _Found.TAKEN:
            return found is _Found.DONE
        self.bed.later(STEP_S, self._again)
        return True

    def go_on(self) -> bool:
        """Go on for a while, and tell whether all is done; in virtual time it goes on by itself."""
        if self.bed.later is not None:
            self._again()
            return True
        pause, until_s = threading.Event(), time.monotonic() + TURN_S
        while self._step() is not _Found.DONE:
            if (
                time.monotonic() > until_s
            ):  # to ask may take long: nodes that are paused say nothing
                return False
            pause.wait(STEP_S)  # how often the system is asked, not what is waited for
        return True

    def _again(self) -> None:
        assert self.bed.later is not None
        if self._step() is not _Found.DONE and self.steps * STEP_S <= PATIENCE_S:
            self.bed.later(STEP_S, self._again)

    def _step(self) -> _Found:
        """See what is left, and ask for the next change."""
        self.steps += 1
        members = _members_of(self.bed)
        current = members.current()
        left = self._left(current)
        if not left:
            return _Found.DONE if current else _Found.REFUSED
        refused = members.change(self.wish, left[0])
        self.reason = refused or f"{self.wish} {left[0]} is not through"
        return _Found.TAKEN if refused is None else _Found.REFUSED

    def _left(self, current: Sequence[str]) -> list[str]:
        """Give the nodes for which there is something to do, as far as anybody can tell."""
        if self.wish == "transfer":
            leading = self.bed.primaries() if self.bed.primaries is not None else ()
            return [] if leading[:1] == self.nodes[:1] else list(self.nodes[:1])
        if not current:
            return list(self.nodes)
        return [node for node in self.nodes if (node in current) != (self.wish == "add")]
