"""The reference store's planted bugs, each with the schedule that leads to it.

Most run on five nodes of which n1, n2 and n3 hold every key (simple replication), so that the
schedules can name the replicas; n4 and n5 only coordinate. A bug may switch off what masks it (read
repair, hinted handoff, anti-entropy); each says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from splitbrain.core.bug import PlantedBug
from splitbrain.core.fault import After, At, Fault, Schedule
from splitbrain.core.value import Value

_BARE: Mapping[str, Value] = {
    "replication": "simple",
    "n": 3,
    "r": 2,
    "w": 2,
    "read_repair": False,
    "hinted_handoff": False,
    "anti_entropy_ms": None,
}
"""Quorums alone, and nothing that mends afterwards what they left behind."""

_LONG_KEYS: Mapping[str, Value] = {"ops_per_key": 1500, "concurrent_keys": 1}
"""One key for all, so that what a replica missed is still asked for when it is back."""

_RARE_WRITES: Mapping[str, Value] = {**_LONG_KEYS, "reads": 20, "writes": 1}
"""What a replica lacks stays so until the next write: so the next write comes late."""

_N3_AWAY = Schedule(
    (
        Fault(id="n3-away", kind="partition", start=At(1.0), duration_s=1.5, target=["n3"]),
        Fault(id="n3-again", kind="partition", start=At(3.0), duration_s=1.0, target=["n3"]),
    )
)

_N3_COMES_AND_GOES = Schedule(
    tuple(
        Fault(
            id=f"n3-away-{number}",
            kind="partition",
            start=At(0.1 + 0.7 * number),
            duration_s=0.4,
            target=["n3"],
        )
        for number in range(1, 9)
    )
)

FIRST_ANSWER = PlantedBug(
    name="first-answer",
    system="store",
    promise="with R+W>N a read returns the newest write that ended before it",
    origin="seed: quorumRead takes listToMaybe of the answers, the first instead of the newest",
    workload="quorum-register",
    checker="regular",
    anomaly="stale-read",
    # What would bring n3 up to date behind the quorums' back is off.
    options={**_BARE, "bugs": ["first-answer"]},
    schedule=_N3_COMES_AND_GOES,
    parameters=_RARE_WRITES,
    time_limit_s=7.0,
    rate_hz=150.0,
)

ARBITRARY_REPAIR = PlantedBug(
    name="arbitrary-repair",
    system="store",
    promise="read repair brings replicas to the newest version, and never back",
    origin="seed: repairRead compares versions that are all 0, so maximumBy takes whichever",
    workload="quorum-register",
    checker="regular",
    anomaly="stale-read",
    # Anti-entropy and hints would have brought n3 up to date before anybody reads there.
    options={**_BARE, "read_repair": True, "bugs": ["arbitrary-repair"]},
    schedule=_N3_AWAY,
    parameters=_LONG_KEYS,
    time_limit_s=6.0,
    rate_hz=150.0,
)

WALL_CLOCK = PlantedBug(
    name="wall-clock",
    system="store",
    promise="a write that was acknowledged is returned until a later one replaces it",
    origin="seed: conflicts are resolved by maximumBy (comparing timestamp), the wall clock's",
    workload="quorum-register",
    checker="regular",
    anomaly="stale-read",
    # No override: this is what `timestamps: wall` is, under clocks that disagree.
    options={"timestamps": "wall", "replication": "simple"},
    schedule=Schedule(
        (
            Fault(
                id="n1-ahead",
                kind="clock",
                start=At(1.5),
                duration_s=3.0,
                target=["n1"],
                params={"shape": "jump", "offset_s": 30.0},
            ),
        )
    ),
    parameters=_LONG_KEYS,
    time_limit_s=6.0,
    rate_hz=150.0,
)

REPLICAS_ARE_VNODES = PlantedBug(
    name="replicas-are-vnodes",
    system="store",
    promise="a key has N replicas, so that quorums of R+W>N meet",
    origin="seed: createHashRing hands the number of virtual nodes on as the replication factor",
    workload="quorum-register",
    checker="regular",
    anomaly="stale-read",
    # Five replicas and quorums of two: both sides of a cut go on by themselves.
    options={**_BARE, "replication": "quorum", "vnodes": 16, "bugs": ["replicas-are-vnodes"]},
    schedule=Schedule(
        (
            Fault(
                id="two-sides",
                kind="partition",
                start=At(1.5),
                duration_s=2.0,
                target=["n1", "n2"],
            ),
        )
    ),
    parameters=_LONG_KEYS,
    time_limit_s=6.0,
    rate_hz=150.0,
)

UNSYNCED_ACK = PlantedBug(
    name="unsynced-ack",
    system="store",
    promise="a replica that acknowledges a write still has it after a crash",
    origin="classic: acknowledged from memory, before the disk has it",
    workload="quorum-register",
    checker="durability",
    anomaly="forgotten-write",
    # What n1 forgot the others would give back to it, by read repair, hints and anti-entropy.
    options={**_BARE, "bugs": ["unsynced-ack"]},
    schedule=Schedule(
        (Fault(id="n1-forgets", kind="kill", start=At(2.0), duration_s=1.0, target=["n1"]),)
    ),
    # Many keys: nobody writes those any more that were done with before n1 forgot them.
    parameters={"ops_per_key": 20},
    time_limit_s=5.0,
    rate_hz=150.0,
)

NO_WRITE_BACK = PlantedBug(
    name="no-write-back",
    system="store",
    promise="at strong, once a read returned a value, no later read returns an older one",
    origin="classic: ABD without the second phase of reads",
    workload="quorum-register",
    checker="linearizable",
    anomaly="stale-read",
    # What n4 writes reaches n1 at once, and n2 and n3 late. Meanwhile whoever asks another node
    # hears sometimes n1, and sometimes only n2 and n3. Read repair would carry on what n1 has. In
    # five seconds one seed of a hundred had no such read behind another.
    options={**_BARE, "level": "strong", "bugs": ["no-write-back"]},
    schedule=Schedule(
        (
            Fault(
                id="n4-is-far",
                kind="packets",
                start=At(1.0),
                duration_s=9.0,
                target=["n4"],
                params={
                    "shape": "delay",
                    "delay_ms": 300.0,
                    "direction": "out",
                    "peers": ["n2", "n3"],
                },
            ),
        )
    ),
    parameters={**_RARE_WRITES, "promise": "strong"},
    time_limit_s=11.0,
    rate_hz=150.0,
)

EARLY_EFFECT = PlantedBug(
    name="early-effect",
    system="store",
    promise="whoever sees a write sees what its writer had seen",
    origin="classic: a causal write is applied when it arrives, before its cause",
    workload="causal-chains",
    checker="causal",
    anomaly="write-co-read",
    # n1's writes do not reach n3, not by detours either; their effects, written at n2, n4 and n5,
    # do. A session that stays reads both at n3. With fewer operations some seeds show the loop of
    # conflicting writes alone (cyclic-cf), and no read of the effect without its cause.
    options={"bugs": ["early-effect"], "sessions": "stay", "causal_sync_ms": 5000},
    schedule=Schedule(
        (
            Fault(
                id="n3-deaf-to-n1",
                kind="partition",
                start=At(1.5),
                duration_s=5.0,
                params={"grudge": {"n3": ["n1"]}},
            ),
        )
    ),
    parameters={"keys": 10, "ops_per_ring": 3000},
    time_limit_s=7.0,
    rate_hz=600.0,
)

ABSENT_ENTRIES = PlantedBug(
    name="absent-entries",
    system="store",
    promise="a write overwrites what its writer had seen, and nothing else",
    origin="seed: happensBefore fills absent entries by Map.adjust, which fills nothing; the "
    "nearest harmful form: an actor that is absent from a context counts as seen",
    workload="cart",
    checker="cart",
    anomaly="lost-item",
    # Both sides of the cut take writes, and make versions the other side has not heard of.
    options={
        "replication": "simple",
        "r": 1,
        "write_availability": "any",
        "bugs": ["absent-entries"],
    },
    schedule=Schedule(
        (
            Fault(
                id="n1-with-n4",
                kind="partition",
                start=At(1.0),
                duration_s=2.0,
                target=["n1", "n4"],
            ),
        )
    ),
    # Soon every context knows every actor: what is lost is lost in the first writes of a cart.
    parameters={"ops_per_cart": 8, "removals": 0, "reads": 0},
    time_limit_s=5.0,
    rate_hz=300.0,
)

_N4_AND_N5_ALONE: dict[str, Value] = {
    "n1": ["n4", "n5"],
    "n2": ["n4", "n5"],
    "n3": ["n4", "n5"],
    "n4": ["n1", "n2", "n3", "n5"],
    "n5": ["n1", "n2", "n3", "n4"],
}

DROPPED_HINT = PlantedBug(
    name="dropped-hint",
    system="store",
    promise="what a stand-in acknowledged arrives at the replica that it stands in for",
    origin="classic: a hint is forgotten once it was sent",
    workload="cart",
    checker="cart",
    anomaly="lost-item",
    # n4 and n5 hear nobody, and each stands in for n1 alone. Then they hear n1 again and hand off,
    # which takes its time, and n1 dies before it arrives. The first time is for links that stand
    # at once, the second for links that must be dialled. The cuts are long: a write that still
    # waits when one ends is told to others. Anti-entropy does not help, since stand-ins are no
    # replicas; hints for n2 and n3, of writes that took too long, would.
    options={
        "replication": "simple",
        "r": 1,
        "sloppy": True,
        "write_availability": "any",
        "hinted_handoff": False,
        "bugs": ["dropped-hint"],
    },
    schedule=Schedule(
        (
            Fault(
                id="n1-is-far",
                kind="packets",
                start=At(0.5),
                duration_s=10.0,
                target=["n4", "n5"],
                params={"shape": "delay", "delay_ms": 400.0, "direction": "out", "peers": ["n1"]},
            ),
            Fault(
                id="alone",
                kind="partition",
                start=At(1.0),
                duration_s=2.5,
                params={"grudge": _N4_AND_N5_ALONE},
            ),
            Fault(
                id="n1-dies",
                kind="kill",
                start=After("alone", 0.3, healed=True),
                duration_s=1.0,
                target=["n1"],
            ),
            Fault(
                id="alone-again",
                kind="partition",
                start=At(6.0),
                duration_s=2.5,
                params={"grudge": _N4_AND_N5_ALONE},
            ),
            Fault(
                id="n1-dies-again",
                kind="kill",
                start=After("alone-again", 0.85, healed=True),
                duration_s=1.0,
                target=["n1"],
            ),
        )
    ),
    time_limit_s=11.0,
    rate_hz=100.0,
)

FORGOTTEN_TOMBSTONE = PlantedBug(
    name="forgotten-tombstone",
    system="store",
    promise="what was deleted stays gone, also where a replica missed the delete",
    origin="classic: a delete removes the cell at once, and nothing says that it ever was",
    workload="deletions",
    checker="deletions",
    anomaly="resurrected-value",
    # n3 keeps what was there before a cut; back again, it hands that to those who forgot it. That
    # needs a key with a value when the cut begins, without one when it ends, and a read before the
    # next write: of ten keys and eight cuts some have it.
    options={"replication": "simple", "r": 2, "w": 2, "bugs": ["forgotten-tombstone"]},
    schedule=_N3_COMES_AND_GOES,
    parameters={"ops_per_key": 1500, "concurrent_keys": 10},
    time_limit_s=7.0,
    rate_hz=300.0,
)

FIRST_REPLICAS = PlantedBug(
    name="first-replicas",
    system="store",
    promise="a write goes to all N replicas, and needs W of them",
    origin="seed: quorumWrite replicates to take (writeQuorum config) nodes",
    workload="quorum-register",
    checker="quorum",
    anomaly="replicas-left-out",
    # Anti-entropy brings the rest what it missed, so the dumps do not tell; the traces do.
    options={"replication": "simple", "r": 2, "w": 2, "bugs": ["first-replicas"]},
    schedule=Schedule(
        (Fault(id="n2-away", kind="partition", start=At(1.5), duration_s=1.0, target=["n2"]),)
    ),
    time_limit_s=4.0,
    rate_hz=100.0,
)

EXACT_HIT = PlantedBug(
    name="exact-hit",
    system="store",
    promise="a key lies on the first nodes at or after its point",
    origin="seed: findNodes splits the ring at the key's hash, and Map.split drops an exact hit",
    workload="quorum-register",
    checker="ring",
    anomaly="wrong-replicas",
    # A ring of 256 points, so that keys do hit virtual nodes.
    options={"ring_bits": 8, "vnodes": 8, "bugs": ["exact-hit"]},
    schedule=Schedule(
        (Fault(id="n1-away", kind="partition", start=At(1.5), duration_s=1.0, target=["n1"]),)
    ),
    parameters={"ops_per_key": 5},
    time_limit_s=4.0,
    rate_hz=150.0,
)

DOMINATED_VERSIONS = PlantedBug(
    name="dominated-versions",
    system="store",
    promise="what a write overwrote is gone",
    origin="seed: findConcurrentVersions filters by dominates v, which keeps what is dominated",
    workload="cart",
    checker="vector-clocks",
    anomaly="dominated-version",
    options={"bugs": ["dominated-versions"]},
    schedule=Schedule(
        (Fault(id="n3-away", kind="partition", start=At(1.0), duration_s=1.0, target=["n3"]),)
    ),
    time_limit_s=4.0,
    rate_hz=60.0,
)

BUGS = (
    FIRST_ANSWER,
    FIRST_REPLICAS,
    EXACT_HIT,
    DOMINATED_VERSIONS,
    ARBITRARY_REPAIR,
    WALL_CLOCK,
    REPLICAS_ARE_VNODES,
    UNSYNCED_ACK,
    NO_WRITE_BACK,
    EARLY_EFFECT,
    ABSENT_ENTRIES,
    DROPPED_HINT,
    FORGOTTEN_TOMBSTONE,
)
