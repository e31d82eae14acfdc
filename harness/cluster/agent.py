"""The controller's side of the program on a node: puts it there, and gives it commands."""

from __future__ import annotations

import functools
import io
import json
import posixpath
import tarfile
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Protocol

from splitbrain.cluster.on_node.program import python_arguments
from splitbrain.core.cluster import Host
from splitbrain.core.errors import RemoteError
from splitbrain.core.value import Value

FOLDER = "/usr/local/lib/splitbrain"
PRELOAD = f"{FOLDER}/clock_preload.so"
_PYTHON = "/usr/bin/python3"


def agent_files() -> Mapping[str, bytes]:
    """Give the program's files by their path under `FOLDER`."""
    package = resources.files("splitbrain.cluster.on_node")
    names = sorted(item.name for item in package.iterdir() if item.name.endswith(".py"))
    return {f"on_node/{name}": (package / name).read_bytes() for name in names}


def put_agent(host: Host, library: bytes | None) -> None:
    """Put the program, and the clock preload if there is one, on a node, in one step.

    Raises: RemoteError when that fails.
    """
    script = 'mkdir -p "$1" && exec tar -x -C "$1" -f -'
    host.run(("sh", "-c", script, "install", FOLDER), stdin=_archive(library))


@functools.lru_cache(maxsize=2)
def _archive(library: bytes | None) -> bytes:
    """Give everything that goes to `FOLDER` as one tar, the same bytes every time."""
    files = dict(agent_files())
    if library is not None:
        files[posixpath.basename(PRELOAD)] = library
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            about.mode = 0o755 if name.endswith(".so") else 0o644
            archive.addfile(about, io.BytesIO(data))
    return buffer.getvalue()


class Conversing(Host, Protocol):
    """A host on which a program can stay and answer."""

    def converse(self, argv: Sequence[str], line: bytes, *, timeout_s: float) -> bytes:
        """Hand a line to the program, and give the line that it answers."""


def ask(
    host: Conversing, command: str, request: Mapping[str, Value], *, timeout_s: float = 30.0
) -> dict[str, Value]:
    """Give a node's program one command, and its answer.

    Raises: NodeRefusedError with the reason that the node gives, RemoteError when it gives none.
    """
    line = json.dumps({"command": command, "request": request}).encode()
    try:
        text = host.converse((_PYTHON, *python_arguments(FOLDER)), line, timeout_s=timeout_s)
    except RemoteError as error:
        raise RemoteError(host.node, (command,), reason=reason_of(error)) from error
    try:
        item = json.loads(text)
    except ValueError as error:
        raise RemoteError(host.node, (command,), reason="its answer is not JSON") from error
    if isinstance(item, dict) and isinstance(item.get("answer"), dict):
        answer: dict[str, Value] = item["answer"]
        return answer
    if isinstance(item, dict) and isinstance(item.get("error"), str):
        raise NodeRefusedError(host.node, (command,), reason=item["error"])
    raise RemoteError(host.node, (command,), reason="its answer is not understood")


class NodeRefusedError(RemoteError):
    """The node understood a command and could not do it; `why` is what it says."""

    def __init__(self, node: str, argv: Sequence[str], *, reason: str) -> None:
        super().__init__(node, argv, reason=reason)
        self.why = reason


def reason_of(error: RemoteError) -> str:
    """Give what went wrong, without the node and the command."""
    return str(error).removeprefix(f"{error.node}: {' '.join(error.argv)}: ")
