"""Logs: panics, crashes and reports of sanitizers in what the daemons wrote.

To find nothing is no guarantee: a daemon may die in silence. So there is an opinion only when
something is found, or when there was nothing to read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, Log, Need
from splitbrain.core.value import Value
from splitbrain.core.verdict import Anomaly, Status, Verdict, unknown

LINE_LIMIT = 2_000
"""How many characters of a line are looked at: it bounds what a bad expression can cost."""
ANOMALY_LIMIT = 20
TRACEBACK = r"^(?:\s*\+ Exception Group )?Traceback \(most recent call last\)"
TRACEBACK_LINES = 200
"""Within how many lines a traceback of Python ends."""
TEXT_LIMIT = 300

PATTERNS: Mapping[str, str] = {
    r"\bpanic(?:ked at|:)": "panic",
    TRACEBACK: "traceback",
    r"^Fatal Python error": "fatal python",
    r"(?i)\bassertion\b.{0,200}\bfailed\b": "assertion",
    r"\bAssertionError\b": "assertionerror",
    r"(?i)\bout of memory\b": "out of memory",
    r"(?i)\bcannot allocate memory\b": "cannot allocate",
    r"\bOutOfMemoryError\b": "outofmemory",
    r"(?i)\bdata race\b": "data race",
    r"(?i)\bsegmentation fault\b": "segmentation",
    r"(?i)\bsegfault\b": "segfault",
    r"\bSIGSEGV\b": "sigsegv",
    r"(?i)\bcore dumped\b": "core dumped",
    r"\b(?:Address|Thread|Memory|UndefinedBehavior)Sanitizer\b": "sanitizer",
    r"^fatal error: ": "fatal error",
    r"^terminate called ": "terminate called",
    r"(?i)\bdouble free or corruption\b": "double free",
    r"(?i)\bstack smashing detected\b": "stack smashing",
    r"^Exception in thread ": "exception in thread",
    r"\bCRASH REPORT\b": "crash report",
}
"""What is looked for: Go, Rust, Python, C, C++, the JVM, Erlang and the sanitizers.

With each goes a text in small letters without which it cannot match: most occur in no log at all,
and to search for a text is a hundred times as fast.
"""


_BEGINS = re.compile(TRACEBACK)


@dataclass(frozen=True, slots=True)
class _Find:
    log: Log
    line: int
    text: str
    pattern: str


class Logs:
    """Looks for crashes in the daemons' logs. patterns: regular expressions instead of ours.

    Raises: UsageError for an expression that is none.
    """

    name = "logs"
    needs = frozenset({Need.LOGS})

    def __init__(self, patterns: Sequence[str] | None = None) -> None:
        self._given = None if patterns is None else tuple(patterns)
        self._patterns = [_compiled(text) for text in PATTERNS if patterns is None] + [
            _compiled(text) for text in patterns or ()
        ]

    def parameters(self) -> Mapping[str, Value]:
        """Give the parameters."""
        return {"patterns": None if self._given is None else list(self._given)}

    def check(self, evidence: Evidence) -> Verdict:
        """Judge: the first line that each pattern finds in each log is an anomaly."""
        logs = evidence.logs or ()
        if not logs:
            return unknown("no log of any daemon was collected")
        finds = [find for log in logs for find in self._finds(log)]
        counts: dict[tuple[str, str, str], int] = {}
        firsts: dict[tuple[str, str, str], _Find] = {}
        for find in finds:
            key = (find.log.node, find.log.daemon, find.pattern)
            counts[key] = counts.get(key, 0) + 1
            firsts.setdefault(key, find)
        anomalies = [_anomaly(find, counts[key]) for key, find in firsts.items()]
        return Verdict(
            status=Status.INVALID if anomalies else Status.VALID,
            anomalies=tuple(anomalies[:ANOMALY_LIMIT]),
            reasons=tuple(_limits(logs)),
            stats={
                "logs": len(logs),
                "characters": sum(len(log.text) for log in logs),
                "matches": len(finds),
            },
            judges=bool(anomalies),
        )

    def _finds(self, log: Log) -> Iterator[_Find]:
        small = log.text.lower()
        patterns = [found for found in self._patterns if PATTERNS.get(found.pattern, "") in small]
        lines = log.text.split("\n") if patterns else []
        for number, line in enumerate(lines, 1):
            looked = line[:LINE_LIMIT]
            for pattern in patterns:
                if pattern.search(looked):
                    text = looked
                    if _BEGINS.match(looked):
                        text += _raised(lines[number : number + TRACEBACK_LINES])
                    yield _Find(log, number, _printable(text), pattern.pattern)
                    break


def _raised(lines: Sequence[str]) -> str:
    """Tell of a traceback the last place and the exception; nothing where it has no end."""
    place = ""
    for numbered in lines:
        line = numbered.removeprefix("  | ")  # where it is of a group of exceptions
        if line.startswith("  File "):
            place = line.strip()[:LINE_LIMIT]
        elif line and not line.startswith(" "):
            return f" {place}: {line[:LINE_LIMIT]}" if place else ""
    return ""


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        message = f"{text!r} is no regular expression: {error}"
        raise UsageError(message) from error


def _limits(logs: Sequence[Log]) -> Iterator[str]:
    for log in logs:
        if log.truncated:
            yield f"the log of {log.daemon} on {log.node} was cut: its end was not read"


def _anomaly(find: _Find, count: int) -> Anomaly:
    log = find.log
    more = f" ({count} lines like it)" if count > 1 else ""
    place: dict[str, Value] = {"node": log.node, "daemon": log.daemon, "line": find.line}
    return Anomaly(
        name="crash-in-log",
        explanation=(
            f"{log.daemon} on {log.node} wrote in line {find.line} of its log: "
            f"{find.text[:TEXT_LIMIT]!r}{more}"
        ),
        evidence=(place | {"text": find.text, "pattern": find.pattern},),
    )


def _printable(text: str) -> str:
    """Make bytes that were no UTF-8 visible: they cannot be stored as they are."""
    return text.rstrip("\r").encode("utf-8", "backslashreplace").decode()
