"""The configuration: defaults, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from splitbrain.system_under_test.node.errors import NodeError
from splitbrain.system_under_test.node.raft.config import Options, read_config

LEAST: dict[str, Any] = {
    "node": "n1",
    "peers": {"n1": ["10.0.0.1", 7000], "n2": ["10.0.0.2", 7000]},
    "data": "/data",
    "trace": "/trace/raft.jsonl",
}
BUGS = frozenset({"stale-read", "forgotten-vote"})


def read(**changes: Any) -> Options:
    return read_config(json.dumps(LEAST | changes), BUGS).options


def test_defaults() -> None:
    config = read_config(json.dumps(LEAST), BUGS)
    assert config.options == Options(node="n1", members=("n1", "n2"), snapshot_entries=10_000)
    assert config.addresses["n2"] == ("10.0.0.2", 7000)
    assert (config.data, config.trace) == (Path("/data"), Path("/trace/raft.jsonl"))


def test_everything_given() -> None:
    options = read(
        seed=9,
        heartbeat_ms=20,
        election_ms=[100, 200],
        batch_entries=1,
        pre_vote=False,
        check_quorum=False,
        bugs=["stale-read"],
        voters=["n2"],
        snapshot_entries=50,
        snapshot_chunk_bytes=4096,
        session_limit=3,
        reads="index",
    )
    assert options == Options(
        node="n1",
        members=("n1", "n2"),
        seed=9,
        heartbeat_ns=20_000_000,
        election_ns=(100_000_000, 200_000_000),
        batch_entries=1,
        pre_vote=False,
        check_quorum=False,
        bugs=("stale-read",),
        voters=("n2",),
        snapshot_entries=50,
        snapshot_chunk=4096,
        session_limit=3,
    )
    assert options.lease_ns == 100_000_000
    assert options.quorum_ns == 200_000_000


def test_a_node_may_never_stand() -> None:
    options = read(election_ms=None)
    assert options.election_ns is None
    assert options.lease_ns > options.heartbeat_ns


@pytest.mark.parametrize(("size", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_majorities(size: int, majority: int) -> None:
    assert Options(node="a", members=tuple("abcde"[:size])).majority == majority


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"node": "n9"}, "'n9' is not among the peers"),
        ({"node": ""}, "node must be a text"),
        ({"peers": {}}, "peers must be"),
        ({"peers": {"n1": "here"}}, r"peers\.n1 must be"),
        ({"peers": {"n1": ["h", 0]}}, r"peers\.n1 must be"),
        ({"peers": {"n1": ["h", True]}}, r"peers\.n1 must be"),
        ({"data": None}, "data must be a text"),
        ({"trace": 5}, "trace must be a text"),
        ({"seed": "1"}, "seed must be an integer"),
        ({"heartbeat_ms": 0}, "heartbeat_ms must be an integer, 1 or more"),
        ({"heartbeat_ms": True}, "heartbeat_ms must be an integer"),
        ({"election_ms": [600, 300]}, "election_ms must be"),
        ({"election_ms": 300}, "election_ms must be"),
        ({"batch_entries": 0}, "batch_entries must be"),
        ({"pre_vote": 1}, "pre_vote must be true or false"),
        ({"bugs": "stale-read"}, "bugs must be a list"),
        ({"voters": ["n9"]}, "voters must be a list of some of the peers"),
        ({"voters": []}, "voters must be a list of some of the peers"),
        ({"reads": "fast"}, 'reads must be "index" or "lease"'),
        ({"reads": "lease", "check_quorum": False}, "check_quorum must be true where reads"),
        ({"snapshot_chunk_bytes": 1 << 30}, "snapshot_chunk_bytes must be at most"),
        ({"bugs": ["stale"]}, "there is no bug 'stale'; there are"),
        ({"heartbeat": 5}, "there is no field heartbeat"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(NodeError, match=complaint):
        read(**changes)


@pytest.mark.parametrize("text", ["", "{", "[]", "5"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(NodeError, match="the configuration is no"):
        read_config(text, BUGS)
