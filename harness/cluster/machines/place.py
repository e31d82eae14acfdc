"""Where the machines live: this machine's own libvirt, or a private place of ours.

Where systemd runs, libvirt's daemons are its business. Where it does not, we start them ourselves,
in namespaces that hold their network, mounts and processes, so that nothing of this machine is
touched and one kill ends it all. A private place outlives the controller, as its machines do.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from splitbrain.cluster.machines.command import last_words
from splitbrain.cluster.namespaces import move_to, own_network
from splitbrain.cluster.state import ProcessId
from splitbrain.core.errors import SetupError

READY_LIMIT_S = 60.0
_DEATH_LIMIT_S = 15.0
_POLL_S = 0.05
_LIBVIRT_ETC = Path("/etc/libvirt")

_QEMU_CONF = """# QEMU runs as the root of a private place, and needs no other walls there.
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
"""

_started: list[subprocess.Popen[bytes]] = []  # kept, since they outlive this process


class Place(Protocol):
    """Where commands run and connections are made."""

    def ensure(self) -> None:
        """Make it if it is not there. Raises: SetupError."""

    def running(self) -> bool:
        """Tell whether it is there."""

    def command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Give the command that runs `argv` inside."""

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """Move the calling thread into its network, and back at the end."""

    def end(self) -> None:
        """End it, with everything in it; idempotent."""


class OpenPlace:
    """This machine as it is; somebody else looks after libvirt."""

    def ensure(self) -> None:
        """Do nothing: it is there."""

    def running(self) -> bool:
        """Tell that it is there."""
        return True

    def command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Give the command as it is."""
        return tuple(argv)

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """Stay."""
        return contextlib.nullcontext()

    def end(self) -> None:
        """Do nothing: it is not ours."""


class PrivatePlace:
    """Namespaces of ours with libvirt's daemons in them. folder: its state; script: place.sh."""

    def __init__(self, folder: Path, script: Path) -> None:
        self._folder = folder
        self._script = script
        self._record = folder / "process.json"

    def ensure(self) -> None:
        """Start it if it does not run, and wait until libvirt answers.

        Raises: SetupError with what the daemons said.
        """
        if self.running():
            return
        if os.geteuid() != 0:
            message = "starting libvirt's daemons in a place of our own needs root"
            raise SetupError(message, advice="run it as root, or with sudo")
        self._prepare()
        self._launch()
        self._await_ready()

    def running(self) -> bool:
        """Tell whether its first process lives."""
        return self._process() is not None

    def command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Give the command that runs `argv` inside. Raises: SetupError when it is not there."""
        pid = self._require().pid
        return ("nsenter", "--target", str(pid), "--net", "--mount", "--pid", "--", *argv)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread into its network, and back at the end; may be nested.

        Raises: SetupError when it is not there.
        """
        with own_network() as outside:
            inside = os.open(f"/proc/{self._require().pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                move_to(inside)
            finally:
                os.close(inside)
            try:
                yield
            finally:
                move_to(outside)

    def end(self) -> None:
        """Kill its first process: the kernel ends all others, and the network; idempotent.

        Raises: SetupError when it does not die.
        """
        process = self._process()
        if process is not None:
            handle = os.pidfd_open(process.pid)
            try:
                if process.alive():
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    _await_death(handle)
            finally:
                os.close(handle)
        self._record.unlink(missing_ok=True)
        for child in _started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1.0 if process is not None else 0)

    def _prepare(self) -> None:
        try:
            etc = self._folder / "etc"
            if not etc.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
                shutil.copytree(_LIBVIRT_ETC, etc, symlinks=True)
                (etc / "qemu.conf").write_text(_QEMU_CONF, encoding="utf-8")
                for name in ("default.xml", "autostart/default.xml"):
                    (etc / "qemu/networks" / name).unlink(missing_ok=True)
            (self._folder / "ready").unlink(missing_ok=True)
        except OSError as error:
            message = f"the state of libvirt cannot be prepared in {self._folder}: {error}"
            raise SetupError(message, advice="see `splitbrain doctor`") from error

    def _launch(self) -> None:
        namespaces = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
        command = ("unshare", *namespaces, "--mount-proc", "sh", str(self._script))
        with (self._folder / "place.log").open("ab") as log:
            child = subprocess.Popen(
                (*command, str(self._folder)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        _started.append(child)
        first = self._first_process(child)
        record = {"pid": first.pid, "start_ticks": first.start_ticks}
        self._record.write_text(json.dumps(record), encoding="utf-8")

    def _first_process(self, parent: subprocess.Popen[bytes]) -> ProcessId:
        deadline_s = time.monotonic() + READY_LIMIT_S
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        while time.monotonic() < deadline_s and parent.poll() is None:
            with contextlib.suppress(OSError, ValueError, IndexError):
                found = ProcessId.of(int(children.read_text().split()[0]))
                if found is not None:
                    return found
            time.sleep(_POLL_S)
        raise self._failed()

    def _await_ready(self) -> None:
        deadline_s = time.monotonic() + READY_LIMIT_S
        ready = self._folder / "ready"
        while not ready.exists() or ready.read_text(encoding="utf-8").strip() != "ready":
            failed = ready.exists() and "failed" in ready.read_text(encoding="utf-8")
            if failed or not self.running() or time.monotonic() > deadline_s:
                self.end()
                raise self._failed()
            time.sleep(_POLL_S)

    def _failed(self) -> SetupError:
        lines: list[str] = []
        for name in ("place.log", "daemons.log"):
            with contextlib.suppress(OSError):
                text = (self._folder / name).read_text(encoding="utf-8", errors="replace")
                lines += [line for line in text.splitlines() if line.strip()][-2:]
        message = f"libvirt's daemons did not start: {last_words(lines) or 'they said nothing'}"
        return SetupError(message, advice="see `splitbrain doctor`")

    def _require(self) -> ProcessId:
        process = self._process()
        if process is None:
            message = "the machines' place is not there"
            raise SetupError(message, advice="bring it up: splitbrain cluster up")
        return process

    def _process(self) -> ProcessId | None:
        try:
            item = json.loads(self._record.read_text(encoding="utf-8"))
            process = ProcessId(pid=int(item["pid"]), start_ticks=int(item["start_ticks"]))
        except (OSError, ValueError, KeyError):
            return None
        return process if process.alive() else None


def systemd_runs() -> bool:
    """Tell whether systemd looks after this machine's daemons."""
    return Path("/run/systemd/system").is_dir()


def _await_death(handle: int) -> None:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    if not poll.poll(_DEATH_LIMIT_S * 1000):
        message = f"libvirt's place did not end within {_DEATH_LIMIT_S:g} s"
        raise SetupError(message)
