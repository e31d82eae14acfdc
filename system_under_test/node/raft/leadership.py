"""What a node holds only while it leads: its followers, and the clients that wait."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..value import value
from .lease import Lease
from .membership import Change
from .progress import Progress


@value
class WaitingRead:
    """A read that waits. key: canonical text."""

    token: int
    key: str


@dataclass(slots=True)
class ReadRound:
    """Reads that wait for a majority to confirm one round (thesis 6.4). index: to be applied."""

    number: int
    index: int
    reads: list[WaitingRead]


@dataclass(slots=True, kw_only=True)
class Leadership:
    """The volatile state of a leader (paper, figure 2), and what it owes its clients.

    counted: the followers whose word counts; others only catch up. counts_self: whether our own
    does, which is so while we belong to the configuration in force (thesis 4.2.2). begun_at: index
    of the no-op of this term. durable: up to where our own disk has the log. writes: tokens by log
    index. fresh: reads that no round was begun for. round: the number that Appends carry; it rises
    when reads need confirmation that is asked for after they came, and with a lease at each
    heartbeat.
    change: what an operator asked for and is not done yet.
    """

    begun_at: int
    durable: int
    followers: dict[str, Progress]
    heartbeat_ns: int
    counted: frozenset[str]
    lease: Lease
    counts_self: bool = True
    change: Change | None = None
    writes: dict[int, int] = field(default_factory=dict)
    fresh: list[WaitingRead] = field(default_factory=list)
    asking: ReadRound | None = None
    round: int = 0
    _majority_heard_ns: int | None = None

    @classmethod
    def begin(
        cls, last_index: int, others: Iterable[str], now_ns: int, lease_ns: int = 0
    ) -> Leadership:
        """Begin to lead with a log that ends here; the first heartbeat is due at once."""
        followers = {name: Progress(next=last_index + 1, heard_ns=now_ns) for name in others}
        return cls(
            begun_at=last_index + 1,
            durable=last_index,
            followers=followers,
            heartbeat_ns=now_ns,
            counted=frozenset(followers),
            lease=Lease(lease_ns),
        )

    def regroup(self, others: Iterable[str], now_ns: int, *, counts_self: bool) -> None:
        """Go by another configuration; who is new gets the log, who left gets nothing more."""
        self.counted, self.counts_self = frozenset(others), counts_self
        self._majority_heard_ns = None
        for name in self.counted - self.followers.keys():
            self.followers[name] = self.newcomer(now_ns)
        for name in self.followers.keys() - self.counted - {self._learner()}:
            del self.followers[name]

    def newcomer(self, now_ns: int) -> Progress:
        """Give the progress of one of whose log nothing is known."""
        return Progress(next=self.durable + 1, heard_ns=now_ns)

    def _learner(self) -> str | None:
        return self.change.node if self.change is not None else None

    @property
    def waiting_count(self) -> int:
        """How many clients wait for an answer."""
        asked = len(self.asking.reads) if self.asking else 0
        return len(self.writes) + len(self.fresh) + asked

    def all_reads(self) -> list[WaitingRead]:
        """Give every read that waits."""
        return [*(self.asking.reads if self.asking else ()), *self.fresh]

    def majority_match(self, majority: int) -> int:
        """Give the greatest index that a majority has on its disks, our own among them."""
        matches = [item.match for name, item in self.followers.items() if name in self.counted]
        if self.counts_self:
            matches.append(self.durable)
        return self._highest(matches, majority)

    def holders(self, index: int, node: str) -> list[str]:
        """Give who is counted and has the log up to an index on its disk; node: our own name."""
        names = [
            name
            for name, item in self.followers.items()
            if name in self.counted and item.match >= index
        ]
        if self.counts_self and self.durable >= index:
            names.append(node)
        return sorted(names)

    def confirmed_round(self, majority: int) -> int:
        """Give the latest round that a majority answered, we among it."""
        rounds = [item.round for name, item in self.followers.items() if name in self.counted]
        if self.counts_self:
            rounds.append(self.round)
        return self._highest(rounds, majority)

    def _highest(self, numbers: list[int], majority: int) -> int:
        """Give the greatest number that a majority reached, 0 for none."""
        return sorted(numbers, reverse=True)[majority - 1] if len(numbers) >= majority else 0

    def hears_majority(self, since_ns: int, majority: int) -> bool:
        """Tell whether a majority, we among it, was heard since a time."""
        needed = majority - self.counts_self
        if needed <= 0:
            return True
        known_ns = self._majority_heard_ns
        if known_ns is not None and known_ns > since_ns:
            return True  # whoever was heard then was heard no earlier since
        heard = [item.heard_ns for name, item in self.followers.items() if name in self.counted]
        if len(heard) < needed:
            return False
        self._majority_heard_ns = heard_ns = self._highest(heard, needed)
        return heard_ns > since_ns

    def round_confirmed(self, majority: int) -> bool:
        """Tell whether a majority, we among it, answered the round that is asked."""
        asking = self.asking
        return asking is not None and self.confirmed_round(majority) >= asking.number

    def ask(self, commit: int) -> None:
        """Begin a round for the fresh reads; the state they see must include `commit`."""
        self.round += 1
        self.asking = ReadRound(self.round, commit, self.fresh)
        self.fresh = []
