"""Power cuts and reboots of machines: what was synced is there, and what was not is gone."""

from __future__ import annotations

import pytest

from splitbrain.cluster.vagrant import Vagrant
from splitbrain.core.system import DaemonSpec

pytestmark = [pytest.mark.vagrant, pytest.mark.timeout(1800)]

WRITER = """
import os
target = os.open("/root/tail", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
for number in range(200):
    os.write(target, b"%07d\\n" % number)
os.fsync(target)
folder = os.open("/root", os.O_RDONLY)
os.fsync(folder)
for number in range(200, 300):
    os.write(target, b"%07d\\n" % number)
with open("/root/unsynced", "w") as file:
    file.write("never synced")
print(os.fstat(target).st_size)
"""


def test_exactly_the_unsynced_tail_is_lost(three: Vagrant) -> None:
    assert three.hosts is not None
    assert three.hosts.cannot_cut_power() is None
    nodes = ["n1", "n2"]
    for node in nodes:
        done = three.host(node).run(("/usr/bin/python3", "-c", WRITER))
        assert int(done.stdout) == 300 * 8
    proof = three.hosts.cut_power(nodes)
    assert isinstance(proof, dict)
    for node in nodes:
        assert proof[node]["boot_before"] != proof[node]["boot_after"]
        kept = three.host(node).get("/root/tail").decode()
        assert kept == "".join(f"{number:07d}\n" for number in range(200))
        unsynced = three.host(node).run(("cat", "/root/unsynced"), check=False)
        assert unsynced.stdout.strip(b"\0") == b""
    assert "n3" not in proof


def test_a_reboot_keeps_what_was_written_and_starts_the_daemons(three: Vagrant) -> None:
    assert three.hosts is not None
    daemon = DaemonSpec(name="sleeper", argv=("/bin/sleep", "100000"))
    held = DaemonSpec(name="held", argv=("/bin/sleep", "100000"))
    three.start({"n3": [daemon, held]})
    three.daemons.kill("down", ["n3"], "held")
    three.host("n3").put(b"kept", "/root/kept")
    proof = three.hosts.reboot("n3")
    assert isinstance(proof, dict)
    assert proof["boot_before"] != proof["boot_after"]
    assert three.host("n3").get("/root/kept") == b"kept"
    assert three.daemons.running("n3") == {"sleeper": True, "held": False}
    three.daemons.release("down")
    assert three.daemons.running("n3") == {"sleeper": True, "held": True}
