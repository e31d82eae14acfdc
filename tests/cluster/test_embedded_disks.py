"""Disks in trouble beneath a daemon's data on embedded hosts, and damage that stays."""

from __future__ import annotations

import json
import time

import pytest

from splitbrain.cluster.agent import ask
from splitbrain.cluster.user_namespace import has_one_id
from splitbrain.core.cluster import DiskDamage, DiskTrouble
from splitbrain.core.errors import HarnessError, RemoteError
from splitbrain.core.system import DaemonSpec

pytestmark = pytest.mark.embedded
DATA = "/data/files"

# Does on its data what it is told by a line, through files that stay open, and answers in a line.
_DAEMON = """
import errno, json, os, socket, time
log = os.open("/data/files/log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
server = socket.create_server(("0.0.0.0", 7000))
def append(): os.write(log, b"x" * 4096)
def sync(): os.fsync(log)
def overwrite():
    with open("/data/files/fixed", "r+b") as f: f.write(b"y" * 100); f.flush(); os.fsync(f.fileno())
def create():
    with open("/data/files/new", "wb") as f: f.write(b"z")
def remove(): os.unlink("/data/files/old")
def move(): os.rename("/data/files/a", "/data/files/b"); os.rename("/data/files/b", "/data/files/a")
def folder(): os.mkdir("/data/files/d"); os.rmdir("/data/files/d")
def read(): open("/data/files/fixed", "rb").read()
def free(): assert os.statvfs("/data/files").f_bavail, "none"
def cut(): os.truncate("/data/files/log", 10)
for name in ("fixed", "a"): open(f"/data/files/{name}", "wb").write(b"f" * 100)
while True:
    peer, _ = server.accept(); found = {}
    for name in peer.recv(1000).decode().split():
        began = time.monotonic()
        try: globals()[name](); found[name] = "ok"
        except OSError as error: found[name] = errno.errorcode[error.errno]
        except AssertionError as error: found[name] = str(error)
        found[name + "_ms"] = 1000 * (time.monotonic() - began)
    peer.sendall(json.dumps(found).encode()); peer.close()
"""
_ASK = """
import socket, sys
s = socket.create_connection(("127.0.0.1", 7000)); s.sendall(sys.argv[1].encode())
print(s.recv(65536).decode())
"""


@pytest.fixture(scope="module")
def writing(one):
    """A host with a daemon whose data lie on a disk that can be troubled."""
    assert one.disks.cannot_trouble() is None
    with pytest.raises(RemoteError, match="no daemon here has a data folder on a disk"):
        one.disks.trouble("early", {"n1": DiskTrouble(full=True)})
    one.disks.release("early")
    one.disks.arm()
    argv = ("/usr/bin/python3", "-ISc", _DAEMON)
    one.start({"n1": [DaemonSpec(name="w", argv=argv, data_dirs=(DATA,), ready_port=7000)]})
    yield one
    one.stop()


@pytest.fixture
def do(writing):
    def act(*names):
        argv = ["/usr/bin/python3", "-c", _ASK, " ".join(names)]
        return json.loads(writing.host("n1").run(argv).stdout)

    return act


def outcomes(found):
    return {name: value for name, value in found.items() if not name.endswith("_ms")}


ALL = ("append", "sync", "overwrite", "create", "remove", "move", "folder", "read", "free")


def with_old(cluster):
    cluster.host("n1").run(["touch", f"{DATA}/old"])


def test_a_sound_disk_does_everything(writing, do):
    mounts = writing.host("n1").run(["cat", "/proc/mounts"]).stdout.decode()
    assert f"splitbrain {DATA} fuse" in mounts
    with_old(writing)
    assert outcomes(do(*ALL, "cut")) == dict.fromkeys((*ALL, "cut"), "ok")


def test_a_full_disk_takes_nothing_more_and_gives_way_to_what_is_there(writing, do):
    with_old(writing)
    proof = writing.disks.trouble("full", {"n1": DiskTrouble(full=True)})
    assert proof == {"n1": {DATA: {"error": "ENOSPC"}}}
    refused = {"append": "ENOSPC", "create": "ENOSPC", "folder": "ENOSPC", "free": "none"}
    assert outcomes(do(*ALL)) == dict.fromkeys(ALL, "ok") | refused
    assert writing.host("n1").run(["touch", "/var/log/splitbrain/w.log"]).exit_status == 0
    writing.disks.release("full")
    writing.disks.release("full")
    assert outcomes(do("append", "create")) == {"append": "ok", "create": "ok"}


def test_a_read_only_disk_can_be_read(writing, do):
    with_old(writing)
    proof = writing.disks.trouble("ro", {"n1": DiskTrouble(read_only=True)})
    assert proof == {"n1": {DATA: {"error": "EROFS"}}}
    changing = ("append", "overwrite", "create", "remove", "move", "folder", "cut")
    assert outcomes(do(*changing)) == dict.fromkeys(changing, "EROFS")
    assert outcomes(do("read", "sync")) == {"read": "ok", "sync": "ok"}
    writing.disks.release("ro")
    assert outcomes(do("append", "overwrite")) == {"append": "ok", "overwrite": "ok"}


def test_a_slow_disk_is_slow_and_layers_add_up(writing, do):
    writing.disks.trouble("a", {"n1": DiskTrouble(slow_ms=60)})
    assert do("append")["append_ms"] >= 60
    writing.disks.trouble("b", {"n1": DiskTrouble(slow_ms=70, full=True)})
    found = do("append", "sync")
    assert found["append"] == "ENOSPC"
    assert found["sync_ms"] >= 130
    writing.disks.release("a")
    found = do("append", "sync")
    assert found["append"] == "ENOSPC"
    assert found["sync_ms"] >= 70
    writing.disks.release("b")
    assert outcomes(do("append")) == {"append": "ok"}


def test_a_failing_disk_fails(writing, do):
    proof = writing.disks.trouble("error", {"n1": DiskTrouble(error=1.0)})
    assert proof == {"n1": {DATA: {"error": "EIO"}}}
    found = outcomes(do("append", "sync", "read"))
    assert found == {"append": "EIO", "sync": "EIO", "read": "ok"}
    writing.disks.release("error")
    assert outcomes(do("append", "sync")) == {"append": "ok", "sync": "ok"}


def test_the_node_heals_itself(writing, do):
    writing.disks.trouble("x", {"n1": DiskTrouble(full=True)})
    intents = writing.host("n1").run(["ls", "/var/lib/splitbrain/intent"]).stdout
    assert intents == b"disks\n"
    assert ask(writing.host("n1"), "heal", {}) == {"undone": ["disks"]}
    assert outcomes(do("append")) == {"append": "ok"}
    writing.disks.release("x")


def test_data_and_troubles_outlive_a_reboot(writing, do):
    writing.host("n1").run(["sh", "-c", f"echo kept > {DATA}/kept"])
    writing.disks.trouble("x", {"n1": DiskTrouble(full=True)})
    writing.disks.release("x")
    writing.disks.trouble("slow", {"n1": DiskTrouble(slow_ms=40)})
    writing.hosts.reboot("n1")
    assert writing.host("n1").run(["cat", f"{DATA}/kept"]).stdout == b"kept\n"
    assert do("append")["append_ms"] >= 40
    writing.disks.release("slow")


@pytest.mark.skipif(has_one_id(), reason="there is no user but root in this user namespace")
def test_files_are_what_they_are_without_it(writing):
    script = f"""set -e; cd {DATA}; mkdir -p deep/er; echo one > deep/er/f; ln -s f deep/er/s
    ln deep/er/f deep/hard; chmod 640 deep/er/f; chown 7:8 deep/er/f; mv deep moved
    cat moved/er/s; stat -c '%a %u %g %h' moved/hard; find . | sort | tr '\\n' ' '
    dd if=/dev/urandom of=big bs=1M count=5 2>/dev/null; cp big big2; cmp big big2; rm big
    exec 3> gone; rm gone; echo there >&3; touch -d @77 moved/hard; stat -c %Y moved/hard
    (trap '' PIPE; head -c 100000 big2 | md5sum; dd if=big2 bs=100000 count=1 2>/dev/null | md5sum)
    fallocate -l 3M room; stat -c %s room; rm -r moved big2 room"""
    lines = writing.host("n1").run(["sh", "-c", script]).stdout.decode().splitlines()
    assert lines[:2] == ["one", "640 7 8 2"]
    assert "./moved/er/s" in lines[2]
    assert lines[2].endswith("77") or lines[3] == "77"
    assert lines[-3] == lines[-2]
    assert lines[-1] == str(3 << 20)


def damaged(cluster, **asked):
    return cluster.disks.damage({"n1": DiskDamage(**asked)})["n1"]


def test_damage_is_done_written_down_and_stays(writing):
    host = writing.host("n1")
    content = bytes(range(256)) * 64
    host.put(content, f"{DATA}/victim")

    found = damaged(writing, what="bitflip", files="victim", bits=3, seed=5)
    assert found["file"] == f"{DATA}/victim"
    assert found["stays"] is True
    now = host.get(f"{DATA}/victim")
    flips = sum((a ^ b).bit_count() for a, b in zip(content, now, strict=True))
    assert flips == len(set(found["flipped_bits"])) == 3

    host.put(content, f"{DATA}/victim")
    found = damaged(writing, what="truncate", files="vic*", bytes=100)
    assert (found["bytes_before"], found["bytes_after"]) == (len(content), len(content) - 100)
    assert host.get(f"{DATA}/victim") == content[:-100]

    host.put(b"a" * 4096 + b"b" * 4096, f"{DATA}/victim")
    found = damaged(writing, what="copy", files="victim")
    assert host.get(f"{DATA}/victim") in (b"a" * 8192, b"b" * 8192)
    assert found["copied_bytes"] == 4096

    host.put(b"a" * 8192, f"{DATA}/victim")
    found = damaged(writing, what="rollback", files="victim", wait_s=0.01)
    assert found["restored_chunks"] == 1
    record = host.get("/var/lib/splitbrain/damaged.jsonl").decode().splitlines()
    kinds = [json.loads(line)["what"] for line in record]
    assert kinds == ["bitflip", "truncate", "copy", "rollback"]
    assert writing.expired() == {}


def test_what_cannot_be_damaged_is_said(writing):
    with pytest.raises(RemoteError, match="no file with anything in it matches 'nothing'"):
        damaged(writing, what="bitflip", files="nothing")
    writing.host("n1").put(b"a", f"{DATA}/tiny")
    with pytest.raises(RemoteError, match="has no two chunks of 4096 bytes"):
        damaged(writing, what="copy", files="tiny")
    with pytest.raises(HarnessError, match="'n9', which is no node"):
        writing.disks.damage({"n9": DiskDamage(what="bitflip")})


def test_a_disk_whose_program_died_is_covered_again_with_the_next_start(writing, do):
    host = writing.host("n1")
    host.run(
        [
            "sh",
            "-c",
            "kill -9 $(tr -dc '0-9,' < /run/splitbrain/disk-data%2Ffiles.json | cut -d, -f1)",
        ]
    )
    writing.daemons.kill("k", ["n1"])
    writing.daemons.release("k")
    deadline = time.monotonic() + 20
    while (
        not writing.daemons.running("n1")["w"]
        or host.run(["/usr/bin/python3", "-c", _ASK, "append"], check=False).exit_status
    ):
        assert time.monotonic() < deadline
    assert outcomes(do("append", "read")) == {"append": "ok", "read": "ok"}
