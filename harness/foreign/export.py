"""Writes a history so that others can judge it, and so that reading it gives the same again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from splitbrain.core.errors import StoreError, UsageError
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.parquet import write_parquet
from splitbrain.core.value import Value
from splitbrain.foreign.pairing import NO_RESULT

_KEYWORD = re.compile(r"[A-Za-z*!_?<>=+-][\w*!?<>=+.-]*", re.ASCII)
_TUPLED = frozenset({"read", *NO_RESULT})

Fields = dict[str, Value]


def write_history(history: History, path: Path, facts: Mapping[str, Value]) -> tuple[str, ...]:
    """Write a history in the format that the file's name asks for.

    Gives a line for each thing that the format cannot say. facts: "initial" is the value of each
    key before the first operation.

    Raises: UsageError for a name of another kind, StoreError when the file cannot be written.
    """
    require_writable(path)
    try:
        return WRITERS[path.suffix](history, path, facts)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise StoreError(message) from error


def require_writable(path: Path) -> None:
    """Find out by its name whether a history can be written to a file.

    Raises: UsageError when it is of another kind.
    """
    if path.suffix not in WRITERS:
        message = f"{path}: a history is written as {', '.join(WRITERS)}, by the file's name"
        raise UsageError(message)


def _write_parquet(history: History, path: Path, facts: Mapping[str, Value]) -> tuple[str, ...]:
    write_parquet(history, path, facts)
    return ()


def _write_jsonl(history: History, path: Path, facts: Mapping[str, Value]) -> tuple[str, ...]:
    with path.open("w", encoding="utf-8") as file:
        for line in json_lines(history):
            file.write(line + "\n")
    return _unsaid(history, facts)


def json_lines(history: History) -> Iterator[str]:
    """Give the events of a history as JSON, a line each."""
    for event in _events(history):
        yield json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _write_edn(history: History, path: Path, facts: Mapping[str, Value]) -> tuple[str, ...]:
    tupled = _is_tupled(history)
    with path.open("w", encoding="utf-8") as file:
        for index, event in enumerate(_events(history)):
            file.write(_edn_event({**event, "index": index}, tupled=tupled) + "\n")
    return _unsaid(history, facts)


WRITERS: Mapping[str, Callable[[History, Path, Mapping[str, Value]], tuple[str, ...]]] = {
    ".edn": _write_edn,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
"""How to write a history, by the end of the file's name."""


def _unsaid(history: History, facts: Mapping[str, Value]) -> tuple[str, ...]:
    lines = []
    initial = facts.get("initial")
    if initial is not None:
        lines.append(
            "the format does not say what keys held at first, and readers take it for null"
        )
    lost = sum(
        (item.result is not None and (item.outcome is not Outcome.OK or item.f in NO_RESULT))
        or (item.f == "read" and item.argument is not None)
        for item in history
    )
    if lost:
        lines.append(
            f"{lost} operation{'' if lost == 1 else 's'} with a value that the format has no place "
            "for: .parquet keeps it"
        )
    return tuple(lines)


def _events(history: History) -> Iterator[Fields]:
    """Give the events of a history in their order."""
    places: list[tuple[int, int, bool]] = []
    for row, (begun, done) in enumerate(
        zip(history.invoke_index.tolist(), history.complete_index.tolist(), strict=True)
    ):
        places += [(begun, row, False), (done, row, True)]
    for _, row, ends in sorted(places):
        operation = history[row]
        if not ends:
            yield _begun(operation)
        elif operation.complete_index is not None:
            yield _done(operation)


def _begun(item: Operation) -> Fields:
    fields: Fields = {"process": item.process, "type": "invoke", "f": item.f}
    if item.key is not None:
        fields["key"] = item.key
    fields["value"] = item.argument
    if item.session != item.process:
        fields["session"] = item.session
    return fields | {"time": item.start_ns} | _named(node=item.node)


def _done(item: Operation) -> Fields:
    fields: Fields = {"process": item.process, "type": item.outcome.value, "f": item.f}
    if item.key is not None:
        fields["key"] = item.key
    returns = item.outcome is Outcome.OK and item.f not in NO_RESULT
    fields["value"] = item.result if returns else item.argument
    if not item.applied:
        fields["applied"] = False
    return fields | _named(time=item.end_ns, node=item.node, error=item.error, version=item.version)


def _named(**fields: Value) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _is_tupled(history: History) -> bool:
    """Tell whether keys go into the values, as jepsen.independent has it.

    A reader knows such histories by their reads, and by nothing else.
    """
    if "read" not in history.functions or not set(history.functions) <= _TUPLED:
        return False
    return all(
        item.key is not None and not (item.f == "read" and item.argument) for item in history
    )


def _edn_event(event: Fields, *, tupled: bool) -> str:
    fields = dict(event)
    if fields.get("applied") is False:
        fields["type"] = "fail"  # what others call a compare-and-set that was refused
    if tupled:
        fields["value"] = [fields.pop("key"), fields["value"]]
    told = [f":{name} {_edn_field(name, value)}" for name, value in fields.items()]
    return "{" + ", ".join(told) + "}"


def _edn_field(name: str, value: Value) -> str:
    if name in ("type", "f") and isinstance(value, str) and _KEYWORD.fullmatch(value):
        return f":{value}"
    if name in ("f", "node", "error") and isinstance(value, str) and value.startswith(":"):
        return _edn(f":{value}")  # a reader takes one colon for that of a keyword
    return _edn(value)


def _edn(value: Value) -> str:
    if value is None:
        return "nil"
    if isinstance(value, list):
        return "[" + " ".join(map(_edn, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_edn(key)} {_edn(item)}" for key, item in value.items()) + "}"
    if type(value) is int and not -(2**63) <= value < 2**63:
        return f"{value}N"
    return json.dumps(value, ensure_ascii=False)
