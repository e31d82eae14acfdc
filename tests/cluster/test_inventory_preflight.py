"""What is wrong with a host is said in one line, with what mends it, before anything is started."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from splitbrain.cli import run_command
from splitbrain.cluster.inventory import Inventory
from splitbrain.cluster.keys import KeyPair
from splitbrain.core.errors import SetupError, UsageError

pytestmark = pytest.mark.embedded


@pytest.fixture
def refusal(foreign):
    """Try to bring an inventory up; give the one line that says why not. Nothing was started."""

    def refused(name, **fields):
        cluster = Inventory(foreign.file(name, **fields))
        with pytest.raises((SetupError, UsageError)) as caught:
            cluster.up()
        cluster.down()
        assert foreign.remains() == {}
        line = str(caught.value)
        assert "\n" not in line
        return line

    return refused


def one(foreign, **own):
    return {"n1": {}, "n2": own, "n3": {}}


def test_a_wrong_key(refusal, foreign):
    key = foreign.folder / "stranger"
    key.touch(mode=0o600)
    key.write_text(KeyPair.generate().private)
    line = refusal("wrong_key", nodes=one(foreign, key='"stranger"'))
    where = foreign.address("n2")
    assert line == (
        f"n2: root is not let in at {where}:2222 with the key {key} "
        f"(ssh-copy-id -i {key} -p 2222 root@{where})"
    )


def test_a_wrong_host_key(refusal, foreign):
    own = f'"{KeyPair.generate().public}"'
    line = refusal("wrong_host_key", nodes=one(foreign, host_key=own))
    assert line.startswith(f"n2: {foreign.address('n2')}:2222 shows another host key than the one")
    assert "ssh-keygen -R" in line


def test_an_unknown_host_key_is_never_accepted(refusal, foreign):
    (foreign.folder / "empty").write_text("")
    line = refusal("unknown_host", nodes=one(foreign, known_hosts='"empty"'))
    where, file = foreign.address("n2"), foreign.folder / "empty"
    assert line.startswith(f"n2: the key of {where} is not in {file} (ssh-keyscan -t ed25519 -p 22")
    assert file.read_text() == ""


def test_the_advice_for_an_unknown_host_key_works(foreign):
    (foreign.folder / "fresh").write_text("")
    path = foreign.file("fresh", nodes={"n1": {}}, known_hosts='"fresh"')
    (lack,) = Inventory(path).preflight()["n1"].lacks
    done = subprocess.run(["sh", "-c", lack.advice], capture_output=True, text=True, check=True)
    assert "ED25519" in done.stdout
    assert Inventory(path).preflight()["n1"].lacks == []


def test_a_host_that_nobody_answers_at(refusal, foreign):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pin = f'"{KeyPair.generate().public}"'
    own = {"address": '"127.0.0.1"', "port": str(port), "host_key": pin}
    line = refusal("unreachable", nodes=one(foreign, **own))
    assert line.startswith(f"n2: it cannot be reached at 127.0.0.1:{port}: ")
    assert "refused" in line


def test_no_sudo(refusal, foreign):
    line = refusal("powerless", user="powerless")
    assert line.startswith("n1, n2, n3: ")
    assert "sudo asks powerless for a password" in line


def test_sudo_is_not_installed(refusal, foreign):
    outside = foreign.cluster.host("n2")
    outside.run(["mv", "/usr/bin/sudo", "/usr/bin/sudo.away"])
    try:
        line = refusal("missing_sudo", user="free")
    finally:
        outside.run(["mv", "/usr/bin/sudo.away", "/usr/bin/sudo"])
    assert line.startswith("n2: sudo is missing, which free needs (as root: apt-get install sudo")


def test_a_password_that_is_wrong_or_not_given(refusal, foreign, monkeypatch):
    how = {"user": "careful", "sudo": '"password"', "sudo_password_env": '"SESAME"'}
    monkeypatch.setenv("SESAME", "close sesame")
    line = refusal("wrong_password", **how)
    assert "n1, n2, n3: sudo does not accept the password of careful" in line
    assert "close sesame" not in line
    assert "asks careful for a password" in refusal("unasked_password", user="careful")
    monkeypatch.delenv("SESAME")
    with pytest.raises(UsageError, match="SESAME, which is not set; export SESAME"):
        Inventory(foreign.file("no_password", **how))


def test_a_jump_host_that_is_closed(refusal, foreign):
    nodes = {node: {"jump": '"gate"'} for node in foreign.nodes}
    (foreign.folder / "gate").write_text(
        "".join(
            line
            for line in foreign.known_hosts.read_text().splitlines(keepends=True)
            if foreign.address("n4") not in line
        )
    )
    line = refusal("unknown_gate", nodes=nodes, known_hosts='"gate"')
    assert f"the key of {foreign.address('n4')} is not in" in line


def test_a_cut_would_hit_the_controller(refusal, foreign):
    """The jump host is a node itself: a partition between the two would cut us off."""
    path = foreign.file("through_a_node", nodes={"n1": {}, "n2": {"jump": '"gate"'}})
    text = Path(path).read_text().replace(foreign.address("n4"), foreign.address("n1"))
    Path(path).write_text(text)
    with pytest.raises(SetupError, match=r"n2: the controller comes from .*, which is .* of n1"):
        Inventory(path).up()


def test_everything_that_is_missing_is_named_at_once(refusal, foreign):
    first, second = foreign.cluster.host("n1"), foreign.cluster.host("n2")
    first.run(["mv", "/usr/bin/tar", "/usr/bin/tar.away"])
    second.run(["mv", "/usr/bin/python3", "/usr/bin/python3.away"])
    try:
        line = refusal("incomplete", nodes={"n1": {}, "n2": {}, "n3": {"user": '"powerless"'}})
    finally:
        first.run(["mv", "/usr/bin/tar.away", "/usr/bin/tar"])
        second.run(["mv", "/usr/bin/python3.away", "/usr/bin/python3"])
    for part in ("n1: tar is missing (", "n2: /usr/bin/python3 is missing (", "n3: sudo asks"):
        assert part in line
    assert "splitbrain doctor --cluster" in line


def test_a_host_without_nft_has_no_partitions(foreign, capsys):
    outside = foreign.cluster.host("n2")
    outside.run(["mv", "/usr/sbin/nft", "/usr/sbin/nft.away"])
    path = foreign.file("no_nft")
    cluster = Inventory(path)
    try:
        assert run_command(["doctor", "--cluster", path, "--json"]) == 0
        cluster.up()
        assert cluster.network is None
        assert cluster.network_reason == "n2: there is no nftables"
    finally:
        cluster.down()
        outside.run(["mv", "/usr/sbin/nft.away", "/usr/sbin/nft"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["status"]) for row in rows] == [
        ("n1", "OK"),
        ("n2", "DEGRADED"),
        ("n3", "OK"),
    ]
    assert rows[1]["missing"][0]["what"] == "nft, for partitions"


def test_doctor_shows_each_host(foreign, capsys):
    path = foreign.file("doctor", nodes=one(foreign, user='"powerless"'))
    assert run_command(["doctor", "--cluster", path]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("n")] == [
        ["n1", "OK"],
        ["n2", "MISSING"],
        ["n3", "OK"],
    ]
    assert foreign.remains() == {}
