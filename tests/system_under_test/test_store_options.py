"""Options of the reference store are checked when it is made, before any host is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from splitbrain.core.cluster import Topology
from splitbrain.core.errors import UsageError
from splitbrain.system_under_test.node.store.config import Level
from splitbrain.system_under_test.systems.raft import RaftSystem
from splitbrain.system_under_test.systems.store import StoreSystem
from splitbrain.system_under_test.systems.store_client import level_of


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bugs": 1}, "bugs must be a list of names"),
        ({"bugs": ["x"]}, "there is no bug 'x'; there are ['absent-entries', "),
        ({"nodes": 3}, '"nodes" must be an object of options by node, not 3'),
        ({"nodes": {"n1": 5}}, "n1: the options of a node are an object, not 5"),
        ({"nodes": {"n1": {"speed": 5}}}, "n1: there is no option 'speed'"),
        ({"speed": 5}, "store: there is no option 'speed'"),
        ({"level": "weak"}, "level is one of strong, sequential, causal, eventual, not 'weak'"),
        ({"sessions": 1}, "sessions is one of stay, move"),
        ({"n": 0}, "n must be an integer, 1 or more"),
        ({"w": 4}, "w must be at most n, which is 3"),
        ({"replication": "all"}, "replication must be one of simple, ring, quorum"),
        ({"ring_bits": 64}, "ring_bits must be from 4 to 32"),
        ({"anti_entropy_ms": 0}, "anti_entropy_ms must be an integer, 1 or more, or null"),
        ({"election_ms": [5]}, "election_ms must be [least, greatest]"),
        ({"sloppy": 1}, "sloppy must be true or false"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        StoreSystem(**options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_promised_stands_in_the_facts() -> None:
    facts = StoreSystem(replication="simple", n=5).facts
    assert (facts["n"], facts["r"], facts["w"]) == (5, 1, 5)
    facts = StoreSystem(replication="ring", n=5).facts
    assert (facts["r"], facts["w"]) == (3, 3)
    assert StoreSystem(write_availability="any").facts["w"] == 1


def test_a_key_may_say_its_level() -> None:
    found = [level_of(key, Level.STRONG) for key in ("causal/1", "lww/x", "other/1", "causal", 7)]
    assert found == ["causal", "eventual", "strong", "strong", "strong"]


@pytest.mark.parametrize("made", [StoreSystem, RaftSystem])
def test_traces_are_synced_where_a_power_cut_takes_what_is_not(made: type[Any]) -> None:
    plain = Topology(addresses={"n1": "10.0.0.1"})
    assert made().configuration("n1", plain)["sync_trace"] is False
    mortal = replace(plain, loses_unsynced=True)
    assert made().configuration("n1", mortal)["sync_trace"] is True
