"""Load on embedded hosts: it is really there, bounded, and gone when it is released."""

from __future__ import annotations

import json

import pytest

from splitbrain.cluster.agent import ask
from splitbrain.cluster.network import chain_of
from splitbrain.core.cluster import Burden
from splitbrain.core.errors import HarnessError, RemoteError

pytestmark = pytest.mark.embedded


def records(cluster):
    found = cluster.host("n1").run(["sh", "-c", "ls /run/splitbrain/burden-*.json"], check=False)
    return found.stdout.split()


def nothing_left(cluster):
    host = cluster.host("n1")
    assert records(cluster) == []
    assert host.run(["ls", "/var/lib/splitbrain/intent"]).stdout == b""
    assert host.run(["ls", "/var/lib/splitbrain/burden"], check=False).stdout == b""


def children(cluster, layer):
    record = f"/run/splitbrain/burden-{chain_of(layer)}.json"
    pid = json.loads(cluster.host("n1").get(record))["pid"]
    done = cluster.host("n1").run(["pgrep", "-P", str(pid)], check=False)
    return pid, done.stdout.split()


def test_load_uses_what_it_says_and_ends(one, wait_until):
    asked = Burden(cpu_workers=2, memory_mb=64, io_workers=1, io_mb=4)
    proof = one.burdens.burden("busy", {"n1": asked})["n1"]
    assert proof["workers"] == 4
    assert proof["cpu_s"] > 0
    assert proof["memory_mb"] >= 64
    assert proof["written_mb"] >= 1
    _, workers = children(one, "busy")
    one.burdens.burden("more", {"n1": Burden(cpu_workers=1)})
    assert len(records(one)) == 2
    one.burdens.release("busy")
    one.burdens.release("busy")
    for pid in workers:
        gone = ["sh", "-c", f"! kill -0 {pid.decode()}"]
        wait_until(lambda gone=gone: one.host("n1").run(gone, check=False).exit_status == 0, "dead")
    assert len(records(one)) == 1
    one.burdens.release("more")
    nothing_left(one)


def test_load_is_bounded(one, wait_until):
    with pytest.raises(RemoteError, match=r"n1: burden: 65 workers are more than 64"):
        one.burdens.burden("x", {"n1": Burden(cpu_workers=65)})
    with pytest.raises(RemoteError, match=r"MB are too much: \d+ MB are free"):
        one.burdens.burden("x", {"n1": Burden(memory_mb=1 << 20)})
    one.burdens.release("x")
    with pytest.raises(HarnessError, match="'n9', which is no node"):
        one.burdens.burden("x", {"n9": Burden(cpu_workers=1)})
    one.burdens.burden("short", {"n1": Burden(cpu_workers=1, limit_s=0.5)})
    wait_until(lambda: not children(one, "short")[1], "time is up")
    one.burdens.release("short")
    nothing_left(one)


def test_workers_die_with_their_program_and_the_node_heals_itself(one, wait_until):
    one.burdens.burden("dies", {"n1": Burden(cpu_workers=3)})
    pid, workers = children(one, "dies")
    assert len(workers) == 3
    one.host("n1").run(["kill", "-9", str(pid)])
    for worker in workers:
        gone = ["sh", "-c", f"! kill -0 {worker.decode()}"]
        wait_until(lambda gone=gone: one.host("n1").run(gone, check=False).exit_status == 0, "dead")
    one.burdens.burden("heals", {"n1": Burden(cpu_workers=1)})
    assert ask(one.host("n1"), "heal", {}) == {"undone": ["burden"]}
    one.burdens.release("dies")
    one.burdens.release("heals")
    nothing_left(one)


def test_a_reboot_keeps_the_load(one):
    one.burdens.burden("stays", {"n1": Burden(cpu_workers=1)})
    one.hosts.reboot("n1")
    assert len(children(one, "stays")[1]) == 1
    one.burdens.release("stays")
    nothing_left(one)
