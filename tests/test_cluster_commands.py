"""`splitbrain cluster ...` where there are no machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitbrain.cli import run_command


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITBRAIN_VAGRANT_STATE", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("status", "there are no machines; bring them up: splitbrain cluster up"),
        ("halt", "there are no machines to halt"),
        ("destroy", "there was nothing to remove"),
    ],
)
def test_where_there_are_no_machines_it_is_said_and_nothing_is_made(
    command: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["cluster", command]) == 0
    assert line in capsys.readouterr().out
    assert not (tmp_path / "state").exists()


def test_no_machine_can_be_entered(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["cluster", "ssh", "n1"]) == 255
    assert "no machine is up; bring them up: splitbrain cluster up" in capsys.readouterr().err


def test_ten_machines_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["cluster", "up", "--nodes", "10"]) == 254
    assert run_command(["run", "--cluster", "vagrant", "--nodes", "10"]) == 254
    assert "1 to 9 nodes" in capsys.readouterr().err


def test_a_variable_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPLITBRAIN_DRIVER", "xen")
    assert run_command(["cluster", "status"]) == 254
    assert "SPLITBRAIN_DRIVER is 'xen', and must be kvm or qemu" in capsys.readouterr().err
