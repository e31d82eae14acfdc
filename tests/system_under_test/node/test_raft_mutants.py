"""The random runs find what they are there for: a rule of Raft broken on purpose is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_raft_random import survive

from splitbrain.system_under_test.node.raft.core import RaftCore
from splitbrain.system_under_test.node.raft.leadership import Leadership, ReadRound
from splitbrain.system_under_test.node.raft.log import Log
from splitbrain.system_under_test.node.raft.messages import Append

SEEDS = 60


def commit_any_term(core: RaftCore, leadership: Leadership) -> None:
    """Paper 5.4.2: entries of earlier terms must not be committed by counting."""
    core._commit_to(leadership.majority_match(core._majority))


def vote_for_any_log(log: Log, last_index: int, last_term: int) -> bool:
    """Paper 5.4.1: votes go only to logs that are up to date."""
    return True


def keep_conflicts(core: RaftCore, message: Append) -> None:
    """Paper 5.3: entries that conflict are cut."""
    new = message.entries[core.log.last_index - message.previous_index :]
    if new:
        core._append(new, mark=False)


def cut_always(core: RaftCore, message: Append) -> None:
    """Figure 2, AppendEntries, step 3: only entries that conflict are cut."""
    if message.previous_index < core.log.last_index:
        core._truncate(message.previous_index + 1)
    if message.entries:
        core._append(message.entries, mark=False)


def vote_twice(core: RaftCore, term: int, candidate: str) -> bool:
    """Paper 5.2: one vote a term."""
    return term >= core.term


def count_one(leadership: Leadership, majority: int) -> int:
    """Paper 5.3: an entry is committed once a majority has it."""
    return max([leadership.durable, *(item.match for item in leadership.followers.values())])


def ask_an_old_round(leadership: Leadership, commit: int) -> None:
    """Thesis 6.4: the round that confirms a read begins after the read came."""
    leadership.asking = ReadRound(leadership.round, commit, leadership.fresh)
    leadership.fresh = []


def read_before_the_no_op(core: RaftCore, leadership: Leadership) -> None:
    """Thesis 6.4: no read before an entry of the leader's term is committed."""
    leadership.begun_at = 0
    SERVE_READS(core, leadership)


SERVE_READS = RaftCore._serve_reads

MUTANTS: list[tuple[type[Any], str, Callable[..., Any]]] = [
    (RaftCore, "_commit_by_counting", commit_any_term),
    (Log, "is_no_newer_than", vote_for_any_log),
    (RaftCore, "_take_entries", keep_conflicts),
    (RaftCore, "_take_entries", cut_always),
    (RaftCore, "_may_vote", vote_twice),
    (Leadership, "majority_match", count_one),
    (Leadership, "ask", ask_an_old_round),
    (RaftCore, "_serve_reads", read_before_the_no_op),
]


@pytest.mark.parametrize(
    ("owner", "method", "mutant"), MUTANTS, ids=[m[2].__name__ for m in MUTANTS]
)
def test_a_broken_rule_is_found_by_random_runs(
    owner: type[Any], method: str, mutant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, method, mutant)
    for seed in range(SEEDS):
        try:
            survive(seed, 3 + seed % 3, 5.0, check_quorum=False, pre_vote=bool(seed % 2))
        except (AssertionError, IndexError):
            return
    pytest.fail(f"{mutant.__name__} was not noticed in {SEEDS} runs")
