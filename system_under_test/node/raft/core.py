"""One Raft node without any I/O: events in, effects out.

"The paper" is Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014);
"the thesis" is Ongaro, "Consensus: Bridging Theory and Practice" (2014). The methods that a planted
bug overrides are together at the end (but for `_take_entries`); see bugs.py.
"""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from ..canonical import Json
from ..effects import (
    Effect,
    Event,
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
from ..errors import ERRORS, RequestError
from .config import Options
from .leadership import Leadership, WaitingRead
from .lease import Lease
from .log import NO_OP, Base, Entry, Log
from .membership import (
    ROUNDS,
    Change,
    Configuration,
    Kind,
    Membership,
    configuration_text,
    members_in,
)
from .messages import (
    Append,
    AppendReply,
    Install,
    InstallReply,
    Message,
    PreVote,
    PreVoteReply,
    TimeoutNow,
    Vote,
    VoteReply,
)
from .progress import Progress
from .sessions import Outcome, Sessions
from .snapshot import Arriving, Snapshot, State
from .storage import Stored, append_record, snapshot_record, state_record, truncate_record
from .store import Command, Store, command_in, session_text

MAX_WAITING = 4096
"""How many clients may wait for an answer before others are turned away."""

MAX_APPEND_BYTES = 1024 * 1024
"""How much text of commands goes into one Append, unless a single command is longer."""

RESTATED = 1024
"""How many entries one record restates when a boot says what the disk holds."""


class Role(StrEnum):
    """What a node is just now."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class RaftCore:
    """One node. All state changes in `handle_batch`; the properties may be read between calls."""

    def __init__(self, options: Options, stored: Stored, now_ns: int) -> None:
        self.options = options
        self.term = stored.term
        self.vote = stored.vote
        self.log = Log(stored.entries, stored.base)
        self.snapshot = stored.snapshot
        self.store = Store()
        self.sessions = Sessions()
        self.membership = Membership(Configuration(0, options.voters or options.members))
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.commit = self.log.base_index
        self.applied = self.log.base_index
        self._others = options.others
        self._majority = 0
        self._quorum_ns = options.quorum_ns
        self._now_ns = now_ns
        self._wall_ns = 0
        self._heard_ns = now_ns
        self._draws = 0
        self._timeout_ns = 0
        self._deadline_ns = 0
        self._timer_ns: int | None = None
        self._votes: set[str] = set()
        self._leadership: Leadership | None = None
        self._arriving: Arriving | None = None
        self._requests: list[tuple[int, Command]] = []
        self._effects: list[Effect] = []
        self._handlers: Mapping[type[Message], Callable[[str, object], None]] = {
            PreVote: self._on_pre_vote,
            PreVoteReply: self._on_pre_vote_reply,
            Vote: self._on_vote,
            VoteReply: self._on_vote_reply,
            Append: self._on_append,
            AppendReply: self._on_append_reply,
            Install: self._on_install,
            InstallReply: self._on_install_reply,
            TimeoutNow: self._on_timeout_now,
        }
        if self.snapshot is not None:
            self._restore(self.snapshot)
        for index in range(self.log.base_index + 1, self.log.last_index + 1):
            self._note_configuration(index)
        self._regroup()

    # -- events

    def start(self) -> list[Effect]:
        """Say what the disk holds and set the first timer."""
        self._trace(
            "boot",
            term=self.term,
            vote=self.vote,
            last_index=self.log.last_index,
            last_term=self.log.last_term,
            hash=self.log.hash_at(self.log.last_index),
            commit=self.commit,
            base=self.log.base_index,
            base_hash=self.log.hash_at(self.log.base_index),
            digest=self.snapshot.digest if self.snapshot is not None else None,
            members=list(self.membership.at(self.log.base_index).members),
            bugs=list(self.options.bugs),
        )
        for first in range(self.log.base_index + 1, self.log.last_index + 1, RESTATED):
            last = min(first + RESTATED - 1, self.log.last_index)
            self._trace_append(first, last)
            self._trace_configurations(first, last)
        self._draw_timeout()
        self._arm_timer()
        return self._take_effects()

    def handle(self, event: Event) -> list[Effect]:
        """Take one event and say what is to be done."""
        return self.handle_batch((event,))

    def handle_batch(self, events: Sequence[Event]) -> list[Effect]:
        """Take events in order and say what is to be done.

        What would lead to many small steps (appending, committing, applying, sending) happens once,
        after the last event: the group commit of the shell rests on that.
        """
        for event in events:
            # Most events are one of these two, and a match costs several times as much.
            kind = type(event)
            if kind is Received:
                if event.sender in self._others:  # type: ignore[union-attr]
                    message = event.message  # type: ignore[union-attr]
                    self._handlers[type(message)](event.sender, message)  # type: ignore[index,union-attr]
            elif kind is Tick:
                self._wall_ns = event.wall_ns  # type: ignore[union-attr]
                self._on_tick(event.now_ns)  # type: ignore[union-attr]
            else:
                self._take(event)
        leadership = self._leadership
        if leadership is None:
            self._apply_committed()
        else:
            if self._requests:
                self._append_requests(leadership)
            self._commit_by_counting(leadership)
            self._apply_committed()
            if leadership.change is not None:
                self._advance_change(leadership, leadership.change)
            if leadership.fresh or leadership.asking is not None:
                self._serve_reads(leadership)
            self._replicate(leadership)
            self._leave_if_removed(leadership)
        self._arm_timer()
        return self._take_effects()

    def _take(self, event: Event) -> None:
        match event:
            case Requested(token, Command() as command):
                self._on_request(token, command)
            case Persisted(mark):
                self._on_persisted(mark)
            case Stop():
                self._on_stop()
            case _:
                message_text = f"no event of Raft: {event!r}"
                raise TypeError(message_text)

    def _on_tick(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)
        leadership = self._leadership
        if leadership is None:
            if self.options.election_ns and self._now_ns >= self._deadline_ns:
                self._stand()
        elif self.options.check_quorum:
            # Thesis 6.2: a leader cut off must not keep its clients waiting, nor believe in itself.
            since_ns = self._now_ns - self._quorum_ns
            if not leadership.hears_majority(since_ns, self._majority):
                self._follow(None, "quorum-lost")

    def _on_request(self, token: int, command: Command) -> None:
        leadership = self._leadership
        if leadership is None:
            self._refuse(token, "not-leader")
        elif leadership.waiting_count + len(self._requests) >= MAX_WAITING:
            self._refuse(token, "overloaded")
        elif leadership.change is not None and leadership.change.kind is Kind.TRANSFER:
            self._refuse(token, "change-in-progress")  # thesis 3.10: the successor catches up
        elif not command.is_read:
            self._requests.append((token, command))
        elif self._reads_need_confirmation():
            leadership.fresh.append(WaitingRead(token, command.key))
        else:
            self._answer_read(WaitingRead(token, command.key))

    def _on_persisted(self, mark: object) -> None:
        leadership = self._leadership
        match mark:
            case (int(term), int(index)) if leadership is not None and term == self.term:
                leadership.durable = max(leadership.durable, index)

    def _on_stop(self) -> None:
        for token, _ in self._requests:
            self._refuse(token, "stopping")
        self._requests.clear()
        if self._leadership is not None:
            self._give_up_leading("stopping", write_code="interrupted", read_code="stopping")
            self.role, self.leader = Role.FOLLOWER, None

    # -- elections (paper 5.2, thesis 9.6 and 6.2)

    def _stand(self) -> None:
        self.leader = None
        self._draw_timeout()
        if not self._may_stand():
            self.role = Role.FOLLOWER
            return
        if not self.options.pre_vote:
            self._campaign()
            return
        self.role = Role.PRE_CANDIDATE
        self._votes = {self.options.node} & {*self.membership.members}
        if self._votes_suffice():
            self._campaign()
            return
        for other in self._fellows():
            self._send(
                other,
                PreVote(
                    term=self.term + 1,
                    last_index=self.log.last_index,
                    last_term=self.log.last_term,
                ),
            )

    def _campaign(self, *, transfer: bool = False) -> None:
        self.role = Role.CANDIDATE
        self.term += 1
        self._cast_vote(self.options.node)
        self._votes = {self.options.node} & {*self.membership.members}
        self._draw_timeout()
        if self._votes_suffice():
            self._lead()
            return
        for other in self._fellows():
            self._send(
                other,
                Vote(
                    term=self.term,
                    last_index=self.log.last_index,
                    last_term=self.log.last_term,
                    transfer=transfer,
                ),
            )

    def _fellows(self) -> list[str]:
        """Give the members in force but this node."""
        return [member for member in self.membership.members if member != self.options.node]

    def _may_stand(self) -> bool:
        """Tell whether we may lead: as a member, or while our removal is open (thesis 4.2.2)."""
        latest, node = self.membership.latest, self.options.node
        if node in latest.members:
            return True
        return latest.index > self.commit and node in self.membership.at(latest.index - 1).members

    def _on_timeout_now(self, sender: str, message: object) -> None:
        """Stand at once, without asking first whether that makes sense (thesis 3.10)."""
        assert isinstance(message, TimeoutNow)
        if message.term == self.term and self.leader == sender and self._may_stand():
            self._campaign(transfer=True)

    def _on_pre_vote(self, sender: str, message: object) -> None:
        assert isinstance(message, PreVote)
        granted = (
            self._may_vote(message.term, sender)
            and self._is_up_to_date(message.last_index, message.last_term)
            and not self._hears_leader()
        )
        self._send(sender, PreVoteReply(term=self.term, proposed=message.term, granted=granted))

    def _on_pre_vote_reply(self, sender: str, message: object) -> None:
        assert isinstance(message, PreVoteReply)
        if message.term > self.term:
            self._adopt(message.term)
        elif (
            self.role is Role.PRE_CANDIDATE
            and message.granted
            and message.proposed == self.term + 1
            and sender in self.membership.members
        ):
            self._votes.add(sender)
            if self._votes_suffice():
                self._campaign()

    def _on_vote(self, sender: str, message: object) -> None:
        assert isinstance(message, Vote)
        is_newer = message.term > self.term
        is_early = self.options.check_quorum and self._hears_leader() and not message.transfer
        if is_early and (is_newer or self.options.lease_reads):
            return  # thesis 4.2.3: neither adopt the term nor vote while a leader is heard
        if is_newer:
            self._adopt(message.term)
        granted = self._may_vote(message.term, sender) and self._is_up_to_date(
            message.last_index, message.last_term
        )
        if granted:
            if self.vote is None:
                self._cast_vote(sender)
            self._deadline_ns = self._now_ns + self._timeout_ns
        self._send(sender, VoteReply(term=self.term, granted=granted))

    def _on_vote_reply(self, sender: str, message: object) -> None:
        assert isinstance(message, VoteReply)
        if message.term > self.term:
            self._adopt(message.term)
        elif (
            self.role is Role.CANDIDATE
            and message.term == self.term
            and message.granted
            and sender in self.membership.members
        ):
            self._votes.add(sender)
            if self._votes_suffice():
                self._lead()

    def _may_vote(self, term: int, candidate: str) -> bool:
        """Tell whether the vote of this term is still ours to give (paper 5.2)."""
        if term > self.term:
            return True
        return term == self.term and self.vote in (None, candidate)

    def _hears_leader(self) -> bool:
        if self.role is Role.LEADER:
            return True
        if self._now_ns - self._heard_ns >= self.options.lease_ns:
            return False
        # Whom we heard before our restart, or in an earlier term, still counts on the lease.
        return self.leader is not None or self.options.lease_reads

    def _cast_vote(self, candidate: str) -> None:
        self.vote = candidate
        self._persist_vote()
        self._trace("vote", term=self.term, **{"for": candidate})

    def _adopt(self, term: int) -> None:
        """Take over a higher term, as a follower (paper 5.1)."""
        before = self.role
        self._follow(None, "higher-term")
        self.term, self.vote = term, self._vote_in_new_term()
        self._persist_vote()
        if before is not Role.FOLLOWER:
            self._draw_timeout()

    def _follow(self, leader: str | None, reason: str) -> None:
        """Become a follower, and answer those whom only a leader can serve."""
        self.role, self.leader = Role.FOLLOWER, leader
        if self._leadership is not None:
            self._give_up_leading(reason, write_code="lost-leadership", read_code="not-leader")
            self._draw_timeout()
        for token, _ in self._requests:
            self._refuse(token, "not-leader")
        self._requests.clear()

    def _give_up_leading(self, reason: str, *, write_code: str, read_code: str) -> None:
        leadership, self._leadership = self._leadership, None
        assert leadership is not None
        self._trace("step-down", term=self.term, reason=reason)
        for token in leadership.writes.values():
            self._refuse(token, write_code)
        for read in leadership.all_reads():
            self._refuse(read.token, read_code)

    def _lead(self) -> None:
        self.role, self.leader = Role.LEADER, self.options.node
        self._trace(
            "lead",
            term=self.term,
            last_index=self.log.last_index,
            last_term=self.log.last_term,
            hash=self.log.hash_at(self.log.last_index),
            votes=sorted(self._votes),
            members=list(self.membership.members),
        )
        self._leadership = Leadership.begin(
            self.log.last_index, self._fellows(), self._now_ns, self.options.lease_ns
        )
        self._regroup()
        # Paper, section 8: what earlier terms left is committed with the first entry of ours.
        self._append([Entry(self.term, NO_OP)], mark=True)

    def _draw_timeout(self) -> None:
        """Draw an election timeout, keyed by seed, node, term and number, and count from now."""
        low, high = self.options.election_ns or (0, 0)
        self._draws += 1
        name = f"{self.options.seed}/{self.options.node}/{self.term}/{self._draws}"
        bits = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
        self._timeout_ns = low + ((high - low) * bits >> 64)
        self._deadline_ns = self._now_ns + self._timeout_ns

    # -- replication: the follower's side (paper 5.3)

    def _on_append(self, sender: str, message: object) -> None:
        assert isinstance(message, Append)
        if message.term > self.term:
            self._adopt(message.term)
        if message.term < self.term:
            self._send(sender, self._refusal(message, None, 0))
            return
        if self.role is Role.LEADER:
            return  # two leaders of one term: only a planted bug gets here, and it must not crash
        if self.leader != sender or self.role is not Role.FOLLOWER or self._requests:
            self._follow(sender, "")
        self._heard_ns = self._now_ns
        self._deadline_ns = self._now_ns + self._timeout_ns
        if message.previous_index > self.log.last_index:
            self._send(sender, self._refusal(message, None, self.log.last_index + 1))
            return
        if message.previous_index < self.log.base_index:
            message = self._behind_base(message)
        term = self.log.term_at(message.previous_index)
        if not self._logs_meet(term, message.previous_term):
            first = self.log.first_of_term(term)
            self._send(sender, self._refusal(message, term, first))
            return
        self._take_entries(message)
        verified = message.previous_index + len(message.entries)
        self._commit_to(self._follower_commit(message.commit, verified))
        self._send(
            sender,
            AppendReply(
                term=self.term,
                round=message.round,
                previous_index=message.previous_index,
                matched=verified,
            ),
        )

    def _behind_base(self, message: Append) -> Append:
        """Leave out what our snapshot covers: it is committed, so the leader has the same there."""
        base = self.log.base_index
        return replace(
            message,
            previous_index=base,
            previous_term=self.log.term_at(base),
            entries=message.entries[base - message.previous_index :],
        )

    def _refusal(self, message: Append, term: int | None, index: int) -> AppendReply:
        return AppendReply(
            term=self.term,
            round=message.round,
            previous_index=message.previous_index,
            matched=None,
            conflict_term=term,
            conflict_index=index,
        )

    def _take_entries(self, message: Append) -> None:
        """Add what is new; what we have already must stay, for the message may be an old one."""
        index = message.previous_index
        for place, entry in enumerate(message.entries):
            index += 1
            if index <= self.log.last_index:
                if self.log.term_at(index) == entry.term:
                    continue
                self._truncate(index)
            self._append(message.entries[place:], mark=False)
            return

    def _truncate(self, index: int) -> None:
        self.log.truncate(index)
        self._persist_log(truncate_record(index), None)
        self._trace("truncate", term=self.term, **{"from": index})
        if self.membership.truncate(index):
            self._regroup()

    def _append(self, entries: Sequence[Entry], *, mark: bool) -> None:
        first = self.log.last_index + 1
        for entry in entries:
            self.log.append(entry)
        last = self.log.last_index
        done = (self.term, last) if mark else None
        self._persist_log(append_record(first, entries), done)
        self._trace_append(first, last)
        noted = [self._note_configuration(index) for index in range(first, last + 1)]
        if any(noted):
            self._trace_configurations(first, last)
            self._regroup()

    # -- replication: the leader's side

    def _append_requests(self, leadership: Leadership) -> None:
        entries = []
        for number, (token, command) in enumerate(self._requests, self.log.last_index + 1):
            opening = command.opens
            text = session_text(self.options.session_limit) if opening else command.text
            entries.append(Entry(self.term, text))
            leadership.writes[number] = token
        self._requests.clear()
        self._append(entries, mark=True)

    def _on_append_reply(self, sender: str, message: object) -> None:
        assert isinstance(message, AppendReply)
        if message.term > self.term:
            self._adopt(message.term)
            return
        leadership = self._leadership
        if leadership is None or message.term < self.term:
            return
        follower = leadership.followers.get(sender)
        if follower is None:
            return  # it belongs to us no more
        follower.heard_ns = self._now_ns
        # A refusal in our term confirms that we lead as well as an agreement does.
        follower.round = max(follower.round, message.round)
        if message.matched is None:
            follower.refused(message, self.log)
        else:
            # No more than we have: only a planted bug lets an older life of ours ask for more.
            follower.took(min(message.matched, self.log.last_index))

    def _commit_by_counting(self, leadership: Leadership) -> None:
        """Commit what a majority has, if it is of our term (paper 5.4.2 and figure 8)."""
        if self.commit >= self.log.last_index:
            return
        index = self._replicated(leadership)
        if index > self.commit and self._may_count(self.log.term_at(index)):
            self._commit_to(index)

    def _replicate(self, leadership: Leadership) -> None:
        """Send what there is to send, and heartbeats in idle periods (paper, figure 2)."""
        now_ns, beat_ns = self._now_ns, self.options.heartbeat_ns
        due = now_ns >= leadership.heartbeat_ns
        if due:
            leadership.heartbeat_ns = now_ns + beat_ns
            leadership.round += self.options.lease_reads
        if self.options.lease_reads:
            leadership.lease.sent(leadership.round, self._wall_ns)
        last_index, number = self.log.last_index, leadership.round
        for name, follower in leadership.followers.items():
            idle = due
            if due and follower.sent_ns is not None and not self.options.lease_reads:
                next_ns = follower.sent_ns + beat_ns
                idle = next_ns <= now_ns
                if not idle:
                    leadership.heartbeat_ns = min(leadership.heartbeat_ns, next_ns)
            # Most of the time there is nothing, and a leader asks after every event.
            if (
                idle
                or follower.next <= last_index
                or follower.round_sent < number
                or follower.probing
                or follower.transfer is not None
            ):
                self._replicate_to(name, follower, leadership, due=idle)

    def _replicate_to(
        self, name: str, follower: Progress, leadership: Leadership, *, due: bool
    ) -> None:
        if self._lacks_snapshot(follower):
            self._send_piece(name, follower, leadership, due=due)
            return
        silent = due or follower.round_sent < leadership.round
        while follower.may_send(self.log.last_index):
            entries = self.log.batch(follower.next, self.options.batch_entries, MAX_APPEND_BYTES)
            self._send_append(name, follower, leadership, entries)
            silent = False
        if silent or (follower.probing and not follower.asked):
            follower.asked = follower.probing
            self._send_append(name, follower, leadership, ())

    def _send_append(
        self,
        name: str,
        follower: Progress,
        leadership: Leadership,
        entries: tuple[Entry, ...],
    ) -> None:
        previous = follower.next - 1
        message = Append(
            term=self.term,
            previous_index=previous,
            previous_term=self.log.term_at(previous),
            commit=self.commit,
            round=leadership.round,
            entries=entries,
        )
        follower.round_sent, follower.sent_ns = leadership.round, self._now_ns
        if entries:
            follower.sending(previous + len(entries))
        self._send(name, message)

    # -- snapshots (paper 7)

    def _send_piece(
        self, name: str, follower: Progress, leadership: Leadership, *, due: bool
    ) -> None:
        """Send the piece that is wanted next, again at each heartbeat until it is answered."""
        assert self.snapshot is not None
        transfer = follower.transferring(self.snapshot)
        if transfer.asked and not due:
            return
        transfer.asked = True
        follower.round_sent, follower.sent_ns = leadership.round, self._now_ns
        snapshot, offset = transfer.snapshot, transfer.offset
        self._send(
            name,
            Install(
                term=self.term,
                round=leadership.round,
                index=snapshot.base.index,
                entry_term=snapshot.base.term,
                hash=snapshot.base.hash.hex(),
                digest=snapshot.digest,
                size=len(snapshot.text),
                offset=offset,
                piece=snapshot.text[offset : offset + self.options.snapshot_chunk],
            ),
        )

    def _on_install(self, sender: str, message: object) -> None:
        assert isinstance(message, Install)
        if message.term > self.term:
            self._adopt(message.term)
        if message.term < self.term:
            self._want_piece(sender, message, 0)
            return
        if self.role is Role.LEADER:
            return  # two leaders of one term: only a planted bug gets here, and it must not crash
        self._follow(sender, "")
        self._heard_ns = self._now_ns
        self._deadline_ns = self._now_ns + self._timeout_ns
        if not self._covers_all(message.index):
            base = Base(message.index, message.entry_term, bytes.fromhex(message.hash))
            arriving = self._arriving
            if arriving is None or not arriving.is_of(base, message.digest, message.size):
                arriving = self._arriving = Arriving(base, message.digest, message.size)
            arriving.take(message.offset, message.piece)
            snapshot = arriving.finished()
            if snapshot is None:
                self._want_piece(sender, message, arriving.offset)
                return
            self._arriving = None
            self._install(snapshot)
        self._send(
            sender,
            AppendReply(
                term=self.term,
                round=message.round,
                previous_index=message.index,
                matched=message.index,
            ),
        )

    def _want_piece(self, sender: str, message: Install, offset: int) -> None:
        reply = InstallReply(
            term=self.term, round=message.round, index=message.index, offset=offset
        )
        self._send(sender, reply)

    def _on_install_reply(self, sender: str, message: object) -> None:
        assert isinstance(message, InstallReply)
        if message.term > self.term:
            self._adopt(message.term)
            return
        leadership = self._leadership
        follower = leadership.followers.get(sender) if leadership is not None else None
        if follower is None or message.term < self.term:
            return
        follower.heard_ns = self._now_ns
        follower.round = max(follower.round, message.round)
        follower.took_piece(message.index, message.offset)

    def _install(self, snapshot: Snapshot) -> None:
        """Put a leader's snapshot in the place of our state; a log that goes on behind it stays."""
        base = snapshot.base
        kept = self._keeps_suffix(base)
        if kept:
            self.log.compact(base.index)
        else:
            self.log.restart(base)
        self._restore(snapshot)
        for index in range(base.index + 1, self.log.last_index + 1):
            self._note_configuration(index)
        self.snapshot = snapshot
        self.commit = self.applied = base.index
        self._persist_snapshot()
        self._trace_snapshot("install", kept=kept)
        self._trace_configurations(base.index + 1, self.log.last_index)
        self._regroup()

    def _restore(self, snapshot: Snapshot) -> None:
        state = snapshot.state()
        self.store.restore(state.store)
        self.sessions.restore(state.sessions)
        self.membership = Membership(Configuration(snapshot.base.index, state.members))

    def _snapshot_due(self, first: int, last: int) -> int:
        """Give at which of these entries a snapshot is to be taken, 0 for none.

        All nodes take theirs at the same entries, so that what they hold can be compared.
        """
        every = self.options.snapshot_entries
        if not every:
            return 0
        due = min(last, self.commit) // every * every
        return due if due >= first else 0

    def _keep_snapshot(self, snapshot: Snapshot) -> None:
        """Let a snapshot stand for the log up to it: on the disk in one piece with the rest."""
        self.snapshot = snapshot
        self.log.compact(snapshot.base.index)
        self.membership.compact(snapshot.base.index)
        self._persist_snapshot()
        self._trace_snapshot("snapshot")

    def _trace_snapshot(self, event: str, **more: Json) -> None:
        assert self.snapshot is not None
        base = self.snapshot.base
        self._trace(
            event,
            term=self.term,
            index=base.index,
            entry_term=base.term,
            hash=base.hash.hex(),
            digest=self.snapshot.digest,
            members=list(self.membership.at(base.index).members),
            **more,
        )

    # -- membership and leadership transfer (thesis 4 and 3.10)

    def _note_configuration(self, index: int) -> bool:
        """Take note of an entry that is a configuration, and tell whether it is one."""
        members = members_in(self.log.text_at(index))
        if members is None:
            return False
        self.membership.add(Configuration(index, members))
        return True

    def _trace_configurations(self, first: int, last: int) -> None:
        for index in range(first, last + 1):
            found = self.membership.at(index)
            if found.index == index:
                self._trace("config", term=self.term, index=index, members=list(found.members))

    def _regroup(self) -> None:
        """Go by the configuration in force: the latest of the log, committed or not."""
        members = self.membership.members
        self._majority = self._quorum_of(len(members))
        if self._leadership is not None:
            self._leadership.regroup(
                self._fellows(), self._now_ns, counts_self=self._counts_itself(members)
            )

    def ask_change(self, kind: Kind, node: str) -> dict[str, Json]:
        """Take an operator's wish: to add or remove a member, or to hand over the lead.

        It begins with the next tick; `done`: there is nothing to do. Raises: RequestError.
        """
        if node not in self.options.members:
            code = "bad-request"
            raise RequestError(code, f"there is no node {node!r}")
        leadership = self._leadership
        if leadership is None:
            code = "not-leader"
            raise RequestError(code, f"{self.leader or 'nobody that is known'} leads")
        members = self.membership.members
        if self._is_done(kind, node):
            return {"done": True}
        if kind is Kind.TRANSFER and node not in members:
            code = "bad-request"
            raise RequestError(code, f"{node} is no member")
        if kind is Kind.REMOVE and len(members) == 1:
            code = "bad-request"
            raise RequestError(code, "the last member stays")
        if leadership.change is not None or not self._no_change_open():
            code = "change-in-progress"
            raise RequestError(code)
        if not self._may_change(leadership):
            code = "not-ready"
            raise RequestError(code)
        self._begin_change(leadership, kind, node)
        return {"done": False}

    def _is_done(self, kind: Kind, node: str) -> bool:
        if kind is Kind.TRANSFER:
            return node == self.options.node
        return (node in self.membership.members) == (kind is Kind.ADD)

    def _begin_change(self, leadership: Leadership, kind: Kind, node: str) -> None:
        quorum_ns = self.options.quorum_ns
        patience = 1 if kind is Kind.TRANSFER else ROUNDS
        leadership.change = Change(
            kind=kind,
            node=node,
            begun_ns=self._now_ns,
            given_up_ns=self._now_ns + patience * quorum_ns,
            target=self.log.last_index,
        )
        if kind is Kind.ADD:
            leadership.followers[node] = leadership.newcomer(self._now_ns)
            if self._learner_counts():
                leadership.counted |= {node}

    def _advance_change(self, leadership: Leadership, change: Change) -> None:
        """Go on with what an operator asked for."""
        if self._now_ns >= change.given_up_ns:
            leadership.change = None
            self._regroup()  # a learner that did not catch up gets nothing more
            return
        follower = leadership.followers.get(change.node)
        members = self.membership.members
        if change.kind is Kind.REMOVE:
            self._change_members(leadership, [one for one in members if one != change.node])
        elif follower is None:
            leadership.change = None
        elif change.kind is Kind.TRANSFER:
            if follower.match == self.log.last_index and not change.told:
                change.told = True
                # From now on somebody else may be elected while followers hear us.
                leadership.lease = Lease(0)
                self._send(change.node, TimeoutNow(term=self.term))
        elif follower.match >= change.target and self._has_caught_up(change):
            self._change_members(leadership, [*members, change.node])

    def _has_caught_up(self, change: Change) -> bool:
        """Tell whether a learner is near the end of our log; begin another round if not.

        Thesis 4.2.1: it is once a round took less than an election timeout. The first brings it
        what is there, so there are two at least.
        """
        quick = self._now_ns - change.begun_ns < self.options.lease_ns
        if change.rounds >= 2 and quick:
            return True
        if change.rounds < ROUNDS:
            change.rounds += 1
            change.begun_ns, change.target = self._now_ns, self.log.last_index
        return False

    def _change_members(self, leadership: Leadership, members: Sequence[str]) -> None:
        if not (self._may_change(leadership) and self._no_change_open()):
            return
        leadership.change = None
        self._append([Entry(self.term, configuration_text(members))], mark=True)

    def _leave_if_removed(self, leadership: Leadership) -> None:
        """Step down once our own removal is committed, and hand over (thesis 4.2.2)."""
        latest = self.membership.latest
        if self.options.node in latest.members or latest.index > self.commit:
            return
        matches = [(item.match, name) for name, item in leadership.followers.items()]
        self._follow(None, "removed")
        if matches:
            self._send(max(matches)[1], TimeoutNow(term=self.term))

    # -- committing, applying, reading

    def _commit_to(self, index: int) -> None:
        if index <= self.commit:
            return
        self.commit = index
        led: dict[str, Json] = {}
        if self._leadership is not None:
            led["by"] = list(self._leadership.holders(index, self.options.node))
        self._trace(
            "commit",
            index=index,
            term=self.term,
            entry_term=self.log.term_at(index),
            hash=self.log.hash_at(index),
            **led,
        )

    def _apply_committed(self) -> None:
        last = min(self._applicable(), self.log.last_index)
        first = self.applied + 1
        if first > last:
            return
        self._trace(
            "apply",
            first=first,
            last=last,
            entry_term=self.log.term_at(last),
            hash=self.log.hash_at(last),
        )
        writes = self._leadership.writes if self._leadership else {}
        due, taken = self._snapshot_due(first, last), None
        for index in range(first, last + 1):
            outcome = self._execute(index, self.log.text_at(index))
            self.applied = index
            if index in writes:
                self._answer_write(writes.pop(index), outcome)
            if index == due:
                taken = Snapshot.of(self.log.base_at(index), self._state_at(index))
        if taken is not None:
            self._keep_snapshot(taken)

    def _execute(self, index: int, text: str) -> Outcome:
        """Carry out an entry; what a session asked for before gets its answer again."""
        command = command_in(text)
        if command is None:
            return Outcome(index, applied=False)
        if "key" not in command:
            limit = command["limit"]
            assert isinstance(limit, int)
            self.sessions.open(index, limit)
            return Outcome(index)
        session = command.get("session")
        if not isinstance(session, list):
            return Outcome(index, self.store.carry_out(command))
        name, number = session
        known = self._recall(name, number, index)
        if known is not None:
            return known
        outcome = Outcome(index, self.store.carry_out(command))
        self.sessions.record(name, number, outcome)
        return outcome

    def _answer_write(self, token: int, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._refuse(token, outcome.error)
        else:
            self._answer(token, None, applied=outcome.applied, index=outcome.index)

    def _serve_reads(self, leadership: Leadership) -> None:
        """Serve reads by ReadIndex (thesis 6.4)."""
        if leadership.fresh and self._lease_holds(leadership):
            fresh, leadership.fresh = leadership.fresh, []
            for read in fresh:
                self._answer_read(read)
        while True:
            asking = leadership.asking
            if asking is not None:
                if not self._round_confirmed(leadership) or self.applied < asking.index:
                    return
                leadership.asking = None
                for read in asking.reads:
                    self._answer_read(read)
            if not leadership.fresh or not self._commit_is_fresh(leadership):
                return
            leadership.ask(self.commit)

    def _lease_holds(self, leadership: Leadership) -> bool:
        """Tell whether reads need not ask anybody now (thesis 6.4.1)."""
        return (
            self.options.lease_reads
            and self._commit_is_fresh(leadership)
            and leadership.lease.holds(leadership.confirmed_round(self._majority), self._wall_ns)
        )

    def _answer_read(self, read: WaitingRead) -> None:
        self._answer(read.token, self.store.read(read.key), applied=True, index=self.applied)

    # -- effects

    def _answer(self, token: int, value: Json, *, applied: bool, index: int) -> None:
        body: dict[str, Json] = {"ok": True, "value": value, "applied": applied, "index": index}
        self._effects.append(Reply(token, body))

    def _refuse(self, token: int, code: str) -> None:
        body: dict[str, Json] = {"ok": False, "error": code, "definite": ERRORS[code].definite}
        if code == "not-leader":
            body["leader"] = self.leader
        self._effects.append(Reply(token, body))

    def _send(self, to: str, message: Message) -> None:
        self._effects.append(Send(to, message))

    def _trace(self, event: str, **fields: Json) -> None:
        self._effects.append(Trace(event, fields))

    def _trace_append(self, first: int, last: int) -> None:
        indices = range(first, last + 1)
        self._trace(
            "append",
            term=self.term,
            first=first,
            terms=[self.log.term_at(index) for index in indices],
            hashes=[self.log.hash_at(index) for index in indices],
        )

    def _arm_timer(self) -> None:
        at_ns: int | None = self._deadline_ns if self.options.election_ns else None
        if self._leadership is not None:
            at_ns = self._leadership.heartbeat_ns
        if at_ns != self._timer_ns:
            self._timer_ns = at_ns
            self._effects.append(SetTimer(at_ns))

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    # -- what operators see

    def status(self) -> dict[str, Json]:
        """Say who this node is and how far it is."""
        followers = self._leadership.followers if self._leadership else {}
        return {
            "node": self.options.node,
            "role": str(self.role),
            "term": self.term,
            "leader": self.leader,
            "commit": self.commit,
            "applied": self.applied,
            "last": self.log.last_index,
            "snapshot": self.log.base_index,
            "members": list(self.membership.members),
            "match": {name: item.match for name, item in followers.items()},
        }

    def dump(self) -> dict[str, Json]:
        """Give the content of the store, and up to which index it was applied."""
        return {"store": self.store.content(), "applied": self.applied}

    def members(self) -> dict[str, Json]:
        """Say who belongs to the cluster, as far as this node knows, and what is under way."""
        latest = self.membership.latest
        change = self._leadership.change if self._leadership is not None else None
        return {
            "members": list(latest.members),
            "index": latest.index,
            "committed": latest.index <= self.commit,
            "term": self.term,
            "role": str(self.role),
            "change": None if change is None else f"{change.kind} {change.node}",
        }

    # -- policy: what planted bugs override

    def _quorum_of(self, count: int) -> int:
        """Give how many of so many members are a majority."""
        return count // 2 + 1

    def _votes_suffice(self) -> bool:
        """Tell whether the votes that we hold are those of a majority (paper 5.2)."""
        return len(self._votes) >= self._majority

    def _vote_in_new_term(self) -> str | None:
        """Give the vote with which a term begins that we hear of: nobody has it yet (paper 5.1)."""
        return None

    def _is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Tell whether a candidate whose log ends so may have our vote (paper 5.4.1)."""
        return self.log.is_no_newer_than(last_index, last_term)

    def _persist_vote(self) -> None:
        """Make term and vote durable before anybody hears of them (paper, figure 2)."""
        self._effects.append(Persist((state_record(self.term, self.vote),)))

    def _persist_log(self, record: Json, mark: tuple[int, int] | None) -> None:
        """Make a change of the log durable before anybody hears of it (paper, figure 2)."""
        self._effects.append(Persist((record,), mark))

    def _persist_snapshot(self) -> None:
        """Make the snapshot and all that stands behind it durable, in the place of all before."""
        assert self.snapshot is not None
        records = [snapshot_record(self.snapshot), state_record(self.term, self.vote)]
        first = self.log.base_index + 1
        if first <= self.log.last_index:
            records.append(append_record(first, self.log.entries_from(first)))
        self._effects.append(Persist(tuple(records), replaces=True))

    def _state_at(self, index: int) -> State:
        """Give the state that a snapshot at an index holds: what all entries up to it led to."""
        return State(
            members=self.membership.at(index).members,
            sessions=self.sessions.content(),
            store=self.store.content(),
        )

    def _lacks_snapshot(self, follower: Progress) -> bool:
        """Tell whether a follower needs what our log does not hold any more (paper 7)."""
        return follower.next <= self.log.base_index or follower.transfer is not None

    def _covers_all(self, index: int) -> bool:
        """Tell whether our state is at least as far as a snapshot of this index."""
        return index <= self.commit

    def _keeps_suffix(self, base: Base) -> bool:
        """Tell whether our log goes on from where a snapshot ends (paper, figure 13, step 6)."""
        inside = self.log.base_index <= base.index <= self.log.last_index
        return inside and self.log.term_at(base.index) == base.term

    def _recall(self, name: int, number: int, index: int) -> Outcome | None:
        """Give the answer to a session's command that was carried out before (thesis 6.3)."""
        return self.sessions.recall(name, number, index)

    def _no_change_open(self) -> bool:
        """Tell whether the configuration in force is committed: one at a time (thesis 4.1)."""
        return self.membership.latest.index <= self.commit

    def _may_change(self, leadership: Leadership) -> bool:
        """Tell whether we have committed an entry of our own term, before which no change is safe.

        Ongaro, "bug in single-server membership changes", raft-dev, 2015.
        """
        return self.commit >= leadership.begun_at

    def _counts_itself(self, members: Sequence[str]) -> bool:
        """Tell whether our own log counts: not once we are to leave (thesis 4.2.2)."""
        return self.options.node in members

    def _learner_counts(self) -> bool:
        """Tell whether a node that still catches up counts: it does not (thesis 4.2.1)."""
        return False

    def _logs_meet(self, term: int, previous_term: int) -> bool:
        """Tell whether our entry before new ones is the leader's (paper 5.3), by both terms."""
        return term == previous_term

    def _follower_commit(self, leader_commit: int, verified: int) -> int:
        """Give the commit index of a follower whose log equals the leader's up to `verified`.

        Paper, figure 2: min(leaderCommit, index of last *new* entry): what stands behind that in
        our log may be the rest of another term.
        """
        return min(leader_commit, verified)

    def _replicated(self, leadership: Leadership) -> int:
        """Give the index up to which a majority has our log on its disks (paper 5.3)."""
        return leadership.majority_match(self._majority)

    def _may_count(self, term: int) -> bool:
        """Tell whether an entry of this term is committed by counting: of ours (paper 5.4.2)."""
        return term == self.term

    def _applicable(self) -> int:
        """Give the index up to which entries may be applied (paper 5.3)."""
        return self.commit

    def _reads_need_confirmation(self) -> bool:
        """Tell whether a read waits until a majority confirmed that we still lead (thesis 6.4)."""
        return True

    def _round_confirmed(self, leadership: Leadership) -> bool:
        """Tell whether a majority confirmed that we lead since the reads came (thesis 6.4)."""
        return leadership.round_confirmed(self._majority)

    def _commit_is_fresh(self, leadership: Leadership) -> bool:
        """Tell whether our commit index covers all that clients saw (thesis 6.4).

        Before the first entry of our term is committed, it may be older than what others answered.
        """
        return self.commit >= leadership.begun_at
