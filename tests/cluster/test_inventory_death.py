"""A controller that dies leaves hosts of the user's own healed, and in order after a clean-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from splitbrain.cli import run_command
from splitbrain.cluster import state
from splitbrain.cluster.agent import ask
from splitbrain.cluster.inventory import Inventory
from splitbrain.core.errors import RemoteError
from splitbrain.core.system import DaemonSpec

pytestmark = pytest.mark.embedded

_CONTROLLER = """
import json, sys
from splitbrain.cluster.inventory import Inventory
from splitbrain.core.cluster import Skew
from splitbrain.core.system import DaemonSpec
cluster = Inventory(sys.argv[1])
cluster.up()
argv = ("/usr/bin/python3", "-c", "import time; time.sleep(1e6)")
spec = DaemonSpec(name="sleeper", argv=argv)
cluster.start({node: [spec] for node in cluster.topology.nodes})
cluster.host("n1").put(b"ours", "/srv/ours")
cluster.network.cut("cut", {"n1": frozenset({"n2", "n3"})})
cluster.daemons.pause("pause", ["n2"])
cluster.clocks.skew("clock", {"n3": Skew(offset_ns=10**12)})
print(json.dumps({"lease": cluster._running.lease.pid}), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def dead(foreign, wait_until):
    """A controller that was killed in the middle of a partition, a pause and a skew."""
    path = foreign.file("death", user="free")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", _CONTROLLER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        said = json.loads(process.stdout.readline())
        process.kill()
    yield path, said["lease"]

    def in_order() -> bool:  # the lease may hold for a while
        list(Inventory(path).cleanup())
        return foreign.remains() == {}

    wait_until(in_order, "nothing remains", limit_s=40.0)


@pytest.mark.slow
def test_hosts_heal_themselves_and_are_put_in_order(dead, foreign, wait_until, capsys):
    path, lease = dead
    hosts = {node: foreign.cluster.host(node) for node in foreign.nodes}
    wait_until(lambda: state.ProcessId.of(lease) is None, "the lease is renewed no more")
    assert "drop" in hosts["n1"].run(["nft", "list", "ruleset"]).stdout.decode()
    with_lease = Inventory(path).preflight()["n1"].lacks
    assert "it is in use by the run of" in with_lease[0].what

    def events():
        return {
            node: [event["undone"] for event in ask(host, "expired", {})["events"]]
            for node, host in hosts.items()
        }

    healed = {"n1": [["network"]], "n2": [["paused sleeper"]], "n3": [["clock"]]}
    wait_until(lambda: events() == healed, "every host heals itself", limit_s=40.0)
    assert hosts["n1"].run(["nft", "list", "ruleset"]).stdout == b""
    states = ask(hosts["n2"], "running", {"names": ["sleeper"]})
    assert states == {"sleeper": True}
    for host in hosts.values():
        host.close()  # what answered us on it ends as well
    assert run_command(["cleanup", "--cluster", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(foreign.nodes)
    assert all("removed what the dead run of" in line for line in lines)
    assert all("ended sleeper" in line for line in lines)
    wait_until(lambda: foreign.remains() == {}, "nothing remains")
    assert hosts["n1"].run(["test", "-e", "/srv/ours"], check=False).exit_status == 1
    assert run_command(["cleanup", "--cluster", path]) == 0
    assert capsys.readouterr().out.count("nothing was left behind") == 3


def test_the_next_run_puts_hosts_in_order_by_itself(dead, foreign, wait_until):
    path, _ = dead

    def free() -> bool:
        for node in foreign.nodes:  # as if the lease had run out a moment ago
            foreign.cluster.host(node).run(["sh", "-c", "echo 1.0 > /run/splitbrain/lease"])
        return not any(item.lacks for item in Inventory(path).preflight().values())

    wait_until(free, "nobody renews the lease any more")
    cluster = Inventory(path)
    try:
        cluster.up()
        assert cluster.expired() == {}
        assert cluster.host("n1").run(["nft", "list", "ruleset"]).stdout == b""
        spec = DaemonSpec(name="sleeper", argv=("/bin/sleep", "1000"))
        cluster.start({"n2": [spec]})
        assert cluster.daemons.running("n2") == {"sleeper": True}
    finally:
        cluster.down()


def test_a_run_whose_hosts_were_taken_meanwhile_leaves_them_alone(foreign, wait_until):
    """Its machine slept for longer than the lease, say."""
    path = foreign.file("taken", nodes={"n1": {}})
    asleep, other = Inventory(path), Inventory(path)
    asleep.up()
    asleep._running.lease.end()

    def free() -> bool:
        foreign.cluster.host("n1").run(["sh", "-c", "echo 1.0 > /run/splitbrain/lease"])
        return other.preflight()["n1"].lacks == []

    wait_until(free, "nobody renews the lease any more")
    other.up()
    try:
        other.start({"n1": [DaemonSpec(name="sleeper", argv=("/bin/sleep", "1000"))]})
        with pytest.raises(RemoteError, match="n1: withdraw: another run has taken this node"):
            asleep.down()
        assert other.daemons.running("n1") == {"sleeper": True}
    finally:
        other.down()
    wait_until(lambda: foreign.remains() == {}, "nothing remains")


def test_a_host_that_went_away_is_named_and_the_others_are_put_in_order(foreign, capsys):
    lines = foreign.known_hosts.read_text().splitlines()
    pins = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    own = pins[f"[{foreign.address('n1')}]:2222"]
    path = foreign.file("away", nodes={"n1": {"port": "2223", "host_key": f'"{own}"'}, "n2": {}})
    assert run_command(["cleanup", "--cluster", path]) == 255
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert first.startswith("n1: ")
    assert "refused" in first
    assert second == "n2: nothing was left behind"
    assert said.err == "splitbrain: not every host is in order: n1\n"
