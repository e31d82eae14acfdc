"""A user namespace, in which an ordinary user is root over namespaces of their own.

A process can only enter one while it has a single thread, so a command that needs it is executed
anew: `ensure_root` replaces this process by this module, which enters and then becomes the command
again. It stays the same process with the same terminal, directory and files: Ctrl-C, exit codes
and the ownership of what it writes are those of a plain command.

Whoever has a range in /etc/subuid, and the programs of the package uidmap, gets that range as
further users; all others are root alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from splitbrain.cluster import unpacked
from splitbrain.core.errors import SetupError

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWNS = 0x10000000, 0x40000000, 0x00020000
_SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # often not on the path of plain users
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_EVERY_ID = 4294967295
_MODULE = "splitbrain.cluster.user_namespace"
_MAP_LIMIT_S = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class IdRange:
    """A range of ids outside that somebody may use inside."""

    first: int
    count: int


def is_inside() -> bool:
    """Tell whether this process is in a user namespace other than the machine's first."""
    return _id_map() != [(0, 0, _EVERY_ID)]


def has_one_id() -> bool:
    """Tell whether no user but root exists here."""
    return sum(count for _, _, count in _id_map()) == 1


def outer_uid() -> int:
    """Give the id of this process's user as its parent namespace knows it."""
    uid = os.getuid()
    for inner, outer, count in _id_map():
        if inner <= uid < inner + count:
            return outer + uid - inner
    return uid


def ensure_root() -> None:
    """Execute this very command again as root of a user namespace, unless it is root already.

    Returns where that is not needed, and where it would fail: bringing hosts up gives the reason.
    Must be called before there is anything to lose: threads and open files end.
    """
    if sys.platform != "linux" or os.geteuid() == 0 or not works():
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    again = (sys.executable, *sys.orig_argv[1:])
    home = {"HOME": _home()}  # root's, if nobody says
    os.execve(sys.executable, [*entering(), *again], {**home, **os.environ})


def entering() -> tuple[str, ...]:
    """Give what goes before a command so that it runs as root; nothing for who is root already."""
    if os.geteuid() == 0:
        return ()
    code = f"import sys; sys.path[:] = {sys.path!r}; from {_MODULE} import main; main()"
    return (sys.executable, "-c", code)


def works() -> bool:
    """Tell whether this user can become root of a namespace; it is tried."""
    try:
        done = subprocess.run(
            (*entering(), "true"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_MAP_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def subordinate(file: Path) -> IdRange | None:
    """Give this user's first range in /etc/subuid or /etc/subgid, if there is one."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    known = {str(os.getuid()), _name()} - {""}
    for line in lines:
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if owner in known and first.isdigit() and count.isdigit() and int(count) > 0:
            return IdRange(int(first), int(count))
    return None


def has_subordinate_ids() -> bool:
    """Tell whether this user can have further users inside."""
    files = (Path("/etc/subuid"), Path("/etc/subgid"))
    return shutil.which("newuidmap") is not None and all(subordinate(file) for file in files)


def main() -> NoReturn:
    """Enter a user namespace, unless this is root, and become the command of the arguments."""
    command = sys.argv[1:]
    if not command:
        sys.exit(f"usage: python -m {_MODULE} COMMAND [ARGUMENT...]")
    try:
        if os.geteuid() != 0:
            enter()
        os.environ["PATH"] = _with_system_programs(os.environ.get("PATH", os.defpath))
        os.execvp(command[0], command)
    except (SetupError, OSError) as error:
        sys.stderr.write(f"splitbrain: {error}\n")
        sys.exit(255)


def enter() -> None:
    """Enter a new user namespace as its root; for a process with one thread.

    It has a network of its own as well, with nothing but loopback: a thread that has been among the
    hosts may come back there, and not to the machine's network. And it has mounts of its own.

    Raises: SetupError when the kernel refuses.
    """
    uid, gid = os.geteuid(), os.getegid()
    mapper = _Mapper.start(os.getpid(), uid, gid) if has_subordinate_ids() else None
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        reason = os.strerror(ctypes.get_errno())
        message = f"this user may not make a user namespace: {reason}"
        raise SetupError(message, advice="see `splitbrain doctor`")
    if mapper is None or not mapper.write():
        _map_alone(uid, gid)
    if _libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS) != 0:
        reason = os.strerror(ctypes.get_errno())
        message = f"this user may not make a network of its own: {reason}"
        raise SetupError(message, advice="see `splitbrain doctor`")
    _loopback_up()
    unpacked.show()


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", _IFF_UP)
        try:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
        except OSError as error:
            message = f"this user is not root of a network namespace: {error.strerror}"
            raise SetupError(message, advice="see `splitbrain doctor`") from error


def _with_system_programs(path: str) -> str:
    known = path.split(os.pathsep)
    return os.pathsep.join([*known, *(item for item in _SYSTEM_PATH if item not in known)])


def _map_alone(uid: int, gid: int) -> None:
    """Make this user root, and the only user there is."""
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
    except OSError as error:
        message = f"this user cannot become root of a user namespace: {error.strerror}"
        raise SetupError(message, advice="see `splitbrain doctor`") from error


class _Mapper:
    """A process that stays outside, where alone a range of ids can be given to who went in."""

    def __init__(self, pid: int, go: int) -> None:
        self._pid = pid
        self._go = go

    @classmethod
    def start(cls, target: int, uid: int, gid: int) -> _Mapper:
        wait, go = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(go)
                if os.read(wait, 1):
                    status = _write_ranges(target, uid, gid)
            finally:
                os._exit(status)
        os.close(wait)
        return cls(pid, go)

    def write(self) -> bool:
        """Let it write the maps; tell whether it could."""
        os.write(self._go, b"x")
        os.close(self._go)
        _, status = os.waitpid(self._pid, 0)
        return status == 0


def _write_ranges(target: int, uid: int, gid: int) -> int:
    """Give a process this user's ranges; return an exit status."""
    for program, own, file in (
        ("newuidmap", uid, Path("/etc/subuid")),
        ("newgidmap", gid, Path("/etc/subgid")),
    ):
        given = subordinate(file)
        if given is None:
            return 1
        ids: Sequence[int] = (0, own, 1, 1, given.first, given.count)
        command = (program, str(target), *map(str, ids))
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            return 1
    return 0


def _id_map() -> list[tuple[int, int, int]]:
    try:
        text = Path("/proc/self/uid_map").read_text(encoding="ascii")
    except OSError:
        return [(0, 0, _EVERY_ID)]  # a kernel without user namespaces
    rows = [tuple(map(int, line.split())) for line in text.splitlines()]
    return [(row[0], row[1], row[2]) for row in rows]


def _name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


if __name__ == "__main__":
    main()
