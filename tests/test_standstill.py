"""A core that blocks is named, and the third Ctrl-C ends a run whatever it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from splitbrain import exit_code
from splitbrain.standstill import Standstill, telling_standstill

DEADLINE_S = 60.0

BLOCKS = """
from splitbrain.core.simulated import OnlySimulated
from splitbrain.system_under_test.systems.conversation import LeaderClient
from splitbrain.system_under_test.systems.simulated_service import SimulatedNodes


class Node:
    def __init__(self):
        self.core = self

    def start(self):
        while True:
            pass


class Blocks(OnlySimulated, SimulatedNodes):
    name = "blocks"
    functions = frozenset({"read", "write"})
    checkers = ()
    facts = {"initial": None, "recovery_bound_s": 5.0}

    def make(self, node, topology, records, now_ns):
        return Node()

    def client_core(self, vocabulary, topology):
        return lambda: LeaderClient(known=topology.addresses)
"""


def test_a_thread_that_blocks_while_time_stands_still_is_named_once() -> None:
    release = threading.Event()
    inside = threading.Event()

    class World:
        now_ns = 1

        def run_until(self) -> None:
            inside.set()
            release.wait(DEADLINE_S)

    world: Any = World()
    thread = threading.Thread(target=world.run_until, daemon=True)
    thread.start()
    assert inside.wait(DEADLINE_S)
    calm = Standstill(world, thread, limit_s=DEADLINE_S)
    assert calm.look() is None
    watch = Standstill(world, thread, limit_s=0.0)
    line = watch.look()
    assert line is not None
    assert "wait" in line
    assert "threading.py, line" in line
    assert watch.look() is None
    release.set()
    thread.join(DEADLINE_S)


def test_it_is_told_by_a_thread_of_its_own_while_this_one_blocks() -> None:
    class World:
        now_ns = 1

        def run_until(self) -> None:
            heard.acquire(timeout=DEADLINE_S)

    world: Any = World()
    heard = threading.Semaphore(0)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        heard.release()

    with telling_standstill(world, say, limit_s=0.0):
        world.run_until()
    assert len(said) == 1
    assert "virtual time has stood still" in said[0]


def test_a_node_that_blocks_is_named_among_many_seeds_as_well(tmp_path: Path) -> None:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    command = [sys.executable, "-m", "splitbrain", "run", "--cluster", "sim", "--test-count", "2"]
    command += ["--system", "blocks.py:Blocks", "--seed", "7", "--store", "store"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stderr is not None
        killer = threading.Timer(DEADLINE_S, program.kill)
        killer.start()
        told = [program.stderr.readline(), program.stderr.readline()]
        program.kill()
        killer.cancel()
    for seed, line in zip((7, 8), sorted(told), strict=True):
        assert line.startswith(
            f"splitbrain: seed {seed}: virtual time has stood still for 10 s in "
        )
        assert "start (blocks.py, line 1" in line


def test_what_is_read_after_the_world_has_stopped_may_take_its_time() -> None:
    world: Any = SimpleNamespace(now_ns=1)
    assert Standstill(world, threading.current_thread(), limit_s=0.0).look() is None


def test_only_the_time_since_it_last_passed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    world: Any = SimpleNamespace(now_ns=1)
    watch = Standstill(world, threading.current_thread(), limit_s=10.0)
    monkeypatch.setattr(Standstill, "_is_in_world", lambda *_: True)
    told = []
    for moment_s, moment_ns in ((0, 1), (9, 2), (18, 2), (18.5, 3), (28, 3), (29, 3)):
        now_s, world.now_ns = moment_s, moment_ns
        told.append(watch.look() is not None)
    assert told == [False, False, False, False, False, True]


def test_the_third_ctrl_c_ends_a_run_whose_node_blocks(tmp_path: Path) -> None:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    command = [sys.executable, "-m", "splitbrain", "run", "--cluster", "sim"]
    command += ["--system", "blocks.py:Blocks", "--seed", "1", "--store", "store"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as program:
        assert program.stdout is not None
        killer = threading.Timer(DEADLINE_S, program.kill)
        killer.start()
        told = ""
        for line in program.stdout:
            told += line
            if any(sign in line for sign in ("bringing up", "stopping:", "giving up:")):
                program.send_signal(signal.SIGINT)
        killer.cancel()
    assert "giving up" in told
    assert told.endswith("splitbrain: interrupted\n")
    assert program.returncode == exit_code.UNKNOWN
