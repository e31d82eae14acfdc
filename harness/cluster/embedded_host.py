"""One embedded host: its folder, its first process, its cable."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from splitbrain.cluster.embedded_disk import HeldDisk, prepare_disk
from splitbrain.cluster.embedded_root import (
    prepare_stores,
    prepare_trees,
    root_of_trees,
    whole_root,
)
from splitbrain.cluster.keys import KeyPair
from splitbrain.cluster.user_namespace import has_one_id
from splitbrain.core.errors import SetupError

BOOT_LIMIT_S = 30.0
DEATH_LIMIT_S = 10.0
REBOOT_STATUS = 42
PREFIX_LENGTH = 16
_LOG_LINES = 5

# What a host must not have: the machine's clock and its kernel modules are not its own.
_NO_CAPABILITIES = "-sys_time,-sys_module"

_SSHD_CONFIG = """Port 22
HostKey /etc/splitbrain/hostkey
AuthorizedKeysFile /etc/splitbrain/authorized_keys
PidFile none
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowAgentForwarding no
AllowTcpForwarding no
X11Forwarding no
MaxSessions 200
MaxStartups 200:30:400
LoginGraceTime 20
PrintMotd no
PrintLastLog no
"""

_REBOOT_SHIM = """#!/bin/sh
# This is an embedded host: its first process ends, and the controller starts it again.
kill -USR1 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """What stays the same over a host's reboots.

    as_root: whether the controller is the machine's root, and not that of a user namespace alone.
    own_disk: whether its files lie on a disk of its own, and not in memory.
    """

    node: str
    address: str
    number: int
    folder: Path
    as_root: bool = True
    own_disk: bool = False

    @property
    def mac(self) -> str:
        """The hardware address; kept over reboots, or peers would not find the host again."""
        return "02:00:" + ":".join(f"{int(part):02x}" for part in self.address.split("."))


class HostProcess:
    """One life of a host, from launch to death; a reboot makes another."""

    def __init__(self, plan: HostPlan, generation: int, process: subprocess.Popen[bytes]) -> None:
        self.plan = plan
        self.generation = generation
        self.pid: int | None = None
        self._process = process
        self._handle: int | None = None
        self._disk: HeldDisk | None = None
        self._said = b""

    @classmethod
    def launch(cls, plan: HostPlan, generation: int, boot: Path) -> HostProcess:
        """Start a host's first process; it dies with the calling thread.

        Raises: SetupError when it cannot be started.
        """
        # setpriv: the kernel kills unshare when this thread dies; --kill-child: and the host then.
        command = (
            *("setpriv", "--pdeathsig", "KILL", "--bounding-set", _NO_CAPABILITIES),
            *("unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork"),
            *("--kill-child=KILL", "/bin/sh", str(boot)),
            *(plan.node, f"{plan.address}/{PREFIX_LENGTH}", str(plan.folder)),
            *(() if plan.as_root else ("userxattr",)),
        )
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        environment |= {"HOME": "/root", "LANG": "C.UTF-8"}
        with (plan.folder / "boot.log").open("ab") as log:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                message = f"cannot start the host {plan.node}: {error}"
                raise SetupError(message) from error
        return cls(plan, generation, process)

    def await_plug(self, deadline_s: float) -> None:
        """Wait until the host can be given its interface. Raises: SetupError when it failed."""
        word, _, pid = self._hear(deadline_s).partition(b" ")
        if word != b"plug" or not pid.isdigit():
            reason = "it said something else than expected"
            raise self._failed(reason)
        self.pid = int(pid)
        try:
            self._handle = os.pidfd_open(self.pid)
            self._disk = HeldDisk.of(self.plan.folder, self.pid)
        except OSError as error:
            reason = "it died at once"
            raise self._failed(reason) from error

    @property
    def interface(self) -> str:
        """The bridge's end of the cable; another each time, since the old one may linger."""
        return f"h{self.plan.number}g{self.generation}"

    def cable(self) -> tuple[str, ...]:
        """Give the lines for `ip -batch` that plug it in."""
        peer = f"peer name eth0 address {self.plan.mac} netns {self.pid}"
        return (
            f"link add {self.interface} type veth {peer}",
            f"link set {self.interface} master br0",
            f"link set {self.interface} up",
        )

    def go_on(self) -> None:
        """Tell it that the cable is in."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"go\n")
            self._process.stdin.close()

    def await_up(self, deadline_s: float) -> None:
        """Wait until it starts its sshd. Raises: SetupError when it failed."""
        if self._hear(deadline_s) != b"up":
            reason = "it said something else than expected"
            raise self._failed(reason)
        self.sync()  # what booting wrote is ours, and no power cut may take it
        assert self._process.stdout is not None
        self._process.stdout.close()

    def exit_status(self) -> int | None:
        """Give how it ended, or None while it lives."""
        return self._process.poll()

    def kill(self) -> None:
        """Kill it, and all that runs on it, like a power cut; `await_death` tells when."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        else:
            self._process.kill()

    def sync(self) -> None:
        """Write out what is on its disk, if it has one of its own."""
        if self._disk is not None:
            self._disk.sync()

    def await_death(self, *, lose_unsynced: bool = False) -> None:
        """Wait until nothing of it is left: processes, mounts, network.

        lose_unsynced: let its own disk lose what was not synced, as by a power cut.

        Raises: SetupError when it does not die, HarnessError when the disk cannot be cut off.
        """
        deadline = time.monotonic() + DEATH_LIMIT_S
        if self._handle is not None:
            # The kernel reports a first process dead only after all others of its namespace.
            poll = select.poll()
            poll.register(self._handle, select.POLLIN)
            if not poll.poll(DEATH_LIMIT_S * 1000):
                reason = f"it did not die within {DEATH_LIMIT_S:g} s"
                raise self._failed(reason)
            os.close(self._handle)
            self._handle = None
        self._let_disk_go(lose_unsynced=lose_unsynced)
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            reason = f"it did not die within {DEATH_LIMIT_S:g} s"
            raise self._failed(reason) from error
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _let_disk_go(self, *, lose_unsynced: bool) -> None:
        disk, self._disk = self._disk, None
        if disk is None:
            return
        try:
            if lose_unsynced:
                disk.lose_what_was_not_synced()
        finally:
            disk.let_go()

    def _hear(self, deadline_s: float) -> bytes:
        """Give the next line that it says."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while b"\n" not in self._said:
            left = deadline_s - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                reason = "it took too long"
                raise self._failed(reason)
            heard = os.read(descriptor, 4096)
            if not heard:
                reason = "its boot script failed"
                raise self._failed(reason)
            self._said += heard
        line, _, self._said = self._said.partition(b"\n")
        return line

    def _failed(self, why: str) -> SetupError:
        tail = "; ".join(last_lines(self.plan.folder / "boot.log")) or "its boot log is empty"
        return SetupError(f"the host {self.plan.node} did not boot: {why}: {tail}")


def prepare_folder(plan: HostPlan, *, host_key: KeyPair, client_key: KeyPair, hosts: str) -> None:
    """Make the folder that a host boots from.

    Raises: SetupError when there is no room.
    """
    try:
        plan.folder.mkdir(mode=0o700)
        _prepare_root(plan)
        (plan.folder / "root-home").mkdir(mode=0o700)
        files = plan.folder / "files"
        files.mkdir()
        texts: Mapping[str, str] = {
            "sshd_config": _SSHD_CONFIG,
            "hostkey": host_key.private,
            "authorized_keys": client_key.public + "\n",
            "hosts": hosts,
            "reboot": _REBOOT_SHIM,
        }
        for name, text in texts.items():
            (files / name).write_text(text, encoding="utf-8")
            (files / name).chmod(0o600)
    except OSError as error:
        message = f"cannot prepare the host {plan.node} in {plan.folder}: {error}"
        raise SetupError(message) from error


def _prepare_root(plan: HostPlan) -> None:
    """Make what the boot script puts the host's root file system together from."""
    stores = plan.folder / "stores"
    stores.mkdir()
    branches = whole_root() if plan.as_root else root_of_trees()
    prepare_stores(branches, stores)
    if not plan.as_root:
        top = plan.folder / "top"
        top.mkdir(mode=0o755)
        top.chmod(0o755)
        prepare_trees(branches, stores, top, one_id=has_one_id())
    lines = [branch.line() for branch in branches]
    (plan.folder / "tree").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (plan.folder / "root").mkdir(mode=0o755)
    if plan.own_disk:
        prepare_disk(plan.folder)


def boot_script(folder: Path) -> Path:
    """Put the boot script into a folder, since the package may lie in an archive."""
    path = folder / "embedded_boot.sh"
    source = resources.files("splitbrain.cluster") / "embedded_boot.sh"
    path.write_bytes(source.read_bytes())
    return path


def last_lines(path: Path, count: int = _LOG_LINES) -> list[str]:
    """Give the last lines of a file that may not exist."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()][-count:]


def require_tools(names: Sequence[str]) -> None:
    """Check that programs are there. Raises: SetupError naming the first that is not."""
    for name in names:
        if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            message = f"embedded hosts need the program {name!r}"
            raise SetupError(message, advice="see `splitbrain doctor`")
