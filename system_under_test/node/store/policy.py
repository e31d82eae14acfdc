"""The decisions that planted bugs override; see bugs.py. Everything else is mechanism."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .cell import EMPTY, Cell, joined_newest, joined_siblings
from .clocks import Clock, Dot, Seen, covered
from .config import Conflict, Level, Options, Replication
from .ring import FirstNodes, Placement, Ring
from .storage import Place
from .write import CausalWrite


class Policy:
    """The correct decisions."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def conflict(self, key: str) -> Conflict:
        """Give what becomes of concurrent versions of a key at EVENTUAL: its prefix may say so."""
        for conflict in Conflict:
            if key.startswith(f'"{conflict}/'):
                return conflict
        return self.options.conflict

    def keeps_newest(self, place: Place) -> bool:
        """Tell whether a cell keeps one version, or all that stand side by side."""
        level, key = place
        return level is not Level.EVENTUAL or self.conflict(key) is Conflict.LWW

    # -- where keys lie

    def placement(self) -> Placement:
        """Give where keys lie."""
        options = self.options
        if options.replication is Replication.SIMPLE:
            return FirstNodes(options.members)
        return Ring(options.members, options.vnodes, options.ring_bits)

    def replica_count(self) -> int:
        """Give how many replicas a key has."""
        return self.options.replicas

    # -- versions

    def joined(self, place: Place, one: Cell, other: Cell) -> Cell:
        """Give what two cells come to."""
        join = joined_newest if self.keeps_newest(place) else joined_siblings
        return join(one, other)

    def overwrites(self, context: Seen, dot: Dot) -> bool:
        """Tell whether a write of this context overwrites the version with this dot."""
        return context.covers(dot)

    # -- quorums

    def asked_to_write(self, replicas: Sequence[str]) -> Sequence[str]:
        """Give the replicas that a write is sent to: all, for any W of them may be up."""
        return replicas

    def chosen(self, place: Place, cells: Sequence[Cell]) -> Cell:
        """Give what a read returns of cells in the order in which they came."""
        chosen = EMPTY
        for cell in cells:
            chosen = self.joined(place, chosen, cell)
        return chosen

    def writes_back(self) -> bool:
        """Tell whether a read at STRONG makes sure that W replicas have what it returns."""
        return True

    def repaired(
        self,
        cells: Sequence[Cell],
        chosen: Cell,
        make_dot: Callable[[], Dot],  # noqa: ARG002 - a repair makes no version
    ) -> Cell | None:
        """Give what read repair sends to replicas that lack something; None: nothing is wrong."""
        return None if all(cell == chosen for cell in cells) else chosen

    # -- keeping

    def persists(self) -> bool:
        """Tell whether a replica makes a cell durable before it acknowledges."""
        return True

    def drops_hint(self, *, acknowledged: bool) -> bool:
        """Tell whether a hint that was sent is done with."""
        return acknowledged

    def may_bury(self, age_ns: int, *, confirmed: bool) -> bool:
        """Tell whether a tombstone of this age may go. confirmed: all replicas have it."""
        return confirmed and age_ns >= self.options.gc_grace_ns

    # -- causality

    def may_apply(self, write: CausalWrite, applied: Clock) -> bool:
        """Tell whether all that a write depends on was applied here."""
        if applied.get(write.origin, 0) != write.previous:
            return False
        return covered(write.version.context.clock, applied)

    def session_is_served(self, seen: Seen, applied: Clock) -> bool:
        """Tell whether this node has applied all that a session saw elsewhere."""
        return covered(seen.clock, applied)
