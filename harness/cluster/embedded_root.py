"""What the root file system of an embedded host is put together from.

As root, an overlay of the machine's / is enough, with its separate mounts laid over it. In a user
namespace the kernel refuses to lay over a tree with mounts in it, since they hide what lies
beneath: each tree without a mount is overlaid by itself, in a plain folder. There, what belongs to
users that do not exist in the namespace cannot be changed; folders that hosts write to are made
beforehand, in the layer that belongs to them.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from splitbrain.cluster import unpacked

# Mount points that a root file system may keep apart, and without which it is not whole.
_PARTS = (
    *("/etc", "/lib", "/lib64", "/nix", "/opt", "/srv", "/usr", "/usr/local", "/usr/share"),
    *("/var", "/var/lib", "/var/log"),
)
# What a host gets fresh, or must not see.
_FRESH = ("dev", "home", "media", "mnt", "proc", "root", "run", "sys", "tmp")
_LEFT_OUT = ("boot", "lost+found")
_WRITTEN_TO = ("/etc", "/var", "/opt", "/srv", "/usr/local")
_WRITTEN_DEPTH = 2
_NOT_ROOTS = frozenset(" \t\n\\:,")
_SINGLE_USER_SSHD = "sshd:x:0:0::/run/sshd:/usr/sbin/nologin"


@dataclass(frozen=True, slots=True)
class Branch:
    """One line for the boot script.

    kind: "folder"; "copy" of `source`, a folder that is filled before the boot; "link" to `source`;
    "overlay" of `source` with an upper and work folder in `store`; "part", which is shown read-only
    where it cannot be overlaid; "bind" of the file `source`. layers: what an overlay lies on, where
    that is not `source` itself.
    """

    kind: str
    place: str
    store: str = "-"
    source: str = "-"
    layers: str | None = None

    def line(self) -> str:
        """Give it as the boot script reads it."""
        return f"{self.kind} {self.place} {self.store} {self.layers or self.source}"


def whole_root() -> Sequence[Branch]:
    """Give the branches of a host whose controller is the machine's root."""
    parts = [part for part in _PARTS if os.path.ismount(part) and Path(part).is_dir()]
    numbered = enumerate(parts, start=1)
    return (
        Branch("overlay", "/", "0", "/"),
        *(Branch("part", part, str(number), part) for number, part in numbered),
    )


def root_of_trees(mounts: Iterable[str] | None = None, top: Path = Path("/")) -> Sequence[Branch]:
    """Give the branches of a host in a user namespace.

    mounts: the machine's mount points; read from the kernel when left out.
    """
    known = sorted(mount_points() if mounts is None else mounts)
    found = [Branch("folder", f"/{name}") for name in _FRESH]
    numbers = iter(range(1_000_000))
    for path in _entries(top):
        if path.name not in (*_FRESH, *_LEFT_OUT):
            found += _branches(path, known, numbers)
    return found


def mount_points() -> list[str]:
    """Give where anything is mounted, as this process sees it."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line.split()[4] for line in lines]


def prepare_stores(branches: Iterable[Branch], folder: Path) -> None:
    """Make the upper and work folder of every overlay. Raises: OSError when there is no room."""
    for store in sorted({branch.store for branch in branches} - {"-"}):
        for name in ("upper", "work"):
            path = folder / store / name
            path.mkdir(mode=0o755, parents=True)
            path.chmod(0o755)


def prepare_trees(branches: Sequence[Branch], folder: Path, top: Path, *, one_id: bool) -> None:
    """Give a host in a user namespace the folders and accounts that it must be able to change.

    folder: that of the stores. top: the host's own /. one_id: no user but root exists, and sshd's
    own user must be root as well. Raises: OSError when there is no room.
    """
    for branch in branches:
        if branch.kind == "overlay":
            upper = folder / branch.store / "upper"
            for path in _folders_written_to(Path(branch.source)):
                copy = upper / path.relative_to(branch.source)
                copy.mkdir(parents=True, exist_ok=True)
                copy.chmod(stat.S_IMODE(path.stat().st_mode) | 0o700)
        elif branch.kind == "copy":
            upper = top / branch.place.lstrip("/")
            _copy(Path(branch.source), upper)
        else:
            continue
        if branch.place == "/etc":
            _write_accounts(upper, one_id=one_id)


def _branches(path: Path, mounts: Sequence[str], numbers: Iterator[int]) -> Iterator[Branch]:
    """Give the branches of one entry of the machine's root, and of what is mounted in it."""
    place = str(path)
    if path.is_symlink():
        target = str(path.readlink())
        if not _NOT_ROOTS & set(target):
            yield Branch("link", place, source=target)
    elif path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            return
        if not any(mount.startswith(f"{place}/") for mount in mounts):
            layers = unpacked.layers() if place == "/usr" else None
            yield Branch("overlay", place, str(next(numbers)), place, layers)
            return
        if place == "/etc":  # many small files, of which a container mounts some by themselves
            yield Branch("copy", place, source=place)
            return
        yield Branch("folder", place)
        for entry in _entries(path):
            yield from _branches(entry, mounts, numbers)
    elif path.is_file() and os.access(path, os.R_OK):
        yield Branch("bind", place, source=place)


def _entries(folder: Path) -> list[Path]:
    """Give what lies in a folder, apart from names that a line for the boot script cannot hold."""
    return sorted(path for path in folder.iterdir() if not _NOT_ROOTS & set(path.name))


def _folders_written_to(source: Path) -> Iterator[Path]:
    """Give the folders of a tree that hosts write to, as far as they can be read."""
    for root in _WRITTEN_TO:
        if Path(root).is_relative_to(source):
            yield from _readable_folders(Path(root), _WRITTEN_DEPTH)
        elif source.is_relative_to(root):
            yield from _readable_folders(source, _WRITTEN_DEPTH)


def _readable_folders(folder: Path, depth: int) -> Iterator[Path]:
    if folder.is_symlink() or not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return
    yield folder
    if depth > 0:
        for path in folder.iterdir():
            yield from _readable_folders(path, depth - 1)


def _copy(source: Path, target: Path) -> None:
    """Copy a tree, as far as it can be read."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        copy = target / path.name
        if path.is_symlink():
            copy.symlink_to(path.readlink())
        elif path.is_dir() and os.access(path, os.R_OK | os.X_OK):
            _copy(path, copy)
        elif path.is_file() and os.access(path, os.R_OK):
            shutil.copyfile(path, copy)
            copy.chmod(stat.S_IMODE(path.stat().st_mode) | 0o600)


def _write_accounts(etc: Path, *, one_id: bool) -> None:
    """Copy the machine's users and groups, which are root's and could not be changed."""
    users = Path("/etc/passwd").read_text(encoding="utf-8", errors="replace").splitlines()
    if one_id:
        users = [line for line in users if not line.startswith("sshd:")] + [_SINGLE_USER_SSHD]
    groups = Path("/etc/group").read_text(encoding="utf-8", errors="replace").splitlines()
    texts = {"passwd": users, "group": groups, "shadow": ["root:*:20000:0:99999:7:::"]}
    for name, lines in texts.items():
        (etc / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (etc / "shadow").chmod(0o600)
    # Those of the machine cannot be opened for writing, and useradd needs them.
    accounts = ("passwd-", "group-", "shadow-", "gshadow", "gshadow-", ".pwd.lock")
    ranges = ("subuid", "subuid-", "subgid", "subgid-")
    for name in (*accounts, *ranges, "hosts", "hostname"):
        (etc / name).unlink(missing_ok=True)
        (etc / name).touch(mode=0o600 if name in accounts else 0o644)
