"""Reads which hosts an inventory has: a TOML file, or names from the user's ssh configuration.

Every mistake is named with the file and the field. Fields are described in docs/inventory.md.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from splitbrain.cluster.escalation import Sudo
from splitbrain.cluster.inventory_name import SSH_PREFIX
from splitbrain.cluster.known_hosts import known_keys
from splitbrain.cluster.login import Login, public_key
from splitbrain.cluster.passwords import secret
from splitbrain.cluster.ssh_config import (
    DEFAULT,
    DEFAULT_KNOWN_HOSTS,
    SshConfigFile,
    SshSettings,
)
from splitbrain.core.errors import UsageError

NODE_LIMIT = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SUDO = ("none", "nopasswd", "password")
_JUMP_DEPTH = 8

_WAY = {
    "ssh": str,
    "address": str,
    "port": int,
    "user": str,
    "key": (str, list),
    "passphrase_env": str,
    "agent": bool,
    "known_hosts": str,
    "host_key": str,
    "jump": str,
}
_NODE = _WAY | {
    "peer_address": str,
    "sudo": str,
    "sudo_password_env": str,
    "reboot": bool,
    "real_clock": bool,
    "directory": str,
}
_DEFAULTS = {
    name: kind
    for name, kind in _NODE.items()
    if name not in ("ssh", "address", "peer_address", "host_key")
}
_TOP = {"defaults": dict, "jumps": dict, "nodes": dict, "ssh_config": str, "pace": (int, float)}
_CALLED: Mapping[object, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    dict: "a table",
    (str, list): "a string or a list of strings",
    (int, float): "a number",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEntry:
    """One host of an inventory.

    peer_address: as the other nodes and the clients reach it; None where it has to be looked up
    from `login.address`. sudo: how commands become root's; None for root. reboot, real_clock: what
    its owner allows. directory: where the harness may keep its data; None for /var.
    """

    name: str
    login: Login
    peer_address: str | None = None
    sudo: Sudo | None = field(default=None, repr=False)
    reboot: bool = False
    real_clock: bool = False
    directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostList:
    """What a source says. source: as the user gave it. pace: as in `Topology`."""

    source: str
    nodes: tuple[NodeEntry, ...]
    pace: float = 1.0


def node_names(source: str) -> tuple[str, ...]:
    """Give the names of the nodes, without reading keys or asking for passwords.

    Raises: UsageError as `read_hosts`.
    """
    if source.startswith(SSH_PREFIX):
        return _listed(source)
    path = Path(source)
    return _checked_names(path, _Table(path, "", _parsed(path)).table("nodes").content)


def read_hosts(source: str, *, limit: int | None = None) -> HostList:
    """Read the hosts, or the first so many.

    Raises: UsageError naming the file and the field that cannot be used.
    """
    if source.startswith(SSH_PREFIX):
        return _from_ssh(source, limit)
    return _from_toml(Path(source), limit)


def _listed(source: str) -> tuple[str, ...]:
    names = tuple(name for name in source.removeprefix(SSH_PREFIX).split(",") if name)
    strange = [name for name in names if not _NAME.fullmatch(name)]
    if not names or strange or len(set(names)) < len(names):
        why = f": {strange[0]!r} is no name" if strange else ""
        message = f"--cluster {source} does not list hosts as in ssh:HOST,HOST{why}"
        raise UsageError(message)
    return names


def _from_ssh(source: str, limit: int | None) -> HostList:
    config = SshConfigFile(DEFAULT)
    nodes = []
    for name in _limited(source, _listed(source), limit):
        login = _login_from_ssh(name, config, config.look_up(name))
        sudo = None if login.user == "root" else Sudo()
        peer_address = login.address if _is_ipv4(login.address) else None
        nodes.append(NodeEntry(name=name, login=login, peer_address=peer_address, sudo=sudo))
    return HostList(source=source, nodes=tuple(nodes))


def _from_toml(path: Path, limit: int | None) -> HostList:
    top = _Table(path, "", _parsed(path))
    top.require(_TOP)
    reader = _Reader(top)
    nodes = top.table("nodes")
    wanted = _limited(str(path), _checked_names(path, nodes.content), limit)
    pace = top.content.get("pace", 1.0)
    assert isinstance(pace, (int, float))
    if not 0 < pace <= 1000:
        raise top.refused(field="pace", why="must be above 0 and at most 1000")
    entries = tuple(reader.node(name, nodes.table(name)) for name in wanted)
    _require_apart(path, entries)
    if len({entry.real_clock for entry in entries}) > 1:
        raise top.refused(field="real_clock", why="must be the same for all nodes")
    return HostList(source=str(path), nodes=entries, pace=float(pace))


def _parsed(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"the hosts in {path} cannot be read: {error.strerror}"
        raise UsageError(message) from error
    except ValueError as error:
        message = f"{path} is not TOML: {error}"
        raise UsageError(message) from error


def _checked_names(path: Path, nodes: Mapping[str, object]) -> tuple[str, ...]:
    if not 1 <= len(nodes) <= NODE_LIMIT:
        message = f"{path}: nodes must list 1 to {NODE_LIMIT} hosts, each as [nodes.NAME]"
        raise UsageError(message)
    for name in nodes:
        if not _NAME.fullmatch(name):
            message = f"{path}: nodes.{name}: a name has letters, digits, '.', '_' and '-'"
            raise UsageError(message)
    return tuple(nodes)


def _limited(source: str, names: Sequence[str], limit: int | None) -> Sequence[str]:
    if limit is not None and limit > len(names):
        message = f"{limit} nodes are asked for, and {source} has {len(names)}"
        raise UsageError(message, advice=f"use --nodes {len(names)}, or list more")
    return names[:limit]


def _require_apart(path: Path, entries: Iterable[NodeEntry]) -> None:
    seen: dict[tuple[str, object], str] = {}
    for entry in entries:
        ways = [("address", (entry.login.address, entry.login.port, entry.login.jump))]
        ways += [("peer_address", entry.peer_address)] if entry.peer_address else []  # type: ignore[list-item]
        for what, value in ways:
            other = seen.setdefault((what, value), entry.name)
            if other != entry.name:
                message = f"{path}: nodes.{entry.name}.{what} is that of {other} as well"
                raise UsageError(message)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file, that knows its place."""

    path: Path
    place: str
    content: Mapping[str, object]

    def require(self, known: Mapping[str, object]) -> None:
        """Check names and types."""
        for name, value in self.content.items():
            if name not in known:
                raise self.refused(field=name, why=f"is not known; there are {', '.join(known)}")
            kind = known[name]
            boolean = isinstance(value, bool) and kind is not bool
            if boolean or not isinstance(value, cast("type", kind)):
                raise self.refused(field=name, why=f"must be {_CALLED[kind]}, not {value!r}")

    def table(self, name: str) -> _Table:
        """Give a table within this one; empty where it is absent."""
        value = self.content.get(name, {})
        if not isinstance(value, dict):
            raise self.refused(field=name, why=f"must be a table, not {value!r}")
        return _Table(self.path, self._whole(name), value)

    def refused(self, *, field: str, why: str) -> UsageError:
        """Make the error that names file and field."""
        return UsageError(f"{self.path}: {self._whole(field)} {why}")

    def _whole(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name


class _Reader:
    """Makes nodes of tables, with the file's defaults and jump hosts."""

    def __init__(self, top: _Table) -> None:
        self._path = top.path
        self._jumps = top.table("jumps")
        self._defaults = top.table("defaults")
        self._defaults.require(_DEFAULTS)
        for name in self._jumps.content:
            self._jumps.table(name).require(_WAY)
        self._ssh_config = Path(str(top.content.get("ssh_config", DEFAULT)))

    @functools.cached_property
    def _config(self) -> SshConfigFile:
        return SshConfigFile(self._ssh_config)

    def node(self, name: str, own: _Table) -> NodeEntry:
        """Read one node."""
        own.require(_NODE)
        table = _Table(own.path, own.place, {**self._defaults.content, **own.content})
        login = self._login(name, own, table, depth=_JUMP_DEPTH)
        content = table.content
        directory = content.get("directory")
        if directory is not None and not re.fullmatch(r"(/[\w.@+-]+){2,}", str(directory)):
            raise table.refused(
                field="directory", why="must be an absolute path of at least two parts"
            )
        return NodeEntry(
            name=name,
            login=login,
            peer_address=_peer_address(table, login),
            sudo=_sudo(name, table, login),
            reboot=bool(content.get("reboot", False)),
            real_clock=bool(content.get("real_clock", False)),
            directory=None if directory is None else str(directory),
        )

    def _login(self, name: str, own: _Table, table: _Table, *, depth: int) -> Login:
        content = table.content
        settings = None
        if "ssh" in own.content:
            settings = self._config.look_up(str(content["ssh"]))
        elif "address" not in content:
            raise own.refused(
                field="address", why='is missing (or `ssh = "a name of your ssh config"`)'
            )
        base = Login(name=name, address=str(content.get("address", "")))
        if settings is not None:
            base = _login_from_ssh(name, self._config, settings)
        address = str(content.get("address", base.address))
        port = int(cast("int", content.get("port", base.port)))
        if not 1 <= port <= 65535:
            raise table.refused(field="port", why=f"must be from 1 to 65535, not {port}")
        known_as = address if settings is None else settings.known_as
        host_keys, pinned_in = _pinned(table, settings, known_as, port)
        jump = self._jump(table, depth) if "jump" in content else base.jump
        key_files = _key_files(table) or base.key_files
        return Login(
            name=name,
            address=address,
            port=port,
            user=str(content.get("user", base.user)),
            host_keys=host_keys,
            pinned_in=pinned_in,
            key_files=key_files,
            passphrase=_passphrase(name, table),
            agent=bool(content.get("agent", base.agent)),
            jump=jump,
        )

    def _jump(self, table: _Table, depth: int) -> Login | None:
        name = str(table.content["jump"])
        if name in ("", "none"):
            return None
        if depth == 0:
            raise table.refused(field="jump", why="leads through too many hosts, or in a circle")
        if name not in self._jumps.content:
            raise table.refused(
                field="jump", why=f"is {name!r}, and there is no table [jumps.{name}]"
            )
        own = self._jumps.table(name)
        kept = {key: item for key, item in self._defaults.content.items() if key in _WAY}
        kept.pop("jump", None)
        whole = _Table(own.path, own.place, {**kept, **own.content})
        return self._login(name, own, whole, depth=depth - 1)


def _login_from_ssh(
    name: str, config: SshConfigFile, settings: SshSettings, depth: int = _JUMP_DEPTH
) -> Login:
    jump = None
    if depth == 0:
        message = f"{config.path}: the ProxyJump of {name} leads in a circle"
        raise UsageError(message)
    for listed in settings.jumps:  # each is reached through the one before
        user, _, place = listed.rpartition("@")
        host, _, port = place.partition(":")
        found = config.look_up(host)
        before = jump
        jump = _login_from_ssh(host, config, found, depth - 1)
        changes: dict[str, object] = {"user": user or jump.user, "jump": before or jump.jump}
        if port.isdigit():
            keys = known_keys([Path(f) for f in found.known_hosts], found.known_as, int(port))
            changes |= {"port": int(port), "host_keys": keys}
        jump = _replaced(jump, changes)
    files = [Path(file) for file in settings.known_hosts]
    return Login(
        name=name,
        address=settings.address,
        port=settings.port,
        user=settings.user,
        host_keys=known_keys(files, settings.known_as, settings.port),
        pinned_in=settings.known_hosts[0],
        key_files=settings.key_files,
        agent=settings.agent,
        jump=jump,
    )


def _replaced(login: Login, changes: Mapping[str, object]) -> Login:
    import dataclasses  # noqa: PLC0415

    return dataclasses.replace(login, **changes)  # type: ignore[arg-type]


def _pinned(
    table: _Table, settings: SshSettings | None, known_as: str, port: int
) -> tuple[tuple[str, ...], str]:
    """Give the keys that a host may show, and the file where they are or belong."""
    if "host_key" in table.content:
        line = " ".join(str(table.content["host_key"]).split()[:2])
        try:
            public_key(line)
        except ValueError as error:
            raise table.refused(
                field="host_key", why='is not like "ssh-ed25519 AAAA..."'
            ) from error
        return (line,), str(table.path)
    if "known_hosts" in table.content:
        files = [_beside(table.path, str(table.content["known_hosts"]))]
    else:
        listed = DEFAULT_KNOWN_HOSTS if settings is None else settings.known_hosts
        files = [Path(file).expanduser() for file in listed]
    return known_keys(files, known_as, port), str(files[0])


def _key_files(table: _Table) -> tuple[str, ...]:
    value = table.content.get("key", [])
    files = value if isinstance(value, list) else [value]
    if not all(isinstance(file, str) and file for file in files):
        raise table.refused(
            field="key", why=f"must be a string or a list of strings, not {value!r}"
        )
    return tuple(str(_beside(table.path, str(file))) for file in files)


def _beside(path: Path, file: str) -> Path:
    """Give a file that is named relative to the inventory's own."""
    whole = Path(file).expanduser()
    return whole if whole.is_absolute() else path.parent / whole


def _passphrase(name: str, table: _Table) -> str | None:
    variable = table.content.get("passphrase_env")
    if variable is None:
        return None
    return secret(str(variable), f"the passphrase of the key of {name}", "passphrase_env")


def _peer_address(table: _Table, login: Login) -> str | None:
    """Give the address for peers where the file decides it: an IPv4 address, as the cuts need."""
    field = "peer_address" if "peer_address" in table.content else "address"
    text = str(table.content.get(field, login.address))
    if _is_ipv4(text):
        return text
    if field == "peer_address":
        raise table.refused(field=field, why=f"must be an IPv4 address, not {text!r}")
    return None


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _sudo(name: str, table: _Table, login: Login) -> Sudo | None:
    usual = "none" if login.user == "root" else "nopasswd"
    how = str(table.content.get("sudo", usual))
    if how not in _SUDO:
        raise table.refused(field="sudo", why=f"must be one of {', '.join(_SUDO)}, not {how!r}")
    if how == "none" or login.user == "root":
        if login.user != "root":
            raise table.refused(field="sudo", why=f"is none, but {login.user} is not root")
        return None
    if how == "nopasswd":
        return Sudo()
    variable = table.content.get("sudo_password_env")
    what = f"the sudo password of {login.user} on {name}"
    return Sudo(
        password=secret(None if variable is None else str(variable), what, "sudo_password_env")
    )
