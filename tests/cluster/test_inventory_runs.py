"""The main job on hosts of the user's own: Raft judged under every kind of fault."""

from __future__ import annotations

import json

import pytest

from splitbrain.cli import run_command
from splitbrain.core.run import Plan
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.pytest_plugin import Quiet

pytestmark = pytest.mark.embedded

KINDS = ("partition", "kill", "pause", "clock")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["root", "jump-and-password"])
def test_correct_raft_is_valid_under_every_kind_of_fault(foreign, tmp_path, monkeypatch, way):
    monkeypatch.setenv("SESAME", "open sesame")
    hard = {"user": "careful", "sudo": '"password"', "sudo_password_env": '"SESAME"'}
    fields = {} if way == "root" else {**hard, "jump": '"gate"'}
    plan = Plan(
        system="raft",
        workload="register",
        nemeses=KINDS,
        cluster=foreign.file(f"run-{way}", **fields),
        node_count=3,
        time_limit_s=12.0,
        interval_s=3.0,
        seed=5,
    )
    result = execute(plan, store=tmp_path, monitor=Quiet())
    reasons = {name: (v.status.value, v.reasons) for name, v in result.verdicts.items()}
    assert result.failure is None
    assert result.status is Status.VALID, reasons
    took = {event.kind for _, event in result.evidence.faults or () if event.state == "active"}
    assert took == set(KINDS)
    assert result.evidence.history is not None
    assert (result.evidence.history.outcome == 0).sum() > 100
    assert foreign.remains() == {}
    assert "open sesame" not in "".join(
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
    )


def test_the_command_takes_all_nodes_of_the_file(foreign, tmp_path, capsys):
    path = foreign.file("command")
    how = ["--nemesis", "none", "--time-limit", "1", "--store", str(tmp_path), "--json"]
    assert run_command(["run", "--cluster", path, *how]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "valid"
    (plan,) = tmp_path.glob("*/plan.json")
    assert json.loads(plan.read_text())["node_count"] == 3


def test_a_fault_that_owners_do_not_allow_is_refused_with_the_reason(foreign, tmp_path, capsys):
    path = foreign.file("no_reboot")
    how = ["--nemesis", "reboot", "--time-limit", "1", "--store", str(tmp_path)]
    assert run_command(["run", "--cluster", path, *how]) in (254, 255)
    said = capsys.readouterr()
    assert "(no host of the inventory says `reboot = true`)" in " ".join(
        (said.out + said.err).split()
    )


def test_hosts_that_are_not_ready_end_the_command_in_one_line(foreign, tmp_path, capsys):
    path = foreign.file("not_ready", user="powerless")
    how = ["--nemesis", "none", "--time-limit", "1", "--store", str(tmp_path)]
    assert run_command(["run", "--cluster", path, *how]) == 255
    said = capsys.readouterr()
    assert "n1, n2, n3: sudo asks powerless for a password" in " ".join(
        (said.out + said.err).split()
    )
