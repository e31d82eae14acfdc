"""Shows a run while it goes on, and its report at the end."""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from splitbrain.core.run import Plan, Progress, RunResult
from splitbrain.report.alphabet import alphabet_of
from splitbrain.report.console import show_result
from splitbrain.report.live_view import LiveView
from splitbrain.report.moments import clock_text
from splitbrain.report.paper import reader_may_leave

logger = logging.getLogger(__name__)

PLAIN_EVERY_S = 5.0
WAITING_LIMIT = 1000
"""So many lines may wait for a terminal that has stopped; then they are dropped."""

STOP_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class _Line:
    text: str


class _Stop:
    pass


class LiveReport:
    """A monitor that draws with rich on a terminal, and writes plain lines elsewhere.

    A thread of its own does all the writing until the run is over, so that a slow terminal delays
    nobody. quiet: nothing is shown at all, the final report included. Use as a context, or close.
    """

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._view = LiveView(alphabet_of(console))
        self._waiting: queue.Queue[Progress | _Line | _Stop] = queue.Queue(WAITING_LIMIT)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._unshown: OSError | None = None
        self._elapsed_s = 0.0
        self._plain_due_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def started(self, plan: Plan, path: Path) -> None:
        """Say what begins, and where its files are."""
        alphabet = self._view.alphabet
        words = [f"{plan.system} {plan.workload}", f"seed {plan.seed}"]
        words += [f"bug {plan.bug}"] if plan.bug else []
        words += [str(path)]
        self._put(_Line(f" {alphabet.dot} ".join(alphabet.text(word) for word in words)))

    def progress(self, moment: Progress) -> None:
        """Show a moment."""
        self._elapsed_s = moment.elapsed_s
        self._put(moment)

    def message(self, text: str) -> None:
        """Show a line for good."""
        shown = self._view.alphabet.text(text)
        self._put(_Line(f"{clock_text(self._elapsed_s):>8}  {shown}"))

    def finished(self, result: RunResult) -> None:
        """Stop what changes in place, and print the report."""
        self.close()
        if self._quiet:
            return
        try:
            _quietly(lambda: show_result(self._console, result))
        except OSError as error:
            self._unshown = error

    def require_shown(self) -> None:
        """Raise the OSError for which the report could not be written, if there was one."""
        if self._unshown is not None:
            raise self._unshown

    def close(self) -> None:
        """Write what still waits, and give the terminal back; may be called again."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return
        with contextlib.suppress(queue.Full):
            self._waiting.put(_Stop(), timeout=STOP_LIMIT_S)
        thread.join(STOP_LIMIT_S)

    def _put(self, item: Progress | _Line) -> None:
        if self._quiet:
            return
        with self._lock:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="report", daemon=True)
                self._thread.start()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(item)

    def _write(self) -> None:
        animated = self._console.is_terminal and not self._console.is_dumb_terminal
        with contextlib.suppress(OSError):  # the report at the end meets with it again
            _quietly(self._animate if animated else self._write_lines)
        while not isinstance(self._waiting.get(), _Stop):
            pass  # the writing failed: let everything go by

    def _write_lines(self) -> None:
        while not isinstance(item := self._waiting.get(), _Stop):
            if isinstance(item, _Line):
                self._print(item.text)
            elif self._view.see(item) or item.elapsed_s >= self._plain_due_s:
                self._plain_due_s = item.elapsed_s + PLAIN_EVERY_S
                self._print(self._view.plain())
        self._waiting.put(item)

    def _animate(self) -> None:
        live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
            vertical_overflow="crop",
        )
        with live:
            while not isinstance(item := self._waiting.get(), _Stop):
                if isinstance(item, _Line):
                    self._print(item.text)
                    continue
                self._view.see(item)
                if self._waiting.empty():
                    live.update(self._view.lines(self._console.width), refresh=True)
        self._waiting.put(item)

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True, highlight=False)


def _quietly(act: Callable[[], None]) -> None:
    """Act; that somebody has read enough is no news.

    Raises: OSError when the console cannot be written for another reason.
    """
    try:
        with reader_may_leave():
            act()
    except BrokenPipeError:
        pass
    except OSError:
        raise
    except Exception:
        logger.exception("the report could not be shown")
