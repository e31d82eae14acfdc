"""The kernel's FUSE protocol (7.31): how its requests and answers look, and how it is mounted.

Source: include/uapi/linux/fuse.h of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from pathlib import Path
from typing import NamedTuple

MAJOR, MINOR = 7, 31
MAX_WRITE = 1 << 20
BUFFER_BYTES = MAX_WRITE + 4096
ROOT = 1
KEPT_S = 1
BIG_WRITES, MAX_PAGES = 1 << 5, 1 << 22

LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK = 1, 2, 3, 4, 5, 6
MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK = 8, 9, 10, 11, 12, 13
OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = 14, 15, 16, 17, 18, 20
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR = 25, 26, 27, 28, 29, 30
ACCESS, CREATE, INTERRUPT, DESTROY, BATCH_FORGET, FALLOCATE, RENAME2 = 34, 35, 36, 38, 42, 43, 45

SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_ATIME, SET_MTIME, SET_FH = 1, 2, 4, 8, 16, 32, 64
SET_ATIME_NOW, SET_MTIME_NOW = 128, 256

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTR = struct.Struct("<6Q10I")
_ENTRY = struct.Struct("<QQQQII")
_ATTR_HEAD = struct.Struct("<QII")
_INIT_OUT = struct.Struct("<IIIIHHIIHHI7I")
_KSTATFS = struct.Struct("<5Q4I24x")
_DIRENT = struct.Struct("<QQII")
OPENED = struct.Struct("<QII")
OPEN_IN = struct.Struct("<II")
CREATE_IN = struct.Struct("<IIII")
READ_IN = struct.Struct("<QQIIQII")
HANDLE_IN = struct.Struct("<QII")
GETATTR_IN = struct.Struct("<IIQ")
SETATTR_IN = struct.Struct("<IIQQQQQQIIIIIIII")
MKNOD_IN = struct.Struct("<IIII")
MKDIR_IN = struct.Struct("<II")
RENAME_IN = struct.Struct("<Q")
RENAME2_IN = struct.Struct("<QII")
LINK_IN = struct.Struct("<Q")
FALLOCATE_IN = struct.Struct("<QQQII")
FORGET_IN = struct.Struct("<Q")
BATCH_FORGET_IN = struct.Struct("<II")
FORGET_ONE = struct.Struct("<QQ")
WRITTEN = struct.Struct("<II")

_MS_NOSUID, _MS_NODEV, _MNT_DETACH = 2, 4, 2
_libc = ctypes.CDLL(None, use_errno=True)


class Request(NamedTuple):
    """One request of the kernel: what, on which node, for whom, with what after the header."""

    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    body: bytes


def parse(data: bytes) -> Request:
    """Read a request."""
    _, opcode, unique, node, uid, gid, _, _, _ = _IN.unpack_from(data)
    return Request(opcode, unique, node, uid, gid, data[_IN.size :])


def answer(unique: int, body: bytes = b"", error: int = 0) -> bytes:
    """Give an answer; error: an errno, or 0."""
    return _OUT.pack(_OUT.size + len(body), -error, unique) + body


def names(body: bytes) -> list[str]:
    """Give the names that end a request, each closed by a zero."""
    return [os.fsdecode(part) for part in body.split(b"\0")[:-1]]


def init(offered: int) -> bytes:
    """Answer the first request: what we speak, and how much is written at a time."""
    flags = offered & (BIG_WRITES | MAX_PAGES)
    pages = MAX_WRITE // 4096
    fields = (MAJOR, MINOR, 1 << 17, flags, 16, 12, MAX_WRITE, 1, pages, 0, 0)
    return _INIT_OUT.pack(*fields, *[0] * 7)


def attributes(about: os.stat_result) -> bytes:
    """Give a file's attributes."""
    times = (about.st_atime_ns, about.st_mtime_ns, about.st_ctime_ns)
    return _ATTR.pack(
        *(about.st_ino, about.st_size, about.st_blocks),
        *(at // 1_000_000_000 for at in times),
        *(at % 1_000_000_000 for at in times),
        *(about.st_mode, about.st_nlink, about.st_uid, about.st_gid, about.st_rdev & 0xFFFFFFFF),
        *(about.st_blksize, 0),
    )


def attributes_answer(about: os.stat_result) -> bytes:
    """Give a file's attributes as an answer."""
    return _ATTR_HEAD.pack(_good_for_s(about), 0, 0) + attributes(about)


def entry(node: int, about: os.stat_result) -> bytes:
    """Give a node that was looked up or made."""
    return _ENTRY.pack(node, 0, KEPT_S, _good_for_s(about), 0, 0) + attributes(about)


def _good_for_s(about: os.stat_result) -> int:
    """Give how long attributes may be kept: a file of two names is two nodes to the kernel."""
    return KEPT_S if about.st_nlink == 1 or stat.S_ISDIR(about.st_mode) else 0


def statistics(about: os.statvfs_result, *, full: bool) -> bytes:
    """Give the file system's figures; a full one has nothing free."""
    free, available, files = (0, 0, 0) if full else (about.f_bfree, about.f_bavail, about.f_ffree)
    sizes = (about.f_bsize, about.f_namemax, about.f_frsize, 0)
    return _KSTATFS.pack(about.f_blocks, free, available, about.f_files, files, *sizes)


def directory_entry(inode: int, offset: int, name: str, kind: int) -> bytes:
    """Give one entry of a folder; offset: where to go on behind it."""
    data = os.fsencode(name)
    head = _DIRENT.pack(inode, offset, len(data), kind)
    return head + data + b"\0" * (-(len(head) + len(data)) % 8)


def mount(folder: Path) -> int:
    """Mount a file system of our own over a folder; give the descriptor that serves it.

    Raises: OSError.
    """
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    flags = _MS_NOSUID | _MS_NODEV
    try:
        _call(_libc.mount(b"splitbrain", os.fsencode(folder), b"fuse", flags, options.encode()))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def unmount(folder: Path) -> None:
    """Take the topmost mount off a folder, whoever uses it; nothing when there is none."""
    try:
        _call(_libc.umount2(os.fsencode(folder), _MNT_DETACH))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _call(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
