"""Planted bugs of Raft's reads, each with the schedule that leads to it."""

from __future__ import annotations

from splitbrain.core.bug import PlantedBug
from splitbrain.core.fault import After, Condition, Fault, Schedule, When
from splitbrain.core.value import Value
from splitbrain.system_under_test.systems.raft_starts import WORKING

_LEADER_CUT_OFF = Schedule(
    (
        Fault(
            id="cut-leader",
            kind="partition",
            start=WORKING,
            duration_s=4.0,
            params={"shape": "leader"},
        ),
    )
)
"""The old leader is cut off from its peers but not from its clients."""

_MANY_READS: dict[str, Value] = {"reads": 8, "writes": 2, "cas": 0}
"""A write that somebody saw elsewhere is not lost when the old leader does not show it."""

STALE_READ = PlantedBug(
    name="stale-read",
    system="raft",
    promise="a read returns the newest value, whoever leads",
    origin="seed: a leader serves reads without asking whether it still leads",
    workload="register",
    checker="linearizable",
    anomaly="stale-read",
    # With check-quorum the old leader would step down within an election timeout, most likely
    # before anybody reads there.
    options={"bugs": ["stale-read"], "check_quorum": False},
    parameters=_MANY_READS,
    schedule=_LEADER_CUT_OFF,
    operation_timeout_s=1.0,
    time_limit_s=7.0,
    rate_hz=100.0,
)

UNCONFIRMED_READ_INDEX = PlantedBug(
    name="unconfirmed-read-index",
    system="raft",
    promise="a read returns the newest value, whoever leads",
    origin="classic: ReadIndex without the round that confirms the leader (thesis, 6.4)",
    workload="register",
    checker="linearizable",
    anomaly="stale-read",
    options={"bugs": ["unconfirmed-read-index"], "check_quorum": False},  # as for stale-read
    parameters=_MANY_READS,
    schedule=_LEADER_CUT_OFF,
    operation_timeout_s=1.0,
    time_limit_s=7.0,
    rate_hz=100.0,
)

EARLY_READ_INDEX = PlantedBug(
    name="early-read-index",
    system="raft",
    promise="a read that a new leader serves shows what its predecessor acknowledged",
    origin="classic: ReadIndex before an entry of the leader's own term is committed (thesis, 6.4)",
    workload="register",
    checker="linearizable",
    anomaly="stale-read",
    # n1 leads first, and n4 and n5 fall behind. Over a slow way n2 does not know yet what n1
    # acknowledged last, when n1 is gone and n2 leads those who are far behind: it must send them a
    # hundred entries one by one before one of its own term is committed. Until then reads do not
    # show what was acknowledged. Each client has a key of its own, so that an unknown outcome does
    # not end the keys that count; it writes as often as it reads, for of several reads in a row
    # that do not show a write the checker says that the write was lost.
    options={
        "bugs": ["early-read-index"],
        # n2 needs the votes of both n4 and n5, which a network that loses much gives seldom.
        "pre_vote": False,
        "election_ms": None,
        "nodes": {
            "n1": {"election_ms": [250, 350]},
            "n2": {"election_ms": [700, 900], "batch_entries": 1},
        },
    },
    parameters={
        "ops_per_key": 100_000,
        "concurrent_keys": 120,
        "reads": 1,
        "writes": 1,
        "cas": 0,
    },
    schedule=Schedule(
        (
            Fault(
                id="slow",
                kind="packets",
                start=WORKING,
                target=["n2"],
                params={"shape": "delay", "delay_ms": 200, "direction": "in"},
            ),
            Fault(
                id="two-behind",
                kind="partition",
                start=After("slow", 0.3),
                duration_s=3.0,
                target=["n4", "n5"],
            ),
            Fault(
                id="n1-cut-off",
                kind="partition",
                start=When(
                    Condition("trace", {"event": "commit", "index": {"at_least": 130}}, node="n1"),
                    within_s=2.8,
                    after="two-behind",
                ),
                target=["n1"],
            ),
            Fault(id="n1-gone", kind="kill", start=After("n1-cut-off", 0.3), target=["n1"]),
        )
    ),
    concurrency=120,
    operation_timeout_s=5.0,
    time_limit_s=9.0,
    rate_hz=300.0,
)

READ_BUGS = (STALE_READ, UNCONFIRMED_READ_INDEX, EARLY_READ_INDEX)
