"""Embedded hosts: up, apart from each other, and gone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from splitbrain.cluster import embedded_host
from splitbrain.cluster.embedded import Embedded, nft_reason
from splitbrain.cluster.state import parent
from splitbrain.cluster.user_namespace import has_one_id
from splitbrain.core.errors import HarnessError, RemoteError, SetupError, UsageError

EMBEDDED = pytest.mark.embedded


def own_network() -> str:
    return str(Path("/proc/thread-self/ns/net").readlink())


@pytest.mark.parametrize("count", [0, -1, 201])
def test_a_cluster_has_a_sensible_number_of_nodes(count):
    with pytest.raises(UsageError, match="1 to 200 nodes"):
        Embedded(node_count=count)


def test_nodes_have_names_and_addresses_before_they_are_up():
    cluster = Embedded(node_count=3)
    assert cluster.name == "embedded"
    assert cluster.topology.addresses == {
        "n1": "10.77.0.11",
        "n2": "10.77.0.12",
        "n3": "10.77.0.13",
    }
    with pytest.raises(SetupError, match="not up"):
        cluster.host("n1")
    cluster.down()
    assert cluster.expired() == {}


@EMBEDDED
def test_five_hosts_are_up_and_gone_and_up_again(capsys):
    outside = own_network()
    cluster = Embedded(node_count=5)
    for _ in range(2):
        with cluster.entered():
            assert own_network() != outside
            began = time.monotonic()
            cluster.up()
            up_s = time.monotonic() - began
            names = [cluster.host(node).run(["hostname"]).stdout for node in cluster.topology.nodes]
            state = cluster._running.state.path
            assert state.stat().st_mode & 0o777 == 0o700
            assert (state / "client_key").stat().st_mode & 0o777 == 0o600
            began = time.monotonic()
            cluster.down()
            down_s = time.monotonic() - began
            cluster.down()
        assert names == [b"n1\n", b"n2\n", b"n3\n", b"n4\n", b"n5\n"]
        assert own_network() == outside
        assert not state.exists()
        with capsys.disabled():
            print(f"\n5 hosts: up in {up_s:.2f} s, down in {down_s:.2f} s")


@EMBEDDED
def test_hosts_reach_each_other_and_nothing_else(five):
    host = five.host("n1")
    for other in ("n2", "10.77.0.15", "controller"):
        script = f"import socket; socket.create_connection(({other!r}, 22), 5)"
        argv = ["/usr/bin/python3", "-c", script]
        if other == "controller":
            with pytest.raises(RemoteError, match="refused"):
                host.run(argv)
        else:
            host.run(argv)
    routes = host.run(["ip", "-4", "route"]).stdout.decode()
    assert "default" not in routes
    links = {name for _, name in socket.if_nameindex()}
    assert links >= {"lo", "br0"}
    assert not [name for name in links if name.startswith(("eth", "en", "wl"))]


@EMBEDDED
def test_a_host_sees_neither_homes_nor_others_nor_the_outside(five):
    host = five.host("n1")
    assert host.run(["ls", "-A", "/root", "/home"]).stdout == b"/home:\n\n/root:\n"
    assert host.run(["ls", "-A", "/dev/shm", "/tmp"]).stdout == b"/dev/shm:\n\n/tmp:\n"
    mounts = host.run(["cat", "/proc/mounts"]).stdout.decode()
    assert ".old" not in mounts
    processes = host.run(["ps", "-eo", "args"]).stdout.decode()
    assert "pytest" not in processes
    assert int(host.run(["sh", "-c", "ls /proc | grep -c '^[0-9]'"]).stdout) < 30


@EMBEDDED
def test_files_of_one_host_are_not_on_another_nor_on_the_machine(five):
    five.host("n1").put(b"mine", "/etc/only-here")
    with pytest.raises(RemoteError):
        five.host("n2").get("/etc/only-here")
    assert not Path("/etc/only-here").exists()
    assert five.host("n1").run(["hostname"]).stdout != five.host("n2").run(["hostname"]).stdout


@EMBEDDED
def test_killing_everything_on_a_host_hits_that_host_alone(five, wait_until):
    us = os.getpid()
    before = {node: _watchdog(five.host(node)) for node in ("n2", "n3")}
    with pytest.raises(RemoteError):
        five.host("n1").run(["sh", "-c", "kill -9 -1; sleep 10; true"], timeout_s=20)

    def back() -> bool:
        try:
            return five.host("n1").run(["echo", "back"], timeout_s=5).stdout == b"back\n"
        except RemoteError:
            return False

    wait_until(back, "its sshd is there again")
    assert {node: _watchdog(five.host(node)) for node in ("n2", "n3")} == before
    os.kill(us, 0)


@EMBEDDED
def test_a_host_cannot_set_the_machines_clock(five):
    before = time.time()
    done = five.host("n1").run(["date", "-s", "@1000000000"], check=False)
    assert done.exit_status != 0
    assert abs(time.time() - before) < 3600


@EMBEDDED
def test_daemons_do_not_inherit_ignored_signals(five):
    status = five.host("n1").run(["cat", "/proc/self/status"]).stdout.decode()
    ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    ordinary = (1 << 31) - 1  # 32 and 33 are the C library's own, and nobody can set them
    assert int(ignored, 16) & ordinary & ~(1 << 12) == 0  # SIGPIPE is sshd's own affair


@EMBEDDED
@pytest.mark.skipif(has_one_id(), reason="there is no user but root in this user namespace")
def test_other_users_of_a_host_can_live_there(five):
    script = "id -un; cat /etc/hosts >/dev/null && echo read; echo x > /tmp/x && echo written"
    argv = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    done = five.host("n1").run([*argv, "sh", "-c", script])
    assert done.stdout == b"nobody\nread\nwritten\n"


@EMBEDDED
def test_a_host_collects_its_dead(five, wait_until):
    host = five.host("n2")
    host.run(["sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done >/dev/null 2>&1"])

    def none_left() -> bool:
        states = host.run(["ps", "-eo", "state="]).stdout.split()
        sleepers = host.run(["pgrep", "-x", "sleep"], check=False).stdout
        return b"Z" not in states and not sleepers

    wait_until(none_left, "no remains are left")


@EMBEDDED
def test_up_may_be_tried_again_after_it_failed(monkeypatch):
    cluster = Embedded(node_count=1)

    def fail(*_args, **_kwargs):
        message = "no room"
        raise SetupError(message)

    with cluster.entered():
        monkeypatch.setattr("splitbrain.cluster.embedded.prepare_folder", fail)
        with pytest.raises(SetupError, match="no room"):
            cluster.up()
        cluster.down()
        monkeypatch.undo()
        try:
            cluster.up()
            with pytest.raises(SetupError, match="up already"):
                cluster.up()
            assert cluster.host("n1").run(["hostname"]).stdout == b"n1\n"
        finally:
            cluster.down()


@EMBEDDED
def test_two_clusters_in_one_process_do_not_meet():
    clusters = [Embedded(node_count=3), Embedded(node_count=3)]

    def live(number: int) -> list[bytes]:
        cluster = clusters[number]
        with cluster.entered():
            try:
                cluster.up()
                for node in cluster.topology.nodes:
                    cluster.host(node).put(f"{number}".encode(), "/etc/whose")
                cluster.network.cut("all", {"n1": frozenset({"n2", "n3"})})
                return [cluster.host(node).get("/etc/whose") for node in cluster.topology.nodes]
            finally:
                cluster.down()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(live, range(2))) == [[b"0"] * 3, [b"1"] * 3]


@EMBEDDED
def test_the_machines_own_network_stays_as_it_was():
    before = subprocess.run(["ip", "-o", "link"], capture_output=True, check=True).stdout
    cluster = Embedded(node_count=2)
    with ThreadPoolExecutor(1) as pool:

        def live() -> None:
            with cluster.entered():
                try:
                    cluster.up()
                finally:
                    cluster.down()

        pool.submit(live).result()
    after = subprocess.run(["ip", "-o", "link"], capture_output=True, check=True).stdout
    assert before == after


@EMBEDDED
def test_an_unknown_node_is_named(one):
    with pytest.raises(HarnessError, match=r"no node 'n9'; there are n1"):
        one.host("n9")


@EMBEDDED
def test_up_outside_its_network_says_what_to_do():
    cluster = Embedded(node_count=1)
    with pytest.raises(SetupError, match="act within `entered`"):
        cluster.up()


@EMBEDDED
def test_a_host_that_does_not_boot_is_named_with_its_reason(monkeypatch):
    cluster = Embedded(node_count=2)
    original = embedded_host.HostProcess.launch.__func__

    def launch(cls, plan, generation, boot):
        if plan.node == "n2":
            (plan.folder / "root").rmdir()
        return original(cls, plan, generation, boot)

    monkeypatch.setattr(embedded_host.HostProcess, "launch", classmethod(launch))
    with cluster.entered():
        try:
            with pytest.raises(SetupError, match=r"the host n2 did not boot: .*mount"):
                cluster.up()
        finally:
            cluster.down()


@EMBEDDED
def test_a_host_without_working_sshd_is_named_with_its_reason(monkeypatch):
    broken = embedded_host._SSHD_CONFIG + "NoSuchOption yes\n"
    monkeypatch.setattr(embedded_host, "_SSHD_CONFIG", broken)
    monkeypatch.setattr("splitbrain.cluster.embedded._SSH_LIMIT_S", 0.5)
    cluster = Embedded(node_count=1)
    with cluster.entered():
        try:
            with pytest.raises(SetupError, match=r"the host n1 .*NoSuchOption"):
                cluster.up()
        finally:
            cluster.down()


@EMBEDDED
def test_nftables_is_there():
    cluster = Embedded(node_count=1)
    with cluster.entered():
        assert nft_reason() is None


@EMBEDDED
@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 50])
def test_many_hosts(count, capsys):
    before = set(parent().iterdir())
    cluster = Embedded(node_count=count)
    with cluster.entered():
        try:
            began = time.monotonic()
            cluster.up()
            up_s = time.monotonic() - began
            nodes = cluster.topology.nodes
            with ThreadPoolExecutor(8) as pool:
                names = list(pool.map(lambda n: cluster.host(n).run(["hostname"]).stdout, nodes))
            assert names == [f"{node}\n".encode() for node in nodes]
            grudge = {node: frozenset(nodes) - {node} for node in nodes}
            cluster.network.cut("all", grudge)
            cluster.network.mend("all")
        finally:
            began = time.monotonic()
            cluster.down()
    with capsys.disabled():
        print(f"\n{count} hosts: up in {up_s:.2f} s, down in {time.monotonic() - began:.2f} s")
    ours = {path for path in parent().iterdir() if path.name.startswith(f"{os.getpid()}-")}
    assert ours <= before


def _watchdog(host) -> int:
    """Give the id of a process that must still be there."""
    pid = json.loads(host.get("/run/splitbrain/watchdog.json"))["pid"]
    host.run(["kill", "-0", str(pid)])
    return pid
