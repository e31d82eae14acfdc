"""Options of the reference Raft are checked when it is made, before any host is there."""

from __future__ import annotations

from typing import Any

import pytest

from splitbrain.core.cluster import Topology
from splitbrain.core.errors import UsageError
from splitbrain.system_under_test.systems.raft import RaftSystem


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bugs": 1}, '"bugs" must be a list of names, not 1'),
        ({"bugs": [[]]}, '"bugs" must be a list of names'),
        ({"bugs": ["x"]}, "raft has no bug 'x'; `splitbrain list bugs` lists all"),
        ({"nodes": 3}, '"nodes" must be an object of options by node, not 3'),
        ({"nodes": {"n1": 5}}, "n1: the options of a node are an object, not 5"),
        ({"nodes": {"n1": {"speed": 5}}}, "n1: raft has no option 'speed'"),
        ({"nodes": {"n1": {"election_ms": [5]}}}, "election_ms must be [least, greatest]"),
        ({"heartbeat_ms": "x"}, "heartbeat_ms must be an integer, 1 or more"),
        ({"heartbeat_ms": -5}, "heartbeat_ms must be an integer, 1 or more"),
        ({"election_ms": [1]}, "election_ms must be [least, greatest]"),
        ({"election_ms": 7}, "election_ms must be [least, greatest]"),
        ({"batch_entries": 0}, "batch_entries must be an integer, 1 or more"),
        ({"pre_vote": 1}, "pre_vote must be true or false"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        RaftSystem(**options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_options_of_all_and_of_single_nodes_are_taken() -> None:
    RaftSystem(bugs=["stale-read"], heartbeat_ms=20, nodes={"n1": {"election_ms": None}, "n2": {}})


@pytest.mark.parametrize(
    "own",
    [
        {"election_ms": [100, 200]},
        {"election_ms": None},
        {"reads": "index"},
        {"reads": "index", "check_quorum": False},
    ],
)
def test_a_lease_needs_all_nodes_to_turn_candidates_away_for_as_long(own: dict[str, Any]) -> None:
    topology = Topology(addresses={"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"})
    system = RaftSystem(reads="lease", nodes={"n2": own})
    with pytest.raises(UsageError, match='where reads are "lease" at n1, n2 must'):
        system.configuration("n3", topology)
    same = RaftSystem(reads="lease", nodes={"n2": {"election_ms": [400, 3000]}})
    assert same.configuration("n2", topology)["election_ms"] == [400, 3000]
