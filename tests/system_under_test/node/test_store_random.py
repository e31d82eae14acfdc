"""The store under random loss, cuts, crashes and pauses: every level keeps its promise."""

from __future__ import annotations

from typing import Any

import pytest
import store_laws as laws
from store_cluster import MS, SECOND, StoreCluster

from splitbrain.checkers.linearizable import Linearizable
from splitbrain.core.evidence import from_history
from splitbrain.system_under_test.node.store.config import Conflict, Timestamps

LEVELS = ("strong", "sequential", "causal", "eventual")


def rough(seed: int, seconds: float = 8.0, levels=LEVELS, **options: Any) -> StoreCluster:
    """Drive a cluster by sessions that move, while faults come and go; then let it settle."""
    cluster = StoreCluster(
        seed=seed, delay_ms=(0.2, 40.0), drop=0.03, double=0.03, crash_chance=0.0002, **options
    )
    cluster.run_for(1.5)
    draw = cluster.random
    names = list(cluster.nodes)
    for name in names:
        cluster.nodes[name].skew_ns = draw.randrange(-2, 3) * SECOND
    sessions = dict.fromkeys(range(6))
    number, next_session = 0, 100
    end_ns = cluster.now_ns + int(seconds * SECOND)
    while cluster.now_ns < end_ns:
        for place, running in list(sessions.items()):
            if running is not None and running.body is None:
                if cluster.now_ns - running.at_ns < 1500 * MS:
                    continue
                running = None
            if running is None or not running.ok:
                next_session += 1
                session = next_session
            else:
                session = running.session
            number += 1
            level = draw.choice(levels)
            f = draw.choice(("read", "write"))
            call = cluster.submit(
                draw.choice(names),
                f,
                draw.choice("abc"),
                number if f == "write" else None,
                level=level,
                session=session,
            )
            call.at_ns = cluster.now_ns
            sessions[place] = call
        fate = draw.random()
        if fate < 0.008:
            cluster.isolate(draw.choice(names))
        elif fate < 0.016:
            half = draw.sample(names, 2)
            cluster.split(half, [name for name in names if name not in half])
        elif fate < 0.06:
            cluster.heal()
        elif fate < 0.064:
            cluster.crash(draw.choice(names))
        elif fate < 0.15:
            cluster.restart(draw.choice(names))
        elif fate < 0.154:
            cluster.pause(draw.choice(names))
        elif fate < 0.3:
            cluster.resume(draw.choice(names))
        cluster.run_for(0.02)
    cluster.settle()
    return cluster


def judge(cluster: StoreCluster) -> None:
    laws.check_converged(cluster)
    laws.check_durable(cluster)
    laws.check_acks(cluster)
    laws.check_sequential(cluster)
    laws.check_causal(cluster)
    verdict = Linearizable().check(from_history(laws.history_of(cluster.calls, "strong")))
    assert verdict.valid, verdict
    assert sum(call.ok for call in cluster.calls) > 100


@pytest.mark.parametrize("seed", range(2))
def test_siblings_with_strict_quorums(seed: int) -> None:
    cluster = rough(seed)
    judge(cluster)
    laws.check_siblings(cluster)


def test_siblings_with_sloppy_quorums() -> None:
    cluster = rough(1, levels=("eventual",), sloppy=True)
    laws.check_converged(cluster)
    laws.check_durable(cluster)
    laws.check_acks(cluster)
    laws.check_siblings(cluster)


def test_last_write_wins() -> None:
    judge(rough(2, conflict=Conflict.LWW, timestamps=Timestamps.WALL))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
@pytest.mark.parametrize("sloppy", [False, True])
def test_siblings_at_length(seed: int, sloppy: bool) -> None:
    cluster = rough(seed, sloppy=sloppy)
    judge(cluster)
    laws.check_siblings(cluster)
