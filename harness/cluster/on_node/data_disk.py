"""A file system that passes everything on to the folder beneath it, or does not: a disk in trouble.

It lies over a data folder of a daemon, and serves it from the folder that it covers. Troubles are
an object in a file: "full", "read_only" (true or false), "slow_ms" (each read, write and sync takes
so much longer) and "error" (the share of writes and syncs that fail with EIO). They act on files
that are open already, and on every program whatever it is written in. One request is served at a
time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import stat
import time
from pathlib import Path
from typing import Any

from . import fuse_wire as wire

_SLEEP_S = 0.005
_GROWING = frozenset({wire.SYMLINK, wire.MKNOD, wire.MKDIR, wire.CREATE, wire.LINK})
_CHANGING = _GROWING | {
    *(wire.UNLINK, wire.RMDIR, wire.RENAME, wire.RENAME2, wire.SETATTR, wire.WRITE),
    wire.FALLOCATE,
}
_SLOW = frozenset({wire.READ, wire.WRITE, wire.FSYNC, wire.CREATE, wire.FALLOCATE})
_FAILING = frozenset({wire.WRITE, wire.FSYNC})
_SILENT = frozenset({wire.FORGET, wire.BATCH_FORGET, wire.INTERRUPT})


class DataDisk:
    """Serves one mounted folder.

    device: what `fuse_wire.mount` gave. base: the covered folder, opened before. table: the file
    that says what it suffers; none means nothing.
    """

    def __init__(self, device: int, base: int, table: Path) -> None:
        self._device = device
        self._base = base
        self._table = table
        self._seen: tuple[int, int] | None = None
        self._troubles: dict[str, Any] = {}
        self._rng = random.Random()
        self._paths: dict[int, str] = {wire.ROOT: "."}
        self._nodes: dict[str, int] = {".": wire.ROOT}
        self._uses: dict[int, int] = {}
        self._handles: dict[int, list[int]] = {}
        self._last_node = wire.ROOT
        self._listings: dict[int, list[tuple[int, str, int]]] = {}
        self._last_listing = 0

    def run(self) -> None:
        """Serve until the file system is unmounted."""
        os.umask(0)
        while True:
            try:
                data = os.read(self._device, wire.BUFFER_BYTES)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                raise
            self._serve(wire.parse(data))

    def _refresh(self) -> bool:
        """Read the troubles if they are others than before; tell whether they are."""
        try:
            about = self._table.stat()
        except OSError:
            changed = self._seen is not None
            self._seen, self._troubles = None, {}
            return changed
        seen = (about.st_ino, about.st_mtime_ns)
        if seen == self._seen:
            return False
        self._seen = seen
        with contextlib.suppress(OSError, ValueError):
            self._troubles = json.loads(self._table.read_text(encoding="utf-8"))
        return True

    def _serve(self, request: wire.Request) -> None:
        if request.opcode in _SILENT:
            self._forget(request)
            return
        name = _ACTS.get(request.opcode, "_unknown")
        try:
            self._refresh()
            self._suffer(request)
            answer = wire.answer(request.unique, getattr(self, name)(request))
        except OSError as error:
            answer = wire.answer(request.unique, error=error.errno or errno.EIO)
        with contextlib.suppress(OSError):  # the request was given up meanwhile
            os.write(self._device, answer)

    def _suffer(self, request: wire.Request) -> None:
        """Take the time that a slow disk takes, and fail as a disk in trouble fails."""
        troubles, opcode = self._troubles, request.opcode
        if opcode in _SLOW and troubles.get("slow_ms"):
            until_s = time.monotonic() + troubles["slow_ms"] / 1000
            while time.monotonic() < until_s and not self._refresh():
                time.sleep(max(0.0, min(_SLEEP_S, until_s - time.monotonic())))
        if opcode in _FAILING and troubles.get("error") and self._rng.random() < troubles["error"]:
            raise OSError(errno.EIO, "")
        if troubles.get("read_only") and (opcode in _CHANGING or _opens_for_writing(request)):
            raise OSError(errno.EROFS, "")
        if troubles.get("full") and self._grows(request):
            raise OSError(errno.ENOSPC, "")

    def _grows(self, request: wire.Request) -> bool:
        if request.opcode == wire.WRITE:
            handle, offset, size, *_ = wire.READ_IN.unpack_from(request.body)
            return bool(offset + size > os.fstat(handle).st_size)
        if request.opcode == wire.SETATTR:
            valid, _, _, size, *_ = wire.SETATTR_IN.unpack_from(request.body)
            return bool(valid & wire.SET_SIZE) and size > self._stat(request.node).st_size
        return request.opcode in _GROWING or request.opcode == wire.FALLOCATE

    def _init(self, request: wire.Request) -> bytes:
        return wire.init(int.from_bytes(request.body[12:16], "little"))

    def _lookup(self, request: wire.Request) -> bytes:
        path = self._join(request.node, wire.names(request.body)[0])
        return self._entry(path)

    def _getattr(self, request: wire.Request) -> bytes:
        return wire.attributes_answer(self._stat(request.node))

    def _setattr(self, request: wire.Request) -> bytes:
        fields = wire.SETATTR_IN.unpack_from(request.body)
        valid = fields[0]
        if valid & wire.SET_SIZE:
            self._set_size(request.node, fields[3])
        if valid & wire.SET_MODE:
            mode = stat.S_IMODE(fields[11])
            os.chmod(self._path(request.node), mode, dir_fd=self._base)
        if valid & (wire.SET_UID | wire.SET_GID):
            uid = fields[13] if valid & wire.SET_UID else -1
            gid = fields[14] if valid & wire.SET_GID else -1
            path = self._path(request.node)
            os.chown(path, uid, gid, dir_fd=self._base, follow_symlinks=False)
        if valid & (wire.SET_ATIME | wire.SET_MTIME) and request.node in self._paths:
            self._set_times(self._path(request.node), valid, fields)
        return wire.attributes_answer(self._stat(request.node))

    def _set_size(self, node: int, size: int) -> None:
        for handle in self._handles.get(node, ()):
            with contextlib.suppress(OSError):  # open for reading alone
                os.ftruncate(handle, size)
                return
        opened = self._open_path(self._path(node), os.O_WRONLY)
        try:
            os.ftruncate(opened, size)
        finally:
            os.close(opened)

    def _set_times(self, path: str, valid: int, fields: tuple[int, ...]) -> None:
        about = os.stat(path, dir_fd=self._base, follow_symlinks=False)
        times = [about.st_atime_ns, about.st_mtime_ns]
        for place, (bit, now) in enumerate(
            ((wire.SET_ATIME, wire.SET_ATIME_NOW), (wire.SET_MTIME, wire.SET_MTIME_NOW))
        ):
            if valid & now:
                times[place] = time.time_ns()
            elif valid & bit:
                times[place] = fields[5 + place] * 1_000_000_000 + fields[8 + place]
        os.utime(path, ns=(times[0], times[1]), dir_fd=self._base, follow_symlinks=False)

    def _readlink(self, request: wire.Request) -> bytes:
        return os.fsencode(os.readlink(self._path(request.node), dir_fd=self._base))

    def _symlink(self, request: wire.Request) -> bytes:
        name, target = wire.names(request.body)
        path = self._join(request.node, name)
        os.symlink(target, path, dir_fd=self._base)
        return self._made(path, request)

    def _mknod(self, request: wire.Request) -> bytes:
        mode, device, umask, _ = wire.MKNOD_IN.unpack_from(request.body)
        path = self._join(request.node, wire.names(request.body[wire.MKNOD_IN.size :])[0])
        os.mknod(path, mode & ~umask, device, dir_fd=self._base)
        return self._made(path, request)

    def _mkdir(self, request: wire.Request) -> bytes:
        mode, umask = wire.MKDIR_IN.unpack_from(request.body)
        path = self._join(request.node, wire.names(request.body[wire.MKDIR_IN.size :])[0])
        os.mkdir(path, mode & ~umask, dir_fd=self._base)
        return self._made(path, request)

    def _unlink(self, request: wire.Request) -> bytes:
        path = self._join(request.node, wire.names(request.body)[0])
        os.unlink(path, dir_fd=self._base)
        self._moved(path, None)
        return b""

    def _rmdir(self, request: wire.Request) -> bytes:
        path = self._join(request.node, wire.names(request.body)[0])
        os.rmdir(path, dir_fd=self._base)
        self._moved(path, None)
        return b""

    def _rename(self, request: wire.Request) -> bytes:
        head = wire.RENAME_IN if request.opcode == wire.RENAME else wire.RENAME2_IN
        folder, *flags = head.unpack_from(request.body)
        if any(flags):
            raise OSError(errno.EINVAL, "")  # exchanging, and not replacing, are not offered
        old, new = wire.names(request.body[head.size :])
        before, after = self._join(request.node, old), self._join(folder, new)
        os.rename(before, after, src_dir_fd=self._base, dst_dir_fd=self._base)
        self._moved(after, None)
        self._moved(before, after)
        return b""

    def _link(self, request: wire.Request) -> bytes:
        (node,) = wire.LINK_IN.unpack_from(request.body)
        path = self._join(request.node, wire.names(request.body[wire.LINK_IN.size :])[0])
        source = self._path(node)
        os.link(source, path, src_dir_fd=self._base, dst_dir_fd=self._base, follow_symlinks=False)
        return self._entry(path)

    def _open(self, request: wire.Request) -> bytes:
        flags, _ = wire.OPEN_IN.unpack_from(request.body)
        handle = self._open_path(self._path(request.node), flags)
        self._handles.setdefault(request.node, []).append(handle)
        return wire.OPENED.pack(handle, 0, 0)

    def _create(self, request: wire.Request) -> bytes:
        flags, mode, umask, _ = wire.CREATE_IN.unpack_from(request.body)
        path = self._join(request.node, wire.names(request.body[wire.CREATE_IN.size :])[0])
        handle = self._open_path(path, flags | os.O_CREAT, mode & ~umask)
        os.fchown(handle, request.uid, request.gid)
        made = self._entry(path)
        self._handles.setdefault(self._nodes[path], []).append(handle)
        return made + wire.OPENED.pack(handle, 0, 0)

    def _open_path(self, path: str, flags: int, mode: int = 0o600) -> int:
        """Open for reading as well: the kernel reads the pages that it writes in part.

        The kernel knows where to append, and says so in the offset.
        """
        kept = flags & ~(os.O_APPEND | os.O_DIRECT | os.O_NOFOLLOW)
        if kept & os.O_ACCMODE == os.O_WRONLY:
            kept = (kept & ~os.O_ACCMODE) | os.O_RDWR
        return os.open(path, kept | os.O_CLOEXEC | os.O_NOFOLLOW, mode, dir_fd=self._base)

    def _read(self, request: wire.Request) -> bytes:
        handle, offset, size, *_ = wire.READ_IN.unpack_from(request.body)
        return os.pread(handle, size, offset)

    def _write(self, request: wire.Request) -> bytes:
        handle, offset, size, *_ = wire.READ_IN.unpack_from(request.body)
        data = memoryview(request.body)[wire.READ_IN.size :][:size]
        return wire.WRITTEN.pack(os.pwrite(handle, data, offset), 0)

    def _fsync(self, request: wire.Request) -> bytes:
        handle, flags, _ = wire.HANDLE_IN.unpack_from(request.body)
        (os.fdatasync if flags & 1 else os.fsync)(handle)
        return b""

    def _release(self, request: wire.Request) -> bytes:
        handle, *_ = wire.HANDLE_IN.unpack_from(request.body)
        os.close(handle)
        handles = self._handles.get(request.node, [])
        if handle in handles:
            handles.remove(handle)
        if not handles:
            self._handles.pop(request.node, None)
        return b""

    def _fallocate(self, request: wire.Request) -> bytes:
        handle, offset, length, mode, _ = wire.FALLOCATE_IN.unpack_from(request.body)
        if mode:
            raise OSError(errno.EOPNOTSUPP, "")
        os.posix_fallocate(handle, offset, length)
        return b""

    def _unknown(self, _request: wire.Request) -> bytes:
        raise OSError(errno.ENOSYS, "")

    def _nothing(self, _request: wire.Request) -> bytes:
        return b""

    def _statfs(self, _request: wire.Request) -> bytes:
        about = os.fstatvfs(self._base)
        return wire.statistics(about, full=bool(self._troubles.get("full")))

    def _opendir(self, request: wire.Request) -> bytes:
        folder = self._open_path(self._path(request.node), os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(folder) as found:
                listing = [(item.inode(), item.name, _kind(item)) for item in found]
        finally:
            os.close(folder)
        inode = self._stat(request.node).st_ino
        self._last_listing += 1
        dots = [(inode, name, stat.S_IFDIR >> 12) for name in (".", "..")]
        self._listings[self._last_listing] = [*dots, *listing]
        return wire.OPENED.pack(self._last_listing, 0, 0)

    def _readdir(self, request: wire.Request) -> bytes:
        number, offset, size, *_ = wire.READ_IN.unpack_from(request.body)
        found = b""
        for place, item in enumerate(self._listings[number][offset:], start=offset + 1):
            inode, name, kind = item
            following = wire.directory_entry(inode, place, name, kind)
            if len(found) + len(following) > size:
                break
            found += following
        return found

    def _releasedir(self, request: wire.Request) -> bytes:
        number, *_ = wire.HANDLE_IN.unpack_from(request.body)
        self._listings.pop(number, None)
        return b""

    def _fsyncdir(self, request: wire.Request) -> bytes:
        folder = self._open_path(self._path(request.node), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return b""

    def _path(self, node: int) -> str:
        path = self._paths.get(node)
        if path is None:
            raise OSError(errno.ENOENT, "")
        return path

    def _join(self, folder: int, name: str) -> str:
        above = self._path(folder)
        return name if above == "." else f"{above}/{name}"

    def _stat(self, node: int) -> os.stat_result:
        """Look at a file; one that has no name any more is known by whoever has it open."""
        if node not in self._paths and self._handles.get(node):
            return os.fstat(self._handles[node][-1])
        return os.stat(self._path(node), dir_fd=self._base, follow_symlinks=False)

    def _made(self, path: str, request: wire.Request) -> bytes:
        """Give a new file to the one who asked for it, and its entry."""
        os.chown(path, request.uid, request.gid, dir_fd=self._base, follow_symlinks=False)
        return self._entry(path)

    def _entry(self, path: str) -> bytes:
        about = os.stat(path, dir_fd=self._base, follow_symlinks=False)
        node = self._nodes.get(path)
        if node is None:
            self._last_node += 1
            node = self._nodes[path] = self._last_node
            self._paths[node] = path
        self._uses[node] = self._uses.get(node, 0) + 1
        return wire.entry(node, about)

    def _moved(self, before: str, after: str | None) -> None:
        """Follow what was moved, with all beneath it; None: it is gone."""
        below = f"{before}/"
        for path in [p for p in self._nodes if p == before or p.startswith(below)]:
            node = self._nodes.pop(path)
            if after is None:
                self._paths.pop(node, None)
                continue
            moved = after + path[len(before) :]
            self._nodes[moved] = node
            self._paths[node] = moved

    def _forget(self, request: wire.Request) -> None:
        body = request.body
        if request.opcode == wire.FORGET:
            self._forget_one(request.node, *wire.FORGET_IN.unpack_from(body))
        elif request.opcode == wire.BATCH_FORGET:
            count, _ = wire.BATCH_FORGET_IN.unpack_from(body)
            rest = body[wire.BATCH_FORGET_IN.size :][: count * wire.FORGET_ONE.size]
            for node, times in wire.FORGET_ONE.iter_unpack(rest):
                self._forget_one(node, times)

    def _forget_one(self, node: int, times: int) -> None:
        left = self._uses.get(node, 0) - times
        self._uses[node] = left
        if left <= 0 and node != wire.ROOT:
            self._uses.pop(node)
            path = self._paths.pop(node, None)
            if path is not None and self._nodes.get(path) == node:
                del self._nodes[path]


def _opens_for_writing(request: wire.Request) -> bool:
    if request.opcode != wire.OPEN:
        return False
    flags, _ = wire.OPEN_IN.unpack_from(request.body)
    return bool(flags & (os.O_ACCMODE | os.O_TRUNC))


def _kind(item: os.DirEntry[str]) -> int:
    return item.stat(follow_symlinks=False).st_mode >> 12


_ACTS: dict[int, str] = {
    wire.INIT: "_init",
    wire.LOOKUP: "_lookup",
    wire.GETATTR: "_getattr",
    wire.SETATTR: "_setattr",
    wire.READLINK: "_readlink",
    wire.SYMLINK: "_symlink",
    wire.MKNOD: "_mknod",
    wire.MKDIR: "_mkdir",
    wire.UNLINK: "_unlink",
    wire.RMDIR: "_rmdir",
    wire.RENAME: "_rename",
    wire.RENAME2: "_rename",
    wire.LINK: "_link",
    wire.OPEN: "_open",
    wire.CREATE: "_create",
    wire.READ: "_read",
    wire.WRITE: "_write",
    wire.STATFS: "_statfs",
    wire.RELEASE: "_release",
    wire.FSYNC: "_fsync",
    wire.FLUSH: "_nothing",
    wire.OPENDIR: "_opendir",
    wire.READDIR: "_readdir",
    wire.RELEASEDIR: "_releasedir",
    wire.FSYNCDIR: "_fsyncdir",
    wire.FALLOCATE: "_fallocate",
    wire.DESTROY: "_nothing",
}
