"""Raft's safety properties, judged from the traces that the nodes wrote.

Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", 2014, figure 3:
election safety, leader append-only, log matching, leader completeness, state-machine safety; and
what they rest on: one vote a term, elections by a majority, terms that only rise, the commit rule
of section 5.4.2. Snapshots (section 7) stand for the committed prefix whose hash they carry, and
equal prefixes lead to equal states. Members change one at a time (Ongaro's thesis, chapter 4), and
elections and commits are judged by the configuration in force on their leader.
Nothing is claimed from clocks: only from terms, indices, hashes of log prefixes, and the order in
which one node wrote its own records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from splitbrain.checkers.raft_traces.commits import Commits
from splitbrain.checkers.raft_traces.findings import Findings
from splitbrain.checkers.raft_traces.replica import Forgotten, Replica, choice
from splitbrain.checkers.raft_traces.trace import Gap, Reading, Record, records_of, untraced
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Status, Verdict, unknown

REASON_LIMIT = 20
LEADERS_SHOWN = 100


class Raft:
    """Checks Raft's safety from traces in the format of docs/raft.md."""

    name = "raft"
    needs = frozenset({Need.TRACES})

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters: there are none."""
        return {}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge every property; a violation that is proved stands whatever else is missing."""
        traces = [Reading.of(trace) for _, trace in sorted((evidence.traces or {}).items())]
        if not traces:
            return unknown("no node left a trace")
        missing = untraced(traces)
        commits = Commits.of(traces)
        agreed = commits.consistent
        findings = _judge(traces, missing, commits)
        if agreed and not commits.consistent:
            # Only now is it known that one commit does not speak for all that came before it.
            commits = Commits.of(traces, consistent=False)
            findings = _judge(traces, missing, commits)
        return _verdict(traces, missing, findings, commits)


def _judge(traces: Sequence[Reading], missing: Mapping[str, str], commits: Commits) -> Findings:
    findings = Findings()
    _check_elections(traces, missing, findings)
    entries = _Entries(findings)
    forgotten: list[Forgotten] = []
    for trace in traces:
        replica = Replica(trace.node, findings, commits, entries.take)
        for step in trace.steps:
            replica.take(step)
        forgotten += replica.forgotten
    commits.check_applied(findings)
    if not missing:  # else who left no trace may have led, and made them drop what they had
        _check_forgotten(traces, forgotten, findings)
    return findings


class _Entries:
    """Log matching: equal index and equal term mean equal logs up to there, on all nodes."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._seen: dict[tuple[int, int], tuple[str, Record]] = {}

    def take(self, record: Record, skip: int) -> None:
        """Look at the entries of an append record but the first `skip`, which were seen before."""
        seen, first = self._seen, record["first"]
        terms, hashes = record["terms"], record["hashes"]
        for place in range(skip, len(terms)):
            key = (first + place, terms[place])
            before = seen.setdefault(key, (hashes[place], record))
            if before[0] != hashes[place]:
                index, term = key
                self._findings.add(
                    "log-mismatch",
                    f"the entry {index} of term {term} has the hash {before[0]} on "
                    f"{before[1].get('node')} and {hashes[place]} on {record.get('node')}: two "
                    "logs that agree on an entry's index and term must agree up to there",
                    (before[1], record),
                    index,
                )
                return  # every later entry of this record differs for the same cause


def _check_elections(
    traces: Sequence[Reading], missing: Mapping[str, str], findings: Findings
) -> None:
    """One leader a term, each by a majority."""
    leaders: dict[int, tuple[str, Record]] = {}
    for node, record in records_of(traces, "lead"):
        term = record["term"]
        other, first = leaders.setdefault(term, (node, record))
        if first is not record:
            who = f"{other} and {node} both" if other != node else f"{node} twice"
            findings.add(
                "two-leaders",
                f"{who} became leader of term {term}: a term has at most one leader, once",
                (first, record),
            )
    voters = {trace.node: _Voter.of(trace) for trace in traces}
    for node, record in records_of(traces, "lead"):
        if missing and "votes" not in record:
            continue  # who left no trace may have voted
        _check_majority(node, record, voters, findings)


@dataclass(frozen=True, slots=True)
class _Voter:
    """What a node's trace tells of its votes.

    given: by term, for whom; also votes that only the start after them shows. latest: the last term
    of a trace without gaps, -1 when that proves nothing. hidden: from which term to which it may
    have acted before a restart, and a power cut have taken the records of it.
    """

    given: Mapping[int, set[str]]
    latest: int
    hidden: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, trace: Reading) -> _Voter:
        given: dict[int, set[str]] = {}
        for event in ("vote", "boot"):
            for record in trace.by_event.get(event, ()):
                chosen = choice(record)
                if chosen is not None:
                    given.setdefault(record["term"], set()).add(chosen)
        hidden = [(term, boot["term"]) for term, boot in trace.restarts]
        return cls(given, trace.latest if trace.is_whole else -1, hidden)

    def gave(self, term: int, candidate: str) -> bool:
        return candidate in self.given.get(term, ())

    def denies(self, term: int, candidate: str) -> bool:
        """Tell whether the trace proves that the candidate got no vote in a term.

        A vote is in the voter's trace before it leaves. Where the trace goes on into a later term,
        and has no gap, the absence of the vote is proof.
        """
        if self.latest <= term or self.gave(term, candidate):
            return False
        return not any(begin <= term <= end for begin, end in self.hidden)


def _check_majority(
    node: str, lead: Record, voters: Mapping[str, _Voter], findings: Findings
) -> None:
    """Count a leader's votes: those that it names, but for voters who prove that they gave none."""
    term = lead["term"]
    members = set(lead["members"]) if "members" in lead else None
    count = len(voters) if members is None else len(members)
    needed = count // 2 + 1
    if "votes" in lead:
        named = {node, *lead["votes"]}
    else:
        named = {node, *(name for name, voter in voters.items() if voter.gave(term, node))}
        if not all(voters[name].denies(term, node) for name in voters.keys() - named):
            return
    if members is not None:
        named &= members
    denied = {name for name in named - {node} if name in voters and voters[name].denies(term, node)}
    valid = named - denied
    if len(valid) < needed:
        told = f" ({', '.join(sorted(denied))} gave it none)" if denied else ""
        findings.add(
            "elected-without-majority",
            f"{node} led term {term} by the votes of {', '.join(sorted(valid))}{told}: "
            f"{needed} of {count} nodes are a majority",
            (lead,),
        )


def _unseen_leads(trace: Reading) -> Iterator[tuple[int, int]]:
    """Give from which term to which a node may have led before a restart, as no record tells.

    It led the term of the restart only if it had voted for itself.
    """
    led = {record["term"] for record in trace.by_event.get("lead", ())}
    for before, boot in trace.restarts:
        term = boot["term"]
        may_lead = term not in led and boot.get("vote", trace.node) == trace.node
        yield before, term if may_lead else term - 1


def _check_forgotten(
    traces: Sequence[Reading], forgotten: Sequence[Forgotten], findings: Findings
) -> None:
    """Accuse a node of having forgotten entries that no leader can have made it drop.

    A node may die after it dropped entries on a leader's word and before it wrote so. A leader asks
    for that only if its own log, as it was when it came to lead, lacks them: only when no leader of
    a term above theirs lacked them is there no such excuse. A power cut may have taken the record
    of a lead; who obeyed that leader was in its term at the restart.
    """
    if not forgotten or not all(trace.is_whole for trace in traces):
        return
    excused: set[int] = set()
    for trace in traces:
        unseen = list(_unseen_leads(trace))
        excused |= {
            number
            for number, item in enumerate(forgotten)
            for begin, end in unseen
            if max(begin, item.term + 1) <= min(end, item.boot["term"])
        }
        replica = Replica(trace.node, Findings(), Commits(), lambda _record, _skip: None)
        for step in trace.steps:
            replica.take(step)
            if not isinstance(step, Gap) and step["event"] == "lead":
                excused |= {
                    number
                    for number, item in enumerate(forgotten)
                    if step["term"] > item.term and replica.log.hash_at(item.index) != item.hash
                }
    for number, item in enumerate(forgotten):
        if number not in excused:
            findings.add(
                "forgotten-entries",
                f"{item.node} had the entry {item.index} on its disk, and after its restart it was "
                "gone, though no leader since then can have asked for that: what is durable stays",
                (item.append, item.boot),
                item.index,
            )


def _verdict(
    traces: Sequence[Reading], missing: Mapping[str, str], findings: Findings, commits: Commits
) -> Verdict:
    reasons = _reasons(traces, findings)
    reasons += [f"{node} {part}, and there is no trace of it" for node, part in missing.items()]
    led = sorted(
        ((record["term"], node) for node, record in records_of(traces, "lead")),
        key=lambda item: (item[0], item[1]),
    )
    if not led:
        reasons.append("no node ever led: there was nothing to be safe about")
    elif not commits.known:
        reasons.append("nothing was ever committed: there was nothing to be safe about")
    stats = _stats(traces, findings, led)
    status = Status.UNKNOWN if reasons else Status.VALID
    if findings.anomalies:
        status = Status.INVALID
    if len(reasons) > REASON_LIMIT:
        more = len(reasons) - REASON_LIMIT
        reasons = [*reasons[:REASON_LIMIT], f"and {more} more places where something is missing"]
    return Verdict(
        status=status, anomalies=tuple(findings.anomalies), reasons=tuple(reasons), stats=stats
    )


def _reasons(traces: Sequence[Reading], findings: Findings) -> list[str]:
    """Name what is missing, and what it leaves open."""
    reasons = []
    for trace in traces:
        own = findings.gaps_of(trace.node)
        told = list(trace.gaps)
        if not trace.records and not told:
            told = ["its trace is empty"]
        reasons += [
            f"the trace of {trace.node}: {line}; log matching, leader completeness and "
            "state-machine safety cannot be vouched for"
            for line in told or own
        ]
        if told:
            reasons += [f"the trace of {trace.node}: {gap}" for gap in own if "was due" not in gap]
    return reasons


def _stats(
    traces: Sequence[Reading], findings: Findings, led: Sequence[tuple[int, str]]
) -> dict[str, Value]:
    """Give figures of all records; those that cannot be used count as far as they can be read."""
    others = [record for trace in traces for record in trace.unusable]

    def count(event: str) -> int:
        usable = sum(len(trace.by_event.get(event, ())) for trace in traces)
        return usable + sum(1 for record in others if record.get("event") == event)

    def highest(event: str, name: str) -> int:
        usable: list[int] = [record[name] for _, record in records_of(traces, event)]
        rest = [_number(record.get(name)) for record in others if record.get("event") == event]
        return max(usable + rest, default=0)

    terms = [trace.latest for trace in traces] + [_number(record.get("term")) for record in others]
    leaders: list[Value] = [{"term": term, "node": node} for term, node in led[:LEADERS_SHOWN]]
    return {
        "records": sum(len(trace.records) for trace in traces),
        "boots": count("boot"),
        "votes": count("vote"),
        "elections": len(led),
        "leaders": leaders,
        "highest_term": max(0, *terms),
        "highest_commit": max(0, highest("commit", "index")),
        "highest_apply": max(0, highest("apply", "last")),
        "found": dict(findings.counts),
    }


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
