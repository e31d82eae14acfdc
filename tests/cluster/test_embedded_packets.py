"""Packets in trouble on embedded hosts: seen by datagrams, and gone when mended."""

from __future__ import annotations

import json
import statistics

import pytest

from splitbrain.cluster.agent import ask
from splitbrain.core.cluster import Trouble
from splitbrain.core.errors import HarnessError

pytestmark = pytest.mark.embedded

# Sends numbered datagrams to an echo, and tells the round trips of what came back, in order.
_PROBE = """
import json, socket, sys, time
address, count, gap_s, size = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setblocking(False)
sent, heard = {}, []
def listen(until_s):
    while True:
        try:
            data, _ = s.recvfrom(65536)
        except BlockingIOError:
            if time.monotonic() > until_s: return
            time.sleep(0.0002)
            continue
        number = int(data[:8])
        heard.append((number, 1000 * (time.monotonic() - sent[number]), len(data)))
for number in range(count):
    sent[number] = time.monotonic()
    s.sendto(b"%08d" % number + b"x" * (size - 8), (address, 9998))
    listen(time.monotonic() + gap_s)
listen(time.monotonic() + 1.0)
print(json.dumps(heard))
"""
_ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 9998))
print("listening", flush=True)
while True:
    data, peer = s.recvfrom(65536); s.sendto(data, peer)
"""
# Sends a megabyte by TCP to a listener that answers with what it got.
_TCP = """
import hashlib, socket, sys, time
data = bytes(range(256)) * (int(sys.argv[2]) // 256)
s = socket.create_connection((sys.argv[1], 9997)); began = time.monotonic()
s.sendall(data); s.shutdown(socket.SHUT_WR)
answer = s.recv(64)
assert answer == hashlib.sha256(data).hexdigest().encode(), answer
print(time.monotonic() - began)
"""
_SINK = """
import hashlib, socket
server = socket.create_server(("0.0.0.0", 9997))
print("listening", flush=True)
while True:
    peer, _ = server.accept(); digest = hashlib.sha256()
    while data := peer.recv(65536): digest.update(data)
    peer.sendall(digest.hexdigest().encode()); peer.close()
"""


@pytest.fixture(scope="module")
def echoing(five):
    """Five hosts with an echo and a sink each."""
    for number, text in enumerate((_ECHO, _SINK)):
        start = f'setsid /usr/bin/python3 -c "$1" >/run/echo{number} 2>&1 </dev/null & '
        wait = f"while ! grep -q listening /run/echo{number}; do sleep 0.01; done"
        for node in five.topology.nodes:
            five.host(node).run(["sh", "-c", start + wait, "sh", text])
    return five


def probe(cluster, sender, receiver, count=20, gap_s=0.005, size=64):
    argv = ["/usr/bin/python3", "-c", _PROBE, cluster.topology.addresses[receiver]]
    done = cluster.host(sender).run([*argv, str(count), str(gap_s), str(size)])
    return json.loads(done.stdout)


def trip_ms(cluster, sender, receiver):
    return statistics.median(late for _, late, _ in probe(cluster, sender, receiver))


def send(cluster, sender, receiver, size=1 << 20):
    argv = ["/usr/bin/python3", "-c", _TCP, cluster.topology.addresses[receiver], str(size)]
    return float(cluster.host(sender).run(argv, timeout_s=60.0).stdout)


def undisturbed(cluster):
    for node in cluster.topology.nodes:
        host = cluster.host(node)
        assert b"splitbrain0" not in host.run(["ip", "link"]).stdout
        assert b"splitbrain0" not in host.run(["ip", "route"]).stdout
        assert host.run(["ls", "/var/lib/splitbrain/intent"]).stdout == b""


def test_a_delay_is_on_its_way_alone(echoing):
    assert echoing.network.cannot_disturb() is None
    before = trip_ms(echoing, "n1", "n2")
    proof = echoing.network.disturb("slow", {"n1": {"n2": Trouble(delay_ms=80)}})
    assert proof == {"n1": {"n2": "splitbrain0"}}
    assert trip_ms(echoing, "n1", "n2") >= 80
    assert trip_ms(echoing, "n2", "n1") >= 80  # the answer goes that way
    assert trip_ms(echoing, "n1", "n3") < 80
    echoing.network.mend("slow")
    echoing.network.mend("slow")
    assert trip_ms(echoing, "n1", "n2") < max(40, 10 * before)
    undisturbed(echoing)


def test_layers_add_up_and_go_one_by_one(echoing):
    echoing.network.disturb("a", {"n1": {"n2": Trouble(delay_ms=50)}})
    echoing.network.disturb("b", {"n1": {"n2": Trouble(delay_ms=60), "n3": Trouble(loss=1.0)}})
    assert trip_ms(echoing, "n1", "n2") >= 110
    assert probe(echoing, "n1", "n3") == []
    echoing.network.mend("a")
    assert 60 <= trip_ms(echoing, "n1", "n2") < 110
    echoing.network.mend("b")
    undisturbed(echoing)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "pareto"])
def test_jitter_spreads(echoing, distribution):
    trouble = Trouble(delay_ms=60, jitter_ms=15, distribution=distribution)
    echoing.network.disturb("jitter", {"n1": {"n2": trouble}})
    late = [item for _, item, _ in probe(echoing, "n1", "n2", count=100, gap_s=0.002)]
    echoing.network.mend("jitter")
    assert len(late) == 100
    assert statistics.stdev(late) > 5


def test_loss_doubling_damage_and_overtaking(echoing):
    def heard(**trouble):
        echoing.network.disturb("t", {"n1": {"n2": Trouble(**trouble)}})
        found = probe(echoing, "n1", "n2", count=300, gap_s=0.001)
        echoing.network.mend("t")
        return [number for number, _, _ in found]

    assert 50 <= len(heard(loss=0.5)) <= 250
    doubled = heard(duplicate=0.5)
    assert len(set(doubled)) == 300
    assert 350 <= len(doubled) <= 550
    assert 50 <= len(heard(corrupt=0.5)) <= 250  # dropped by the checksum
    overtaken = heard(reorder=0.3, delay_ms=20)
    assert sorted(overtaken) == list(range(300)) != overtaken
    undisturbed(echoing)


def test_a_slow_line_carries_what_it_is_said_to(echoing):
    quick_s = send(echoing, "n4", "n5")
    echoing.network.disturb("rate", {"n4": {"n5": Trouble(rate_kbit=4000)}})
    slow_s = send(echoing, "n4", "n5")
    echoing.network.mend("rate")
    assert quick_s < 1.9 < slow_s  # 1 MiB at 4 Mbit/s takes 2.1 s


def test_tcp_gets_its_bytes_through_all_troubles_at_once(echoing, wait_until):
    trouble = Trouble(delay_ms=2, jitter_ms=1, loss=0.01, duplicate=0.05, corrupt=0.01, reorder=0.1)
    echoing.network.disturb("all", {"n2": {"n3": trouble}, "n3": {"n2": trouble}})
    send(echoing, "n2", "n3")

    def counts():
        found = ask(echoing.host("n2"), "disturb-counts", {})
        return found["lanes"][echoing.topology.addresses["n3"]]

    wait_until(lambda: counts()["seen"] > 300, "the packets are counted")
    assert counts()["duplicated"] > 0
    echoing.network.mend("all")
    undisturbed(echoing)


def test_when_its_program_dies_packets_go_their_old_way(echoing, wait_until):
    echoing.network.disturb("dies", {"n1": {"n2": Trouble(loss=1.0)}})
    assert probe(echoing, "n1", "n2", count=3) == []
    record = json.loads(echoing.host("n1").get("/run/splitbrain/detour-program.json"))
    echoing.host("n1").run(["kill", "-9", str(record["pid"])])
    wait_until(lambda: len(probe(echoing, "n1", "n2", count=3)) == 3, "packets pass")
    echoing.network.mend("dies")
    undisturbed(echoing)


def test_a_reboot_keeps_the_trouble_and_the_controller_is_never_in_it(five):
    everyone = {
        node: {peer: Trouble(loss=1.0) for peer in five.topology.nodes if peer != node}
        for node in five.topology.nodes
    }
    five.network.disturb("all", everyone)
    five.hosts.reboot("n5")
    assert b"splitbrain0" in five.host("n5").run(["ip", "route"]).stdout
    five.network.mend("all")
    undisturbed(five)


def test_a_strict_reverse_path_is_loosened_and_put_back(echoing):
    switch = "/proc/sys/net/ipv4/conf/eth0/rp_filter"
    host = echoing.host("n1")
    host.run(["sh", "-c", f"echo 1 > {switch}"])
    echoing.network.disturb("s", {"n1": {"n2": Trouble(delay_ms=30)}})
    assert len(probe(echoing, "n1", "n2", count=5)) == 5
    echoing.network.mend("s")
    assert host.run(["cat", switch]).stdout == b"1\n"
    host.run(["sh", "-c", f"echo 0 > {switch}"])


def test_the_node_heals_itself_and_says_so(echoing):
    echoing.network.disturb("x", {"n3": {"n1": Trouble(loss=1.0)}})
    assert ask(echoing.host("n3"), "heal", {}) == {"undone": ["packets"]}
    assert len(probe(echoing, "n3", "n1", count=3)) == 3
    echoing.network.mend("x")
    undisturbed(echoing)


def test_a_stranger_is_named(five):
    with pytest.raises(HarnessError, match="'n9', which is no node"):
        five.network.disturb("x", {"n1": {"n9": Trouble(loss=1.0)}})
