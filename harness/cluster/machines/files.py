"""Copies the Vagrantfile and what goes with it from the package to where it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from splitbrain.core.errors import SetupError

_PACKAGE = "vagrant_files"
_PROGRAMS = ("build.sh", "place.sh", "qemu-tcg.sh", "init", "dhcp")


def copy_files(target: Path) -> Path:
    """Copy everything; what is there is replaced. Raises: SetupError when it cannot be written."""
    try:
        for name, source in _walk(_source(), ""):
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_bytes(source.read_bytes())
            fresh.chmod(0o755 if path.name in _PROGRAMS else 0o644)
            fresh.replace(path)
    except OSError as error:
        message = f"the Vagrantfile cannot be copied to {target}: {error.strerror}"
        raise SetupError(message) from error
    return target


def box_seal() -> str:
    """Give a short hash of everything that a box is built from."""
    digest = hashlib.sha256()
    for name, source in sorted(_walk(_source() / "box", "")):
        digest.update(name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _source() -> Traversable:
    return resources.files("splitbrain") / _PACKAGE


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        name = f"{prefix}{item.name}"
        if item.is_dir():
            if item.name != "__pycache__":
                yield from _walk(item, f"{name}/")
        else:
            yield name, item
