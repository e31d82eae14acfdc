"""Planted bugs of Raft's elections, each with the schedule that leads to it."""

from __future__ import annotations

from splitbrain.core.bug import PlantedBug
from splitbrain.core.fault import After, Fault, Schedule
from splitbrain.core.value import Value
from splitbrain.system_under_test.systems.raft_starts import WORKING

FORGOTTEN_VOTE = PlantedBug(
    name="forgotten-vote",
    system="raft",
    promise="a node votes for one candidate a term, also when it restarts in between",
    origin="seed: the term and the vote are not persisted",
    workload="register",
    checker="raft",
    anomaly="double-vote",
    # n1 leads first, since it is the most impatient; n3 never stands, it only votes. Cut off with
    # n3 alone, n1 stands term after term and has n3's vote in each, but no majority; pre-vote would
    # keep it from standing. n3 then forgets by a restart, and votes in those terms once more when
    # the others elect their next leader.
    options={
        "bugs": ["forgotten-vote"],
        "pre_vote": False,
        "election_ms": [1000, 1500],
        "nodes": {"n1": {"election_ms": [250, 350]}, "n3": {"election_ms": None}},
    },
    schedule=Schedule(
        (
            Fault(
                id="n1-with-n3",
                kind="partition",
                start=WORKING,
                duration_s=5.0,
                target=["n1", "n3"],
            ),
            Fault(
                id="n1-alone",
                kind="partition",
                start=After("n1-with-n3", 4.2),
                target=["n1"],
            ),
            Fault(
                id="n3-forgets",
                kind="kill",
                start=After("n1-alone", 0.1),
                duration_s=1.5,
                target=["n3"],
            ),
            Fault(
                id="next-election",
                kind="kill",
                start=After("n3-forgets", 1.5, healed=True),
                duration_s=2.5,
                target="leader",
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=14.0,
    rate_hz=60.0,
)

LOST_VOTE = PlantedBug(
    name="lost-vote",
    system="raft",
    promise="a node that restarts knows for whom it voted in its term",
    origin="classic: the term is persisted, and the vote is not",
    workload="register",
    checker="raft",
    anomaly="forgotten-vote",
    # A leader voted for itself in the very term that it finds on its disk again.
    options={"bugs": ["lost-vote"]},
    schedule=Schedule(
        (Fault(id="leader-forgets", kind="kill", start=WORKING, duration_s=1.0, target="leader"),)
    ),
    time_limit_s=6.0,
    rate_hz=100.0,
)

KEPT_VOTE = PlantedBug(
    name="kept-vote",
    system="raft",
    promise="once everything is healed somebody leads again",
    origin="seed: voted_for is kept when a node hears of a higher term",
    workload="register",
    checker="recovery",
    anomaly="no-leader",
    # While the leader is away the others stand, and have voted for themselves for ever. Pre-vote
    # would let one of them stand at a time, and some of them never.
    options={"bugs": ["kept-vote"], "pre_vote": False, "election_ms": [300, 600]},
    schedule=Schedule(
        (Fault(id="leader-away", kind="kill", start=WORKING, duration_s=4.0, target="leader"),)
    ),
    operation_timeout_s=1.0,
    time_limit_s=20.0,
    rate_hz=30.0,
)

VOTES_NEVER_ENOUGH = PlantedBug(
    name="votes-never-enough",
    system="raft",
    promise="somebody leads soon",
    origin="seed: votes are counted as the constant 1, in a cluster of more than one",
    workload="register",
    checker="recovery",
    anomaly="no-leader",
    # Nothing needs to break. With pre-vote nobody would come so far as to ask for votes.
    options={"bugs": ["votes-never-enough"], "pre_vote": False},
    schedule=Schedule(),
    operation_timeout_s=1.0,
    time_limit_s=15.0,
    rate_hz=30.0,
)

VOTES_ALWAYS_ENOUGH = PlantedBug(
    name="votes-always-enough",
    system="raft",
    promise="a term has one leader at most",
    origin="seed: votes are counted as a constant, here as a majority, when one comes in",
    workload="register",
    checker="raft",
    anomaly="two-leaders",
    # n1 leads first. Two groups of two, each with one vote to give: n1 hears no majority and stands
    # for the next term, which n3 asks for as well, or n4 if n3's log is the shorter one; and again,
    # since a vote may be lost or late. Nobody's patience is shorter than a late message takes.
    options={
        "bugs": ["votes-always-enough"],
        "election_ms": None,
        "nodes": {
            "n1": {"election_ms": [450, 500]},
            "n3": {"election_ms": [750, 800]},
            "n4": {"election_ms": [900, 1000]},
        },
    },
    schedule=Schedule(
        (
            Fault(
                id="three-groups",
                kind="partition",
                start=WORKING,
                duration_s=5.5,
                params={
                    "grudge": {
                        "n1": ["n3", "n4", "n5"],
                        "n2": ["n3", "n4", "n5"],
                        "n3": ["n1", "n2", "n5"],
                        "n4": ["n1", "n2", "n5"],
                        "n5": ["n1", "n2", "n3", "n4"],
                    }
                },
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=9.0,
    rate_hz=100.0,
)

_IMPATIENT_N1: dict[str, Value] = {
    "election_ms": [1000, 1500],
    "nodes": {"n1": {"election_ms": [250, 350]}},
}

HALF_MAJORITY = PlantedBug(
    name="half-majority",
    system="raft",
    promise="what one side of a cut network commits, the other does not contradict",
    origin="classic: half of the nodes, rounded down, pass for a majority",
    workload="register",
    checker="raft",
    anomaly="divergent-commit",
    # n1 leads first, and goes on with n2 alone, while the other three elect a leader.
    options={"bugs": ["half-majority"], **_IMPATIENT_N1},
    schedule=Schedule(
        (
            Fault(
                id="n1-with-n2",
                kind="partition",
                start=WORKING,
                duration_s=4.0,
                target=["n1", "n2"],
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=8.0,
    rate_hz=100.0,
)

STALE_CANDIDATE = PlantedBug(
    name="stale-candidate",
    system="raft",
    promise="a leader has every entry that was committed",
    origin="classic: voters do not ask whether a candidate's log is up to date",
    workload="register",
    checker="raft",
    anomaly="leader-incomplete",
    # n1 leads first, and after it only n5 stands, which comes back from behind when n1 is gone.
    options={
        "bugs": ["stale-candidate"],
        "election_ms": None,
        "nodes": {"n1": {"election_ms": [250, 350]}, "n5": {"election_ms": [600, 900]}},
    },
    schedule=Schedule(
        (
            Fault(id="n5-behind", kind="partition", start=WORKING, duration_s=2.5, target=["n5"]),
            Fault(
                id="n1-gone",
                kind="kill",
                start=After("n5-behind", 1.5),
                duration_s=4.0,
                target=["n1"],
            ),
        )
    ),
    operation_timeout_s=1.0,
    time_limit_s=9.0,
    rate_hz=100.0,
)

ELECTION_BUGS = (
    FORGOTTEN_VOTE,
    LOST_VOTE,
    KEPT_VOTE,
    VOTES_NEVER_ENOUGH,
    VOTES_ALWAYS_ENOUGH,
    HALF_MAJORITY,
    STALE_CANDIDATE,
)
