"""Programs of Debian packages that were unpacked into the user's cache, for want of root.

Inside a user namespace they are laid over /usr, where they and their libraries look for each other.
The machine's own /usr stays to be seen beside it, for hosts to lay theirs over: the kernel limits
how many overlays may lie on each other.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

from splitbrain.core.errors import SetupError

_MS_BIND, _MS_REC = 0x1000, 0x4000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_libc = ctypes.CDLL(None, use_errno=True)


def folder() -> Path:
    """Give where `system_packages.sh` unpacks them; whole once `.complete` is there."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "splitbrain" / "packages" / "system"


def exist() -> bool:
    """Tell whether there are any."""
    return (folder() / ".complete").is_file() and (folder() / "usr").is_dir()


def layers() -> str | None:
    """Give what hosts lay their own /usr over, as overlay's options take it; None if not shown."""
    if not (exist() and (_machine() / "bin").is_dir()):
        return None
    return _layers()


def show() -> None:
    """Lay them over /usr, for this process and what it starts.

    It must be root of a user namespace, with mounts of its own.

    Raises: SetupError when the kernel refuses.
    """
    if not exist():
        return
    _machine().mkdir(exist_ok=True)
    if _libc.mount(b"/usr", os.fsencode(_machine()), None, _MS_BIND | _MS_REC, None) != 0:
        what = "the machine's /usr at another place"
        raise _refused(what)
    options = f"userxattr,lowerdir={_layers()}".encode()
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV
    if _libc.mount(b"overlay", b"/usr", b"overlay", flags, options) != 0:
        what = f"the unpacked packages of {folder()} over /usr"
        raise _refused(what)


def _layers() -> str:
    return f"{_escaped(folder() / 'usr')}:{_escaped(_machine())}"


def _machine() -> Path:
    """Give where the machine's own /usr is shown; an empty folder outside of a user namespace."""
    return folder() / "machine"


def _escaped(path: Path) -> str:
    """Write a path as overlay's options take it."""
    return re.sub(r"([\\:,])", r"\\\1", str(path))


def _refused(what: str) -> SetupError:
    reason = os.strerror(ctypes.get_errno())
    return SetupError(f"the kernel refuses {what}: {reason}", advice="see `splitbrain doctor`")
