"""Judges runs of the virtual cluster: Raft's properties from traces, linearizability by log index.

Written from docs/raft.md alone, as plainly as possible: a second opinion beside the product's
checker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from virtual import Call, VirtualCluster

from splitbrain.system_under_test.node.canonical import canonical_text
from splitbrain.system_under_test.node.raft.log import NO_OP, Log, next_hash
from splitbrain.system_under_test.node.raft.store import Store, command_in

Records = Mapping[str, list[dict[str, Any]]]


def violations(traces: Records) -> set[str]:
    """Give the names of the properties that the traces break."""
    judge = _Judge()
    for node, records in traces.items():
        judge.follow(node, records)
    judge.leader_completeness()
    return judge.broken


class _Judge:
    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[str, int], str] = {}
        self.prefixes: dict[tuple[int, int], str] = {}
        self.chosen: dict[int, str] = {}
        self.commits: list[tuple[int, int, str]] = []
        self.leads: list[tuple[int, dict[int, str]]] = []
        self.states: dict[int, str] = {}

    def follow(self, node: str, records: list[dict[str, Any]]) -> None:
        """Follow one node through its boots."""
        hashes: dict[int, str] = {}
        durable: dict[int, str] = {}
        configs: list[tuple[int, set[str]]] = []
        term = commit = applied = restating = last = 0
        leading: dict[str, Any] | None = None
        owed: list[tuple[int, set[str]]] = []  # behind a snapshot: to be said again
        for record in records:
            event = record["event"]
            if event not in ("config", "boot"):  # a crash may come in between
                self._check(not owed, "configurations behind a snapshot are restated")
            if "term" in record and event != "step-down":
                self._check(record["term"] >= term, "terms never fall")
                term = max(term, record["term"])
            if event == "boot":
                durable = hashes
                last = commit = applied = record["base"]
                hashes = {last: record["base_hash"]}
                configs = [(last, set(record["members"]))]
                leading, owed = None, []
                restating = record["last_index"]
                self._choose(last, record["base_hash"])
                self._state(record)
            elif event == "append":
                self._check(record["first"] == last + 1, "appends follow each other")
                for entry_term, entry_hash in zip(record["terms"], record["hashes"], strict=True):
                    last += 1
                    hashes[last] = entry_hash
                    known = self.prefixes.setdefault((last, entry_term), entry_hash)
                    self._check(known == entry_hash, "log matching")
            elif event == "truncate":
                self._check(leading is None, "leader append-only")
                self._check(record["from"] > commit, "nothing committed is cut")
                last = record["from"] - 1
                hashes = {index: one for index, one in hashes.items() if index <= last}
                configs = [one for one in configs if one[0] <= last]
            elif event == "config":
                members = set(record["members"])
                if owed:
                    self._check((record["index"], members) == owed.pop(0), "restated as it was")
                self._check(len(members ^ configs[-1][1]) == 1, "one node at a time")
                if leading is not None:
                    self._check(configs[-1][0] <= commit, "one change at a time")
                    self._check(commit > leading["last_index"], "own term before a change")
                configs.append((record["index"], members))
            elif event == "snapshot":
                self._check(record["index"] <= applied, "snapshots hold what was applied")
                self._check(hashes[record["index"]] == record["hash"], "own log")
                self._state(record)
            elif event == "install":
                index = record["index"]
                goes_on = hashes.get(index) == record["hash"]
                self._check(record["kept"] == goes_on, "what stands behind a snapshot stays")
                self._check(index > commit, "a state never goes back")
                if not goes_on:
                    hashes, last = {index: record["hash"]}, index
                    configs = []
                owed = [one for one in configs if one[0] > index]
                configs = [(index, set(record["members"]))]
                commit = applied = index
                self._choose(index, record["hash"])
                self._state(record)
            elif event == "vote":
                known = self.votes.setdefault((node, record["term"]), record["for"])
                self._check(known == record["for"], "one vote a term")
            elif event == "lead":
                leading = record
                known = self.leaders.setdefault(record["term"], node)
                self._check(known == node, "election safety")
                self._check(_is_majority(record["votes"], configs[-1][1]), "elected by a majority")
                self.leads.append((record["term"], dict(hashes)))
            elif event == "step-down":
                led = leading is not None and leading["term"] == record["term"]
                self._check(led, "steps down from what it led")
                leading = None
            elif event == "commit":
                self._check(record["index"] > commit, "monotone commit")
                commit = record["index"]
                self._check(hashes.get(commit) == record["hash"], "own log")
                if leading is not None:
                    self._check(record["entry_term"] == leading["term"], "commit rule")
                    majority = _is_majority(record["by"], configs[-1][1])
                    self._check(majority, "committed by a majority")
                self._choose(commit, record["hash"])
                self.commits.append((record["term"], commit, record["hash"]))
            elif event == "apply":
                self._check(record["first"] == applied + 1, "no gaps")
                applied = record["last"]
                self._check(applied <= commit, "applied only what is committed")
                for index in range(record["first"], record["last"] + 1):
                    self._choose(index, hashes.get(index, ""))
            if restating and last >= restating:
                base = min(hashes)
                kept = {index: one for index, one in durable.items() if index > base}
                self._check(kept.items() <= hashes.items(), "nothing forgotten")
                restating = 0

    def _state(self, record: dict[str, Any]) -> None:
        """Equal logs lead to equal states."""
        index = record["index"] if "index" in record else record["base"]
        if record["digest"] is not None:
            known = self.states.setdefault(index, record["digest"])
            self._check(known == record["digest"], "one log, one state")

    def _choose(self, index: int, entry_hash: str) -> None:
        self._check(self.chosen.setdefault(index, entry_hash) == entry_hash, "state-machine safety")

    def leader_completeness(self) -> None:
        """Judge every leader's log by what was committed in earlier terms."""
        for term, hashes in self.leads:
            for commit_term, index, entry_hash in self.commits:
                if commit_term < term:
                    complete = index < min(hashes, default=0) or hashes.get(index) == entry_hash
                    self._check(complete, "leader completeness")

    def _check(self, holds: bool, name: str) -> None:
        if not holds:
            self.broken.add(name)


def _is_majority(names: Iterable[str], members: set[str]) -> bool:
    return len(members & set(names)) > len(members) // 2


def committed_log(cluster: VirtualCluster, leader: str) -> Log:
    """Give the whole committed log, also where snapshots took its place on the nodes."""
    judge = _Judge()
    for node, records in cluster.traces().items():
        judge.follow(node, records)
    log = Log()
    for index in range(1, cluster.core(leader).commit + 1):
        chosen = judge.chosen[index]
        before = bytes.fromhex(log.hash_at(index - 1))
        fitting = [
            entry for entry in cluster.written[index] if next_hash(before, entry).hex() == chosen
        ]
        log.append(fitting[0])
    return log


def linearizability_errors(calls: list[Call], log: Log, commit: int) -> list[str]:
    """Compare answered calls with the committed log, and the order of the log with real time.

    Every answer names its place in the log; so the order is forced, and only needs to be checked
    (all keys at once: the whole store is one object). Writes must have unique arguments.
    """
    errors: list[str] = []
    answered = [call for call in calls if call.ok]
    texts = [log.text_at(index) for index in range(commit + 1)]
    errors += _value_errors(answered, texts)
    latest: tuple[int, Call] | None = None
    for _, at_end, call in sorted(_moments(answered, calls), key=lambda moment: moment[:2]):
        assert call.body is not None
        index = call.body["index"]
        if at_end:
            latest = max(latest or (index, call), (index, call), key=lambda item: item[0])
        elif latest and index < latest[0] + (call.f != "read"):
            errors.append(f"{call} stands before {latest[1]}, which had ended")
    committed = {text for text in texts if text != NO_OP}
    for call in calls:
        if call.definite_failure and call.f not in ("read", "open-session"):
            for text in committed:
                command = command_in(text) or {}
                asked = [call.f, call.argument, None]  # in a session another try may have succeeded
                found = [command.get(name) for name in ("f", "argument", "session")]
                if asked == found and call.session is None:
                    errors.append(f"{call} failed for certain, and is committed")
    return errors


def _moments(answered: list[Call], calls: Iterable[Call]) -> Iterable[tuple[int, bool, Call]]:
    """Give when calls begin and end; what is asked again in a session began with the first try."""
    first: dict[tuple[int, int], int] = {}
    for call in calls:
        if call.session is not None:
            first.setdefault(call.session, call.begun)
    for call in answered:
        assert call.ended is not None
        yield first.get(call.session or (0, 0), call.begun), False, call
        yield call.ended, True, call


def _value_errors(answered: list[Call], texts: list[str]) -> list[str]:
    by_index: dict[int, list[Call]] = {}
    for call in answered:
        assert call.body is not None
        by_index.setdefault(call.body["index"], []).append(call)
    errors = [f"{call} beyond the log" for i in by_index if i >= len(texts) for call in by_index[i]]
    store = Store()
    numbers: dict[int, int] = {}
    for index, text in enumerate(texts):
        command = command_in(text) or {}
        session = command.get("session")
        applied = False
        if isinstance(session, list):
            name, number = session
            is_new = number > numbers.get(name, 0)
            numbers[name] = max(number, numbers.get(name, 0))
            applied = is_new and store.apply(text)
        elif "key" in command:
            applied = store.apply(text)
        for call in by_index.get(index, ()):
            assert call.body is not None
            if call.f == "read":
                value = store.read(canonical_text(call.key))
                if value != call.body["value"]:
                    errors.append(f"{call} should have read {value}")
            elif call.f != "open-session":
                expected = {"f": call.f, "key": call.key, "argument": call.argument}
                expected |= {} if call.session is None else {"session": list(call.session)}
                if command != expected or applied != call.body["applied"]:
                    errors.append(f"{call} is not what stands there: {text}")
    return errors
