"""The directories of runs, and the sweep; needs no root."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from splitbrain.cluster import state
from splitbrain.core.errors import SetupError


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_MEMORY", tmp_path)
    return tmp_path


def test_a_directory_is_private_and_goes_with_the_run(memory):
    run = state.RunState.create()
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert state.parent().stat().st_mode & 0o777 == 0o700
    assert state.sweep() == []
    assert run.path.is_dir()
    run.remove()
    run.remove()
    assert not run.path.exists()


def test_two_runs_have_two_directories(memory):
    assert state.RunState.create().path != state.RunState.create().path


def test_what_a_dead_controller_left_is_swept_and_the_living_are_spared(memory):
    living = state.RunState.create()
    folder = str(memory)
    script = (
        "import pathlib, sys; from splitbrain.cluster import state;"
        "state._MEMORY = pathlib.Path(sys.argv[1]); r = state.RunState.create();"
        "(r.path / 'deep').mkdir(); (r.path / 'deep/file').touch(); print(r.path.name)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script, folder],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    name = done.stdout.strip()
    assert (state.parent() / name).is_dir()
    assert state.sweep() == [f"removed the state of the dead run {name}"]
    assert state.sweep() == []
    assert [path.name for path in state.parent().iterdir()] == [living.path.name]


def test_a_process_id_that_somebody_else_has_now_is_a_dead_controller(memory):
    run = state.RunState.create()
    (run.path / "owner.json").write_text(f'{{"pid": {os.getpid()}, "start_ticks": 1}}')
    assert len(state.sweep()) == 1
    assert not run.path.exists()


def test_hosts_that_outlived_their_controller_are_ended(memory):
    run = state.RunState.create()
    with subprocess.Popen(["sleep", "1000"]) as host:
        run.note_host("n1", host.pid)
        with subprocess.Popen(["sleep", "1000"]) as other:
            (run.path / "n2.pid").write_text(f'{{"pid": {other.pid}, "start_ticks": 1}}')
            (run.path / "owner.json").write_text('{"pid": 1, "start_ticks": 99}')
            lines = state.sweep()
            assert lines == [f"removed the state of the dead run {run.path.name}, 1 host(s) ended"]
            assert host.wait(10) == -9
            assert other.poll() is None
            other.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_directory_without_a_readable_owner_is_left_alone(memory, text):
    run = state.RunState.create()
    (run.path / "owner.json").write_text(text)
    assert state.sweep() == []
    assert run.path.is_dir()


def test_a_parent_that_others_may_write_is_refused(memory):
    state.parent().mkdir()
    state.parent().chmod(0o777)
    with pytest.raises(SetupError, match="not a private directory"):
        state.RunState.create()
    assert state.sweep() == []


def test_a_parent_that_is_a_link_is_refused(memory, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "elsewhere" / "dead").mkdir()
    state.parent().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="not a private directory"):
        state.RunState.create()
    assert state.sweep() == []


def test_without_any_run_there_is_nothing_to_sweep(memory):
    assert state.sweep() == []
