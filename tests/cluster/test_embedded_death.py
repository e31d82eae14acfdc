"""A controller that dies, or whose lease runs out, leaves nothing broken and nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from splitbrain.cluster import state
from splitbrain.cluster.agent import ask
from splitbrain.cluster.embedded import Embedded
from splitbrain.cluster.embedded_host import HostPlan, HostProcess, boot_script, prepare_folder
from splitbrain.cluster.keeper import KeeperThread
from splitbrain.cluster.keys import KeyPair
from splitbrain.cluster.user_namespace import is_inside
from splitbrain.core.cluster import Skew

pytestmark = pytest.mark.embedded

_CONTROLLER = """
import json, os, sys, threading, time
from splitbrain.cluster.embedded import Embedded
from splitbrain.cluster.embedded_host import HostPlan, HostProcess, boot_script, prepare_folder
from splitbrain.cluster.keeper import KeeperThread
from splitbrain.cluster.keys import KeyPair
from splitbrain.core.system import DaemonSpec
spec = DaemonSpec(name="sleeper", argv=("/bin/sleep", sys.argv[1]))
cluster = Embedded(node_count=3)
def live():
    with cluster.entered():
        cluster.up()
        cluster.start({node: [spec] for node in cluster.topology.nodes})
        cluster.network.cut("all", {"n1": frozenset({"n2", "n3"})})
        cluster.daemons.pause("p", ["n2"])
        running = cluster._running
        print(json.dumps({
            "state": str(running.state.path),
            "hosts": [life.pid for life in running.processes.values()],
            "lease": running.lease.pid,
            "network": os.readlink("/proc/thread-self/ns/net"),
        }), flush=True)
        sys.stdin.readline()
        cluster.down()
        print("down", flush=True)
worker = threading.Thread(target=live)
worker.start()
worker.join()
"""


class Controller:
    """A controller in a process of its own, with its cluster up."""

    def __init__(self, word):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CONTROLLER, word],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.says = json.loads(self.process.stdout.readline())
        self.hosts = [state.ProcessId.of(pid) for pid in self.says["hosts"]]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.close()

    def end(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "down\n"
        assert self.process.wait(30) == 0
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()


def networks():
    """Give the network namespaces that some thread is in."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/task/[0-9]*/ns/net"):
        try:
            found.add(str(path.readlink()))
        except OSError:
            continue
    return found


def commands():
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_a_killed_controller_leaves_nothing_but_a_directory_that_is_swept(wait_until):
    mounts = Path("/proc/mounts").read_text()
    word = f"12345.{os.getpid()}"
    controller = Controller(word)
    assert controller.says["network"] in networks()
    assert sum(word in line for line in commands()) >= 4
    controller.kill()
    began = time.monotonic()
    wait_until(lambda: not any(host.alive() for host in controller.hosts), "hosts end")
    wait_until(lambda: state.ProcessId.of(controller.says["lease"]) is None, "the lease ends")
    wait_until(lambda: not any(word in line for line in commands()), "daemons end")
    wait_until(lambda: controller.says["network"] not in networks(), "the network ends")
    assert time.monotonic() - began < 20
    assert Path("/proc/mounts").read_text() == mounts
    left = Path(controller.says["state"])
    assert left.is_dir()
    assert any(left.name in line for line in state.sweep())
    assert not left.exists()


def test_two_controllers_do_not_disturb_each_other(wait_until):
    first, second = Controller("23451"), Controller("23452")
    try:
        assert first.says["network"] != second.says["network"]
        assert state.sweep() == []
        first.kill()
        wait_until(lambda: not any(host.alive() for host in first.hosts), "hosts end")
        assert all(host.alive() for host in second.hosts)
        assert any(Path(first.says["state"]).name in line for line in state.sweep())
        assert Path(second.says["state"]).is_dir()
        second.end()
        assert not any(host.alive() for host in second.hosts)
        assert not Path(second.says["state"]).exists()
    finally:
        for controller in (first, second):
            if controller.process.poll() is None:
                controller.kill()
        wait_until(lambda: not any(h.alive() for c in (first, second) for h in c.hosts), "end")
        state.sweep()


def plan_of(folder):
    return HostPlan(
        node="n1",
        address="10.77.0.11",
        number=1,
        folder=folder / "n1",
        as_root=not is_inside(),
    )


def test_a_host_whose_controller_died_before_the_cable_was_in_ends(tmp_path):
    """Its boot script waits on a pipe, and takes its end for the controller's."""
    keeper = KeeperThread("test")
    try:
        plan = plan_of(tmp_path)
        keys = KeyPair.generate(), KeyPair.generate()
        prepare_folder(plan, host_key=keys[0], client_key=keys[1], hosts="127.0.0.1 localhost\n")
        script = boot_script(tmp_path)
        life = keeper.call(lambda: HostProcess.launch(plan, 1, script))
        life.await_plug(time.monotonic() + 20)
        life._process.stdin.close()
        life.await_death()
        assert life.exit_status() not in (None, 0)
    finally:
        keeper.end()


def test_a_host_ends_with_the_thread_that_launched_it(tmp_path):
    keeper = KeeperThread("test")
    plan = plan_of(tmp_path)
    keys = KeyPair.generate(), KeyPair.generate()
    prepare_folder(plan, host_key=keys[0], client_key=keys[1], hosts="127.0.0.1 localhost\n")
    script = boot_script(tmp_path)
    life = keeper.call(lambda: HostProcess.launch(plan, 1, script))
    life.await_plug(time.monotonic() + 20)
    keeper.end()
    life.await_death()
    assert life.exit_status() not in (None, 0)


def test_a_lease_that_runs_out_heals_the_node_and_says_so(wait_until, clock_daemon):
    cluster = Embedded(node_count=2)
    with cluster.entered():
        try:
            cluster.up()
            cluster.start({"n1": [clock_daemon], "n2": [clock_daemon]})
            cluster.network.cut("cut", {"n1": frozenset({"n2"})})
            cluster.clocks.skew("jump", {"n1": Skew(offset_ns=10**12)})
            cluster.daemons.pause("p", ["n1"])
            cluster.daemons.kill("k", ["n2"])
            assert cluster.expired() == {}
            cluster._running.lease.end()
            for node in ("n1", "n2"):
                cluster.host(node).run(["sh", "-c", "echo 1.0 > /run/splitbrain/lease"])
            wait_until(lambda: len(cluster.expired()) == 2, "the watchdogs heal")
            assert cluster.host("n1").run(["nft", "list", "ruleset"]).stdout == b""
            assert abs(cluster.clocks.sample("n1")[0]) < 10**9
            assert cluster.daemons.running("n1") == {"clock": True}
            expired = cluster.expired()
            assert [event["undone"] for event in expired["n1"]] == [
                ["network", "clock", "paused clock"]
            ]
            assert [event["undone"] for event in expired["n2"]] == [["left down clock"]]
            assert cluster.daemons.running("n2") == {"clock": False}
            # Healing what is healed already is no error.
            cluster.network.mend("cut")
            cluster.clocks.release("jump")
            cluster.daemons.release("p")
            cluster.daemons.release("k")
            for node in ("n1", "n2"):
                assert cluster.daemons.running(node) == {"clock": True}
            assert cluster.expired() == expired
        finally:
            cluster.down()


def test_the_lease_is_renewed_by_a_process_apart(wait_until, clock_daemon):
    cluster = Embedded(node_count=1)
    with cluster.entered():
        try:
            cluster.up()

            def lease():
                return cluster.host("n1").get("/run/splitbrain/lease").strip() or b"0"

            first = float(lease())
            wait_until(lambda: float(lease()) > first + 1, "it is renewed")
            assert cluster._running.lease.pid != os.getpid()
            # A reboot breaks its connection; it comes back by itself.
            cluster.hosts.reboot("n1")
            cluster.host("n1").run(["sh", "-c", "echo 1.0 > /run/splitbrain/lease"])
            wait_until(lambda: float(lease()) > first, "it is renewed again")
            assert cluster.expired() == {}
        finally:
            cluster.down()


def test_a_watchdog_that_died_is_started_before_the_next_fault(one):
    host = one.host("n1")
    record = json.loads(host.get("/run/splitbrain/watchdog.json"))
    host.run(["kill", "-9", str(record["pid"])])
    one.clocks.skew("a", {"n1": Skew(offset_ns=10**9)})
    again = json.loads(host.get("/run/splitbrain/watchdog.json"))
    assert again["pid"] != record["pid"]
    host.run(["kill", "-0", str(again["pid"])])
    one.clocks.release("a")


def test_a_node_that_boots_with_an_intent_is_healed(one):
    """As after a power cut of a machine whose controller is gone."""
    host = one.host("n1")
    host.run(["nft", "add", "table", "inet", "splitbrain"])
    chain = "chain inet splitbrain layer_x { type filter hook input priority 0; }"
    host.run(["nft", f"add {chain}"])
    host.run(["sh", "-c", "touch /var/lib/splitbrain/intent/network"])
    assert ask(host, "prepare", {"lease_s": 15})["healed"] == ["network"]
    assert host.run(["nft", "list", "ruleset"]).stdout == b""
    assert ask(host, "prepare", {"lease_s": 15})["healed"] == []
