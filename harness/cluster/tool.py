"""Runs the small programs that hosts are made with, out of the terminal's reach."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_tool(
    argv: Sequence[str],
    *,
    told: str = "",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and keep what it says; told: its whole input.

    It has a process group of its own: the terminal's Ctrl-C is for us alone, and must not end a
    program half-way whose failure would then be taken for that of the machine.

    Raises: OSError when it cannot be started, subprocess.TimeoutExpired when time runs out.
    """
    return subprocess.run(
        argv,
        input=told,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=limit_s,
        process_group=0,
    )
