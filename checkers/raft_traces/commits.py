"""What all nodes together committed and applied: one entry at each index, for ever."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from splitbrain.checkers.raft_traces.findings import Findings
from splitbrain.checkers.raft_traces.trace import Log, Reading, Record, records_of


@dataclass(slots=True)
class _Agreed:
    """The first hash that anybody had at each index, the record that says so, and who differed."""

    hashes: dict[int, str] = field(default_factory=dict)
    records: dict[int, tuple[Record, Record | None]] = field(default_factory=dict)
    torn: set[int] = field(default_factory=set)

    def merge(self, record: Record, vouched: Iterable[tuple[int, str]], log: Log) -> int | None:
        """Take the hashes that a record vouches for, by index; give the first that differs."""
        differs: int | None = None
        for index, found in vouched:
            before = self.hashes.setdefault(index, found)
            if index not in self.records:
                self.records[index] = (record, log.record_at(index))
            elif before != found:
                self.torn.add(index)
                differs = index if differs is None else differs
        return differs

    def proof(self, index: int) -> tuple[Record | None, Record | None]:
        """Give the records behind what stands at an index."""
        return self.records.get(index, (None, None))


@dataclass(slots=True)
class Commits:
    """known: unique commits as (term of the record, index, hash, record), sorted.

    consistent: no two of them are known to contradict each other.
    """

    known: list[tuple[int, int, str, Record]] = field(default_factory=list)
    _terms: list[int] = field(default_factory=list)
    _highest: list[int] = field(default_factory=list)
    _committed: _Agreed = field(default_factory=_Agreed)
    _applied: _Agreed = field(default_factory=_Agreed)
    _states: dict[int, tuple[str, Record]] = field(default_factory=dict)
    consistent: bool = True

    @classmethod
    def of(cls, traces: Iterable[Reading], *, consistent: bool = True) -> Commits:
        """Collect the commits of all nodes, each under the lowest term that vouches for it.

        A commit record of term T, on any node, says that a leader of term T or before committed.
        """
        lowest: dict[tuple[int, str], tuple[int, Record]] = {}
        hashes: dict[int, str] = {}
        for _, record in records_of(traces, "commit"):
            if not record["index"]:
                continue  # nothing is committed yet
            term = record.get("term")
            key = (record["index"], record["hash"])
            if hashes.setdefault(*key) != record["hash"]:
                consistent = False
            if type(term) is int and (key not in lowest or term < lowest[key][0]):
                lowest[key] = (term, record)
        known = sorted(
            ((term, index, digest, record) for (index, digest), (term, record) in lowest.items()),
            key=lambda item: item[:3],
        )
        highest: list[int] = []
        for place, item in enumerate(known):
            best = highest[-1] if highest else place
            highest.append(place if item[1] >= known[best][1] else best)
        return cls(known, [item[0] for item in known], highest, consistent=consistent)

    def below(self, term: int) -> Sequence[tuple[int, str, Record]]:
        """Give the commits (index, hash, record) that every leader of this term must have.

        The hash speaks for a whole prefix, so the highest is enough as long as all agree.
        """
        end = bisect_left(self._terms, term)
        if not end:
            return ()
        places = [self._highest[end - 1]] if self.consistent else range(end)
        return [self.known[place][1:] for place in places]

    def commit(self, record: Record, log: Log, before: int, findings: Findings) -> None:
        """Take a commit record: its node vouches for all entries behind `before`."""
        first = min(before + 1, record["index"])
        span = _Span(record, first, record["index"], record["hash"])
        self._take(self._committed, "divergent-commit", span, log, findings)

    def apply(self, record: Record, log: Log, findings: Findings) -> None:
        """Take an apply record."""
        span = _Span(record, record["first"], record["last"], record["hash"])
        self._take(self._applied, "divergent-apply", span, log, findings)

    def snapshot(self, record: Record, index: int, digest: str, findings: Findings) -> None:
        """Take a record of a snapshot at an index, where the log has this hash.

        It stands for all that was committed up to there; and what one log leads to is one state.
        """
        if not index:
            return
        span = _Span(record, index, index, digest)
        self._take(self._committed, "divergent-snapshot", span, Log(), findings)
        state = record.get("digest")
        if not isinstance(state, str):
            return
        first, other = self._states.setdefault(index, (state, record))
        if first != state:
            findings.add(
                "divergent-state",
                f"at index {index} the snapshot of {other.get('node')} holds another state "
                f"({first}) than the one that {record.get('node')} has ({state}): equal logs lead "
                "to equal states",
                (other, record),
                index,
            )

    def check_applied(self, findings: Findings) -> None:
        """Hold what was applied against what was committed, once all is known."""
        done, agreed = self._applied, self._committed
        for index in sorted(done.hashes.keys() & agreed.hashes.keys()):
            if index in done.torn or index in agreed.torn:
                continue  # told already
            if done.hashes[index] != agreed.hashes[index]:
                _report("divergent-apply", index, done.proof(index), agreed.proof(index), findings)
                return

    def _take(self, agreed: _Agreed, name: str, span: _Span, log: Log, findings: Findings) -> None:
        if span.last < 1:
            return
        record = span.record
        differs = agreed.merge(record, _vouched(span, log), log)
        if differs is not None:
            self.consistent = False
            mine = (record, log.record_at(differs))
            _report(name, differs, agreed.proof(differs), mine, findings)


@dataclass(frozen=True, slots=True)
class _Span:
    """The entries that a record vouches for, from first to last. hash: of the log up to last."""

    record: Record
    first: int
    last: int
    hash: str


def _vouched(span: _Span, log: Log) -> Iterator[tuple[int, str]]:
    """Give the hashes of a span by index, as far as the log is known: never more than it holds."""
    first, last = max(span.first, log.base + 1), min(span.last - 1, log.last)
    for index in range(first, last + 1):
        yield index, log.hashes[index - log.base - 1]
    yield span.last, span.hash


_VERBS = {"commit": "committed", "apply": "applied"}


def _report(
    name: str,
    index: int,
    left: tuple[Record | None, Record | None],
    right: tuple[Record | None, Record | None],
    findings: Findings,
) -> None:
    def told(proof: tuple[Record | None, Record | None]) -> str:
        record = proof[0] or {}
        verb = _VERBS.get(str(record.get("event")), "has in its snapshot")
        return f"{record.get('node')} {verb} one entry"

    findings.add(
        name,
        f"at index {index} {told(left)} and {told(right).replace('one entry', 'another')}: at one "
        "index there is one entry, on all nodes and for ever",
        (left[1], left[0], right[1], right[0]),
        index,
    )
