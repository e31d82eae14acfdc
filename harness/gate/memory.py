"""What the gate remembers: results by task and seed, one JSON line each, for one state of sources.

A line that was cut off when the gate was killed is left out. Results of other sources are kept in
files of their own, so that going back to them goes on where they stopped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from splitbrain.core.errors import StoreError
from splitbrain.gate.trial import Found


class _Line(msgspec.Struct, frozen=True):
    key: str
    seed: int
    found: Found


@dataclass(slots=True)
class Memory:
    """Results that are there, and a file to which more are added."""

    path: Path
    _found: dict[str, dict[int, Found]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, sources: str) -> Memory:
        """Open what was remembered for these sources.

        Raises: StoreError when it cannot be kept or read.
        """
        memory = cls(folder / f"{sources}.jsonl")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            data = memory.path.read_bytes() if memory.path.exists() else b""
            if data and not data.endswith(b"\n"):
                data = data[: data.rfind(b"\n") + 1]
                os.truncate(memory.path, len(data))
        except OSError as error:
            message = f"the gate's results cannot be kept in {folder}: {error.strerror}"
            raise StoreError(message) from error
        for line in data.splitlines():
            try:
                read = msgspec.json.decode(line, type=_Line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            memory._found.setdefault(read.key, {})[read.seed] = read.found
        return memory

    def of_task(self, key: str) -> Mapping[int, Found]:
        """Give the results of a task by seed."""
        return self._found.get(key, {})

    def add(self, key: str, seed: int, found: Found) -> None:
        """Remember one result.

        Raises: StoreError when it cannot be written.
        """
        self._found.setdefault(key, {})[seed] = found
        try:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(_Line(key, seed, found)) + b"\n")
        except OSError as error:
            message = f"the gate's results cannot be kept in {self.path}: {error.strerror}"
            raise StoreError(message) from error
