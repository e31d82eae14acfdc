"""Snapshots and log compaction (paper, section 7), sentence by sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from lone import Lone, append, entries, persisted, sent, text, traced
from virtual import VirtualCluster

from splitbrain.system_under_test.node.durable import DurableLog
from splitbrain.system_under_test.node.effects import Persist
from splitbrain.system_under_test.node.errors import NodeError
from splitbrain.system_under_test.node.raft.log import Entry, Log
from splitbrain.system_under_test.node.raft.messages import Append, AppendReply, Install
from splitbrain.system_under_test.node.raft.snapshot import Arriving, Snapshot, State
from splitbrain.system_under_test.node.raft.storage import replay

STATE = State(members=("n1", "n2", "n3"), sessions=[[1, 2, True, 3, 3]], store=[["x", "old"]])


def snapshot_at(log: Log, index: int, state: State = STATE) -> Snapshot:
    return Snapshot.of(log.base_at(index), state)


def install(snapshot: Snapshot, term: int, offset: int = 0, size: int = 1 << 20) -> Install:
    base = snapshot.base
    return Install(
        term=term,
        round=0,
        index=base.index,
        entry_term=base.term,
        hash=base.hash.hex(),
        digest=snapshot.digest,
        size=len(snapshot.text),
        offset=offset,
        piece=snapshot.text[offset : offset + size],
    )


def test_the_log_is_dropped_up_to_a_snapshot_and_the_disk_is_written_anew() -> None:
    node = Lone(term=1, log=entries(1, 1, 1, 1, 1), snapshot_entries=3)
    node.effects.clear()
    node.hear("n2", append(1, (5, 1), commit=5))
    assert (node.core.log.base_index, node.core.log.last_index) == (3, 5)
    (taken,) = traced(node.effects, "snapshot")
    assert taken["index"] == 3
    (persist,) = [effect for effect in node.effects if isinstance(effect, Persist)]
    assert persist.replaces
    stored = replay(persist.records)
    assert stored.snapshot is not None
    assert stored.snapshot.digest == taken["digest"]
    assert stored.snapshot.state().store == [["x", "1.3"]]
    assert (stored.term, len(stored.entries)) == (1, 2)


def test_hashes_go_on_behind_a_snapshot_as_if_there_were_none() -> None:
    whole, cut = Log(entries(1, 1, 2, 2)), Log(entries(1, 1, 2))
    cut.compact(2)
    cut.append(Entry(2, text("2.4")))
    assert cut.hash_at(4) == whole.hash_at(4)
    assert (cut.first_of_term(2), cut.last_of_term(2, 4), cut.last_of_term(1, 4)) == (3, 3, None)
    for index in (1, 5):
        with pytest.raises(IndexError):
            cut.term_at(index)


def test_a_node_starts_from_its_snapshot() -> None:
    cluster = VirtualCluster(3, seed=1, snapshot_entries=4)
    leader = cluster.elect()
    for value in range(10):
        cluster.call(leader, "write", argument=value)
    cluster.crash(leader)
    cluster.restart(leader)
    core = cluster.core(leader)
    assert core.applied == core.commit == core.log.base_index == 8
    assert cluster.traces()[leader][-1]["event"] in ("append", "boot")
    cluster.run_until(lambda: core.store.read('"x"') == 9)


def test_a_follower_behind_the_log_is_sent_the_snapshot_in_pieces() -> None:
    cluster = VirtualCluster(3, seed=2, snapshot_entries=5, snapshot_chunk=10)
    leader = cluster.elect()
    late = next(name for name in cluster.nodes if name != leader)
    cluster.crash(late)
    for value in range(12):
        cluster.call(leader, "append", argument=value)
    cluster.restart(late)
    cluster.run_until(lambda: cluster.core(late).applied == cluster.core(leader).applied)
    assert cluster.core(late).dump() == cluster.core(leader).dump()
    (record,) = [r for r in cluster.traces()[late] if r["event"] == "install"]
    assert (record["index"], record["kept"]) == (10, False)


def test_a_log_that_goes_on_behind_the_snapshot_stays() -> None:
    """Figure 13, step 6."""
    log = entries(1, 1, 1, 1)
    node = Lone(term=1, log=log)
    node.hear("n2", install(snapshot_at(Log(log), 2), term=1))
    assert (node.core.log.base_index, node.core.log.last_index) == (2, 4)
    assert node.core.store.read('"x"') == "old"
    assert traced(node.effects, "install")[0]["kept"] is True


def test_a_log_that_conflicts_with_the_snapshot_goes() -> None:
    """Figure 13, step 7."""
    node = Lone(term=2, log=entries(1, 1, 1, 1))
    node.hear("n2", install(snapshot_at(Log(entries(1, 2)), 2), term=2))
    assert (node.core.log.base_index, node.core.log.last_index) == (2, 2)
    assert traced(node.effects, "install")[0]["kept"] is False


def test_an_old_snapshot_changes_nothing() -> None:
    log = entries(1, 1, 1, 1)
    node = Lone(term=1, log=log)
    node.hear("n2", append(1, (4, 1), commit=4))
    done = node.hear("n2", install(snapshot_at(Log(log), 2), term=1))
    assert sent(done, AppendReply)[0].matched == 2
    assert node.core.store.read('"x"') == "1.4"
    assert not traced(done, "install")


def test_pieces_that_are_not_due_are_passed_over_and_damage_begins_anew() -> None:
    snapshot = snapshot_at(Log(entries(1)), 1)
    size = len(snapshot.text)
    arriving = Arriving(snapshot.base, snapshot.digest, size)
    arriving.take(5, "later")
    assert arriving.offset == 0
    arriving.take(0, "x" * size)
    assert arriving.finished() is None
    assert arriving.offset == 0
    arriving.take(0, snapshot.text)
    assert arriving.finished() == snapshot


def test_entries_that_the_snapshot_covers_are_taken_as_known() -> None:
    log = entries(1, 1, 1, 1, 1)
    node = Lone(term=1, log=log, snapshot_entries=4)
    node.hear("n2", append(1, (5, 1), commit=5))
    done = node.hear("n2", append(1, (1, 1), log[1:3], commit=5))
    assert sent(done, AppendReply)[0].matched == 4
    done = node.hear("n2", append(1, (2, 1), (*log[2:], Entry(1, text("new"))), commit=5))
    assert sent(done, AppendReply)[0].matched == 6


def test_a_damaged_snapshot_on_the_disk_is_refused() -> None:
    node = Lone(term=1, log=entries(1, 1), snapshot_entries=2)
    node.hear("n2", append(1, (2, 1), commit=2))
    record = next(item for item in persisted(node.effects) if item[0] == "snapshot")
    record[1]["text"] = record[1]["text"].replace("1.2", "1.3")
    with pytest.raises(NodeError, match="snapshot that cannot be used: the snapshot is damaged"):
        replay([record])


def test_frames_stay_bounded() -> None:
    leader = Lone(term=1, log=entries(*[1] * 8), snapshot_entries=4, snapshot_chunk=9).lead()
    leader.agree("n2", 9)
    done = leader.wait(100)
    assert [len(message.entries) for message in sent(done, Append, "n3")] == [0]
    refusal = AppendReply(
        term=leader.core.term, round=0, previous_index=8, matched=None, conflict_index=1
    )
    (piece,) = sent(leader.hear("n3", refusal), Install, "n3")
    assert len(piece.piece) == 9
    assert piece.index == leader.core.log.base_index == 8


def test_a_replaced_file_holds_the_new_records_alone_and_a_half_made_one_is_dropped(
    tmp_path: Path,
) -> None:
    path, identity = tmp_path / "raft.log", {"node": "n1"}
    opened = DurableLog.open(path, identity)
    opened.log.append(["old", 1])
    opened.log.sync()
    opened.log.append(["old", 2])
    opened.log.replace(["new", 1])
    opened.log.append(["new", 2])
    opened.log.sync()
    opened.log.append(["new", 3])
    opened.log.sync()
    opened.log.close()
    beside = tmp_path / "raft.log.new"
    assert not beside.exists()
    beside.write_bytes(path.read_bytes()[:30])
    again = DurableLog.open(path, identity)
    assert again.records == (["new", 1], ["new", 2], ["new", 3])
    assert not beside.exists()
    with pytest.raises(NodeError, match="in use by another daemon"):
        DurableLog.open(path, identity)
    again.log.close()
