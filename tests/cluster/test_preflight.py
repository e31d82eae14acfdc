"""What the doctor says of embedded hosts."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from splitbrain.cluster import preflight
from splitbrain.cluster.embedded import Embedded
from splitbrain.cluster.user_namespace import has_one_id
from splitbrain.core.errors import SetupError


@pytest.fixture
def without(monkeypatch):
    """Make programs disappear."""

    def hide(*names: str) -> None:
        real = shutil.which

        def which(name, path=None):
            return None if name in names else real(name, path=path)

        monkeypatch.setattr("splitbrain.cluster.preflight.shutil.which", which)

    return hide


def test_each_thing_missing_has_one_line_that_mends_it(without):
    without("ip", "setpriv", "nft", "cc", "gcc", "clang")
    verdict, missing = preflight.status()
    assert verdict == "MISSING"
    table = dict(missing)
    assert table["the program ip"] == "apt-get install iproute2"
    assert table["nft, for partitions"] == "apt-get install nftables"
    assert "gcc" in table["a C compiler, for clock faults"]
    assert all("\n" not in advice and advice for advice in table.values())
    assert preflight.preflight() == missing


ONE_USER = pytest.mark.skipif(has_one_id(), reason="hosts without further users lack something")


@ONE_USER
@pytest.mark.embedded
def test_what_only_some_faults_need_degrades(without):
    without("nft")
    assert preflight.status() == (
        "DEGRADED",
        [("nft, for partitions", "apt-get install nftables")],
    )


@ONE_USER
@pytest.mark.embedded
def test_a_machine_with_everything_is_ok_and_unchanged():
    mounts = Path("/proc/mounts").read_text()
    assert preflight.status() == ("OK", [])
    assert not list(Path(tempfile.gettempdir()).glob("splitbrain-probe-*"))
    assert Path("/proc/mounts").read_text() == mounts


@pytest.mark.embedded
def test_little_memory_is_said_with_the_line_that_makes_room(monkeypatch):
    monkeypatch.setattr(preflight, "_room_mb", lambda: 64)
    table = dict(preflight.preflight())
    assert table["room at /dev/shm: 64 MB are free"] == "mount -o remount,size=2g /dev/shm"


def test_without_root_and_user_namespaces_it_is_said(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for module in ("preflight", "rootless"):
        monkeypatch.setattr(f"splitbrain.cluster.{module}.works", lambda: False)
    verdict, missing = preflight.status()
    assert verdict == "MISSING"
    assert missing[0][0].startswith("root, or user namespaces for ordinary users")
    with pytest.raises(SetupError, match="embedded hosts need root, or a user namespace"):
        Embedded(node_count=1).up()


def test_a_kernel_that_refuses_is_named(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "_has", lambda _: True)
    monkeypatch.setattr(preflight.Path, "is_file", lambda _: True)
    monkeypatch.setattr(preflight, "_works", lambda script, *_: "overlay" not in script)
    verdict, missing = preflight.status()
    assert verdict == "MISSING"
    assert ("the overlay file system", "modprobe overlay") in missing


@pytest.mark.embedded
def test_without_nft_and_compiler_the_facets_are_absent_and_say_why(monkeypatch, clock_daemon):
    def refuse() -> bytes:
        message = "there is no C compiler"
        raise SetupError(message)

    monkeypatch.setattr("splitbrain.cluster.embedded.clock_preload", refuse)
    monkeypatch.setattr("splitbrain.cluster.embedded.nft_reason", lambda: "there is no nft")
    cluster = Embedded(node_count=1)
    with cluster.entered():
        try:
            cluster.up()
            assert (cluster.network, cluster.clocks) == (None, None)
            assert cluster.network_reason == "there is no nft"
            assert cluster.clocks_reason == "there is no C compiler"
            cluster.start({"n1": [clock_daemon]})
            assert cluster.daemons.running("n1") == {"clock": True}
            log = cluster.host("n1").get(cluster.log_paths("n1", clock_daemon)[0])
            assert log == b"ready\n"
            cluster.hosts.reboot("n1")
            assert cluster.daemons.running("n1") == {"clock": True}
        finally:
            cluster.down()
