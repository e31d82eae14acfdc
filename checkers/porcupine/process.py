"""Runs the Porcupine helper: one request in, one answer for each partition out."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from splitbrain.checkers.porcupine.helper import ensure_helper
from splitbrain.core.errors import CheckerError

READ, WRITE, CAS, APPEND, REFUSED = range(5)
"""The kinds of operations in a request; REFUSED is a compare-and-set that did not match."""

PENDING = -1
"""The return time of an operation of unknown outcome."""

_GRACE_S = 10.0


class Partition(msgspec.Struct, kw_only=True):
    """The operations of one object, in columns.

    initial, value, expected: codes, see `Request.tokens`. kind: READ to REFUSED. call, return_:
    places in the history; `PENDING` where the outcome is unknown.
    """

    initial: int
    kind: list[int] = msgspec.field(default_factory=list)
    call: list[int] = msgspec.field(default_factory=list)
    return_: list[int] = msgspec.field(name="return", default_factory=list)
    value: list[int] = msgspec.field(default_factory=list)
    expected: list[int] = msgspec.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.kind)

    def add(self, kind: int, call: int, return_: int, *, value: int = 0, expected: int = 0) -> None:
        """Add one operation."""
        self.kind.append(kind)
        self.call.append(call)
        self.return_.append(return_)
        self.value.append(value)
        self.expected.append(expected)


class Request(msgspec.Struct, kw_only=True):
    """What the helper is asked.

    tokens: each code's content as a sequence, where there are appends; None makes codes opaque.
    workers: partitions searched side by side, 0 for one a core. explain: look for the shortest
    prefix that is illegal.
    """

    time_limit_ms: int
    memory_limit_bytes: int
    partitions: list[Partition]
    tokens: list[list[int]] | None = None
    workers: int = 0
    explain: bool = True


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one partition.

    answer: ok, illegal or unknown, and the reason of the latter. checked: completions in the
    longest prefix that was found linearizable. culprit: the row whose completion first made the
    history illegal, -1 if that was not found. linearized: rows of the longest partial
    linearization of the history up to there.
    """

    answer: str
    partition: int = -1
    reason: str = ""
    checked: int = 0
    culprit: int = -1
    linearized: tuple[int, ...] = ()


class _Line(Answer, frozen=True, kw_only=True):
    answer: str = ""
    done: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers in the order of the partitions. seconds: spent in the helper."""

    partitions: tuple[Answer, ...]
    seconds: float = 0.0


@dataclass(slots=True)
class _Ended:
    lines: Sequence[bytes]
    problem: str = field(default="")


def ask(request: Request) -> Answers:
    """Have the helper judge every partition.

    Partitions that it gave no answer for, because it died or was killed past its deadline, are
    unknown with that reason; answers that were given before stand.

    Raises: CheckerError when there is no helper.
    """
    if not request.partitions:
        return Answers(partitions=())
    program = ensure_helper()
    ended = _run(program, msgspec.json.encode(request), request.time_limit_ms / 1000 + _GRACE_S)
    found: dict[int, Answer] = {}
    seconds = 0.0
    for text in ended.lines:
        line = _decode(text)
        if line is None:
            ended.problem = ended.problem or "the Porcupine helper wrote a line that is no answer"
        elif line.done:
            seconds = line.seconds
        else:
            found[line.partition] = line
    lost = Answer(answer="unknown", reason=ended.problem or "the Porcupine helper gave no answer")
    return Answers(
        partitions=tuple(found.get(number, lost) for number in range(len(request.partitions))),
        seconds=seconds,
    )


def _decode(text: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(text, type=_Line)
    except msgspec.MsgspecError:
        return None


def _run(program: Path, request: bytes, timeout_s: float) -> _Ended:
    try:
        # A session of its own: Ctrl-C reaches it through us alone, and its group can be killed.
        process = subprocess.Popen(
            [str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        message = f"the Porcupine helper {program} cannot be started: {error.strerror}"
        raise CheckerError(message) from error
    problem = ""
    try:
        out, err = process.communicate(request, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        out, err = process.communicate()
        problem = f"the Porcupine helper was killed after {timeout_s:.0f} s"
    finally:
        _kill(process)
    if not problem and process.returncode != 0:
        problem = f"the Porcupine helper {_death(process.returncode)}{_first_line(err)}"
    return _Ended(out.splitlines(), problem)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _death(status: int) -> str:
    if status < 0:
        return f"died of {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


def _first_line(stderr: bytes) -> str:
    """Give the first line: a Go panic says there what went wrong, then come pages of stacks."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f": {lines[0][:300]}" if lines else ""
