"""What a leader knows of one follower's log, and what to send it next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .log import Log
from .messages import AppendReply
from .snapshot import Snapshot, Transfer

WINDOW = 8
"""How many Appends with entries may be on their way to a follower."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """One follower (paper, figure 2: nextIndex, matchIndex).

    probing: where the logs meet is not known yet; only empty Appends go out, one at a time.
    asked: a probe is on its way. sent: the last index of each Append on its way. sent_ns: when
    anything was last sent. heard_ns: when the follower last answered in this term. round: the
    latest read round that it confirmed. round_sent: the latest that it was asked for. transfer: a
    snapshot on its way, since the follower lacks what our log does not hold any more.
    """

    next: int
    heard_ns: int
    match: int = 0
    probing: bool = True
    asked: bool = False
    sent: deque[int] = field(default_factory=deque)
    sent_ns: int | None = None
    round: int = 0
    round_sent: int = 0
    transfer: Transfer | None = None

    def may_send(self, last_index: int) -> bool:
        """Tell whether entries can go out now."""
        return not self.probing and self.next <= last_index and len(self.sent) < WINDOW

    def sending(self, last: int) -> None:
        """Note that entries up to `last` went out, and count on their arrival."""
        self.sent.append(last)
        self.next = last + 1

    def took(self, matched: int) -> None:
        """Note that the follower's log equals ours up to `matched`."""
        self.match = max(self.match, matched)
        if self.probing:
            self.probing, self.asked = False, False
            self.sent.clear()
            self.next = self.match + 1
        self.next = max(self.next, self.match + 1)
        while self.sent and self.sent[0] <= self.match:
            self.sent.popleft()
        if self.transfer is not None and self.transfer.snapshot.base.index <= self.match:
            self.transfer = None

    def transferring(self, snapshot: Snapshot) -> Transfer:
        """Give the transfer under way, or begin one."""
        if self.transfer is None:
            self.transfer = Transfer(snapshot)
            self.sent.clear()
        return self.transfer

    def took_piece(self, index: int, offset: int) -> None:
        """Note which piece of a snapshot the follower wants next."""
        transfer = self.transfer
        if transfer is not None and transfer.snapshot.base.index == index:
            transfer.offset, transfer.asked = min(offset, len(transfer.snapshot.text)), False

    def refused(self, reply: AppendReply, log: Log) -> None:
        """Go back in the log after a refusal, a whole term at a time (paper, end of 5.3).

        A refusal that is older than what we know by now is ignored.
        """
        asked_at = reply.previous_index
        if asked_at <= self.match or (self.probing and asked_at != self.next - 1):
            return
        back = reply.conflict_index
        if reply.conflict_term is not None:
            ours = log.last_of_term(reply.conflict_term, asked_at)
            back = reply.conflict_index if ours is None else ours + 1
        self.next = max(self.match + 1, min(back, asked_at))
        self.probing, self.asked = True, False
        self.sent.clear()
