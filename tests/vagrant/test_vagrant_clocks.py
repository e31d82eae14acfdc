"""The real clock of a machine is bent, for everything on it, and comes back."""

from __future__ import annotations

import time

import pytest

from splitbrain.cluster.vagrant import Vagrant
from splitbrain.core.cluster import Skew

pytestmark = [pytest.mark.vagrant, pytest.mark.timeout(1800)]

S = 1_000_000_000
NEAR_NS = S // 2


def shown_ns(cluster: Vagrant, node: str) -> int:
    """What a program of the machine's own shows."""
    return int(cluster.host(node).run(("date", "+%s%N")).stdout)


def synchronises(cluster: Vagrant, node: str) -> bool:
    command = ("systemctl", "is-active", "systemd-timesyncd")
    return cluster.host(node).run(command, check=False).stdout.strip() == b"active"


def test_one_clock_jumps_for_every_program_and_comes_back(three: Vagrant) -> None:
    assert three.clocks is not None
    assert abs(three.clocks.sample("n1")[0]) < NEAR_NS
    assert synchronises(three, "n1")
    proof = three.clocks.skew("jump", {"n1": Skew(offset_ns=3600 * S)})
    assert isinstance(proof, dict)
    assert abs(proof["n1"]["after_ns"] - proof["n1"]["before_ns"] - 3600 * S) < NEAR_NS
    assert abs(shown_ns(three, "n1") - time.time_ns() - 3600 * S) < 5 * S
    assert abs(shown_ns(three, "n2") - time.time_ns()) < 5 * S
    assert not synchronises(three, "n1")
    assert synchronises(three, "n2")
    three.clocks.release("jump")
    assert abs(three.clocks.sample("n1")[0]) < NEAR_NS
    assert abs(shown_ns(three, "n1") - time.time_ns()) < 5 * S
    assert synchronises(three, "n1")


def test_layers_add_up_and_leave_one_by_one(three: Vagrant) -> None:
    assert three.clocks is not None
    three.clocks.skew("first", {"n2": Skew(offset_ns=-1000 * S)})
    three.clocks.skew("second", {"n2": Skew(offset_ns=300 * S)})
    assert abs(three.clocks.sample("n2")[0] + 700 * S) < NEAR_NS
    three.clocks.release("first")
    assert abs(three.clocks.sample("n2")[0] - 300 * S) < NEAR_NS
    three.clocks.release("second")
    assert abs(three.clocks.sample("n2")[0]) < NEAR_NS


@pytest.mark.parametrize("rate_ppb", [50_000_000, -400_000_000])
def test_a_clock_runs_fast_or_slow_by_the_kernel_or_by_steps(three: Vagrant, rate_ppb: int) -> None:
    assert three.clocks is not None
    three.clocks.skew("rate", {"n3": Skew(rate_ppb=rate_ppb)})
    first_ns, began_s = three.clocks.sample("n3")[0], time.monotonic()
    while time.monotonic() < began_s + 6:
        three.clocks.sample("n3")
    last_ns, passed_s = three.clocks.sample("n3")[0], time.monotonic() - began_s
    expected_ns = rate_ppb * passed_s
    assert abs(last_ns - first_ns - expected_ns) < abs(expected_ns) / 4
    three.clocks.release("rate")
    assert abs(three.clocks.sample("n3")[0]) < NEAR_NS


def test_a_strobing_clock_comes_and_goes(three: Vagrant) -> None:
    assert three.clocks is not None
    three.clocks.skew("strobe", {"n1": Skew(offset_ns=100 * S, strobe_ns=S)})
    seen = set()
    began_s = time.monotonic()
    while time.monotonic() < began_s + 20 and len(seen) < 2:
        seen.add(round(three.clocks.sample("n1")[0] / (100 * S)))
    assert seen == {0, 1}
    three.clocks.release("strobe")
    assert abs(three.clocks.sample("n1")[0]) < NEAR_NS


def test_a_machine_that_lost_power_has_its_bent_clock_again(three: Vagrant) -> None:
    assert three.clocks is not None
    assert three.hosts is not None
    three.clocks.skew("jump", {"n1": Skew(offset_ns=-500 * S)})
    three.hosts.cut_power(["n1"])
    assert abs(three.clocks.sample("n1")[0] + 500 * S) < 2 * S
    three.clocks.release("jump")
    assert abs(three.clocks.sample("n1")[0]) < 2 * S
