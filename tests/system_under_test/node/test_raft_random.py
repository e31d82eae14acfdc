"""Raft under random faults in virtual time: always safe, and live once the network is calm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from invariants import committed_log, linearizability_errors, violations
from virtual import ROUGH, Call, Network, VirtualCluster


def trouble(cluster: VirtualCluster, seconds: float) -> None:
    """Let random faults and random requests befall a cluster for some virtual time."""
    rng = cluster.random
    names = list(cluster.nodes)
    value = 0
    end = cluster.now_ns + int(seconds * 1e9)
    while cluster.now_ns < end:
        cluster.run_for(rng.uniform(0.001, 0.08))
        for _ in range(rng.randrange(4)):
            value += 1
            request(cluster, rng.choice(cluster.leaders() or names), value)
        if rng.random() < 0.15:
            fault(cluster, names)


def request(cluster: VirtualCluster, node: str, value: int) -> None:
    rng = cluster.random
    key = rng.choice(("x", "y"))
    f = rng.choice(("read", "read", "write", "cas", "append"))
    if rng.random() < 0.3:
        in_session(cluster, node, value)
        return
    argument: Any = {"read": None, "write": value, "append": value}.get(f)
    if f == "cas":
        written = [call.argument for call in cluster.calls[-20:] if call.f == "write"]
        argument = [rng.choice([*written, None]), value]
    cluster.submit(node, f, key, argument)


def in_session(cluster: VirtualCluster, node: str, value: int) -> None:
    """Open a session, go on in one, or ask once more for what was asked before."""
    rng = cluster.random
    opened = [call for call in cluster.calls if call.f == "open-session" and call.ok]
    asked = [call for call in cluster.calls[-30:] if call.session is not None]
    if not opened or rng.random() < 0.1:
        cluster.submit(node, "open-session", None)
    elif asked and rng.random() < 0.5:
        again = rng.choice(asked)
        cluster.submit(node, again.f, again.key, again.argument, again.session)
    else:
        body = rng.choice(opened[-3:]).body
        assert body is not None
        cluster.submit(node, "append", "z", value, (body["index"], value))


def change_members(cluster: VirtualCluster, name: str) -> None:
    """Add who is missing, remove somebody, or hand over the lead."""
    leaders = cluster.leaders()
    members = cluster.core(leaders[0]).membership.members if leaders else ()
    missing = [node for node in cluster.nodes if node not in members]
    if missing and cluster.random.random() < 0.7:
        cluster.wish("add", missing[0])
    else:
        cluster.wish(cluster.random.choice(("remove", "transfer")), name)


def fault(cluster: VirtualCluster, names: list[str]) -> None:
    rng = cluster.random
    name = rng.choice(names)
    if rng.random() < 0.2:
        change_members(cluster, name)
    match rng.randrange(8):
        case 0:
            cluster.crash(name)
        case 1 | 2:
            for other in names:
                cluster.restart(other)
        case 3:
            cluster.heal()
            rng.shuffle(names)
            cut = rng.randrange(1, len(names))
            cluster.split(names[:cut], names[cut:])
        case 4:
            cluster.cut(name, rng.choice(names), one_way=rng.random() < 0.7)
        case 5:
            cluster.isolate(rng.choice(cluster.leaders() or names))
        case 6:
            cluster.pause(name)
        case _:
            cluster.heal()
            for other in names:
                cluster.resume(other)


def calm(cluster: VirtualCluster) -> str:
    """End all faults, wait until the cluster works, and give the leader."""
    cluster.heal()
    cluster.network = Network()
    cluster.crash_chance = 0.0
    for name in cluster.nodes:
        cluster.resume(name)
        cluster.restart(name)
    calls: list[Call] = []

    def works() -> bool:
        if not calls or calls[-1].body is not None:
            calls.append(
                cluster.submit(
                    (cluster.leaders() or ["n1"])[0], "write", "last", f"last {len(calls)}"
                )
            )
        cluster.run_for(0.05)
        return any(call.ok for call in calls)

    cluster.run_until(works, within=5.0)
    cluster.run_until(lambda: _is_whole(cluster), within=10.0)
    leader = cluster.elect(within=2.0)
    cluster.run_until(lambda: _level(cluster), within=2.0)
    return leader


def _is_whole(cluster: VirtualCluster) -> bool:
    """Bring every node back, one at a time, and tell whether all are members again."""
    leader = (cluster.leaders() or [None])[0]
    if leader is None:
        return False
    members = cluster.core(leader).membership.members
    missing = [name for name in cluster.nodes if name not in members]
    if missing:
        cluster.wish("add", missing[0])
    return not missing


def _level(cluster: VirtualCluster) -> bool:
    cores = [cluster.core(name) for name in cluster.nodes]
    return len({(core.commit, core.applied, core.log.last_index) for core in cores}) == 1


def judge(cluster: VirtualCluster, leader: str) -> None:
    assert violations(cluster.traces()) == set()
    log = committed_log(cluster, leader)
    assert linearizability_errors(cluster.calls, log, log.last_index) == []
    dumps = [cluster.core(name).dump() for name in cluster.nodes]
    assert all(dump == dumps[0] for dump in dumps)


def survive(seed: int, size: int, seconds: float, **options: Any) -> VirtualCluster:
    cluster = VirtualCluster(
        size, seed=seed, network=ROUGH, crash_chance=0.002, drift=0.05, **options
    )
    trouble(cluster, seconds)
    judge(cluster, calm(cluster))
    return cluster


@example(  # a snapshot arrives, and a configuration behind it stays
    seed=4,
    size=4,
    pre_vote=True,
    check_quorum=False,
    batch_entries=64,
    snapshot_entries=1,
    chunk=1 << 20,
)
@given(
    seed=st.integers(0, 1 << 32),
    size=st.integers(3, 5),
    pre_vote=st.booleans(),
    check_quorum=st.booleans(),
    batch_entries=st.sampled_from((1, 3, 64)),
    snapshot_entries=st.sampled_from((0, 1, 5, 40)),
    chunk=st.sampled_from((7, 100, 1 << 20)),
)
def test_random_faults_break_no_property_and_the_cluster_recovers(
    seed: int,
    size: int,
    pre_vote: bool,
    check_quorum: bool,
    batch_entries: int,
    snapshot_entries: int,
    chunk: int,
) -> None:
    survive(
        seed,
        size,
        3.0,
        pre_vote=pre_vote,
        check_quorum=check_quorum,
        batch_entries=batch_entries,
        snapshot_entries=snapshot_entries,
        snapshot_chunk=chunk,
        session_limit=4,
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 4, 5])
def test_long_random_runs_break_no_property(size: int) -> None:
    for seed in range(40):
        survive(seed, size, 15.0, snapshot_entries=(0, 3, 30)[seed % 3], snapshot_chunk=300)


def test_random_runs_do_real_work() -> None:
    cluster = survive(2, 5, 10.0, snapshot_entries=20, snapshot_chunk=50)
    assert sum(call.ok for call in cluster.calls) > 100
    events = [record["event"] for records in cluster.traces().values() for record in records]
    for event in ("truncate", "lead", "step-down", "vote", "snapshot", "install", "config"):
        assert event in events
    assert events.count("boot") > len(cluster.nodes)


def test_equal_seeds_give_equal_runs() -> None:
    one, other = survive(5, 3, 3.0), survive(5, 3, 3.0)
    assert one.traces() == other.traces()
