"""A hash over the sources that a run depends on: what was judged with others counts no more."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = frozenset({".py", ".go", ".c", ".sh"})
APART = ("report/", "gate/", "foreign/", "cluster/machines/", "vagrant_files/", "cli.py", "demo.py")
"""What no run of the gate goes through."""


def sources_hash(package: Path | None = None) -> str:
    """Give the hash of the sources as they lie there now, and of the Python, as 16 hex digits."""
    root = package or Path(__file__).parents[1]
    digest = hashlib.blake2b(platform.python_version().encode(), digest_size=8)
    for name, path in sorted(_sources(root)):
        data = path.read_bytes()
        digest.update(f"\n{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.suffix in SUFFIXES and not name.startswith(APART):
            yield name, path
