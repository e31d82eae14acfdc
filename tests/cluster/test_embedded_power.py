"""Power cuts: what was synced survives, the tail that was not is gone, and that is proved."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain.cluster import embedded_disk, state
from splitbrain.cluster.embedded import Embedded
from splitbrain.cluster.embedded_disk import Canary, disk_reason
from splitbrain.core.cluster import Skew
from splitbrain.core.errors import HarnessError, RemoteError, SetupError, UsageError
from splitbrain.core.run import Plan
from splitbrain.core.system import DaemonSpec
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.report.quiet import Quiet

EMBEDDED = [
    pytest.mark.embedded,
    pytest.mark.skipif(disk_reason() is not None, reason=str(disk_reason())),
]
SECOND = 1_000_000_000

_APPENDER = """
import os, sys, time
log = os.open("/var/lib/appender/log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
print("ready", flush=True)
number = 0
while True:
    number += 1
    os.write(log, b"%d\\n" % number)
    if sys.argv[1] == "sync":
        os.fsync(log)
        print("acknowledged", number, flush=True)
    time.sleep(0.005)
"""

_CONTROLLER = """
import sys
from splitbrain.cluster.embedded import Embedded
cluster = Embedded(node_count=2, disk="ext4")
with cluster.entered():
    cluster.up()
    print(cluster._running.state.path, flush=True)
    sys.stdin.read()
"""

_NEMESIS = """
class Cut:
    kind = "cut"

    def unavailable(self, bed):
        return bed.hosts.cannot_cut_power()

    def inject(self, bed, resolved):
        odd = resolved.fault.id.endswith(("1", "3"))
        return bed.hosts.cut_power(bed.nodes if odd else bed.nodes[:2])

    def heal(self, bed, injection):
        pass
"""


@pytest.fixture(scope="module")
def disks():
    """Three hosts with disks of their own, up for a module."""
    cluster = Embedded(node_count=3, disk="ext4")
    with cluster.entered():
        try:
            cluster.up()
            cluster.start({})
            yield cluster
        finally:
            cluster.down()
    assert loops() == set()


def loops() -> set[str]:
    """Give the files of ours that a loop device holds."""
    found = set()
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            name = file.read_text().strip()
        except OSError:
            continue
        if f"/{os.getpid()}-" in name:
            found.add(name)
    return found


def python(cluster, node, code):
    return cluster.host(node).run(["/usr/bin/python3", "-c", code]).stdout.decode()


@pytest.mark.parametrize("kind", ["", "xfs"])
def test_other_disks_are_refused(kind):
    with pytest.raises(UsageError, match="is one of memory, ext4, not"):
        Embedded(node_count=1, disk=kind)


def test_a_disk_in_memory_says_why_a_cut_would_prove_nothing():
    hosts = Embedded(node_count=1).hosts
    assert hosts.cannot_cut_power().endswith("--disk ext4 gives them others")
    with pytest.raises(HarnessError, match="lie in memory"):
        hosts.cut_power(["n1"])
    assert Embedded(node_count=1, disk="ext4").hosts.cannot_cut_power() is None


def test_what_a_disk_of_its_own_lacks_is_said(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(embedded_disk, "is_inside", lambda: True)
    assert "needs the machine's root" in disk_reason()
    monkeypatch.setattr(embedded_disk, "is_inside", lambda: False)
    monkeypatch.setattr(embedded_disk.shutil, "which", lambda *_, **__: None)
    assert disk_reason() == "there is no program mkfs.ext4; apt-get install e2fsprogs"
    with pytest.raises(SetupError, match=r"cannot have disks of their own: .*e2fsprogs"):
        Embedded(node_count=1, disk="ext4").up()


class TestCut:
    pytestmark = EMBEDDED

    def test_what_was_synced_survives_and_the_rest_is_gone(self, disks):
        code = """
import os
def write(path, synced, more):
    with open(path, "wb") as file:
        file.write(synced)
        file.flush()
        os.fsync(file.fileno())
        file.write(more)
folder = os.open("/var/lib", os.O_RDONLY)
write("/var/lib/log", b"a" * 10_000, b"b" * 10_000)
write("/var/lib/old", b"old", b"")
os.fsync(folder)
open("/var/lib/never", "wb").write(b"x" * 10_000)
open("/var/lib/new", "wb").write(b"new")
os.replace("/var/lib/new", "/var/lib/old")
"""
        python(disks, "n1", code)
        proof = disks.hosts.cut_power(["n1"])
        assert proof["n1"]["unsynced_canary"] == "lost"
        assert proof["n1"]["first_process_before"] != proof["n1"]["first_process_after"]
        host = disks.host("n1")
        log = host.get("/var/lib/log")
        assert log[:10_000] == b"a" * 10_000
        assert b"b" not in log
        assert host.get("/var/lib/old") in (b"old", b"")
        never = host.run(["cat", "/var/lib/never"], check=False).stdout
        assert b"x" not in never

    def test_a_reboot_loses_nothing(self, disks):
        python(disks, "n2", "open('/var/lib/kept', 'w').write('kept')")
        disks.hosts.reboot("n2")
        assert disks.host("n2").get("/var/lib/kept") == b"kept"

    def test_several_at_one_moment_and_what_the_layers_do_comes_back(self, disks, wait_until):
        sync = DaemonSpec(
            name="appender",
            argv=("/usr/bin/python3", "-ISuc", _APPENDER, "sync"),
            data_dirs=("/var/lib/appender",),
            ready_line="ready",
        )
        lazy = replace(sync, argv=(*sync.argv[:-1], "no"))
        disks.start({"n1": [sync], "n2": [lazy], "n3": [sync]})
        try:
            log = disks.log_paths("n1", sync)[0]
            wait_until(lambda: b"acknowledged 20" in disks.host("n1").get(log), "it writes")
            wait_until(lambda: _numbers(disks, "n2")[-1:] > [20], "the lazy one writes")
            disks.network.cut("cut", {"n1": frozenset({"n3"})})
            disks.clocks.skew("jump", {"n2": Skew(offset_ns=500 * SECOND)})
            disks.daemons.kill("kill", ["n3"])
            written = _numbers(disks, "n2")[-1]
            proof = disks.hosts.cut_power(["n3", "n1", "n2"])
            assert list(proof) == ["n1", "n2", "n3"]
            assert {item["unsynced_canary"] for item in proof.values()} == {"lost"}
            assert [disks.daemons.running(node)["appender"] for node in proof] == [
                *(True, True),
                False,
            ]
            rules = disks.host("n1").run(["nft", "list", "ruleset"]).stdout
            assert b"10.77.0.13" in rules
            assert abs(disks.clocks.sample("n2")[0] - 500 * SECOND) < SECOND
            # Everything acknowledged is there: the log of its output is kept from the disk.
            told = [int(line.split()[1]) for line in _acknowledged(disks, "n1", log)]
            assert set(told) <= set(_numbers(disks, "n1"))
            assert len(told) >= 20
            assert _numbers(disks, "n2")[:written] != list(range(1, written + 1))
        finally:
            disks.network.mend("cut")
            disks.clocks.release("jump")
            disks.daemons.release("kill")
            disks.stop()

    def test_a_disk_that_lost_nothing_proves_nothing_and_the_node_is_back(self, disks, monkeypatch):
        real = Canary.write

        def write(self, host):
            real(self, host)
            host.run(["sync"])

        monkeypatch.setattr(Canary, "write", write)
        with pytest.raises(HarnessError, match="proves nothing: n1 kept what was not synced"):
            disks.hosts.cut_power(["n1"])
        assert disks.host("n1").run(["hostname"]).stdout == b"n1\n"

    def test_evidence_is_kept_from_the_disk(self, disks):
        host = disks.host("n1")
        for folder in ("/var/log/splitbrain", "/var/lib/splitbrain/trace"):
            host.run(["sh", "-c", f"echo evidence > {folder}/file"])
        disks.hosts.cut_power(["n1"])
        for folder in ("/var/log/splitbrain", "/var/lib/splitbrain/trace"):
            assert host.get(f"{folder}/file") == b"evidence\n"

    def test_hosts_outlive_many_cuts(self, disks):
        for _ in range(4):
            disks.hosts.cut_power(["n1", "n2", "n3"])
        for node in disks.topology.nodes:
            assert disks.host(node).run(["id", "-un"]).stdout == b"root\n"
        assert len(loops()) == 3

    def test_no_loop_device_outlives_a_killed_controller(self, wait_until):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(
            [sys.executable, "-c", _CONTROLLER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            path = Path(process.stdout.readline().strip())
            images = [path / node / "disk.img" for node in ("n1", "n2")]
            assert all(embedded_disk.loop_devices(image) for image in images)
            process.kill()
        wait_until(
            lambda: not any(embedded_disk.loop_devices(image) for image in images), "they are free"
        )
        assert any(path.name in line for line in state.sweep())
        assert not path.exists()

    def test_a_disk_can_be_full_and_says_so(self, disks):
        host = disks.host("n3")
        with pytest.raises(RemoteError) as refused:
            host.run(["dd", "if=/dev/zero", "of=/var/lib/full", "bs=1M", "count=2000"])
        assert "No space left" in refused.value.stderr
        host.run(["rm", "/var/lib/full"])

    @pytest.mark.slow
    def test_raft_keeps_its_promises_when_power_is_cut(self, tmp_path):
        file = tmp_path / "cut.py"
        file.write_text(_NEMESIS)
        plan = Plan(
            system="raft",
            workload="register",
            nemeses=(f"{file}:Cut",),
            time_limit_s=20.0,
            interval_s=4.0,
            seed=1,
            cluster_options={"disk": "ext4"},
        )
        result = execute(plan, store=tmp_path / "store", monitor=Quiet())
        assert result.failure is None
        assert result.status is Status.VALID, result.verdicts
        faults = [event for _, event in result.evidence.faults or () if event.state == "active"]
        assert len(faults) >= 3

    def test_a_run_on_disks_in_memory_ends_at_once_when_power_is_to_be_cut(self, tmp_path):
        file = tmp_path / "cut.py"
        file.write_text(_NEMESIS)
        plan = Plan(
            system="raft",
            workload="register",
            nemeses=(f"{file}:Cut",),
            node_count=3,
            time_limit_s=3.0,
            seed=1,
        )
        result = execute(plan, store=tmp_path / "store", monitor=Quiet())
        assert result.status is Status.UNKNOWN
        assert "'cut' cannot work here" in result.failure
        assert "lie in memory" in result.failure


def _numbers(cluster, node) -> list[int]:
    data = cluster.host(node).run(["cat", "/var/lib/appender/log"], check=False).stdout
    lines = data.replace(b"\0", b"").split(b"\n")[:-1]
    return [int(line) for line in lines if line.isdigit()]


def _acknowledged(cluster, node, log) -> list[str]:
    text = cluster.host(node).get(log).decode()
    return [line for line in text.splitlines() if line.startswith("acknowledged ")]
