"""Why an ordinary user has no embedded hosts: one reason and one line for each kind of machine."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import replace

import pytest

from splitbrain.cluster import rootless, setgroups, unpacked, user_namespace
from splitbrain.cluster.embedded_root import root_of_trees, whole_root
from splitbrain.cluster.rootless import Signs, no_linux, refusal

REFUSED = Signs(
    system="linux",
    release="6.1.0-18-amd64",
    max_user_namespaces=15000,
    unprivileged_clone=None,
    apparmor_restricts=None,
    container=None,
    chrooted=False,
    works=False,
)


def test_where_it_works_nothing_else_counts():
    signs = replace(REFUSED, works=True, apparmor_restricts=1, container="Docker")
    assert refusal(signs) is None


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        ({"max_user_namespaces": 0}, "limited to 0", "user.max_user_namespaces=15000"),
        ({"unprivileged_clone": 0}, "keep them for root", "unprivileged_userns_clone=1"),
        ({"apparmor_restricts": 1}, "AppArmor", "apparmor_restrict_unprivileged_userns=0"),
        ({"container": "Docker"}, "this Docker container forbids", "--privileged"),
        ({"container": "Podman"}, "this Podman container forbids", "systempaths=unconfined"),
        ({"chrooted": True}, "within a chroot", "leave the chroot"),
        ({"release": "5.15.90.1-microsoft-standard-WSL2"}, "WSL 2", "wsl --update"),
        ({"max_user_namespaces": None}, "built without", "as root"),
        ({}, "the kernel refuses them", "as root"),
    ],
)
def test_each_way_to_refuse_has_its_reason_and_its_line(change, reason, advice):
    found = refusal(replace(REFUSED, **change))
    assert found is not None
    what, line = found
    assert what.startswith("root, or user namespaces for ordinary users: ")
    assert reason in what
    assert advice in line
    assert "\n" not in what + line


def test_a_switch_that_is_off_counts_before_the_container_that_it_is_in():
    signs = replace(REFUSED, container="Docker", max_user_namespaces=0, apparmor_restricts=1)
    assert "limited to 0" in str(refusal(signs))


@pytest.mark.parametrize(
    ("system", "release", "reason"),
    [
        ("darwin", "23.1.0", "macOS"),
        ("freebsd14", "14.0", "freebsd14"),
        ("linux", "4.4.0-19041-Microsoft", "WSL 1"),
    ],
)
def test_without_linux_there_is_no_way(system, release, reason):
    found = no_linux(system, release)
    assert found is not None
    assert reason in found[0]


@pytest.mark.parametrize("release", ["6.1.0-18-amd64", "5.15.90.1-microsoft-standard-WSL2"])
def test_any_linux_is_worth_a_try(release):
    assert no_linux("linux", release) is None


def test_this_machine_can_be_looked_at():
    seen = rootless.signs()
    assert seen.system == sys.platform
    assert isinstance(seen.works, bool)
    assert refusal(seen) is None or not seen.works


def test_switches_that_are_not_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(rootless, "_SYSCTL", tmp_path)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_user_namespaces").write_text("0\n")
    seen = rootless.signs()
    assert (seen.max_user_namespaces, seen.apparmor_restricts) == (0, None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("somebody:100000:65536\n", None),
        ("{uid}:100000:65536\n", (100000, 65536)),
        ("other:1:2\n{name}:200000:1000\n{name}:300000:1000\n", (200000, 1000)),
        ("{name}:x:y\n{name}:5\n\n", None),
        ("{name}:200000:0\n", None),
    ],
)
def test_the_first_range_of_this_user_counts(tmp_path, monkeypatch, text, found):
    monkeypatch.setattr(user_namespace, "_name", lambda: "tester")
    file = tmp_path / "subuid"
    file.write_text(text.format(uid=os.getuid(), name="tester"))
    given = user_namespace.subordinate(file)
    assert (given and (given.first, given.count)) == found
    assert user_namespace.subordinate(tmp_path / "none") is None


def test_the_outer_user_is_read_from_the_map(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(user_namespace, "_id_map", lambda: [(0, 1000, 1), (1, 100000, 65536)])
    assert user_namespace.outer_uid() == 1000
    assert user_namespace.is_inside()
    assert not user_namespace.has_one_id()
    monkeypatch.setattr(user_namespace, "_id_map", lambda: [(0, 1000, 1)])
    assert user_namespace.has_one_id()
    monkeypatch.setattr(user_namespace, "_id_map", lambda: [(0, 0, 4294967295)])
    assert not user_namespace.is_inside()
    assert user_namespace.outer_uid() == 0


def test_the_filter_answers_setgroups_and_lets_all_else_pass():
    """Run by hand: what the kernel would decide for a system call."""
    program = setgroups.filter_program(0xC000003E, 116)
    steps = list(struct.iter_unpack("=HBBI", program))

    def decide(architecture: int, number: int) -> int:
        place, word = 0, 0
        while True:
            code, if_true, if_false, value = steps[place]
            if code == 0x06:
                return value
            if code == 0x20:
                word = {0: number, 4: architecture}[value]
            else:
                place += if_true if word == value else if_false
            place += 1

    allow, succeed = 0x7FFF0000, 0x00050000
    assert decide(0xC000003E, 116) == succeed
    assert decide(0xC000003E, 115) == allow
    assert decide(0x40000003, 116) == allow


@pytest.mark.embedded
def test_setgroups_succeeds_and_does_nothing_in_one_thread_alone():
    # By the bare system call: the C library would ask it of every thread, and want one answer.
    script = """
import ctypes, os, platform, threading
from splitbrain.cluster.setgroups import MACHINES, ignore_setgroups
libc = ctypes.CDLL(None, use_errno=True)
number = MACHINES[platform.machine()][1]
before = os.getgroups()
def call():
    return libc.syscall(number, 1, (ctypes.c_uint32 * 1)(4321))
def within():
    ignore_setgroups()
    assert call() == 0
    print(open("/proc/thread-self/status").read().count("4321"))
thread = threading.Thread(target=within)
thread.start()
thread.join()
if call() == 0:
    print(os.getgroups())
else:
    print([4321])  # root of a user namespace alone, to whom it is refused
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == ("0\n[4321]\n", "")


def test_a_root_of_trees_has_an_overlay_for_each_tree_without_mounts(tmp_path):
    for name in ("usr", "var/lib", "var/log", "opt", "proc", "home", "etc", "bad name", "boot"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "file").touch()
    mounts = ["/", f"{tmp_path}/var/lib", f"{tmp_path}/usr"]
    lines = [branch.line() for branch in root_of_trees(mounts, tmp_path)]
    assert {f"folder /{name} - -" for name in ("proc", "home", "tmp", "dev")} <= set(lines)
    places = [line.replace(str(tmp_path), "") for line in lines if str(tmp_path) in line]
    assert places == [
        "link /bin - usr/bin",
        "overlay /etc 0 /etc",
        "bind /file - /file",
        "overlay /opt 1 /opt",
        "overlay /usr 2 /usr",
        "folder /var - -",
        "overlay /var/lib 3 /var/lib",
        "overlay /var/log 4 /var/log",
    ]


def test_as_root_one_overlay_is_enough_where_nothing_is_mounted_apart(monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == "/usr")
    assert [branch.line() for branch in whole_root()] == ["overlay / 0 /", "part /usr 1 /usr"]


def test_unpacked_programs_count_once_they_are_complete(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not unpacked.exist()
    (unpacked.folder() / "usr").mkdir(parents=True)
    assert not unpacked.exist()
    (unpacked.folder() / ".complete").touch()
    assert unpacked.exist()
    assert unpacked.layers() is None
    (unpacked.folder() / "machine" / "bin").mkdir(parents=True)
    assert unpacked.layers() == f"{unpacked.folder()}/usr:{unpacked.folder()}/machine"
