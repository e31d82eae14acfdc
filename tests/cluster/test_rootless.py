"""Embedded hosts of an ordinary user: the same faults, the same user's files, nothing left."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import splitbrain
from splitbrain.checkers.porcupine.helper import VARIABLE, ensure_helper
from splitbrain.cluster.user_namespace import is_inside

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.skipif(is_inside(), reason="it is about users outside of a user namespace"),
]
NAME = f"sbt{os.getpid()}"

_FAULTS = """
import json, socket, sys
from splitbrain.cluster.user_namespace import ensure_root, has_one_id, is_inside, outer_uid
ensure_root()
from splitbrain.cluster.embedded import Embedded
from splitbrain.core.cluster import Skew
from splitbrain.core.errors import RemoteError
from splitbrain.core.system import DaemonSpec
import time
said = {"inside": is_inside(), "one_id": has_one_id(), "outer_uid": outer_uid()}
code = sys.argv[1]
spec = DaemonSpec(name="clock", argv=("/usr/bin/python3", "-ISc", code), ready_port=7000)
cluster = Embedded(node_count=3)

def offset_s():
    with socket.create_connection((cluster.topology.addresses["n1"], 7000), timeout=10) as peer:
        return (int(peer.recv(100).split()[0]) - time.time_ns()) / 1e9

def reaches(node, other):
    script = f"import socket; socket.create_connection(('{other}', 7000), 1)"
    done = cluster.host(node).run(["/usr/bin/python3", "-c", script], check=False)
    return done.exit_status == 0

with cluster.entered():
    try:
        cluster.up()
        said["reasons"] = [cluster.network_reason, cluster.clocks_reason]
        cluster.start({node: [spec] for node in cluster.topology.nodes})
        host = cluster.host("n1")
        said["whoami"] = host.run(["id", "-un"]).stdout.decode().strip()
        said["home"] = host.run(["sh", "-c", "ls -A /home /mnt /media"]).stdout.decode()
        write = "echo x > /etc/x && mkdir /var/lib/y /opt/y && echo z > /usr/local/lib/z"
        said["writes"] = host.run(["sh", "-c", write], check=False).exit_status
        host.put(b"kept", "/var/lib/y/kept")
        said["get"] = host.get("/var/lib/y/kept").decode()
        said["before"] = reaches("n1", "n2")
        cluster.network.cut("a", {"n1": frozenset({"n2"})})
        said["cut"] = [reaches("n1", "n2"), reaches("n1", "n3")]
        cluster.clocks.skew("b", {"n1": Skew(offset_ns=500 * 10**9)})
        said["skewed_s"] = offset_s()
        cluster.daemons.kill("c", ["n2"])
        cluster.daemons.pause("d", ["n3"])
        said["held"] = [dict(cluster.daemons.running(node)) for node in ("n2", "n3")]
        cluster.hosts.reboot("n1")
        said["after_reboot"] = [offset_s(), host.get("/var/lib/y/kept").decode()]
        cluster.network.mend("a")
        cluster.clocks.release("b")
        for layer in "cd":
            cluster.daemons.release(layer)
        said["healed"] = [reaches("n1", "n2"), offset_s(), dict(cluster.daemons.running("n3"))]
        said["power"] = cluster.hosts.cannot_cut_power()
        said["expired"] = dict(cluster.expired())
    finally:
        cluster.down()
print(json.dumps(said))
"""

_KILLED = """
import sys
from splitbrain.cluster.user_namespace import ensure_root
ensure_root()
from splitbrain.cluster.embedded import Embedded
cluster = Embedded(node_count=2)
with cluster.entered():
    cluster.up()
    print("up", flush=True)
    sys.stdin.read()
"""

_TEST = """
import os
def test_a_run(splitbrain):
    run = splitbrain.run(system="raft", nemeses=[], time_limit_s=2, nodes=3, concurrency=3)
    assert os.geteuid() != 0
    assert run.valid, run.explanation
    assert run.result.evidence.history is not None
def test_a_wrong_name(splitbrain):
    splitbrain.run(system="nonsense")
"""


@dataclass(frozen=True)
class Ordinary:
    """An ordinary user, and how to act as it."""

    uid: int
    home: Path
    python: str
    environment: Mapping[str, str]

    def command(self, *argv: str) -> tuple[str, ...]:
        if os.geteuid() != 0:
            return argv
        ids = (f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups")
        return ("setpriv", *ids, *argv)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(self.python, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env={**self.environment, **more},
        )

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=200)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def states(self) -> list[str]:
        folder = Path(f"/dev/shm/splitbrain-{self.uid}")
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def processes(self) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if path.stat().st_uid == self.uid and (path / "cmdline").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
        return sorted(found)


@pytest.fixture(scope="module")
def ordinary() -> Iterator[Ordinary]:
    """An ordinary user: whoever runs the tests, or for root one that is made and goes again."""
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.getuid())
        home = Path(tempfile.mkdtemp(prefix="splitbrain-user-"))
        yield _ordinary(me.pw_uid, home)
        shutil.rmtree(home)
        return
    home = Path(tempfile.mkdtemp(prefix="splitbrain-user-"))
    subprocess.run(
        ["useradd", "--no-create-home", "--home-dir", str(home), "--shell", "/bin/sh", NAME],
        check=True,
    )
    try:
        uid = pwd.getpwnam(NAME).pw_uid
        os.chown(home, uid, uid)
        yield _ordinary(uid, home)
    finally:
        subprocess.run(["userdel", NAME], check=True, capture_output=True)
        shutil.rmtree(home)
        shutil.rmtree(f"/dev/shm/splitbrain-{uid}", ignore_errors=True)


def _ordinary(uid: int, home: Path) -> Ordinary:
    helper = home / "porcupine"
    shutil.copy(ensure_helper(), helper)
    helper.chmod(0o755)
    path = [str(Path(splitbrain.__file__).parent.parent)]
    path += [item for item in sys.path if item.endswith("-packages")]
    environment = {
        "HOME": str(home),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        VARIABLE: str(helper),
    }
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # Once more from inside: setpriv itself may still reach what the user may not.
    again = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        user = Ordinary(uid=uid, home=home, python=python, environment=environment)
        try:
            if user.run("-c", again, "import splitbrain.execute").returncode == 0:
                return user
        except OSError:
            continue
    pytest.skip(f"no Python {version} with splitbrain is one that other users may run")


@pytest.fixture
def leaves_nothing(ordinary, wait_until):
    """The user has no state and no process afterwards that it had not before."""
    before = set(ordinary.processes())
    yield
    wait_until(lambda: set(ordinary.processes()) <= before, "processes end")
    assert ordinary.states() == []


def answer(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def clock_code(clock_daemon) -> str:
    return clock_daemon.argv[-1]


def test_every_facet_is_there_without_root(ordinary, leaves_nothing, clock_daemon):
    said = answer(ordinary.run("-c", _FAULTS, clock_code(clock_daemon)))
    assert said["inside"] is True
    assert said["outer_uid"] == ordinary.uid
    assert said["reasons"] == [None, None]
    assert said["whoami"] == "root"
    assert said["home"].split() == ["/home:", "/media:", "/mnt:"]
    assert (said["writes"], said["get"]) == (0, "kept")
    assert said["before"] is True
    assert said["cut"] == [False, True]
    assert 499 < said["skewed_s"] < 501
    assert said["held"] == [{"clock": False}, {"clock": False}]
    assert 499 < said["after_reboot"][0] < 501
    assert said["after_reboot"][1] == "kept"
    assert said["healed"][0] is True
    assert abs(said["healed"][1]) < 1
    assert said["healed"][2] == {"clock": True}
    assert "memory" in said["power"]
    assert said["expired"] == {}


@pytest.mark.slow
def test_raft_is_judged_for_an_ordinary_user_and_the_files_are_the_users(ordinary, leaves_nothing):
    options = ("--nodes", "3", "--nemesis", "partition,kill,pause,clock", "--time-limit", "12")
    done = ordinary.run("-m", "splitbrain.cli", "run", *options, "--seed", "5", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["verdict"] == "valid"
    path = ordinary.home / said["path"]
    owners = {item.stat().st_uid for item in (path, *path.rglob("*"))}
    assert owners == {ordinary.uid}
    shown = ordinary.run("-m", "splitbrain.cli", "show", said["path"])
    assert shown.returncode == 0, shown.stderr


def test_a_mistake_has_the_same_exit_code(ordinary, leaves_nothing):
    done = ordinary.run("-m", "splitbrain.cli", "run", "--system", "nonsense")
    assert done.returncode == 254
    assert done.stderr.startswith("splitbrain: there is no system 'nonsense'")
    done = ordinary.run("-m", "splitbrain.cli", "run", "--disk", "ext4", "--time-limit", "1")
    assert done.returncode == 255
    assert "needs the machine's root" in done.stdout + done.stderr


@pytest.mark.slow
def test_ctrl_c_heals_and_judges_as_it_does_for_root(ordinary, leaves_nothing, wait_until):
    store = ordinary.home / "stopped"
    arguments = ("run", "--nodes", "3", "--time-limit", "100", "--store", str(store))
    process = ordinary.start("-m", "splitbrain.cli", *arguments)
    wait_until(lambda: _size(store) > 100_000, "operations are journaled", 60)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "stopping: healing" in out
    assert next(store.glob("*/*/result.json")).is_file()


def _size(store: Path) -> int:
    """Give how much is journaled; the file is longer than what it holds."""
    return sum(len(file.read_bytes().rstrip(b"\0")) for file in store.glob("*/2*/journal"))


def test_a_killed_controller_takes_its_hosts_along_and_is_swept(ordinary, wait_until):
    before = set(ordinary.processes())
    process = ordinary.start("-c", _KILLED)
    assert process.stdout.readline() == "up\n"
    assert len(ordinary.states()) == 1
    process.kill()
    process.communicate()
    wait_until(lambda: set(ordinary.processes()) <= before, "the hosts end")
    swept = ordinary.run("-m", "splitbrain.cli", "cleanup")
    assert "removed the state of the dead run" in swept.stdout, swept.stderr
    assert ordinary.states() == []
    assert "nothing was left behind" in ordinary.run("-m", "splitbrain.cli", "cleanup").stdout


@pytest.mark.slow
def test_a_test_of_an_ordinary_user_runs_on_embedded_hosts(ordinary, leaves_nothing):
    tests = ordinary.home / "tests"
    tests.mkdir()
    (tests / "test_mine.py").write_text(_TEST)
    options = ("-q", "-p", "no:cacheprovider", f"--basetemp={ordinary.home}/temporary")
    plugin = () if _is_installed() else ("-p", "splitbrain.pytest_plugin")
    done = ordinary.run("-m", "pytest", *options, *plugin, str(tests))
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "there is no system 'nonsense'" in done.stdout


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return any(item.name == "splitbrain" for item in entry_points(group="pytest11"))


def test_unpacked_programs_are_seen_by_the_controller_and_on_the_hosts(ordinary, leaves_nothing):
    system = ordinary.home / "cache" / "splitbrain" / "packages" / "system"
    program = system / "usr" / "bin" / "splitbrain-hello"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    (system / ".complete").touch()
    _give(ordinary.home / "cache", ordinary.uid)
    script = """
import subprocess
from splitbrain.cluster.user_namespace import ensure_root
ensure_root()
from splitbrain.cluster.embedded import Embedded
print(subprocess.run(["splitbrain-hello"], capture_output=True, text=True).stdout.strip())
cluster = Embedded(node_count=1)
with cluster.entered():
    try:
        cluster.up()
        print(cluster.host("n1").run(["splitbrain-hello"]).stdout.decode().strip())
        cluster.host("n1").run(["test", "-x", "/usr/bin/python3"])
    finally:
        cluster.down()
"""
    done = ordinary.run("-c", script, XDG_CACHE_HOME=str(ordinary.home / "cache"))
    assert done.stdout == "hello\nhello\n", done.stderr
    assert not Path("/usr/bin/splitbrain-hello").exists()


def _give(folder: Path, uid: int) -> None:
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid)


def test_the_doctor_finds_embedded_hosts_usable(ordinary, leaves_nothing):
    done = ordinary.run("-m", "splitbrain.cli", "doctor", "--json")
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["embedded"]["status"] in ("OK", "DEGRADED"), done.stdout
    lacking = {item["what"] for item in rows["embedded"]["missing"]}
    rights = {item for item in lacking if item.startswith("the right to use /dev/")}
    assert lacking - rights <= {"users beside root on the hosts"}
