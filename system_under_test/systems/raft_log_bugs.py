"""Planted bugs of Raft's log: replication, commit, apply, durability, each with its schedule."""

from __future__ import annotations

from splitbrain.core.bug import PlantedBug
from splitbrain.core.fault import After, Fault, Schedule
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
"""A leader that is cut off goes on taking writes that no majority has."""

UNVERIFIED_COMMIT = PlantedBug(
    name="unverified-commit",
    system="raft",
    promise="what a node applies at an index is what every other node applies there",
    origin="seed: a follower commits min(leader_commit, len(log)), where its log is not verified",
    workload="register",
    checker="raft",
    anomaly="divergent-apply",
    # With check-quorum the leader that is cut off would step down early. Healed, the new leader's
    # first message commits its suffix.
    options={"bugs": ["unverified-commit"], "check_quorum": False},
    schedule=_LEADER_CUT_OFF,
    operation_timeout_s=1.0,
    time_limit_s=8.0,
    rate_hz=100.0,
)

UNMATCHED_APPEND = PlantedBug(
    name="unmatched-append",
    system="raft",
    promise="logs that agree on an entry's index and term agree up to there",
    origin="classic: AppendEntries without the check of the previous entry's term",
    workload="register",
    checker="raft",
    anomaly="log-mismatch",
    # With check-quorum the leader that is cut off would step down early. A new leader asks first
    # where its own log ended: only the second one asks behind the point where the logs part.
    options={"bugs": ["unmatched-append"], "check_quorum": False},
    schedule=Schedule(
        (
            Fault(
                id="cut-leader",
                kind="partition",
                start=WORKING,
                duration_s=6.0,
                params={"shape": "leader"},
            ),
            Fault(
                id="next-leader-gone",
                kind="kill",
                start=After("cut-leader", 2.5),
                duration_s=1.5,
                target="leader",
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=10.0,
    rate_hz=100.0,
)

TRUNCATED_LOG = PlantedBug(
    name="truncated-log",
    system="raft",
    promise="what a node has committed stays in its log",
    origin="classic: a follower cuts its log at every AppendEntries, also at one it saw before",
    workload="register",
    checker="raft",
    anomaly="committed-entry-lost",
    # A follower that is not heard commits what it is sent, and is sent the same again.
    options={"bugs": ["truncated-log"]},
    schedule=Schedule(
        (
            Fault(
                id="unheard",
                kind="partition",
                start=WORKING,
                duration_s=2.0,
                target="one-follower",
                params={"shape": "one-way", "direction": "mute"},
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=7.0,
    rate_hz=100.0,
)

OLD_TERM_COMMIT = PlantedBug(
    name="old-term-commit",
    system="raft",
    promise="a leader counts replicas only for entries of its own term",
    origin="classic: figure 8 of the paper",
    workload="register",
    checker="raft",
    anomaly="stale-term-commit",
    # With writes alone there is always an entry that the next leader has and does not know to be
    # committed; a message for a read would tell it.
    options={"bugs": ["old-term-commit"]},
    parameters={"reads": 0, "writes": 1, "cas": 0},
    schedule=Schedule(
        (
            Fault(id="leader-gone", kind="kill", start=WORKING, duration_s=2.0, target="leader"),
            Fault(
                id="next-leader-gone",
                kind="kill",
                start=After("leader-gone", 1.0, healed=True),
                duration_s=2.0,
                target="leader",
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=9.0,
    rate_hz=100.0,
)

LONE_COMMIT = PlantedBug(
    name="lone-commit",
    system="raft",
    promise="what is committed is on the disks of a majority",
    origin="classic: a leader commits an entry that it alone has",
    workload="register",
    checker="raft",
    anomaly="divergent-commit",
    # With check-quorum the leader that is cut off would step down early.
    options={"bugs": ["lone-commit"], "check_quorum": False},
    schedule=_LEADER_CUT_OFF,
    operation_timeout_s=1.0,
    time_limit_s=8.0,
    rate_hz=100.0,
)

EARLY_APPLY = PlantedBug(
    name="early-apply",
    system="raft",
    promise="only what is committed is applied, and answered",
    origin="classic: entries are applied before they are committed",
    workload="register",
    checker="raft",
    anomaly="applied-uncommitted",
    options={"bugs": ["early-apply"]},
    schedule=_LEADER_CUT_OFF,
    operation_timeout_s=1.0,
    time_limit_s=8.0,
    rate_hz=100.0,
)

EARLY_ACKNOWLEDGEMENT = PlantedBug(
    name="early-acknowledgement",
    system="raft",
    promise="what is acknowledged is durable",
    origin="classic: entries are acknowledged before they are on the disk, which is synced later",
    workload="register",
    checker="raft",
    anomaly="committed-entry-lost",
    # All at once: a majority that kept its memory would teach the others again. They start anew
    # together, so that the second time nobody's last second is over.
    options={"bugs": ["early-acknowledgement"]},
    schedule=Schedule(
        (
            Fault(id="all-down", kind="kill", start=WORKING, duration_s=0.5, target="all"),
            Fault(
                id="all-down-again",
                kind="kill",
                start=After("all-down", 2.5, healed=True),
                duration_s=0.5,
                target="all",
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=8.0,
    rate_hz=100.0,
)

LOG_BUGS = (
    UNVERIFIED_COMMIT,
    UNMATCHED_APPEND,
    TRUNCATED_LOG,
    OLD_TERM_COMMIT,
    LONE_COMMIT,
    EARLY_APPLY,
    EARLY_ACKNOWLEDGEMENT,
)
