"""Runs the programs that manage machines, each with a time limit, and keeps what they say."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from splitbrain.core.errors import SetupError

_TAIL = 12
_SHOWN = 300
_STEP_S = 1.0


def run_program(
    argv: Sequence[str],
    *,
    limit_s: float,
    log: Path,
    environment: Mapping[str, str] | None = None,
    heard: Callable[[str], None] = lambda _line: None,
    what: str | None = None,
) -> str:
    """Run a program and give its standard output.

    log: where all that it says goes. heard: called with each line, as it comes. what: how to name
    the program in an error. Raises: SetupError with its last words, or when time runs out; the
    program and what it started are ended then.
    """
    name = what or Path(argv[0]).name
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        message = f"{name} cannot be started: {error.strerror}"
        raise SetupError(message, advice="see `splitbrain doctor`") from error
    with process:
        try:
            out, err = _listen(process, limit_s, log, heard)
        except BaseException:
            _end_group(process.pid)
            raise
        if out is None:
            _end_group(process.pid)
            message = f"{name} did not end within {limit_s:g} s"
            raise SetupError(message, advice=f"what it said lies in {log}")
    if process.returncode != 0:
        message = f"{name} failed: {last_words(err) or last_words(out) or 'it said nothing'}"
        raise SetupError(message, advice=f"all that it said lies in {log}")
    return "\n".join(out)


def last_words(lines: Sequence[str]) -> str:
    """Give the end of what a program said, as one line."""
    text = " ".join(" ".join(lines[-_TAIL:]).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _listen(
    process: subprocess.Popen[bytes], limit_s: float, log: Path, heard: Callable[[str], None]
) -> tuple[list[str] | None, list[str]]:
    """Give the lines of both outputs; None for the first when time ran out."""
    deadline_s = time.monotonic() + limit_s
    streams = {process.stdout: bytearray(), process.stderr: bytearray()}
    lines: dict[object, list[str]] = {stream: [] for stream in streams}
    with selectors.DefaultSelector() as selector, log.open("ab") as file:
        for stream in streams:
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() > deadline_s:
                return None, lines[process.stderr]
            for key, _ in selector.select(_STEP_S):
                data = os.read(key.fd, 1 << 16)
                file.write(data)
                if not data:
                    selector.unregister(key.fileobj)
                for line in _split(streams[key.fileobj], data):  # type: ignore[index]
                    lines[key.fileobj].append(line)
                    heard(line)
            file.flush()
            if process.poll() is not None and not selector.select(0):
                break  # a child that outlives it may hold its outputs open for ever
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.1, deadline_s - time.monotonic()))
    rest = [bytes(held).decode(errors="replace") for held in streams.values()]
    for stream, text in zip(streams, rest, strict=True):
        lines[stream] += [text] if text.strip() else []
    return lines[process.stdout], lines[process.stderr]


def _split(held: bytearray, data: bytes) -> list[str]:
    held += data.replace(b"\r", b"\n")
    *whole, rest = bytes(held).split(b"\n")
    held[:] = rest
    return [line.decode(errors="replace") for line in whole if line.strip()]


def _end_group(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
        time.sleep(0.2)
