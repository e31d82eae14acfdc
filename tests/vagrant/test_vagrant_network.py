"""A partition between machines stalls the connections that are open, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from splitbrain.cluster.vagrant import Vagrant
from splitbrain.core.system import DaemonSpec

pytestmark = [pytest.mark.vagrant, pytest.mark.timeout(1800)]

PYTHON = "/usr/bin/python3"
RECEIVER = """
import socket
server = socket.create_server(("0.0.0.0", 7100))
print("ready", flush=True)
peer, _ = server.accept()
while data := peer.recv(65536):
    with open("/run/received", "a") as file:
        file.write(data.decode())
with open("/run/ended", "w"):
    pass
"""
SENDER = """
import itertools, socket, sys, time
while True:
    try:
        peer = socket.create_connection((sys.argv[1], 7100), timeout=5)
        break
    except OSError:
        time.sleep(0.1)
peer.settimeout(None)
print("ready", flush=True)
for number in itertools.count():
    peer.sendall(f"{number}\\n".encode())
    time.sleep(0.05)
"""


def received(cluster: Vagrant) -> int:
    done = cluster.host("n2").run(("wc", "-l", "/run/received"), check=False)
    return int(done.stdout.split()[0]) if done.exit_status == 0 else 0


def test_an_open_connection_stalls_and_goes_on_as_the_same(
    three: Vagrant, patiently: Callable[..., None]
) -> None:
    assert three.network is not None
    address = three.topology.addresses["n2"]
    receiver = DaemonSpec(name="receiver", argv=(PYTHON, "-c", RECEIVER), ready_line="ready")
    sender = DaemonSpec(name="sender", argv=(PYTHON, "-c", SENDER, address), ready_line="ready")
    three.start({"n1": [sender], "n2": [receiver]})
    patiently(lambda: received(three) > 20, "lines arrive")
    proof = three.network.cut("cut", {"n2": frozenset({"n1"}), "n1": frozenset({"n2"})})
    assert isinstance(proof, dict)
    assert set(proof) == {"n1", "n2"}
    stalled = received(three)
    began_s = time.monotonic()
    while time.monotonic() < began_s + 5:
        assert received(three) <= stalled + 3
    assert three.host("n1").run(("ping", "-c", "1", "-W", "2", address), check=False).exit_status
    assert not three.host("n3").run(("ping", "-c", "1", "-W", "9", address)).exit_status
    three.network.mend("cut")
    patiently(lambda: received(three) > stalled + 20, "lines arrive again")
    lines = three.host("n2").run(("cat", "/run/received")).stdout.split()
    assert [int(line) for line in lines[:-1]] == list(range(len(lines) - 1))
    assert three.host("n2").run(("test", "-e", "/run/ended"), check=False).exit_status == 1


def test_cuts_outlast_a_power_cut(three: Vagrant) -> None:
    assert three.network is not None
    assert three.hosts is not None
    three.network.cut("cut", {"n1": frozenset({"n3"})})
    three.hosts.cut_power(["n1"])
    target = three.topology.addresses["n3"]
    ping = ("ping", "-c", "1", "-W", "3", target)
    assert three.host("n1").run(ping, check=False).exit_status != 0
    three.network.mend("cut")
    assert three.host("n1").run(ping, check=False).exit_status == 0
