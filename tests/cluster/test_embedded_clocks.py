"""Bent clocks, seen from a daemon that was running before."""

from __future__ import annotations

import socket
import time

import pytest

from splitbrain.core.cluster import Skew
from splitbrain.core.errors import HarnessError, RemoteError
from splitbrain.core.system import DaemonSpec

pytestmark = pytest.mark.embedded
SECOND = 1_000_000_000
SLACK = SECOND


@pytest.fixture(scope="module")
def clocks(five, clock_daemon):
    five.start({node: [clock_daemon] for node in five.topology.nodes})
    yield five
    five.stop()


def read(cluster, node):
    """Give (wall, monotonic) of the daemon, each against ours."""
    with socket.create_connection((cluster.topology.addresses[node], 7000), timeout=10) as peer:
        wall, steady = map(int, peer.recv(100).split())
    return wall - time.time_ns(), steady - time.monotonic_ns()


def near(value, wanted, slack=SLACK):
    return abs(value - wanted) < slack


def test_a_jump_is_seen_and_undone_and_monotonic_time_is_not_touched(clocks):
    proof = clocks.clocks.skew(
        "jump", {"n1": Skew(offset_ns=3600 * SECOND), "n2": Skew(offset_ns=-86400 * SECOND)}
    )
    for node, offset in (("n1", 3600 * SECOND), ("n2", -86400 * SECOND)):
        wall, steady = read(clocks, node)
        assert near(wall, offset)
        assert near(steady, 0)
        assert near(proof[node]["before_ns"], 0)
        assert near(proof[node]["after_ns"], offset)
        assert proof[node]["daemons"] == {"clock": True}
        sampled, uncertainty = clocks.clocks.sample(node)
        assert near(sampled, offset)
        assert 0 < uncertainty < SECOND
    assert near(read(clocks, "n3")[0], 0)
    clocks.clocks.release("jump")
    clocks.clocks.release("jump")
    for node in ("n1", "n2"):
        assert near(read(clocks, node)[0], 0)


def test_layers_add_up_and_leave_one_by_one(clocks):
    clocks.clocks.skew("a", {"n1": Skew(offset_ns=100 * SECOND)})
    clocks.clocks.skew("b", {"n1": Skew(offset_ns=-1000 * SECOND)})
    assert near(read(clocks, "n1")[0], -900 * SECOND)
    clocks.clocks.release("a")
    assert near(read(clocks, "n1")[0], -1000 * SECOND)
    clocks.clocks.release("b")
    assert near(read(clocks, "n1")[0], 0)


def test_a_rate_runs_on_from_its_base_whatever_other_layers_do(clocks, wait_until):
    clocks.clocks.skew("fast", {"n1": Skew(rate_ppb=20 * SECOND)})  # twenty-one times as fast
    began = time.monotonic()
    wait_until(lambda: read(clocks, "n1")[0] > 10 * SECOND, "it runs ahead")
    clocks.clocks.skew("other", {"n1": Skew(offset_ns=-1000 * SECOND)})
    clocks.clocks.release("other")
    ahead = read(clocks, "n1")[0]
    passed = time.monotonic() - began
    assert near(ahead, passed * 20 * SECOND, slack=20 * 2 * SECOND)
    assert ahead > 10 * SECOND
    clocks.clocks.release("fast")
    assert near(read(clocks, "n1")[0], 0)


def test_a_strobe_comes_and_goes(clocks, wait_until):
    clocks.clocks.skew("strobe", {"n1": Skew(offset_ns=500 * SECOND, strobe_ns=SECOND // 5)})
    changes = []

    def changed() -> bool:
        on = near(read(clocks, "n1")[0], 500 * SECOND)
        assert on or near(read(clocks, "n1")[0], 0) or near(read(clocks, "n1")[0], 500 * SECOND)
        if not changes or changes[-1] != on:
            changes.append(on)
        return len(changes) >= 5

    wait_until(changed, "it comes and goes")
    clocks.clocks.release("strobe")
    assert near(read(clocks, "n1")[0], 0)


def test_a_daemon_that_starts_later_sees_the_bent_clock(clocks):
    clocks.daemons.kill("k", ["n2"])
    proof = clocks.clocks.skew("a", {"n2": Skew(offset_ns=77 * SECOND)})
    assert proof["n2"]["daemons"] == {"clock": None}
    clocks.daemons.release("k")
    deadline = time.monotonic() + 20
    while True:
        try:
            assert near(read(clocks, "n2")[0], 77 * SECOND)
            break
        except ConnectionError:
            assert time.monotonic() < deadline
    clocks.clocks.release("a")
    assert near(read(clocks, "n2")[0], 0)


def test_too_many_layers_are_refused_before_anything_is_done(clocks):
    for number in range(8):
        clocks.clocks.skew(f"l{number}", {"n1": Skew(offset_ns=SECOND)})
    with pytest.raises(HarnessError, match="n1: more than 8 faults bend its clock"):
        clocks.clocks.skew("l8", {"n1": Skew(offset_ns=SECOND)})
    assert near(read(clocks, "n1")[0], 8 * SECOND)
    for number in range(9):
        clocks.clocks.release(f"l{number}")
    assert near(read(clocks, "n1")[0], 0)


def test_a_daemon_whose_clock_cannot_be_bent_is_named(one):
    argv = ("/usr/bin/env", "-u", "LD_PRELOAD", "sleep", "1000")
    one.start({"n1": [DaemonSpec(name="plain", argv=argv)]})
    try:
        with pytest.raises(RemoteError, match="the clock of plain cannot be bent"):
            one.clocks.skew("a", {"n1": Skew(offset_ns=SECOND)})
    finally:
        one.clocks.release("a")
        one.stop()
    assert near(one.clocks.sample("n1")[0], 0)


def test_the_machines_clock_is_not_touched(clocks):
    before = time.time() - time.monotonic()
    clocks.clocks.skew("jump", {"n1": Skew(offset_ns=10**6 * SECOND)})
    assert abs(time.time() - time.monotonic() - before) < 60
    shown = int(clocks.host("n1").run(["date", "+%s"]).stdout)
    assert abs(shown - time.time()) < 60
    clocks.clocks.release("jump")
