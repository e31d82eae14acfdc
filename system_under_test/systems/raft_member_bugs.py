"""Planted bugs of Raft's snapshots, sessions, members and lease, each with its schedule."""

from __future__ import annotations

from splitbrain.core.bug import PlantedBug
from splitbrain.core.fault import After, Condition, Fault, Schedule, When
from splitbrain.core.value import Value
from splitbrain.system_under_test.systems.raft_starts import WORKING

_N1_LEADS: Value = {"n1": {"election_ms": [250, 350]}}
"""n1 stands first, since it is the most impatient."""

_SNAPSHOTS = When(Condition("trace", {"event": "snapshot", "index": {"at_least": 20}}), 8.0)

_LATER = When(
    Condition("trace", {"event": "snapshot", "index": {"at_least": 50}}), 8.0, delay_s=0.25
)
"""Some entries stand behind a snapshot."""

SNAPSHOT_WITHOUT_TAIL = PlantedBug(
    name="snapshot-without-tail",
    system="raft",
    promise="a snapshot holds what all entries up to its index led to",
    origin="classic: the state is copied, then entries are applied, then the index is taken",
    workload="register",
    checker="raft",
    anomaly="divergent-state",
    # Nodes that were restarted, or sent a snapshot, go on without the tail; at the next snapshots
    # their states differ from those of the others.
    options={"bugs": ["snapshot-without-tail"], "snapshot_entries": 10},
    # A write that is missing is soon overwritten where keys are few.
    parameters={"reads": 0, "writes": 1, "cas": 0, "concurrent_keys": 10},
    schedule=Schedule(
        (
            Fault(
                id="restart",
                kind="restart",
                start=_SNAPSHOTS,
                duration_s=5.0,
                target=["n4", "n5"],
                params={"down_s": 0.3, "up_s": 0.7},
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=10.0,
    rate_hz=100.0,
)

DUPLICATE_REQUEST = PlantedBug(
    name="duplicate-request",
    system="raft",
    promise="a command of a session is carried out once, however often it is asked for",
    origin="classic: a client asks again after a lost answer, and nobody remembers (thesis, 6.3)",
    workload="register",
    checker="linearizable",
    anomaly="phantom-value",
    # No fault is needed: one answer in eight is lost, and the client asks again.
    options={"bugs": ["duplicate-request"], "retry": True},
    schedule=Schedule(
        (Fault(id="kill", kind="kill", start=WORKING, duration_s=1.0, target="one-follower"),)
    ),
    operation_timeout_s=2.0,
    time_limit_s=6.0,
    rate_hz=100.0,
)

FORGOTTEN_SESSIONS = PlantedBug(
    name="forgotten-sessions",
    system="raft",
    promise="a snapshot holds what every session asked last, and the answer",
    origin="classic: the table of sessions is no part of the snapshot (thesis, 6.3)",
    workload="register",
    checker="raft",
    anomaly="divergent-state",
    options={"bugs": ["forgotten-sessions"], "retry": True, "snapshot_entries": 20},
    schedule=SNAPSHOT_WITHOUT_TAIL.schedule,
    operation_timeout_s=1.0,
    time_limit_s=10.0,
    rate_hz=100.0,
)

EAGER_SNAPSHOT = PlantedBug(
    name="eager-snapshot",
    system="raft",
    promise="what stands in a log behind a snapshot stays (paper, figure 13, step 6)",
    origin="classic: a follower drops its whole log for whatever snapshot it is sent",
    workload="register",
    checker="raft",
    anomaly="install-discarded-entries",
    # The next leaders send their snapshot to all, whether they lack something or not.
    options={"bugs": ["eager-snapshot"], "snapshot_entries": 50},
    schedule=Schedule(
        (
            Fault(id="kill", kind="kill", start=_LATER, duration_s=2.0, target="leader"),
            Fault(
                id="again",
                kind="kill",
                start=After("kill", 0.7, healed=True),
                duration_s=2.0,
                target="leader",
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=9.0,
    rate_hz=100.0,
)

TWO_CHANGES = PlantedBug(
    name="two-changes",
    system="raft",
    promise="a leader changes the members only when its last change is committed",
    origin="classic: one change at a time is all that keeps majorities meeting (thesis, 4.1)",
    workload="register",
    checker="raft",
    anomaly="two-changes",
    # The leader that is cut off can commit nothing, and operators reach it all the same.
    options={
        "bugs": ["two-changes"],
        "check_quorum": False,
        "election_ms": [1000, 1500],
        "nodes": _N1_LEADS,
    },
    schedule=Schedule(
        (
            Fault(id="cut", kind="partition", start=WORKING, duration_s=6.0, target=["n1"]),
            Fault(
                id="first",
                kind="membership",
                start=After("cut", 2.0),
                duration_s=3.0,
                target=["n4"],
            ),
            Fault(
                id="second",
                kind="membership",
                start=After("first", 0.5),
                duration_s=2.5,
                target=["n5"],
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=12.0,
    rate_hz=100.0,
)

UNREADY_CHANGE = PlantedBug(
    name="unready-change",
    system="raft",
    promise="a leader changes the members only after it committed an entry of its own term",
    origin="the bug of single-server changes (Ongaro, raft-dev, 2015)",
    workload="register",
    checker="raft",
    anomaly="unready-change",
    # All are asked to remove n5; when it is back, the next leader remembers.
    # n5 itself must not be the one.
    options={"bugs": ["unready-change"], "nodes": {"n5": {"election_ms": None}}},
    schedule=Schedule(
        (
            Fault(id="remove", kind="membership", start=WORKING, duration_s=1.0, target=["n5"]),
            Fault(
                id="kill",
                kind="kill",
                start=After("remove", 1.5, healed=True),
                duration_s=2.0,
                target="leader",
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=12.0,
    rate_hz=100.0,
)

REMOVED_LEADER_COUNTS = PlantedBug(
    name="removed-leader-counts",
    system="raft",
    promise="a leader that removes itself commits by a majority of those who stay",
    origin="classic: it counts itself, although it is no member any more (thesis, 4.2.2)",
    workload="register",
    checker="raft",
    anomaly="committed-without-majority",
    # n4 and n5 are down: n1, n2 and n3 would be a majority of five, and two are none of four.
    options={
        "bugs": ["removed-leader-counts"],
        "check_quorum": False,
        "election_ms": [1000, 1500],
        "nodes": _N1_LEADS,
    },
    schedule=Schedule(
        (
            Fault(id="down", kind="kill", start=WORKING, duration_s=5.0, target=["n4", "n5"]),
            Fault(
                id="remove",
                kind="membership",
                start=After("down", 0.5),
                duration_s=3.0,
                target=["n1"],
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=12.0,
    rate_hz=100.0,
)

LEARNER_COUNTS = PlantedBug(
    name="learner-counts",
    system="raft",
    promise="a node that still gets the log counts for nothing",
    origin="classic: who is being added counts before its log is there (thesis, 4.2.1)",
    workload="register",
    checker="raft",
    anomaly="committed-without-majority",
    # n3 and n4 are cut off, so that n1 and n2 commit nothing, until n5 is to be added.
    options={
        "bugs": ["learner-counts"],
        "check_quorum": False,
        "election_ms": [1000, 1500],
        "nodes": _N1_LEADS,
        "voters": ["n1", "n2", "n3", "n4"],
    },
    schedule=Schedule(
        (
            Fault(id="cut", kind="partition", start=WORKING, target=["n3", "n4"], duration_s=6.0),
            Fault(
                id="add",
                kind="membership",
                start=After("cut", 1.5),
                target=["n5"],
                params={"wish": "add"},
                duration_s=1.0,
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=12.0,
    rate_hz=100.0,
)


def _cut_off_and_back(suffix: str, start: When | After) -> tuple[Fault, Fault]:
    cut = f"cut{suffix}"
    return (
        Fault(
            id=cut,
            kind="partition",
            start=start,
            duration_s=8.0,
            params={"shape": "leader"},
        ),
        Fault(
            id=f"back{suffix}",
            kind="clock",
            start=After(cut, 0.2),
            duration_s=7.0,
            target="leader",
            params={"shape": "jump", "offset_s": -60.0},
        ),
    )


STALE_LEASE = PlantedBug(
    name="stale-lease",
    system="raft",
    promise="a read returns the newest value, whoever leads",
    origin="the price of leases: a wall clock that jumps back lengthens them (thesis, 6.4.1)",
    workload="register",
    checker="linearizable",
    anomaly="stale-read",
    # No planted code: the option alone. The leader is cut off, and its clock goes back a minute;
    # it steps down after the greatest election timeout, so that is long. Twice, since in one seed
    # of some hundred its successor is elected too late.
    options={"reads": "lease", "election_ms": [1000, 7000]},
    schedule=Schedule(
        (
            *_cut_off_and_back("", When(WORKING.condition, 12.0)),
            *_cut_off_and_back("-again", After("cut", 4.0, healed=True)),
        )
    ),
    # Mostly reads: a write at the old leader keeps its client waiting.
    parameters={"reads": 20, "writes": 2, "cas": 0, "ops_per_key": 1000},
    operation_timeout_s=0.5,
    time_limit_s=32.0,
    rate_hz=100.0,
)

MEMBER_BUGS = (
    SNAPSHOT_WITHOUT_TAIL,
    DUPLICATE_REQUEST,
    FORGOTTEN_SESSIONS,
    EAGER_SNAPSHOT,
    TWO_CHANGES,
    UNREADY_CHANGE,
    REMOVED_LEADER_COUNTS,
    LEARNER_COUNTS,
    STALE_LEASE,
)
