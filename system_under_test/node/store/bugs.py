"""Planted bugs: each a small override of the correct policy, by name."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from .cell import Cell, Version, in_order
from .clocks import Clock, Dot, Seen
from .policy import Policy
from .ring import Placement, Ring
from .storage import Place
from .write import CausalWrite


class FirstAnswer(Policy):
    """A read returns the first of R answers instead of the newest."""

    def chosen(self, place: Place, cells: Sequence[Cell]) -> Cell:  # noqa: ARG002
        """Give the first answer."""
        return cells[0]


class FirstReplicas(Policy):
    """A write is sent to the first W replicas only: one of them down, and it cannot succeed."""

    def asked_to_write(self, replicas: Sequence[str]) -> Sequence[str]:
        """Give the first W."""
        return replicas[: self.options.write_quorum]


class AbsentEntries(Policy):
    """An actor that is absent from a clock counts as seen: blind writes overwrite everything."""

    def overwrites(self, context: Seen, dot: Dot) -> bool:
        """Take what is absent for seen."""
        return dot[0] not in context.clock or context.covers(dot)


class DominatedVersions(Policy):
    """Joining cells keeps the versions that others overwrote."""

    def joined(self, place: Place, one: Cell, other: Cell) -> Cell:
        """Keep every version."""
        if self.keeps_newest(place):
            return super().joined(place, one, other)
        versions = {version.dot: version for version in (*one.versions, *other.versions)}
        return Cell(in_order(list(versions.values())), one.seen.merged(other.seen))


class ArbitraryRepair(Policy):
    """Read repair writes back a version that some replica had, whichever, as if it were new."""

    def repaired(
        self, cells: Sequence[Cell], chosen: Cell, make_dot: Callable[[], Dot]
    ) -> Cell | None:
        """Make a new version of an old one."""
        older = [cell.newest for cell in cells if cell != chosen and cell.versions]
        if not older or chosen.newest is None:
            return super().repaired(cells, chosen, make_dot)
        picked: Version | None = older[0]
        assert picked is not None
        dot = make_dot()
        seen = chosen.seen.up_to(dot)
        version = replace(picked, dot=dot, stamp=chosen.stamp + 1, context=chosen.seen)
        return Cell((version,), seen)


class _SkippingRing(Ring):
    """A ring that looks behind a point only: a virtual node exactly there is passed over."""

    def first_at(self, point: int) -> int:
        """Look behind the point."""
        return bisect_right(self._starts, point) % len(self._starts)


class ExactHit(Policy):
    """The ring look-up drops a virtual node that lies exactly on the key's point."""

    def placement(self) -> Placement:
        """Give the ring that passes over."""
        options = self.options
        return _SkippingRing(options.members, options.vnodes, options.ring_bits)


class ReplicasAreVnodes(Policy):
    """The number of virtual nodes is taken for the number of replicas."""

    def replica_count(self) -> int:
        """Give the number of virtual nodes."""
        return min(self.options.vnodes, len(self.options.members))


class DroppedHint(Policy):
    """A hint is forgotten once it was sent, whether it arrived or not."""

    def drops_hint(self, *, acknowledged: bool) -> bool:  # noqa: ARG002
        """Be done with it at once."""
        return True


class ForgottenTombstone(Policy):
    """A delete leaves no tombstone: a replica that missed it brings the value back."""

    def may_bury(self, age_ns: int, *, confirmed: bool) -> bool:  # noqa: ARG002
        """Bury at once."""
        return True


class EarlyEffect(Policy):
    """A causal write is applied before its cause, and reads do not ask what their session saw."""

    def may_apply(self, write: CausalWrite, applied: Clock) -> bool:
        """Ask for the order of the origin alone."""
        return applied.get(write.origin, 0) == write.previous

    def session_is_served(self, seen: Seen, applied: Clock) -> bool:  # noqa: ARG002
        """Serve at once."""
        return True


class NoWriteBack(Policy):
    """A read at STRONG returns what it found without making sure that W replicas have it."""

    def writes_back(self) -> bool:
        """Do not."""
        return False


class UnsyncedAck(Policy):
    """A replica acknowledges what it has in memory alone."""

    def persists(self) -> bool:
        """Do not."""
        return False


BUGS: Mapping[str, type[Policy]] = {
    "first-answer": FirstAnswer,
    "first-replicas": FirstReplicas,
    "absent-entries": AbsentEntries,
    "dominated-versions": DominatedVersions,
    "arbitrary-repair": ArbitraryRepair,
    "exact-hit": ExactHit,
    "replicas-are-vnodes": ReplicasAreVnodes,
    "dropped-hint": DroppedHint,
    "forgotten-tombstone": ForgottenTombstone,
    "early-effect": EarlyEffect,
    "no-write-back": NoWriteBack,
    "unsynced-ack": UnsyncedAck,
}
"""The planted bugs by the name that a configuration calls them."""


def policy_class(bugs: Iterable[str]) -> type[Policy]:
    """Give the policy with these bugs; the correct one for none.

    Raises: KeyError for a name that is none.
    """
    planted = tuple(BUGS[name] for name in dict.fromkeys(bugs))
    if not planted:
        return Policy
    return planted[0] if len(planted) == 1 else type("SeveralBugs", planted, {})
