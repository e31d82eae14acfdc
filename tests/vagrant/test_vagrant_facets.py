"""What embedded hosts can suffer, machines can as well: packets, disks, pauses."""

from __future__ import annotations

import re

import pytest

from splitbrain.cluster.vagrant import Vagrant
from splitbrain.core.cluster import DiskTrouble, Trouble
from splitbrain.core.system import DaemonSpec

pytestmark = [pytest.mark.vagrant, pytest.mark.timeout(1800)]


def round_trip_ms(cluster: Vagrant, node: str, peer: str) -> float:
    address = cluster.topology.addresses[peer]
    done = cluster.host(node).run(("ping", "-c", "5", "-i", "0.3", address))
    found = re.search(rb"= ([0-9.]+)/", done.stdout)
    assert found is not None
    return float(found[1])


def test_packets_to_one_peer_are_late_and_in_time_again(three: Vagrant) -> None:
    assert three.network is not None
    assert three.network.cannot_disturb() is None
    three.network.disturb("late", {"n1": {"n2": Trouble(delay_ms=300)}})
    assert round_trip_ms(three, "n1", "n2") >= 290
    assert round_trip_ms(three, "n1", "n3") < 290
    three.network.mend("late")
    assert round_trip_ms(three, "n1", "n2") < 290


def test_a_full_disk_is_one_daemons_trouble(three: Vagrant) -> None:
    assert three.disks is not None
    assert three.disks.cannot_trouble() is None
    three.disks.arm()
    holder = DaemonSpec(name="holder", argv=("/bin/sleep", "10000"), data_dirs=("/var/lib/holder",))
    three.start({"n2": [holder]})
    write = ("sh", "-c", "head -c 100000 /dev/zero > /var/lib/holder/file")
    three.disks.trouble("full", {"n2": DiskTrouble(full=True)})
    done = three.host("n2").run(write, check=False)
    assert done.exit_status != 0
    assert b"No space left" in done.stderr
    three.disks.release("full")
    assert three.host("n2").run(write, check=False).exit_status == 0


def test_daemons_are_paused_and_go_on(three: Vagrant) -> None:
    sleeper = DaemonSpec(name="sleeper", argv=("/bin/sleep", "10000"))
    three.start({"n1": [sleeper], "n3": [sleeper]})
    three.daemons.pause("still", ["n1"])
    assert three.daemons.running("n1") == {"sleeper": False}
    assert three.daemons.running("n3") == {"sleeper": True}
    three.daemons.release("still")
    assert three.daemons.running("n1") == {"sleeper": True}
