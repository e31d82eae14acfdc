"""Inventories: what they may say, and mistakes in them, named with file and field."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from splitbrain.catalog import cluster, node_count_of
from splitbrain.cluster.inventory import Inventory
from splitbrain.cluster.inventory_file import node_names, read_hosts
from splitbrain.cluster.keys import KeyPair
from splitbrain.cluster.known_hosts import advice_for_unknown
from splitbrain.cluster.login import Login, UnknownHostError, read_key
from splitbrain.core.errors import UsageError

PUBLIC = KeyPair.generate().public
OTHER = KeyPair.generate().public
NODE = '[nodes.n1]\naddress = "192.0.2.1"\n'


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write an inventory; give its path. The user has no ssh settings and no known hosts."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".ssh").mkdir(parents=True)

    def written(text):
        path = tmp_path / "hosts.toml"
        path.write_text(text)
        return str(path)

    return written


@pytest.fixture
def ssh_config(write, tmp_path):
    """Write the user's ssh settings, or another file beside them."""

    def written(text, name="config"):
        (tmp_path / "home" / ".ssh" / name).write_text(text)

    return written


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nodes = 3", r": nodes must be a table, not 3"),
        ("", r": nodes must list 1 to 50 hosts, each as \[nodes.NAME\]"),
        ("[[[", r" is not TOML: .*line 1"),
        (f"pac = 1\n{NODE}", r": pac is not known; there are defaults, jumps, nodes"),
        (f"pace = 0\n{NODE}", r": pace must be above 0 and at most 1000"),
        (f"pace = true\n{NODE}", r": pace must be a number, not True"),
        ("[nodes.n1]\nport = 22", r": nodes.n1.address is missing"),
        ('[nodes."a b"]\naddress = "x"', r": nodes.a b: a name has letters"),
        (f"{NODE}prot = 22", r": nodes.n1.prot is not known; there are ssh, address"),
        (f'{NODE}port = "22"', r": nodes.n1.port must be a whole number, not '22'"),
        (f"{NODE}port = 0", r": nodes.n1.port must be from 1 to 65535, not 0"),
        (f"{NODE}key = 3", r": nodes.n1.key must be a string or a list of strings, not 3"),
        (f"{NODE}key = [3]", r": nodes.n1.key must be a string or a list of strings, not \[3\]"),
        (f'{NODE}reboot = "yes"', r": nodes.n1.reboot must be true or false, not 'yes'"),
        (f'{NODE}host_key = "ssh-ed25519"', r": nodes.n1.host_key is not like \"ssh-ed25519 AAAA"),
        (f'{NODE}host_key = "ssh-none AAAA"', r": nodes.n1.host_key is not like"),
        (f'{NODE}jump = "gate"', r": nodes.n1.jump is 'gate', and there is no table \[jumps.gate"),
        (
            f'{NODE}peer_address = "::1"',
            r": nodes.n1.peer_address must be an IPv4 address, not '::",
        ),
        (
            f'{NODE}sudo = "yes"',
            r": nodes.n1.sudo must be one of none, nopasswd, password, not 'ye",
        ),
        (f'{NODE}user = "a"\nsudo = "none"', r": nodes.n1.sudo is none, but a is not root"),
        (f'{NODE}directory = "/srv"', r": nodes.n1.directory must be an absolute path of at least"),
        (f'{NODE}directory = "here"', r": nodes.n1.directory must be an absolute path"),
        (f'[defaults]\naddress = "x"\n{NODE}', r": defaults.address is not known"),
        (f"[jumps.g]\nreboot = true\n{NODE}", r": jumps.g.reboot is not known"),
        (f'{NODE}[nodes.n2]\naddress = "192.0.2.1"', r": nodes.n2.address is that of n1 as well"),
        (
            f'{NODE}jump = "a"\n[jumps.a]\naddress = "x"\njump = "a"',
            r": jumps.\w.jump leads through too many hosts, or in a circle",
        ),
        (
            f'{NODE}user = "a"\nsudo = "password"\nsudo_password_env = "UNSET_HERE"',
            r"^the sudo password of a on n1 is to be in the environment variable UNSET_HERE",
        ),
        (f"{NODE}real_clock = true\n{NODE.replace('1', '2')}", r": real_clock must be the same"),
    ],
)
def test_a_mistake_is_named_with_file_and_field(write, text, complaint):
    path = write(text)
    with pytest.raises(UsageError) as caught:
        read_hosts(path)
    line = str(caught.value)
    assert "\n" not in line
    wanted = complaint if complaint.startswith("^") else re.escape(path) + complaint
    assert re.match(wanted, line), line


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"nothing\.toml cannot be read: No such file"):
        cluster(str(tmp_path / "nothing.toml"), node_count=3)


def test_nodes_take_the_defaults_and_their_own(write):
    text = f"""
pace = 2
[defaults]
user = "admin"
port = 2200
key = ["a", "/b"]
jump = "gate"
reboot = true
[jumps.gate]
address = "gate.example.org"
user = "hop"
port = 22
host_key = "{OTHER}"
[nodes.one]
address = "192.0.2.1"
host_key = "{PUBLIC} comment"
peer_address = "10.0.0.1"
[nodes.two]
address = "192.0.2.2"
user = "root"
jump = "none"
reboot = false
directory = "/srv/scratch"
"""
    path = write(text)
    hosts = read_hosts(path)
    one, two = hosts.nodes
    here = str(Path(path).parent)
    assert hosts.pace == 2.0
    assert one.login == Login(
        name="one",
        address="192.0.2.1",
        port=2200,
        user="admin",
        host_keys=(PUBLIC,),
        pinned_in=path,
        key_files=(f"{here}/a", "/b"),
        jump=Login(
            name="gate",
            address="gate.example.org",
            user="hop",
            host_keys=(OTHER,),
            pinned_in=path,
            key_files=(f"{here}/a", "/b"),
        ),
    )
    assert (one.peer_address, one.reboot, one.directory) == ("10.0.0.1", True, None)
    assert one.sudo is not None
    assert one.sudo.password is None
    assert (two.login.user, two.sudo, two.login.jump, two.reboot) == ("root", None, None, False)
    assert (two.peer_address, two.directory) == ("192.0.2.2", "/srv/scratch")
    assert Login.from_value(one.login.to_value()) == one.login
    assert node_names(path) == ("one", "two")
    assert node_count_of(path) == 2
    assert node_count_of("embedded") is None


def test_names_are_given_without_asking_for_passwords(write, monkeypatch):
    path = write(f'{NODE}user = "a"\nsudo = "password"\nsudo_password_env = "P"')
    assert node_names(path) == ("n1",)
    monkeypatch.setenv("P", "open sesame")
    (node,) = read_hosts(path).nodes
    assert node.sudo.password == "open sesame"
    assert "sesame" not in repr(read_hosts(path))
    assert "sesame" not in " ".join(node.sudo.command(["true"]))
    monkeypatch.setenv("P", "two\nlines")
    with pytest.raises(UsageError, match="must be one line"):
        read_hosts(path)


def test_known_hosts_are_pinned_by_name_and_port(write, ssh_config):
    ssh_config(f"192.0.2.1 {PUBLIC}\n[192.0.2.1]:23 {OTHER}\n192.0.2.9 {OTHER}\n", "known_hosts")
    (node,) = read_hosts(write(NODE)).nodes
    assert node.login.host_keys == (PUBLIC,)
    (node,) = read_hosts(write(f"{NODE}port = 23")).nodes
    assert node.login.host_keys == (OTHER,)
    (node,) = read_hosts(write(f"{NODE}port = 24")).nodes
    with pytest.raises(UnknownHostError, match=r"ssh-keyscan -t ed25519 -p 24 192.0.2.1 \| tee"):
        node.login.endpoint()


def test_a_key_of_the_wrong_kind_is_named(tmp_path):
    with pytest.raises(UsageError, match="nothing cannot be read: No such file"):
        read_key(tmp_path / "nothing", None)
    (tmp_path / "text").write_text("no key at all\n")
    with pytest.raises(UsageError, match="text cannot be used: it is no private key"):
        read_key(tmp_path / "text", None)


def test_a_key_with_a_passphrase(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encoded = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    path = tmp_path / "locked"
    path.write_bytes(encoded)
    assert read_key(path, "open sesame").get_name() == "ssh-ed25519"
    with pytest.raises(UsageError, match="locked is encrypted; name the variable"):
        read_key(path, None)
    with pytest.raises(UsageError, match="locked cannot be used with this passphrase"):
        read_key(path, "close sesame")


def test_hosts_of_the_ssh_settings(ssh_config, tmp_path):
    home = tmp_path / "home"
    ssh_config("Host db2\n  HostName 192.0.2.2\n  Port 2202\n", "more")
    ssh_config(f"192.0.2.1 {PUBLIC}\n[192.0.2.2]:2202 {OTHER}\n[gw.example.org]:99 {OTHER}\n", "kh")
    ssh_config(
        """
Host db1
  HostName 192.0.2.1
  User root
  ProxyJump hop@gw:99
  IdentitiesOnly yes
Include more
Host gw
  HostName gw.example.org
Host *
  User admin
  IdentityFile ~/.ssh/id_lab
  UserKnownHostsFile ~/.ssh/kh
"""
    )
    hosts = read_hosts("ssh:db1,db2")
    one, two = hosts.nodes
    assert [node.name for node in hosts.nodes] == ["db1", "db2"]
    assert (one.login.address, one.login.user, one.login.port) == ("192.0.2.1", "root", 22)
    assert one.login.host_keys == (PUBLIC,)
    assert one.login.key_files == (str(home / ".ssh/id_lab"),)
    assert (one.login.agent, two.login.agent) == (False, True)
    gate = one.login.jump
    assert gate is not None
    assert (gate.address, gate.port, gate.user) == ("gw.example.org", 99, "hop")
    assert gate.host_keys == (OTHER,)
    assert (two.login.address, two.login.port, two.login.user) == ("192.0.2.2", 2202, "admin")
    assert two.login.host_keys == (OTHER,)
    assert two.sudo is not None


def test_a_file_may_lean_on_the_ssh_settings(write, ssh_config):
    ssh_config("Host db1\n  HostName 192.0.2.7\n  Port 2207\n  User a\n")
    (node,) = read_hosts(write('[nodes.n1]\nssh = "db1"\nuser = "b"')).nodes
    assert (node.login.address, node.login.port, node.login.user) == ("192.0.2.7", 2207, "b")
    assert node.peer_address == "192.0.2.7"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Host a\n  ProxyCommand nc %h %p\n", "a has a ProxyCommand, which is not supported; use"),
        ("Host a\n  Port many\n", "the port of a is 'many'"),
        ("Host a\n  ProxyJump a\n", "the ProxyJump of a leads in a circle"),
        ("Include config\n", "files are included too deeply"),
    ],
)
def test_ssh_settings_that_cannot_be_used(ssh_config, text, complaint):
    ssh_config(text)
    with pytest.raises(UsageError, match=complaint):
        read_hosts("ssh:a")


@pytest.mark.parametrize("name", ["ssh:", "ssh:a,a", "ssh:a b", "inventory"])
def test_names_that_are_no_inventory(name):
    with pytest.raises(UsageError, match=r"ssh:HOST,HOST"):
        cluster(name, node_count=1)


def test_the_example_of_the_page_is_understood(repository, write, monkeypatch):
    monkeypatch.setenv("LAB_SUDO", "open sesame")
    (example,) = re.findall(
        r"```toml\n(.*?)```", (repository / "docs" / "inventory.md").read_text(), re.DOTALL
    )
    hosts = read_hosts(write(example))
    assert [node.name for node in hosts.nodes] == ["n1", "n2", "n3"]
    made = Inventory(write(example), node_count=2)
    assert made.topology.addresses == {"n1": "10.0.0.11", "n2": "10.0.0.12"}
    assert hosts.nodes[0].login.jump is not None
    assert hosts.nodes[0].sudo.password == "open sesame"


_ASK = """
from splitbrain.cluster.passwords import secret
print([secret(None, "the password of a on n1", "sudo_password_env") for _ in range(2)])
"""


def test_a_password_is_asked_for_once_and_not_shown():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", _ASK])
    shown = b""
    while b"n1: " not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, b"open sesame\n")
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while more := os.read(terminal, 1000):
            shown += more
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0
    text = shown.decode().replace("\r", "")
    assert text == "the password of a on n1: \n['open sesame', 'open sesame']\n"


def test_where_nobody_can_be_asked_the_field_is_named():
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    wanted = "there is no terminal to ask on; name the environment variable that holds it with sudo"
    assert wanted in done.stderr


def test_every_field_is_on_the_page(repository):
    from splitbrain.cluster import inventory_file

    text = (repository / "docs" / "inventory.md").read_text()
    known = {*inventory_file._NODE, *inventory_file._TOP}
    assert {name for name in known if f"`{name}`" not in text} == set()


def test_the_line_that_fetches_a_key_runs_nothing_that_a_file_of_hosts_names() -> None:
    line = advice_for_unknown("$(reboot)", 22, "/a b/known", through="x;reboot")
    fetched, kept, _ = line.split(" | ")
    *ssh, scan = shlex.split(fetched)
    assert ssh == ["ssh", "x;reboot"]
    assert scan == "ssh-keyscan -t ed25519 '$(reboot)'"
    assert kept == "tee -a '/a b/known'"
