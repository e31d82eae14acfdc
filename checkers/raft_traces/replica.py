"""The rules of Raft that one node's trace is held against, record by record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field

from splitbrain.checkers.raft_traces.commits import Commits
from splitbrain.checkers.raft_traces.findings import Findings
from splitbrain.checkers.raft_traces.trace import Gap, Log, Record, Step, place_of, void


def majority(members: Sized) -> int:
    """Give how many of these are a majority."""
    return len(members) // 2 + 1


def choice(record: Record) -> str | None:
    """Give for whom a node voted, by its `vote` record or the `boot` record of a later start."""
    name = "for" if record["event"] == "vote" else "vote"
    chosen: str | None = record.get(name)
    return chosen


AppendSink = Callable[[Record, int], None]
"""Takes an append record and how many of its first entries were seen before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """An entry that was on a node's disk and was gone after a restart; term: the entry's own."""

    node: str
    index: int
    hash: str
    term: int
    append: Record
    boot: Record


@dataclass(slots=True)
class Replica:
    """Where a node stands. unsure: since a gap in this boot.

    votes: by term, the first record of its vote, that of a start if it alone shows it; doubled: the
    votes beside them. committed: the highest index committed in this boot, None before. floor: the
    index of the snapshot that this boot began with or was sent since. configs: what its log says of
    members, as (index, members), the latest last; empty where that is not known. kept: the highest
    commit of all boots, which must stay in the log. restating: the boot record, until the log that
    it found on the disk stands again; before: the log as it was.
    """

    node: str
    findings: Findings
    commits: Commits
    sink: AppendSink
    log: Log = field(default_factory=void)
    term: int = 0
    term_record: Record | None = None
    votes: dict[int, Record] = field(default_factory=dict)
    doubled: set[tuple[int, str]] = field(default_factory=set)
    leading: Record | None = None
    committed: Record | None = None
    floor: int = 0
    configs: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    kept: Record | None = None
    applied: int | None = None
    applied_record: Record | None = None
    unsure: bool = True
    restating: Record | None = None
    before: Log = field(default_factory=void)
    forgotten: list[Forgotten] = field(default_factory=list)

    def take(self, step: Step) -> None:
        """Take the next record, or note a gap."""
        if isinstance(step, Gap):
            self._gap(step.what, step.place)
            if step.restarted:
                self.committed = self.applied_record = None
            return
        event = step["event"]
        if self.restating is not None and event not in ("append", "boot", "config"):
            self._contradiction("it acts before its log stands again after its start", step)
        self._rise(step, event)
        act = _RULES.get(event)
        if act is not None:
            act(self, step)

    def _gap(self, text: str, place: str) -> None:
        self.findings.gap(self.node, text, place)
        self.log, self.before = void(), void()
        self.configs.clear()
        self.restating = None
        self.leading = None
        self.applied = None
        self.unsure = True

    def _contradiction(self, text: str, record: Record) -> None:
        self._gap(f"contradicts itself: {text}", place_of(record))

    def _rise(self, record: Record, event: str) -> None:
        """Terms only rise. A step-down names the term that the node led, not the one it is in."""
        term = record.get("term")
        if type(term) is not int or event == "step-down":
            return
        before = self.term_record
        if before is not None and term < self.term:
            forgot = before.get("boot") != record.get("boot")
            self.findings.add(
                "forgotten-term" if forgot else "term-decreased",
                f"{self.node} was in term {self.term} and then "
                f"{'went on after a restart' if forgot else 'acted'} in term {term}: a node's "
                "term only rises, over restarts too",
                (before, record),
            )
        self.term, self.term_record = term, record
        if self.leading is not None and term != self.leading["term"]:
            self.leading = None

    def _boot(self, record: Record) -> None:
        if self.restating is None:  # else it died before its log stood again
            self.before = self.log
        self._boot_vote(record)
        base, base_hash = record.get("base", 0), record.get("base_hash")
        self.log = Log(base=base, base_hash=base_hash)
        self.configs = []
        if "members" in record:
            self.configs.append((base, frozenset(record["members"])))
        self.leading = self.committed = self.applied_record = None
        self.applied = self.floor = base
        self.unsure = False
        self.restating = record
        if base_hash is not None:
            self.commits.snapshot(record, base, base_hash, self.findings)
        if record["last_index"] == base:
            self._restated()

    def _boot_vote(self, record: Record) -> None:
        """A vote outlives a restart; that a node starts with one proves that it was given."""
        term, vote = record["term"], record.get("vote")
        voted = self.votes.get(term)
        if voted is None and vote is not None:
            self.votes[term] = record
        elif voted is not None and "vote" in record and vote != choice(voted):
            self.findings.add(
                "forgotten-vote",
                f"{self.node} voted for {choice(voted)} in term {term}, and after its restart in "
                f"the same term its vote was {vote or 'nobody'}",
                (voted, record),
            )

    def _restated(self) -> None:
        """The log after a restart stands: hold it against what was known before."""
        boot = self.restating
        assert boot is not None
        self.restating = None
        digest = boot.get("hash")
        found = self.log.hash_at(boot["last_index"])
        if self.log.last != boot["last_index"] or (digest and found and digest != found):
            self._contradiction(
                f"after its start the log is not the one of {boot['last_index']}", boot
            )
            return
        kept = self.kept
        is_covered = kept is not None and kept["index"] < self.log.base
        if kept is not None and not is_covered and self._hash_of(kept) != kept["hash"]:
            self.findings.add(
                "committed-entry-lost",
                f"{self.node} had committed the entry {kept['index']}, and after its restart its "
                f"log (up to {self.log.last}) holds it no more: what is committed stays",
                (kept, boot),
            )
            self.kept = None
        self._compare(boot)
        self.before = void()

    def _hash_of(self, record: Record) -> str | None:
        return self.log.hash_at(record["index"])

    def _compare(self, boot: Record) -> None:
        old = self.before
        for index in range(max(old.base, self.log.base) + 1, old.last + 1):
            digest = old.hash_at(index)
            if self.log.hash_at(index) == digest or digest is None:
                continue
            append = old.record_at(index)
            assert append is not None
            self.forgotten.append(
                Forgotten(
                    node=self.node,
                    index=index,
                    hash=digest,
                    term=old.terms[index - old.base - 1],
                    append=append,
                    boot=boot,
                )
            )
            return  # the hash speaks for the prefix: what comes behind is gone as well

    def _append(self, record: Record) -> None:
        first, log = record["first"], self.log
        unknown_end = not log.whole and not log.hashes
        if first < 1 or (not unknown_end and first > log.last + 1):
            self._contradiction(f"it appends at {first} where its log ends at {log.last}", record)
            log = self.log
        elif not unknown_end and first <= log.last:
            self._drop(first, record)
        log.append(record)
        self.sink(record, self._stood_before(record))
        if self.restating is not None and log.last >= self.restating["last_index"]:
            self._restated()

    def _stood_before(self, record: Record) -> int:
        """Count the entries of a record that only restate the log from before a restart."""
        if self.restating is None:
            return 0
        count = len(record["hashes"])
        start = record["first"] - self.before.base - 1
        if start < 0:
            return 0
        old = (self.before.hashes[start : start + count], self.before.terms[start : start + count])
        return count if old == (record["hashes"], record["terms"]) else 0

    def _truncate(self, record: Record) -> None:
        self._drop(record["from"], record)

    def _drop(self, start: int, record: Record) -> None:
        """Drop entries: never a leader's own, never one that was committed."""
        if self.leading is not None:
            self.findings.add(
                "leader-rewrote-log",
                f"{self.node} dropped its entries from {start} on while it led term "
                f"{self.leading['term']}: a leader only appends to its log",
                (self.leading, record),
            )
        kept = self.kept
        if kept is not None and start <= kept["index"]:
            self.findings.add(
                "committed-entry-lost",
                f"{self.node} had committed the entries up to {kept['index']}, and then dropped "
                f"those from {start} on: what is committed stays",
                (kept, record),
            )
            self.kept = None
        self.log.cut(start)
        # Where none is left, the one in force is from before all that is known: from before a gap.
        self.configs = [one for one in self.configs if one[0] < start]

    def _vote(self, record: Record) -> None:
        """One vote a term, over all boots."""
        term, chosen = record["term"], record["for"]
        first = self.votes.setdefault(term, record)
        if chosen != choice(first) and (term, chosen) not in self.doubled:
            self.doubled.add((term, chosen))
            self.findings.add(
                "double-vote",
                f"{self.node} voted in term {term} for {choice(first)} and for {chosen}: one node "
                "has one vote in a term",
                (first, record),
            )

    def _lead(self, record: Record) -> None:
        last = record["last_index"]
        if self.log.whole and self.log.last != last:
            self._contradiction(
                f"it leads with a log up to {last}, which ends at {self.log.last}", record
            )
        self.leading = record
        self._own_hash(record, last)
        for index, digest, commit in self.commits.below(record["term"]):
            if self._hash_at_lead(record, index) in (digest, None):
                continue
            lacks = "ends before it" if index > last else "has another entry there"
            self.findings.add(
                "leader-incomplete",
                f"{self.node} became leader of term {record['term']} without the entry {index}, "
                f"which {commit.get('node')} had committed in term {commit['term']}: its log "
                f"{lacks}, and a leader has every entry that was committed",
                (commit, record, self.log.record_at(index)),
                index,
            )
            return

    def _hash_at_lead(self, lead: Record, index: int) -> str | None:
        """Give the hash of a new leader's log at an index, "" behind its end, None if unknown."""
        if index > lead["last_index"]:
            return ""
        own = lead.get("hash") if index == lead["last_index"] else None
        return own if isinstance(own, str) else self.log.hash_at(index)

    def _step_down(self, record: Record) -> None:  # noqa: ARG002 - that it happened is enough
        self.leading = None

    def _commit(self, record: Record) -> None:
        index, before = record["index"], self._committed_index()
        if index < before:
            self.findings.add(
                "commit-backwards",
                f"{self.node} had committed up to {before} and then up to {index} only: the commit "
                "index only rises while a node runs",
                (self.committed, record),
            )
        self._commit_rule(record)
        self._commit_majority(record)
        if self.log.whole and index > self.log.last:
            self.findings.add(
                "commit-beyond-log",
                f"{self.node} committed up to {index}, but its log ends at {self.log.last}",
                (record, self.log.record_at(self.log.last)),
                self.log.last,
            )
        self._own_hash(record, index)
        self.commits.commit(record, self.log, before, self.findings)
        self.committed = record
        self.unsure = False
        if index and (self.kept is None or index > self.kept["index"]):
            self.kept = record

    def _commit_rule(self, record: Record) -> None:
        led = self.leading
        if led is None or not record["index"]:
            return
        if record.get("term") == led["term"] != record["entry_term"]:
            self.findings.add(
                "stale-term-commit",
                f"{self.node}, the leader of term {led['term']}, committed the entry "
                f"{record['index']} of term {record['entry_term']}: a leader counts replicas only "
                "for entries of its own term (paper, section 5.4.2)",
                (led, record),
            )

    def _committed_index(self) -> int:
        return max(self.floor, self.committed["index"] if self.committed else 0)

    def _commit_majority(self, record: Record) -> None:
        """A leader commits what a majority of the members in force has (paper 5.3, thesis 4)."""
        if self.leading is None or not self.configs or "by" not in record:
            return
        members = self.configs[-1][1]
        holders = members & set(record["by"])
        if len(holders) < majority(members):
            strangers = sorted(set(record["by"]) - members)
            told = f"; {', '.join(strangers)} does not count" if strangers else ""
            self.findings.add(
                "committed-without-majority",
                f"{self.node} committed the entry {record['index']} when "
                f"{', '.join(sorted(holders)) or 'no member'} had it{told}: {majority(members)} of "
                f"{', '.join(sorted(members))} are a majority",
                (self.leading, record),
            )

    def _config(self, record: Record) -> None:
        """Take a configuration; a leader makes one at a time, each after an entry of its term."""
        members = frozenset(record["members"])
        before = self.configs[-1] if self.configs else None
        self.configs.append((record["index"], members))
        if before is None or self.restating is not None:
            return
        if majority(before[1]) + majority(members) <= len(before[1] | members):
            self.findings.add(
                "disjoint-majorities",
                f"{self.node} went from the members {', '.join(sorted(before[1]))} to "
                f"{', '.join(sorted(members))} in one step: both can have majorities that do not "
                "meet, and elect a leader each",
                (record,),
            )
        if self.leading is None or self.unsure:
            return
        committed = self._committed_index()
        if before[0] > committed:
            self.findings.add(
                "two-changes",
                f"{self.node} changed the members by the entry {record['index']} while its change "
                f"{before[0]} was not committed (it had committed up to {committed}): one at a "
                "time",
                (self.leading, self.committed, record),
            )
        if committed <= self.leading["last_index"]:
            self.findings.add(
                "unready-change",
                f"{self.node} changed the members by the entry {record['index']} before it had "
                f"committed an entry of its own term {self.leading['term']}: two leaders' changes "
                "can then have majorities that do not meet",
                (self.leading, self.committed, record),
            )

    def _snapshot(self, record: Record) -> None:
        """A snapshot covers what was applied, and the log goes on behind it."""
        index = record["index"]
        if self.applied is not None and index > self.applied:
            self.findings.add(
                "snapshot-ahead",
                f"{self.node} took a snapshot at {index}, and had applied up to {self.applied} "
                "only: a snapshot holds what was applied",
                (self.applied_record, record),
            )
        self._own_hash(record, index)
        self.commits.snapshot(record, index, record["hash"], self.findings)
        self.log.compact(index, record["hash"])
        self._compact_configs(index)

    def _install(self, record: Record) -> None:
        """A leader's snapshot takes the place of the state, and of the log that it covers."""
        index, digest = record["index"], record["hash"]
        self.commits.snapshot(record, index, digest, self.findings)
        if record.get("kept") is True:
            self._own_hash(record, index)
            self.log.compact(index, digest)
            self._compact_configs(index)
        else:
            self._discard(record)
            self.log = Log(base=index, base_hash=digest)
            self.configs.clear()
            if "members" in record:
                self.configs.append((index, frozenset(record["members"])))
        self.applied = self.floor = index
        self.applied_record, self.committed = record, None

    def _discard(self, record: Record) -> None:
        """Drop the whole log for a snapshot: never where the log goes on behind the snapshot."""
        index, committed = record["index"], self._committed_index()
        goes_on = self.log.hash_at(index) == record["hash"] and self.log.last > index
        if goes_on or (index < committed and not self.unsure):
            known = f" and committed up to {committed}" if committed > index else ""
            self.findings.add(
                "install-discarded-entries",
                f"{self.node} had the log up to {self.log.last}{known}, and dropped it all for a "
                f"leader's snapshot at {index}: what stands behind a snapshot stays (paper, "
                "figure 13)",
                (self.committed, record),
            )
            self.kept = None

    def _compact_configs(self, index: int) -> None:
        older = [one for one in self.configs if one[0] <= index][-1:]
        self.configs = [*older, *(one for one in self.configs if one[0] > index)]

    def _apply(self, record: Record) -> None:
        first, last = record["first"], record["last"]
        if self.applied is not None and first != self.applied + 1:
            missing = first > self.applied + 1
            self.findings.add(
                "apply-gap" if missing else "apply-twice",
                f"{self.node} had applied the entries up to {self.applied} since its start, and "
                f"went on with {first}: each is applied once, in order",
                (self.applied_record, record),
            )
        committed = self._committed_index()
        if last > committed and not self.unsure:
            self.findings.add(
                "applied-uncommitted",
                f"{self.node} applied the entry {last}, and had committed up to {committed} only",
                (self.committed, record),
            )
        self._own_hash(record, last)
        self.commits.apply(record, self.log, self.findings)
        self.applied, self.applied_record = last, record

    def _own_hash(self, record: Record, index: int) -> None:
        """A record's hash is that of the node's own log."""
        digest, found = record.get("hash"), self.log.hash_at(index)
        if digest is None or found is None or digest == found:
            return
        self.findings.add(
            "log-mismatch",
            f"{self.node} says in its {record['event']} record that its log up to {index} has the "
            f"hash {digest}, but the entries that it wrote make it {found}",
            (self.log.record_at(index), record),
            index,
        )


_RULES: Mapping[str, Callable[[Replica, Record], None]] = {
    "boot": Replica._boot,  # noqa: SLF001 - the table belongs to the class
    "append": Replica._append,  # noqa: SLF001
    "truncate": Replica._truncate,  # noqa: SLF001
    "vote": Replica._vote,  # noqa: SLF001
    "lead": Replica._lead,  # noqa: SLF001
    "step-down": Replica._step_down,  # noqa: SLF001
    "commit": Replica._commit,  # noqa: SLF001
    "apply": Replica._apply,  # noqa: SLF001
    "config": Replica._config,  # noqa: SLF001
    "snapshot": Replica._snapshot,  # noqa: SLF001
    "install": Replica._install,  # noqa: SLF001
}
