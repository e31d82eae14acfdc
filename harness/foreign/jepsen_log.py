"""Jepsen's own log lines, as in Porcupine's test data, in jepsen.log and in history.txt.

`INFO  jepsen.util - PROCESS<TAB>:invoke|:ok|:fail|:info<TAB>:F<TAB>VALUE`, and perhaps a tab and an
error; an outcome that is not known has `:timed-out` for its value. Later versions name time and
thread (`TIME<TAB>INFO<TAB>[THREAD] jepsen.util: ...`); history.txt has the operations alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from splitbrain.core.errors import MalformedHistoryError
from splitbrain.core.value import Value
from splitbrain.foreign.edn import edn_value
from splitbrain.foreign.event import NEMESIS, Event, EventType, event_type, small_integer
from splitbrain.foreign.lines import lines
from splitbrain.foreign.table import EventTable

OPERATION_LINE = re.compile(
    r"^(?:(?:.*\s)?INFO\s+jepsen\.util - (?P<told>.*)"
    r"|(?:(?:.*\s)?INFO\s+\[[^\]]*\] jepsen\.util: )?(?P<operation>(?:-?\d+|:\w+)\t.*))$"
)
"""In the later form jepsen.util tells of other things too: an operation begins with its process."""


def jepsen_log_events(path: Path) -> Iterator[Event | None]:
    """Give the events of a log, None for each of the nemesis; lines of other kinds are passed over.

    Raises: MalformedHistoryError naming the line.
    """
    for line, text in lines(path):
        match = OPERATION_LINE.match(text)
        if match:
            yield _event(match["told"] or match["operation"] or "", path, line)


def jepsen_log_table(path: Path) -> EventTable:
    """Give the same events side by side.

    Raises: MalformedHistoryError naming the line.
    """
    return EventTable.of(jepsen_log_events(path))


def _event(text: str, path: Path, line: int) -> Event | None:
    columns = [column.strip() for column in text.split("\t")]
    if columns[0] == f":{NEMESIS}":
        return None
    if not 4 <= len(columns) <= 5:
        message = "an operation has process, type, f and value, with tabs between them"
        raise MalformedHistoryError(message, path=path, line=line)
    process = edn_value(columns[0], path, line)
    kind = event_type(columns[1].removeprefix(":"), path, line)
    value = edn_value(columns[3], path, line)
    error = columns[4] if len(columns) == 5 else None
    if _is_error(kind, value):
        value, error = None, str(value)
    return Event(
        line=line,
        process=small_integer(process, "process", path, line),
        type=kind,
        f=columns[2].removeprefix(":"),
        value=value,
        error=error,
    )


def _is_error(kind: EventType, value: Value) -> bool:
    """A keyword in the place of the value says what went wrong."""
    failed = kind in (EventType.FAIL, EventType.INFO)
    return failed and isinstance(value, str) and value.startswith(":")
