"""What is shown while a run goes on."""

from __future__ import annotations

import errno
import io
import re
import threading
import time

import pytest
from rich.console import Console

from splitbrain.core.run import Progress
from splitbrain.report.alphabet import ASCII, UNICODE
from splitbrain.report.live import WAITING_LIMIT, LiveReport
from splitbrain.report.live_view import LiveView

COUNTS = {"ok": 1200, "fail": 3, "info": 1}
RATES = {"ok": 400.0, "fail": 1.0, "info": 0.0}


def moment(phase: str, elapsed_s: float, began_s: float = 0.0, **fields) -> Progress:
    return Progress(phase=phase, elapsed_s=elapsed_s, phase_elapsed_s=elapsed_s - began_s, **fields)


def loaded(elapsed_s: float, **fields) -> Progress:
    values = {"counts": COUNTS, "rates_hz": RATES, "phase_limit_s": 30.0} | fields
    return moment("main", elapsed_s, 2.0, **values)


def run_through(report: LiveReport, samples) -> None:
    report.started(samples.PLAN, samples.PATH)
    report.message("bringing up 5 embedded hosts")
    for tenth in range(20):
        report.progress(moment("up", tenth / 10))
    for quarter in range(8, 60):
        active = ("partition n1,n2",) if 20 <= quarter < 40 else ()
        report.progress(loaded(quarter / 4, active=active))


def test_plain_lines_where_there_is_no_terminal(samples):
    console = samples.plain_console()
    with LiveReport(console) as report:
        run_through(report, samples)
    assert samples.written(console).splitlines() == [
        f"raft register · seed 42 · bug unchecked-leader-reads · {samples.PATH}",
        "   0.0 s  bringing up 5 embedded hosts",
        "   0.0 s  up 0.0 s",
        "   2.0 s  main 0.0 of 30 s  ok 1,200 fail 3 info 1  401/s",
        "   7.0 s  main 5.0 of 30 s  ok 1,200 fail 3 info 1  401/s  faults: partition n1,n2",
        "  12.0 s  main 10.0 of 30 s  ok 1,200 fail 3 info 1  401/s",
    ]


def test_the_display_changes_in_place_on_a_terminal(samples):
    console = samples.terminal_console(color_system=None)
    with LiveReport(console) as report:
        run_through(report, samples)
        deadline = time.monotonic() + 20
        while "12.8 of 30 s" not in samples.written(console):
            assert time.monotonic() < deadline
            report.progress(loaded(14.75, active=("kill n3",)))
            time.sleep(0.01)
    text = samples.written(console)
    assert "up 2.0 › main" in text  # noqa: RUF001
    assert "ok 1,200 400/s   fail 3 1/s   info 1 0/s" in text
    assert "bringing up 5 embedded hosts" in text
    assert "\x1b[?25l" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"


def test_a_dumb_terminal_gets_plain_lines(samples):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, _environ={"TERM": "dumb"})
    with LiveReport(console) as report:
        run_through(report, samples)
    assert "\x1b[?25l" not in samples.written(console)
    assert "   2.0 s  main 0.0 of 30 s" in samples.written(console)


def test_quiet_shows_nothing(samples):
    console = samples.plain_console()
    with LiveReport(console, quiet=True) as report:
        run_through(report, samples)
        report.finished(samples.found_valid())
    assert samples.written(console) == ""


def test_the_final_report_follows_what_was_shown(samples):
    console = samples.plain_console()
    report = LiveReport(console)
    run_through(report, samples)
    report.finished(samples.found_invalid())
    text = samples.written(console)
    assert text.index("main 10.0 of 30 s") < text.index(" INVALID   raft register")
    assert text.rstrip().endswith("splitbrain show store/raft-register/20261123T190812-42")
    report.message("too late")
    report.progress(moment("done", 99))
    report.close()
    assert samples.written(console) == text


@pytest.mark.parametrize(
    "hostile", ["[red]x[/red]", "\x1b[2J\x9b", "two\nlines", "\u202e", "\ud800"]
)
def test_hostile_text_is_only_shown(samples, hostile):
    for console in (samples.plain_console(), samples.ascii_console()):
        with LiveReport(console) as report:
            report.message(hostile)
            report.progress(moment(hostile, 0.0))
            report.progress(loaded(5.0, active=(hostile,)))
        text = samples.written(console)
        assert not set(text) & set("\x1b\x9b\u202e\ud800")
        assert len(text.splitlines()) == 3
        assert ("[red]" in text) == ("[red]" in hostile)


class _Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def fileno(self) -> int:
        raise io.UnsupportedOperation


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "full")


class _Stuck(io.StringIO):
    """A terminal that has stopped until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.go.wait(60)
        return super().write(text)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("begins", [False, True])
def test_a_reader_who_has_left_harms_nobody_and_is_no_news(samples, terminal, begins, caplog):
    console = Console(file=_Broken(), force_terminal=terminal, _environ={"TERM": "xterm"}, width=80)
    report = LiveReport(console)
    if begins:
        run_through(report, samples)
    report.finished(samples.found_valid())
    report.close()
    report.require_shown()
    assert caplog.records == []


def test_a_report_that_cannot_be_written_is_told_to_whoever_asks(samples):
    report = LiveReport(Console(file=_Full(), width=80))
    run_through(report, samples)
    report.finished(samples.found_valid())
    with pytest.raises(OSError, match="full"):
        report.require_shown()


def test_a_terminal_that_has_stopped_delays_nobody(samples):
    file = _Stuck()
    report = LiveReport(Console(file=file, width=80))
    report.message("first")
    assert file.reached.wait(20)
    for _ in range(3 * WAITING_LIMIT):  # the file is held shut: that this ends is the test
        report.progress(loaded(3.0))
        report.message("more")
    assert file.getvalue() == ""
    file.go.set()
    report.close()
    assert "first" in file.getvalue()


def test_many_threads_may_speak_at_once(samples):
    console = samples.plain_console()
    with LiveReport(console) as report:

        def speak(number: int) -> None:
            for _ in range(50):
                report.message(f"thread {number} speaks")
                report.progress(loaded(float(number)))

        threads = [threading.Thread(target=speak, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = samples.written(console).splitlines()
    assert sum("speaks" in line for line in lines) == 200
    assert all(re.search(r"thread \d speaks$|main .* of 30 s", line) for line in lines)


@pytest.mark.parametrize("width", [30, 60, 80, 200])
@pytest.mark.parametrize("alphabet", [UNICODE, ASCII])
def test_the_view_fits_its_width(width, alphabet):
    view = LiveView(alphabet)
    for number, phase in enumerate(("up", "install", "setup", "main", "heal", "settle", "final")):
        for step in range(40):
            counts = {"ok": 12_345_678, "fail": step, "info": 0}
            view.see(
                moment(
                    phase,
                    number * 100 + step,
                    number * 100,
                    counts=counts,
                    rates_hz={"ok": 1000.0 * step},
                    phase_limit_s=30.0 if number % 2 else None,
                    active=tuple(f"kill n{node}" for node in range(step % 9)),
                )
            )
            for line in view.lines(width).split("\n"):
                assert line.cell_len <= width
                assert line.plain.isascii() or alphabet is UNICODE
            assert phase in view.plain()


def test_the_view_in_a_picture():
    view = LiveView(UNICODE)
    view.see(moment("up", 1.0))
    for step in range(9):
        rates = {"ok": 100.0 * step, "fail": 2.0}
        view.see(loaded(2.0 + step, rates_hz=rates, active=("partition n1,n2", "kill n3")))
    assert [line.plain.rstrip() for line in view.lines(70).split("\n")] == [
        " up 2.0 › main                                                 10.0 s",  # noqa: RUF001
        " ━━━━━━━━━━━─────────────────────────────  8.0 of 30 s",
        " ok 1,200 800/s   fail 3 2/s   info 1 0/s   ▁▁▂▃▄▅▅▆▇█",
        " partition n1,n2 · kill n3",
    ]


def test_a_view_before_its_first_moment_is_empty():
    view = LiveView(UNICODE)
    assert view.lines(80).plain == ""
    assert view.plain() == ""


def test_a_phase_that_comes_back_is_a_phase_of_its_own():
    view = LiveView(UNICODE)
    assert view.see(moment("heal", 1.0))
    assert not view.see(moment("heal", 2.0))
    assert view.see(moment("down", 3.0, 2.5))
    assert view.see(moment("heal", 4.0, 3.5))
    assert view.past == [("heal", 2.5), ("down", 1.0)]
