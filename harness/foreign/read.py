"""Reads a foreign history: finds out its format, and says what had to be assumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from splitbrain.core.errors import MalformedHistoryError, UsageError
from splitbrain.core.parquet import read_parquet
from splitbrain.core.quoted import quoted_value
from splitbrain.core.value import Value
from splitbrain.foreign.edn_events import edn_events
from splitbrain.foreign.edn_table import edn_table
from splitbrain.foreign.event import Event
from splitbrain.foreign.header import read_header
from splitbrain.foreign.imported import Imported
from splitbrain.foreign.jepsen_log import OPERATION_LINE, jepsen_log_events, jepsen_log_table
from splitbrain.foreign.json_lines import json_events, json_table
from splitbrain.foreign.lines import lines
from splitbrain.foreign.pairing import Paired, Pairing
from splitbrain.foreign.quick import pair_quickly
from splitbrain.foreign.table import EventTable

FORMATS: Mapping[str, str] = {
    "jepsen-edn": "Jepsen and Knossos: EDN maps, one after another or in a vector",
    "jepsen-log": "the operations in Jepsen's log, as in Porcupine's etcd_NNN.log",
    "porcupine-kv": "Porcupine's key-value histories: EDN maps with get, put and append",
    "jsonl": "JSON lines: one event a line",
    "parquet": "Parquet: one operation a row, its columns named as in docs/histories.md",
}
"""The formats that are read, each in a sentence."""

_READERS: Mapping[str, Callable[[Path], Iterator[Event | None]]] = {
    "jepsen-edn": edn_events,
    "jepsen-log": jepsen_log_events,
    "porcupine-kv": edn_events,
    "jsonl": json_events,
}
_TABLES: Mapping[str, Callable[[Path], EventTable | None]] = {
    "jepsen-edn": edn_table,
    "jepsen-log": jepsen_log_table,
    "porcupine-kv": edn_table,
    "jsonl": json_table,
}
_BY_SUFFIX = {".edn": "jepsen-edn", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_OBSERVED, _DROPPED = "observed", "dropped"
_LINES_LOOKED_AT = 50


def read_history(path: Path, *, failed_cas: str | None = None) -> Imported:
    """Read the history in a file.

    failed_cas: what a failed compare-and-set without an error is: "observed" (it saw another value)
    or "dropped" (it says nothing); None: observed in Jepsen's logs, dropped in the other formats.

    Raises: UsageError when the file cannot be read or its format is not known,
    MalformedHistoryError naming file and line when it breaks a rule.
    """
    if failed_cas not in (None, _OBSERVED, _DROPPED):
        message = f"a failed compare-and-set is observed or dropped, not {failed_cas!r}"
        raise UsageError(message)
    name = _format(path)
    if name == "parquet":
        return _columns(path)
    header = read_header(path) if name == "jsonl" else None
    decided = failed_cas or (_OBSERVED if name == "jepsen-log" else _DROPPED)
    paired = _paired(path, name, observe_refusals=decided == _OBSERVED)
    if not len(paired.history) and not paired.nemesis:
        message = "no operations were found"
        raise MalformedHistoryError(message, path=path)
    facts: dict[str, Value] = {
        "initial": "" if name == "porcupine-kv" else None,
        "minimum_ok": 0,
        **(header.facts if header else {}),
    }
    return Imported(
        history=paired.history,
        format=name,
        assumptions=tuple(_assumptions(paired, decided, facts["initial"])),
        facts=facts,
        checkers=header.checkers if header else (),
    )


def _columns(path: Path) -> Imported:
    history, facts = read_parquet(path)
    if not len(history):
        message = "no operations were found"
        raise MalformedHistoryError(message, path=path)
    initial = facts.get("initial")
    shown = "null" if initial is None else quoted_value(initial)
    return Imported(
        history=history,
        format="parquet",
        assumptions=(f"before the first operation every key holds {shown}",),
        facts={"minimum_ok": 0, **facts, "initial": initial},
    )


def _paired(path: Path, name: str, *, observe_refusals: bool) -> Paired:
    """Read by the quick route; what that cannot take is read event by event, and may be refused."""
    try:
        table = _TABLES[name](path) if name in _TABLES else None
    except MalformedHistoryError:
        table = None
    if table is not None:
        paired = pair_quickly(table, path, observe_refusals=observe_refusals)
        if paired is not None:
            return paired
    return Pairing(path, observe_refusals).run(_READERS[name](path))


def _format(path: Path) -> str:
    """Choose by the file's name, else by what its first lines look like.

    Raises: UsageError when neither says.
    """
    if path.suffix in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix]
    for count, (_, text) in enumerate(lines(path)):
        found = _looks_like(text.strip())
        if found is not None:
            return found
        if count >= _LINES_LOOKED_AT:
            break
    known = ", ".join(FORMATS)
    message = f"{path} does not look like a history that can be read ({known})"
    raise UsageError(message)


def _looks_like(text: str) -> str | None:
    if OPERATION_LINE.match(text):
        return "jepsen-log"
    if text.startswith('{"'):
        return "jsonl"
    if text.lstrip("[(, ").startswith(("{:", "#jepsen")):
        return "porcupine-kv" if _is_key_value(text) else "jepsen-edn"
    return None


def _is_key_value(text: str) -> bool:
    return ":key" in text and any(f":f :{name}" in text for name in ("get", "put", "append"))


def _assumptions(paired: Paired, failed_cas: str, initial: Value) -> Iterator[str]:
    held = "an empty text" if initial == "" else quoted_value(initial)
    yield f"before the first operation every key holds {held}"
    if paired.refused:
        meaning = {
            _OBSERVED: "counted as an observation that the value was another",
            _DROPPED: "left out, as if never made",
        }[failed_cas]
        yield f"{_many(paired.refused, 'failed compare-and-set')}: {meaning}"
    if paired.tupled:
        yield f"values are [key value], as of independent keys: {_many(paired.tupled, 'key')}"
    if paired.changed:
        yield (
            f"{_many(paired.changed, 'operation')} ended with another value than given: what was "
            "given counts"
        )
    if paired.aliases:
        names = " and ".join(paired.aliases)
        yield f"{names} taken for the operations of a keyed store that mean the same"
    if paired.unfinished:
        yield f"{_many(paired.unfinished, 'operation')} without an end: of unknown outcome"
    if paired.renumbered:
        yield (
            f"a process that went on after an operation of unknown outcome counts as another: "
            f"{_many(paired.renumbered, 'time')}"
        )
    if paired.nemesis:
        yield f"{_many(paired.nemesis, 'event')} of the nemesis left out"


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
