"""Ctrl-C goes to a terminal's whole foreground group: what hosts are made with does not hear it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from splitbrain.cluster import embedded, embedded_disk, preload
from splitbrain.core.errors import SetupError

PROGRAM = '#!/bin/sh\ncat >/dev/null\ncut -d" " -f5 /proc/$$/stat >"{told}"\nexit 1\n'
"""Tells the process group that it runs in, and fails as a program that Ctrl-C ended does."""


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("ip", lambda _: embedded._ip("link show")),
        ("nft", lambda _: embedded.nft_reason()),
        ("mkfs.ext4", embedded_disk.prepare_disk),
        ("cc", lambda folder: preload._compile(b"", folder / "made.so")),
    ],
)
def test_a_program_that_makes_hosts_is_not_in_the_terminals_foreground_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, use: Callable[[Path], object]
) -> None:
    told, program = tmp_path / "told", tmp_path / name
    program.write_text(PROGRAM.format(told=told))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with suppress(SetupError):
        use(tmp_path)
    assert int(told.read_text()) != os.getpgrp()
