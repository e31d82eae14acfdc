"""Compiles the clock preload, once, into the user's cache."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

import platformdirs

from splitbrain.cluster.tool import run_tool
from splitbrain.core.errors import SetupError

_FLAGS = ("-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,defs")
_LIMIT_S = 60.0
ADVICE = "apt-get install gcc libc6-dev"


def compiler() -> str | None:
    """Give the path of the C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def clock_preload() -> bytes:
    """Give the library, compiled at most once for each version of its source.

    Raises: SetupError when there is no compiler, or it refuses.
    """
    source = (resources.files("splitbrain.cluster") / "clock_preload.c").read_bytes()
    seal = hashlib.sha256(source + repr((_FLAGS, platform.machine())).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("splitbrain") / "clock_preload"
    made = folder / f"{seal}.so"
    try:
        if not made.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _compile(source, made)
        return made.read_bytes()
    except OSError as error:
        message = f"the clock preload cannot be kept in {folder}: {error.strerror}"
        raise SetupError(message) from error


def _compile(source: bytes, made: Path) -> None:
    program = compiler()
    if program is None:
        message = "there is no C compiler for the clock preload"
        raise SetupError(message, advice=ADVICE)
    with tempfile.TemporaryDirectory(dir=made.parent, prefix="making-") as name:
        folder = Path(name)
        (folder / "clock_preload.c").write_bytes(source)
        fresh = folder / "clock_preload.so"
        command = (program, *_FLAGS, "-o", str(fresh), "clock_preload.c", "-ldl", "-lpthread")
        try:
            done = run_tool(command, folder=folder, limit_s=_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            message = f"compiling the clock preload took more than {_LIMIT_S:g} s"
            raise SetupError(message) from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            message = f"the clock preload cannot be compiled: {lines[0]}"
            raise SetupError(message, advice=ADVICE)
        fresh.replace(made)  # in one step, so that nobody sees half a library
