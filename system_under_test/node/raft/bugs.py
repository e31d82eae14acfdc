"""Planted bugs: each a small override of the correct core's policy, by name."""

# ruff: noqa: TID252 - inside the zipapp the package has another name

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..canonical import Json
from ..effects import Effect, Event, Persist
from .config import Options
from .core import RaftCore, Role
from .leadership import Leadership
from .log import Base, Entry
from .membership import Kind, configuration_text
from .messages import Append
from .progress import Progress
from .sessions import Outcome
from .snapshot import State
from .storage import Stored, state_record

SYNC_NS = 1_000_000_000
"""How often the log that is acknowledged early goes to the disk."""

TAIL = 3
"""How many entries before the one that it covers a snapshot without its tail stops short."""


LOST_ANSWER = 8
"""One in so many answers is lost."""


class StaleRead(RaftCore):
    """The leader serves reads from its state at once: cut off, it gives old values."""

    def _reads_need_confirmation(self) -> bool:
        return False


class UnconfirmedReadIndex(RaftCore):
    """ReadIndex takes the commit index and waits until it is applied, but asks no majority."""

    def _round_confirmed(self, leadership: Leadership) -> bool:  # noqa: ARG002
        return True


class EarlyReadIndex(RaftCore):
    """ReadIndex trusts the commit index of a new leader before its own term has committed."""

    def _commit_is_fresh(self, leadership: Leadership) -> bool:  # noqa: ARG002
        return True


class ForgottenVote(RaftCore):
    """Term and vote are not persisted: after a restart a node votes twice in a term."""

    def _persist_vote(self) -> None:
        return


class LostVote(RaftCore):
    """The term is persisted, and who had the vote is not."""

    def _persist_vote(self) -> None:
        self._effects.append(Persist((state_record(self.term, None),)))


class KeptVote(RaftCore):
    """The vote stays when a new term begins: who voted once never votes for anybody else."""

    def _vote_in_new_term(self) -> str | None:
        return self.vote


class VotesNeverEnough(RaftCore):
    """However many votes come in, one is counted."""

    def _votes_suffice(self) -> bool:
        return self._majority <= 1


class VotesAlwaysEnough(RaftCore):
    """A majority of votes is taken for granted when the first one comes in."""

    def _votes_suffice(self) -> bool:
        return len(self._votes) > 1


class HalfMajority(RaftCore):
    """Half of the members, rounded down, pass for a majority: there can be two of them."""

    def _quorum_of(self, count: int) -> int:
        return max(1, count // 2)


class StaleCandidate(RaftCore):
    """Votes go to candidates whatever their logs lack."""

    def _is_up_to_date(self, last_index: int, last_term: int) -> bool:  # noqa: ARG002
        return True


class UnmatchedAppend(RaftCore):
    """A follower adds entries behind one whose term it did not compare with the leader's."""

    def _logs_meet(self, term: int, previous_term: int) -> bool:  # noqa: ARG002
        return True


class TruncatedLog(RaftCore):
    """A follower drops all that stands where an Append with entries begins, and takes these.

    The leader sends again what a follower leaves unanswered for a few heartbeats. Raft allows that,
    and over connections that keep the order nothing else would bring an old Append to a longer log.
    """

    def _take_entries(self, message: Append) -> None:
        if not message.entries:
            return
        if message.previous_index < self.log.last_index:
            self._truncate(message.previous_index + 1)
        self._append(message.entries, mark=False)

    def _replicate_to(
        self, name: str, follower: Progress, leadership: Leadership, *, due: bool
    ) -> None:
        silent_ns = self._now_ns - follower.heard_ns
        if due and not follower.probing and silent_ns > 4 * self.options.heartbeat_ns:
            follower.sent.clear()
            follower.next = follower.match + 1
        super()._replicate_to(name, follower, leadership, due=due)


class UnverifiedCommit(RaftCore):
    """A follower commits all it has up to the leader's commit index, verified or not."""

    def _follower_commit(self, leader_commit: int, verified: int) -> int:  # noqa: ARG002
        return min(leader_commit, self.log.last_index)


class OldTermCommit(RaftCore):
    """A leader commits entries of earlier terms by counting (paper, figure 8)."""

    def _may_count(self, term: int) -> bool:  # noqa: ARG002
        return True


class LoneCommit(RaftCore):
    """A leader commits what is on its own disk."""

    def _replicated(self, leadership: Leadership) -> int:
        return leadership.durable


class EarlyApply(RaftCore):
    """Entries are applied, and answered, as soon as they are in the log."""

    def _applicable(self) -> int:
        return self.log.last_index


class EarlyAcknowledgement(RaftCore):
    """The log goes to the disk once a second, and counts as durable before that."""

    def __init__(self, options: Options, stored: Stored, now_ns: int) -> None:
        super().__init__(options, stored, now_ns)
        self._unsynced: list[Json] = []
        self._synced_ns = now_ns

    def handle_batch(self, events: Sequence[Event]) -> list[Effect]:
        """Take events, and once a second put to the disk what was said to be there."""
        effects = super().handle_batch(events)
        if self._now_ns - self._synced_ns < SYNC_NS:
            return effects
        self._synced_ns = self._now_ns
        records, self._unsynced = tuple(self._unsynced), []
        return [Persist(records), *effects] if records else effects

    def _persist_snapshot(self) -> None:
        super()._persist_snapshot()
        self._unsynced.clear()

    def _persist_log(self, record: Json, mark: tuple[int, int] | None) -> None:
        self._unsynced.append(record)
        if mark is not None:
            self._effects.append(Persist((), mark))


class SnapshotWithoutTail(RaftCore):
    """A snapshot says that it covers an index, and holds the state of some entries before it."""

    def _execute(self, index: int, text: str) -> Outcome:
        every = self.options.snapshot_entries
        if every and (index + TAIL) % every == 0:
            self._earlier = super()._state_at(index - 1)
        return super()._execute(index, text)

    def _state_at(self, index: int) -> State:
        return self._earlier if hasattr(self, "_earlier") else super()._state_at(index)


class DuplicateRequest(RaftCore):
    """A session's command is carried out as often as it comes.

    Now and then an answer says that its fate is unknown, though it was carried out: a client that
    asks again is what it takes, and answers are seldom lost where somebody else leads at once.
    """

    def _answer_write(self, token: int, outcome: Outcome) -> None:
        if outcome.index % LOST_ANSWER == 0:
            self._refuse(token, "lost-leadership")
        else:
            super()._answer_write(token, outcome)

    def _recall(self, name: int, number: int, index: int) -> Outcome | None:  # noqa: ARG002
        return None


class ForgottenSessions(RaftCore):
    """The table of sessions is no part of a snapshot."""

    def _state_at(self, index: int) -> State:
        return replace(super()._state_at(index), sessions=[])


class EagerSnapshot(RaftCore):
    """A leader begins with its snapshot, and a follower drops all it has for it."""

    def _lacks_snapshot(self, follower: Progress) -> bool:
        eager = follower.probing and follower.match == 0 and self.snapshot is not None
        return eager or super()._lacks_snapshot(follower)

    def _covers_all(self, index: int) -> bool:  # noqa: ARG002
        return False

    def _keeps_suffix(self, base: Base) -> bool:  # noqa: ARG002
        return False


class TwoChanges(RaftCore):
    """A leader changes the members again before its change before is committed."""

    def _no_change_open(self) -> bool:
        return True


class UnreadyChange(RaftCore):
    """A node keeps what operators ask of it, and carries it out as soon as it comes to lead."""

    def ask_change(self, kind: Kind, node: str) -> dict[str, Json]:
        """Take an operator's wish, or keep it for later. Raises: RequestError."""
        if self.role is not Role.LEADER and kind is Kind.REMOVE:
            self._kept = node
        return super().ask_change(kind, node)

    def _lead(self) -> None:
        super()._lead()
        node = getattr(self, "_kept", None)
        members = self.membership.members
        if node in members and node != self.options.node:
            remaining = [member for member in members if member != node]
            self._append([Entry(self.term, configuration_text(remaining))], mark=True)


class RemovedLeaderCounts(RaftCore):
    """A leader that is to leave counts its own log, although it is no member any more."""

    def _counts_itself(self, members: Sequence[str]) -> bool:  # noqa: ARG002
        return True


class LearnerCounts(RaftCore):
    """A node that still gets the log counts as a member."""

    def _learner_counts(self) -> bool:
        return True


BUGS: Mapping[str, type[RaftCore]] = {
    "stale-read": StaleRead,
    "unconfirmed-read-index": UnconfirmedReadIndex,
    "early-read-index": EarlyReadIndex,
    "forgotten-vote": ForgottenVote,
    "lost-vote": LostVote,
    "kept-vote": KeptVote,
    "votes-never-enough": VotesNeverEnough,
    "votes-always-enough": VotesAlwaysEnough,
    "half-majority": HalfMajority,
    "stale-candidate": StaleCandidate,
    "unmatched-append": UnmatchedAppend,
    "truncated-log": TruncatedLog,
    "unverified-commit": UnverifiedCommit,
    "old-term-commit": OldTermCommit,
    "lone-commit": LoneCommit,
    "early-apply": EarlyApply,
    "early-acknowledgement": EarlyAcknowledgement,
    "snapshot-without-tail": SnapshotWithoutTail,
    "duplicate-request": DuplicateRequest,
    "forgotten-sessions": ForgottenSessions,
    "eager-snapshot": EagerSnapshot,
    "two-changes": TwoChanges,
    "unready-change": UnreadyChange,
    "removed-leader-counts": RemovedLeaderCounts,
    "learner-counts": LearnerCounts,
}
"""The planted bugs by the name that a configuration calls them."""


def core_class(bugs: Iterable[str]) -> type[RaftCore]:
    """Give the core with these bugs; the correct one for none.

    Raises: KeyError for a name that is none.
    """
    planted = tuple(BUGS[name] for name in dict.fromkeys(bugs))
    if not planted:
        return RaftCore
    return planted[0] if len(planted) == 1 else type("SeveralBugs", planted, {})
