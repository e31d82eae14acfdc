"""Starts, kills, stops and continues the daemons of this node."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from . import disks, places, processes

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HELD_DOWN = "held-down"
_POLL_S = 0.01
_KILL_LIMIT_S = 10.0
_STOP_LIMIT_S = 5.0
_END_GRACE_S = 3.0
_TAIL_BYTES = 4096
_TAIL_LINES = 8


class DaemonError(Exception):
    """A daemon did not do as told; the message is one line."""


def log_path(name: str) -> Path:
    """Give where a daemon's output lies, over all its lives."""
    return places.LOGS / f"{name}.log"


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Start daemons that do not run, and wait until each is ready if that is asked for.

    request: "daemons": specs as JSON; "addresses": where their ports may listen; "wait": whether
    to wait. Raises: DaemonError naming the daemon, with the last lines of its log.
    """
    places.make_folders()
    begun = [(spec, *_launch(spec)) for spec in request["daemons"] if not _alive(spec["name"])]
    if request["wait"]:
        for spec, child, offset in begun:
            _await_ready(spec, child, offset, request["addresses"])
    if not down():
        places.forget(HELD_DOWN)
    return {spec["name"]: child.pid for spec, child, _ in begun}


def kill(request: dict[str, Any]) -> dict[str, Any]:
    """Kill daemons by SIGKILL; give the ids of what died, by daemon."""
    places.intend(HELD_DOWN)
    return {
        name: processes.kill_all(name, _leader(name), _KILL_LIMIT_S) for name in request["names"]
    }


def terminate(request: dict[str, Any]) -> dict[str, Any]:
    """Ask daemons to end, and kill what does not; give who was asked and who was killed."""
    places.intend(HELD_DOWN)
    found = {}
    for name in request["names"]:
        asked, killed = processes.end_all(name, _leader(name), _END_GRACE_S, _KILL_LIMIT_S)
        found[name] = {"asked": asked, "killed": killed}
    return found


def pause(request: dict[str, Any]) -> dict[str, Any]:
    """Stop daemons by SIGSTOP; give the ids of what stands, by daemon."""
    places.intend("daemons")
    return {
        name: processes.stop_all(name, _leader(name), _STOP_LIMIT_S) for name in request["names"]
    }


def resume(request: dict[str, Any]) -> dict[str, Any]:
    """Let daemons go on; give the ids of what was stopped, by daemon."""
    result = {name: processes.continue_all(name, _leader(name)) for name in request["names"]}
    if not any(stopped(name) for name in known()):
        places.forget("daemons")
    return result


def end(request: dict[str, Any]) -> dict[str, Any]:
    """End daemons for good, kindly first."""
    places.forget(HELD_DOWN)
    return {
        name: processes.end_all(name, _leader(name), _END_GRACE_S, _KILL_LIMIT_S)[0]
        for name in request["names"]
    }


def running(request: dict[str, Any]) -> dict[str, Any]:
    """Tell which daemons run: alive, and not stopped."""
    return {name: _alive(name) and not stopped(name) for name in request["names"]}


def known() -> list[str]:
    """Give the daemons that were started since the node booted."""
    if not places.PIDS.is_dir():
        return []
    return sorted(path.stem for path in places.PIDS.glob("*.json"))


def data_folders(name: str | None) -> list[str]:
    """Give the data folders of a daemon, or of all."""
    found: dict[str, None] = {}
    for known_name in known() if name is None else [name]:
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = (places.PIDS / f"{known_name}.json").read_text(encoding="utf-8")
            found |= dict.fromkeys(json.loads(text)["data_dirs"])
    return list(found)


def down() -> list[str]:
    """Give the daemons that were started and do not live."""
    return [name for name in known() if not pids(name)]


def stopped(name: str) -> bool:
    """Tell whether some process of a daemon is stopped."""
    return any(item.state in "Tt" for item in processes.of_daemon(name, _leader(name)))


def pids(name: str) -> list[int]:
    """Give the ids of a daemon's processes."""
    return [item.pid for item in processes.of_daemon(name, _leader(name))]


def _launch(spec: dict[str, Any]) -> tuple[subprocess.Popen[bytes], int]:
    """Start one daemon; give it, and the length of its log before."""
    name = spec["name"]
    for folder in spec["data_dirs"]:
        disks.make_folder(Path(folder))
    base = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
    environment = {**base, **spec["env"], processes.MARK: name}
    with log_path(name).open("ab") as log:
        offset = log.tell()
        try:
            child = subprocess.Popen(
                spec["argv"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            message = f"the daemon {name} cannot be started: {spec['argv'][0]}: {error.strerror}"
            raise DaemonError(message) from error
    process = processes.look(child.pid)
    ticks = 0 if process is None else process.start_ticks
    record = {"pid": child.pid, "start_ticks": ticks, "data_dirs": spec["data_dirs"]}
    places.write_whole(places.PIDS / f"{name}.json", json.dumps(record))
    return child, offset


def _await_ready(
    spec: dict[str, Any], child: subprocess.Popen[bytes], offset: int, addresses: list[str]
) -> None:
    limit_s = float(spec["ready_timeout_s"])
    deadline = time.monotonic() + limit_s
    while True:
        status = child.poll()
        if status is not None and not pids(spec["name"]):
            how = f"status {status}" if status >= 0 else f"signal {-status}"
            raise DaemonError(_sentence(spec, f"ended at once ({how})", offset))
        missing = _missing(spec, offset, addresses)
        if missing is None:
            return
        if time.monotonic() > deadline:
            why = f"was not ready within {limit_s:g} s: {missing}"
            raise DaemonError(_sentence(spec, why, offset))
        time.sleep(_POLL_S)


def _missing(spec: dict[str, Any], offset: int, addresses: list[str]) -> str | None:
    """Say what a daemon lacks to be ready, or None."""
    port, line = spec["ready_port"], spec["ready_line"]
    if port is not None and not any(_accepts(address, port) for address in addresses):
        return f"port {port} accepts no connection"
    if line is not None and line.encode() not in _output(spec["name"], offset):
        return f"its output lacks {line!r}"
    return None


def _accepts(address: str, port: int) -> bool:
    import socket  # noqa: PLC0415 - costs milliseconds that other commands need not pay

    try:
        with socket.create_connection((address, port), timeout=0.5):
            return True
    except OSError:
        return False


def _output(name: str, offset: int) -> bytes:
    with log_path(name).open("rb") as log:
        log.seek(offset)
        return log.read(1 << 22)


def _sentence(spec: dict[str, Any], what: str, offset: int) -> str:
    name = spec["name"]
    with log_path(name).open("rb") as log:
        size = os.fstat(log.fileno()).st_size
        log.seek(max(offset, size - _TAIL_BYTES))
        text = log.read(_TAIL_BYTES).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()][-_TAIL_LINES:]
    said = " | ".join(lines) if lines else "it said nothing"
    return f"the daemon {name} {what}: {said}"


def _leader(name: str) -> int | None:
    """Give the id of the session of a daemon's last life, if no other program has it now."""
    try:
        record = json.loads((places.PIDS / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    seen = processes.look(record["pid"])
    if seen is not None and seen.start_ticks != record["start_ticks"]:
        return None
    return int(record["pid"])


def _alive(name: str) -> bool:
    return bool(processes.of_daemon(name, _leader(name)))
