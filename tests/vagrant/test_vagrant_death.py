"""Controllers that die, controllers that meet, and what is left of machines that are removed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from splitbrain.cluster.machines.fleet import Fleet
from splitbrain.cluster.machines.settings import settings_from
from splitbrain.cluster.vagrant import Vagrant
from splitbrain.core.cluster import Skew
from splitbrain.core.errors import SetupError

pytestmark = [pytest.mark.vagrant, pytest.mark.timeout(1800)]

CONTROLLER = """
import time
from splitbrain.cluster.vagrant import Vagrant
from splitbrain.core.cluster import Skew
cluster = Vagrant(node_count=3)
with cluster.entered():
    cluster.up()
    cluster.network.cut("cut", {"n1": frozenset({"n2", "n3"})})
    cluster.clocks.skew("jump", {"n2": Skew(offset_ns=10**12)})
    print("broken", flush=True)
    time.sleep(600)
"""


def test_machines_whose_controller_is_killed_heal_themselves(
    fleet: Fleet, patiently: Callable[..., None]
) -> None:
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER], stdout=subprocess.PIPE, text=True
    )
    try:
        assert controller.stdout is not None
        assert controller.stdout.readline() == "broken\n"
        with pytest.raises(SetupError, match=f"in use by the process {controller.pid}"):
            fleet.held().__enter__()
    finally:
        controller.send_signal(signal.SIGKILL)
        controller.wait()
        controller.stdout.close()
    roster = fleet.roster()
    assert roster is not None
    hosts = {
        node: fleet.host(entrance, fleet.key, lambda: None)
        for node, entrance in roster.entrances.items()
    }
    with contextlib.ExitStack() as stack:
        for host in hosts.values():
            stack.callback(host.close)
        rules = ("nft", "list", "table", "inet", "splitbrain")
        assert hosts["n1"].run(rules, check=False).exit_status == 0
        patiently(lambda: hosts["n1"].run(rules, check=False).exit_status != 0, "the cut is gone")

        def apart_s() -> int:
            shown = [int(hosts[node].run(("date", "+%s")).stdout) for node in ("n2", "n3")]
            return abs(shown[0] - shown[1])

        patiently(lambda: apart_s() < 10, "the clock is right")


def test_the_next_run_starts_clean(fleet: Fleet) -> None:
    for turn in range(2):
        cluster = Vagrant(node_count=2)
        with cluster.entered():
            try:
                cluster.up()
                listed = cluster.host("n1").run(("ls", "/var/lib/splitbrain"), check=False)
                assert b"mine" not in listed.stdout, f"turn {turn}"
                cluster.host("n1").put(b"1", "/var/lib/splitbrain/mine/data")
                assert cluster.expired() == {}
                assert cluster.clocks is not None
                cluster.clocks.skew("left", {"n1": Skew(offset_ns=10**11)})
            finally:
                cluster.down()


def test_nothing_is_left_of_machines_that_are_removed(state_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    environment = {**os.environ, "SPLITBRAIN_VAGRANT_STATE": str(folder)}
    said: list[str] = []
    other = Fleet(settings_from(environment, node_count=1), said.append)
    before = network_devices()
    with other.held():
        other.up()
        assert [item.state for item in other.states()] == ["running"]
        assert processes_of(folder)
        other.halt()
        assert [item.state for item in other.states()] == ["off"]
        other.up()
        assert other.destroy()
    assert not folder.exists()
    assert processes_of(folder) == []
    assert network_devices() <= before
    assert any("machines up" in line for line in said)
    assert not other.destroy()


def processes_of(folder: Path) -> list[str]:
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if str(folder).encode() in line and int(entry.name) != os.getpid():
                found.append(line.decode(errors="replace"))
    return found


def network_devices() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}
