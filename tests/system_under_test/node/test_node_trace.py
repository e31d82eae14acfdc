"""Golden lines of the trace, and how a trace is read back."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from lone import Lone, append, entries
from virtual import VirtualCluster

from splitbrain.system_under_test.node.effects import Trace
from splitbrain.system_under_test.node.errors import NodeError
from splitbrain.system_under_test.node.raft.log import NO_OP, Entry, Log
from splitbrain.system_under_test.node.trace import (
    Clocks,
    TraceEncoder,
    TraceFile,
    read_trace,
    system_clocks,
)

FIXED = Clocks(lambda: 5, lambda: 7)


def lines(*events: str, boot: str = "b", first: int = 0) -> bytes:
    made = b""
    for seq, event in enumerate(events, first):
        record = {"node": "n1", "boot": boot, "seq": seq, "boot_ns": 1, "wall_ns": 2}
        made += json.dumps(record | {"event": event}).encode() + b"\n"
    return made


def test_hashes_are_as_the_documentation_says() -> None:
    log = Log([Entry(1, NO_OP), Entry(2, '{"argument":1,"f":"write","key":"x"}')])
    assert log.hash_at(0) == "0000000000000000"
    assert log.hash_at(1) == "4b33431e8a1f6fa3"
    assert log.hash_at(2) == "fd3d7110eb48b99b"


def test_records_look_as_ever() -> None:
    node = Lone(term=1, log=entries(1, 1))
    node.hear("n2", append(2, (1, 1), (Entry(2, NO_OP),), commit=2))
    made = TraceEncoder("n1", "b", FIXED).encode(
        [effect for effect in node.effects if isinstance(effect, Trace)]
    )
    head = '{"node":"n1","boot":"b","seq":%d,"boot_ns":5,"wall_ns":7,"event":'
    h1, h2 = node.core.log.hash_at(1), node.core.log.hash_at(2)
    old = Log(entries(1, 1)).hash_at(2)
    assert made.decode().splitlines() == [
        head % 0 + f'"boot","term":1,"vote":null,"last_index":2,"last_term":1,"hash":"{old}",'
        '"commit":0,"base":0,"base_hash":"0000000000000000","digest":null,'
        '"members":["n1","n2","n3"],"bugs":[]}',
        head % 1 + f'"append","term":1,"first":1,"terms":[1,1],"hashes":["{h1}","{old}"]}}',
        head % 2 + '"truncate","term":2,"from":2}',
        head % 3 + f'"append","term":2,"first":2,"terms":[2],"hashes":["{h2}"]}}',
        head % 4 + f'"commit","index":2,"term":2,"entry_term":2,"hash":"{h2}"}}',
        head % 5 + f'"apply","first":1,"last":2,"entry_term":2,"hash":"{h2}"}}',
    ]


def test_leading_records_look_as_ever() -> None:
    node = Lone(pre_vote=False)
    node.effects.clear()
    from splitbrain.system_under_test.node.raft.messages import VoteReply

    node.wait(1000)
    node.hear("n2", VoteReply(term=1, granted=True))
    node.hear("n2", append(2))
    found = [(e.event, dict(e.fields)) for e in node.effects if isinstance(e, Trace)]
    assert found == [
        ("vote", {"term": 1, "for": "n1"}),
        (
            "lead",
            {
                "term": 1,
                "last_index": 0,
                "last_term": 0,
                "hash": "0000000000000000",
                "votes": ["n1", "n2"],
                "members": ["n1", "n2", "n3"],
            },
        ),
        ("append", {"term": 1, "first": 1, "terms": [1], "hashes": ["4b33431e8a1f6fa3"]}),
        ("step-down", {"term": 1, "reason": "higher-term"}),
    ]


def test_every_event_that_a_core_traces_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "raft.md").read_text()
    cluster = VirtualCluster(3, seed=4, snapshot_entries=9)
    old = cluster.elect()
    cluster.isolate(old)
    cluster.submit(old, "write", argument=1)
    cluster.run_for(3.0)
    cluster.heal()
    cluster.run_for(1.0)
    cluster.isolate(old)
    for value in range(12):
        cluster.call(cluster.leaders()[0], "write", argument=value)
    cluster.heal()
    cluster.run_for(1.0)
    cluster.wish("remove", old)
    cluster.run_for(1.0)
    seen: dict[str, set[str]] = {}
    for records in cluster.traces().values():
        for record in records:
            seen.setdefault(record["event"], set()).update(record)
    assert set(seen) == {
        *("boot", "vote", "lead", "append", "truncate", "step-down", "commit", "apply"),
        *("snapshot", "install", "config"),
    }
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    common = {"node", "boot", "seq", "boot_ns", "wall_ns", "event"}
    for event, fields in seen.items():
        for field in fields - common:
            assert f"`{field}`" in rows[event], (event, field)
    assert "clock" in rows
    assert common <= set(rows)


def test_a_whole_trace_has_no_gaps() -> None:
    records, gaps = read_trace(lines("boot", "clock") + lines("boot", boot="c"))
    assert [record["event"] for record in records] == ["boot", "clock", "boot"]
    assert gaps == []
    assert read_trace(b"") == ([], [])


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_dropped_and_is_no_gap(cut: int) -> None:
    torn = lines("boot", "clock")[:-cut]
    for data in (torn, torn + b"\n" + lines("boot", boot="c")):
        records, gaps = read_trace(data)
        assert gaps == []
        assert records[0]["event"] == "boot"


@pytest.mark.parametrize(
    ("data", "gap"),
    [
        (lines("boot") + lines("clock", first=2), "line 2: boot b: seq 2 where 1 was due"),
        (lines("clock", first=1), "line 1: boot b: seq 1 where 0 was due"),
        (lines("boot") + lines("boot"), "line 2: boot b: seq 0 where 1 was due"),
        (
            lines("boot") + b"{}\n" + lines("clock", first=1),
            "line 2: cannot be read, in the middle",
        ),
        (lines("boot") + b"\xff\xfe\n" + lines("clock", first=2), "line 2: cannot be read"),
        (lines("boot") + b"{\n{\n" + lines("boot", boot="c"), "line 2: cannot be read, nor can 1"),
        (lines("boot") + b'{"node":"n1","boot":"b"}\n' + lines("clock", first=1), "line 2"),
    ],
)
def test_gaps_are_named(data: bytes, gap: str) -> None:
    _, gaps = read_trace(data)
    assert any(line.startswith(gap) for line in gaps), gaps


def test_anything_at_all_can_be_read_without_an_error() -> None:
    for data in (b"\0" * 100, b"[" * 100_000, b"\n\n\n", b'{"seq":"x"}', b"9" * 5000, b"NaN"):
        read_trace(data)


def test_a_file_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "trace.jsonl"
    one = TraceFile(path, TraceEncoder("n1", "one", FIXED))
    one.write([Trace("boot", {}), Trace("clock", {})])
    one.close()
    path.write_bytes(path.read_bytes()[:-9])
    other = TraceFile(path, TraceEncoder("n1", "two", system_clocks()))
    other.write([Trace("boot", {})])
    other.close()
    records, gaps = read_trace(path.read_bytes())
    assert [(record["boot"], record["seq"]) for record in records] == [("one", 0), ("two", 0)]
    assert gaps == []
    stamps: list[Any] = [record["boot_ns"] for record in records]
    assert stamps[1] > stamps[0]


@pytest.mark.parametrize("synced", [False, True])
def test_a_synced_trace_is_on_the_disk_before_anything_else_happens(
    synced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    plain = os.open

    def noted(path: Path, flags: int, mode: int) -> int:
        opened.append(plain(path, flags, mode))
        return opened[-1]

    monkeypatch.setattr(os, "open", noted)
    trace = TraceFile(tmp_path / "t", TraceEncoder("n1", "b", FIXED), synced=synced)
    has_sync = fcntl.fcntl(opened[0], fcntl.F_GETFL) & os.O_DSYNC
    assert bool(has_sync) == synced
    trace.close()


def test_a_trace_that_cannot_be_opened_or_written_ends_the_node(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="cannot be opened"):
        TraceFile(tmp_path, TraceEncoder("n1", "b", FIXED))
    trace = TraceFile(tmp_path / "t", TraceEncoder("n1", "b", FIXED))
    trace.close()
    with pytest.raises(NodeError, match="cannot be written"):
        trace.write([Trace("boot", {})])
