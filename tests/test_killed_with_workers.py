"""Programs that let others work for them: however they end, nobody goes on working, or waiting."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

CAMPAIGN = (
    "splitbrain", "run", "--cluster", "sim", "--nodes", "3", "--nemesis", "none",
    "--time-limit", "1", "--rate", "30", "--test-count", "10000", "--store",
)  # fmt: skip
GATE = (
    "splitbrain.gate", "--bugs", "0", "--drawn", "0", "--embedded", "0", "--seeds", "10000",
    "--pairs", "raft/register/kill", "--jobs", "2", "--state",
)  # fmt: skip


@pytest.mark.parametrize("words", [CAMPAIGN, GATE], ids=lambda words: words[0])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_no_worker_outlives_its_program(
    tmp_path: Path, words: Sequence[str], number: signal.Signals
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", *words, str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(workers := workers_of(running.pid)) < 2:
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    if number == signal.SIGTERM:
        assert (running.returncode, err) == (2, "")  # not done
    while left := [pid for pid in workers if is_alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in of(child, "cmdline")]


def is_alive(pid: int) -> bool:
    """Tell whether a program goes on; one that nobody has asked about since its end does not."""
    return of(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


def of(pid: int | str, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
