"""Reboots: files stay, memory goes, and what the layers do comes back before the daemons."""

from __future__ import annotations

import socket
import time

import pytest

from splitbrain.core.cluster import Skew
from splitbrain.core.errors import RemoteError

pytestmark = pytest.mark.embedded
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def started(five, clock_daemon):
    five.start({node: [clock_daemon] for node in five.topology.nodes})
    yield five
    five.stop()


def daemon_offset_ns(cluster, node):
    with socket.create_connection((cluster.topology.addresses[node], 7000), timeout=10) as peer:
        return int(peer.recv(100).split()[0]) - time.time_ns()


def rules(cluster, node):
    return cluster.host(node).run(["nft", "list", "ruleset"]).stdout.decode()


def boot_files(cluster, node):
    return cluster.host(node).run(["sh", "-c", "ls /tmp /run"]).stdout


def test_a_reboot_keeps_files_and_loses_memory_and_everyone_finds_the_host_again(started):
    host = started.host("n1")
    host.put(b"kept", "/var/lib/kept")
    host.put(b"kept", "/root/kept")
    host.put(b"lost", "/tmp/lost")
    host.run(["ip", "neigh", "flush", "all"])
    proof = started.hosts.reboot("n1")
    assert proof["first_process_before"] != proof["first_process_after"]
    assert proof["away_s"] > 0
    assert host.get("/var/lib/kept") == b"kept"
    assert host.get("/root/kept") == b"kept"
    with pytest.raises(RemoteError, match="no such file"):
        host.get("/tmp/lost")
    assert started.daemons.running("n1") == {"clock": True}
    script = "import socket; socket.create_connection(('n1', 7000), 10)"
    for node in ("n2", "n3"):
        started.host(node).run(["/usr/bin/python3", "-c", script])
    assert started.expired() == {}


def test_a_dead_connection_with_unsent_data_does_not_answer_for_the_rebooted_host(started):
    """Its kernel keeps the old network for as long as it hopes for an acknowledgement."""
    script = (
        "import os, socket, time\n"
        "held = socket.create_connection(('n3', 22)); held.recv(100)\n"
        "open('/run/ready', 'w').close()\n"
        "while not os.path.exists('/run/go'): time.sleep(0.01)\n"
        "held.sendall(b'x' * 1000); open('/run/sent', 'w').close(); time.sleep(1000)\n"
    )
    host = started.host("n2")
    await_file = "while [ ! -e $0 ]; do sleep 0.01; done"
    start = 'setsid /usr/bin/python3 -c "$0" >/dev/null 2>&1 </dev/null &'
    host.run(["sh", "-c", start, script])
    host.run(["sh", "-c", await_file, "/run/ready"])
    started.network.cut("cut", {"n2": frozenset({"n3"})})
    host.run(["sh", "-c", f"touch /run/go; {await_file}", "/run/sent"])
    started.hosts.reboot("n2")
    assert started.daemons.running("n2") == {"clock": True}
    started.network.mend("cut")


def test_a_reboot_puts_back_what_the_layers_do_and_no_more(started):
    started.network.cut("cut", {"n2": frozenset({"n3"})})
    started.clocks.skew("jump", {"n2": Skew(offset_ns=500 * SECOND)})
    started.network.cut("gone", {"n2": frozenset({"n4"})})
    started.network.mend("gone")
    started.hosts.reboot("n2")
    assert "10.77.0.13" in rules(started, "n2")
    assert "10.77.0.14" not in rules(started, "n2")
    assert abs(daemon_offset_ns(started, "n2") - 500 * SECOND) < SECOND
    started.clocks.release("jump")
    started.network.mend("cut")
    assert rules(started, "n2") == ""
    assert abs(daemon_offset_ns(started, "n2")) < SECOND


def test_a_reboot_starts_no_daemon_that_a_layer_holds(started):
    started.daemons.kill("k", ["n3"])
    started.daemons.pause("p", ["n4"])
    for node in ("n3", "n4"):
        started.hosts.reboot(node)
        assert started.daemons.running(node) == {"clock": False}
    started.daemons.release("k")
    started.daemons.release("p")
    for node in ("n3", "n4"):
        assert started.daemons.running(node) == {"clock": True}


def test_a_rate_goes_on_over_a_reboot_from_its_first_base(started, wait_until):
    started.clocks.skew("fast", {"n5": Skew(rate_ppb=50 * SECOND)})
    wait_until(lambda: daemon_offset_ns(started, "n5") > 20 * SECOND, "it runs ahead")
    started.hosts.reboot("n5")
    assert daemon_offset_ns(started, "n5") > 20 * SECOND
    started.clocks.release("fast")
    assert abs(daemon_offset_ns(started, "n5")) < SECOND


@pytest.mark.parametrize("word", ["reboot", "poweroff"])
def test_a_host_that_reboots_by_itself_comes_back(started, wait_until, word):
    host = started.host("n1")
    host.put(b"", "/tmp/before")
    started.network.cut("cut", {"n1": frozenset({"n2"})})
    with pytest.raises(RemoteError):
        host.run(["sh", "-c", f"{word}; sleep 20; true"], timeout_s=30)

    def back() -> bool:
        try:
            up = host.run(["sh", "-c", "[ ! -e /tmp/before ]"], timeout_s=5, check=False)
            return up.exit_status == 0 and started.daemons.running("n1") == {"clock": True}
        except RemoteError:
            return False

    wait_until(back, "it is back")
    assert "10.77.0.12" in rules(started, "n1")
    started.network.mend("cut")


def test_a_host_that_lost_its_power_for_good_does_not_stop_the_end():
    from splitbrain.cluster.embedded import Embedded

    cluster = Embedded(node_count=2)
    with cluster.entered():
        try:
            cluster.up()
            cluster._running.processes["n1"].kill()
            cluster._running.processes["n1"].await_death()
            assert cluster.expired() == {}
        finally:
            cluster.down()
