"""Hosts of the user's own: claimed, used over every way in, and left as they were found."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from splitbrain.cli import run_command
from splitbrain.cluster.inventory import Inventory
from splitbrain.core.cluster import Burden, DiskTrouble, Skew, Trouble
from splitbrain.core.errors import HarnessError, RemoteError, SetupError, UsageError
from splitbrain.core.system import DaemonSpec

pytestmark = pytest.mark.embedded

WAYS = {
    "root": {"user": "root"},
    "sudo": {"user": "free"},
    "password": {"user": "careful", "sudo": '"password"', "sudo_password_env": '"SESAME"'},
    "jump": {"user": "free", "jump": '"gate"'},
}


@pytest.fixture(autouse=True)
def _password(monkeypatch):
    monkeypatch.setenv("SESAME", "open sesame")


@pytest.fixture
def bring_up(foreign, wait_until):
    """Bring inventories up, and take them down in the end; nothing may remain on the hosts."""
    up = []

    def make(name, **fields):
        cluster = Inventory(foreign.file(name, **fields))
        up.append(cluster)
        cluster.up()
        return cluster

    yield make
    for cluster in up:
        cluster.down()
    wait_until(lambda: foreign.remains() == {}, "nothing remains")


@pytest.mark.parametrize("way", WAYS)
def test_every_facet_works_by_every_way_in(bring_up, foreign, clock_daemon, way):
    cluster = bring_up(way, **WAYS[way])
    assert cluster.topology.addresses == {node: foreign.address(node) for node in foreign.nodes}
    host = cluster.host("n1")
    assert host.run(["id", "-u"]).stdout == b"0\n"
    assert host.run(["cat"], stdin=b"\0x\n" * 100_000).stdout == b"\0x\n" * 100_000
    host.put(b"secret", "/root/deep/file", mode=0o600)
    assert host.get("/root/deep/file", offset=2, limit_bytes=3) == b"cre"
    with pytest.raises(RemoteError, match="there is no such file"):
        host.get("/root/nothing")
    with pytest.raises(RemoteError, match="it is not a regular file"):
        host.get("/root")
    cluster.start({node: [clock_daemon] for node in foreign.nodes})
    assert cluster.daemons.running("n2") == {"clock": True}
    assert cluster.disks.cannot_trouble() is None
    burden = cluster.burdens.burden("load", {"n3": Burden(cpu_workers=1)})
    assert burden["n3"]
    cluster.burdens.release("load")
    assert cluster.network.cannot_disturb() is None
    cluster.network.disturb("slow", {"n1": {"n2": Trouble(delay_ms=20.0)}})
    cluster.network.mend("slow")
    proof = cluster.network.cut("cut", {"n1": frozenset({"n2"})})
    assert proof["n1"]["drops_from"] == [foreign.address("n2")]
    cluster.network.mend("cut")
    assert cluster.daemons.kill("kill", ["n2"])["n2"]["clock"]
    assert cluster.daemons.running("n2") == {"clock": False}
    cluster.daemons.release("kill")
    assert cluster.daemons.pause("pause", ["n3"])["n3"]["clock"]
    cluster.daemons.release("pause")
    bent = cluster.clocks.skew("clock", {"n1": Skew(offset_ns=3600 * 10**9)})
    assert bent["n1"]["after_ns"] - bent["n1"]["before_ns"] > 3500 * 10**9
    assert abs(cluster.clocks.sample("n2")[0]) < 10**9
    cluster.clocks.release("clock")
    assert cluster.hosts is None
    assert cluster.expired() == {}
    cluster.stop()
    cluster.down()
    gone = foreign.cluster.host("n1").run(["ls", "/root/deep"], check=False)
    assert gone.exit_status != 0
    cluster.down()


def test_the_keys_of_an_agent_open_hosts_when_asked_for(bring_up, foreign, monkeypatch):
    socket = foreign.folder / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as own:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            deadline = time.monotonic() + 10
            while not socket.exists():
                assert time.monotonic() < deadline
            subprocess.run(["ssh-add", "-q", str(foreign.key)], check=True)
            cluster = bring_up("agent", user="free", agent="true", key="[]")
            assert cluster.host("n2").run(["id", "-u"]).stdout == b"0\n"
            cluster.down()
            with pytest.raises(SetupError, match=r"^n1, n2, n3: there is no key to log in"):
                Inventory(foreign.file("no_agent", user="free", key="[]")).up()
        finally:
            own.terminate()


def test_hosts_and_users_with_rsa_keys(bring_up, foreign):
    key = foreign.folder / "id_rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    outside = foreign.cluster.host("n1")
    outside.put(key.with_suffix(".pub").read_bytes(), "/etc/foreign/rsa_authorized")
    script = (
        "ssh-keygen -q -t rsa -N '' -f /etc/foreign/rsa_hostkey;"
        "sed 's/2222/2223/; s/hostkey/rsa_hostkey/; s/authorized_keys$/rsa_authorized/'"
        " /etc/foreign/sshd_config > /etc/foreign/rsa_config;"
        "/usr/sbin/sshd -f /etc/foreign/rsa_config; cat /etc/foreign/rsa_hostkey.pub"
    )
    shown = outside.run(["sh", "-c", script]).stdout.decode().split()
    own = {"port": "2223", "host_key": f'"{shown[0]} {shown[1]}"'}
    cluster = bring_up("rsa", nodes={"n1": own}, key='["id_ed25519", "id_rsa"]')
    assert cluster.host("n1").run(["id", "-u"]).stdout == b"0\n"


def test_hosts_of_the_users_ssh_settings(foreign, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(foreign.folder))
    (foreign.folder / ".ssh").mkdir()
    lines = [f"Host {node}\n  HostName {foreign.address(node)}" for node in (*foreign.nodes, "n4")]
    lines += ["Host n2\n  ProxyJump powerless@n4"]
    lines += [f"Host *\n  Port 2222\n  User free\n  IdentityFile {foreign.key}"]
    lines += [f"  UserKnownHostsFile {foreign.known_hosts}"]
    (foreign.folder / ".ssh" / "config").write_text("\n".join(lines))
    assert run_command(["doctor", "--cluster", "ssh:n1,n2,n3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["status"]) for row in rows] == [(n, "OK") for n in foreign.nodes]


def test_disks_that_were_covered_are_uncovered_in_the_end(bring_up, foreign):
    cluster = bring_up("disks")
    cluster.disks.arm()
    spec = DaemonSpec(name="d", argv=("/bin/sleep", "1000"), data_dirs=("/srv/data",))
    cluster.start({"n1": [spec]})
    proof = cluster.disks.trouble("full", {"n1": DiskTrouble(full=True)})
    assert proof["n1"]["/srv/data"] == {"error": "ENOSPC"}
    cluster.down()
    outside = foreign.cluster.host("n1")
    assert b"/srv/data" not in outside.run(["cat", "/proc/mounts"]).stdout
    assert outside.run(["ls", "/srv"]).stdout == b""


def test_a_host_is_left_as_it_was_found(bring_up, foreign):
    """What was there is put back, what was not is gone, whoever wrote it meanwhile."""
    outside = foreign.cluster.host("n1")
    outside.put(b"theirs", "/etc/motd", mode=0o640)
    outside.run(["chown", "free", "/etc/motd"])
    cluster = bring_up("left")
    host = cluster.host("n1")
    for text in (b"ours", b"ours again"):
        host.put(text, "/etc/motd")
        host.put(text, "/srv/one/two/three")
    outside.put(b"theirs", "/srv/one/kept")
    data = DaemonSpec(name="d", argv=("/bin/sleep", "1000"), data_dirs=("/srv/data/d",))
    cluster.start({"n1": [data]})
    outside.run(["touch", "/srv/data/d/file"])
    cluster.down()
    assert outside.get("/etc/motd") == b"theirs"
    assert outside.run(["stat", "-c", "%a %U", "/etc/motd"]).stdout == b"640 free\n"
    assert outside.run(["find", "/srv", "-type", "f"]).stdout == b"/srv/one/kept\n"
    assert outside.run(["pgrep", "-x", "sleep"], check=False).stdout == b""
    outside.run(["rm", "-r", "/srv/one"])


def test_data_may_lie_in_a_directory_of_the_users_choice(bring_up, foreign):
    cluster = bring_up("directory", directory='"/srv/scratch"')
    cluster.host("n1").put(b"data", "/var/lib/splitbrain/raft/log")
    outside = foreign.cluster.host("n1")
    assert outside.get("/srv/scratch/splitbrain/lib/raft/log") == b"data"
    cluster.down()
    assert outside.run(["find", "/srv", "-name", "splitbrain"]).stdout == b""


def test_two_runs_never_meet_on_a_host(bring_up, foreign):
    cluster = bring_up("first")
    second = Inventory(foreign.file("second", user="free"))
    with pytest.raises(SetupError, match=r"n1, n2, n3: it is in use by the run of .*, process \d+"):
        second.up()
    second.down()
    assert cluster.daemons.running("n1") == {}
    lines = list(Inventory(foreign.file("second")).cleanup())
    assert len(lines) == 3
    assert all("it is in use by the run of" in line for line in lines)
    held = second.preflight()["n2"].lacks
    assert [lack.essential for lack in held] == [True]
    cluster.host("n1").run(["test", "-e", "/run/splitbrain/lease"])


def test_a_limit_takes_the_first_nodes(foreign):
    path = foreign.file("limit")
    assert Inventory(path, node_count=2).topology.nodes == ("n1", "n2")
    with pytest.raises(UsageError, match=r"4 nodes are asked for, and .*limit.toml has 3"):
        Inventory(path, node_count=4)


def test_a_host_restarts_where_its_owner_allows_it(bring_up, foreign, clock_daemon, wait_until):
    running = foreign.cluster._running
    key = foreign.folder / "own_key"
    key.touch(mode=0o600)
    key.write_text(running.client_key.private)
    nodes = {
        node: {"host_key": f'"{running.host_keys[node].public}"', "reboot": may}
        for node, may in (("n2", "true"), ("n3", "false"))
    }
    cluster = bring_up("reboot", nodes=nodes, port="22", key='"own_key"')
    assert "power" in cluster.hosts.cannot_cut_power()
    with pytest.raises(HarnessError, match="n3 may not be restarted"):
        cluster.hosts.reboot("n3")
    cluster.start({node: [clock_daemon] for node in nodes})
    cluster.network.cut("cut", {"n2": frozenset({"n3"})})
    cluster.clocks.skew("clock", {"n2": Skew(offset_ns=10**12)})
    first = running.processes["n2"].pid
    assert cluster.hosts.reboot("n2")["away_s"] > 0
    assert running.processes["n2"].pid != first
    rules = cluster.host("n2").run(["nft", "list", "ruleset"]).stdout.decode()
    assert foreign.address("n3") in rules
    assert cluster.daemons.running("n2") == {"clock": True}
    assert cluster.clocks.sample("n2")[0] > 9 * 10**11
    cluster.clocks.release("clock")
    cluster.network.mend("cut")
    assert cluster.expired() == {}
    lease = cluster.host("n2").get("/run/splitbrain/lease")
    wait_until(lambda: cluster.host("n2").get("/run/splitbrain/lease") > lease, "it is renewed")
    cluster.down()
    foreign.cluster.host("n2").run(["/usr/sbin/sshd", "-f", "/etc/foreign/sshd_config"])


def test_the_clock_of_a_machine_is_bent_only_where_its_owner_allows_it(bring_up, foreign):
    """The kernel refuses it here, since embedded hosts share the clock of this machine."""
    cluster = bring_up("real_clock", real_clock="true")
    offset_ns, _ = cluster.clocks.sample("n1")
    with pytest.raises(HarnessError, match="n1: "):
        cluster.clocks.skew("clock", {"n1": Skew(offset_ns=2_000_000)})
    assert abs(cluster.clocks.sample("n1")[0] - offset_ns) < 10**9
    cluster.clocks.release("clock")
    library = foreign.cluster.host("n1").run(["ls", "/usr/local/lib/splitbrain"]).stdout
    assert library == b"on_node\n"
