"""How a host is reached: address, user, keys, pinned host keys, and the host to jump from."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import paramiko
from paramiko.pkey import UnknownKeyType

from splitbrain.cluster.escalation import Sudo
from splitbrain.cluster.known_hosts import advice_for_unknown
from splitbrain.cluster.ssh import (
    CONNECT_TIMEOUT_S,
    Connect,
    Endpoint,
    Line,
    SshHost,
    WrongHostKeyError,
    authenticated,
    connect_directly,
)
from splitbrain.cluster.ssh_transport import SharedTransport
from splitbrain.core.errors import UsageError
from splitbrain.core.value import Value

H = TypeVar("H", bound=SshHost)
_KINDS: tuple[type[paramiko.PKey], ...] = (
    paramiko.Ed25519Key,
    paramiko.ECDSAKey,
    paramiko.RSAKey,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One way into one host.

    name: what people call it. host_keys: those that it may show, as lines of known_hosts without
    the host; pinned_in: the file that they stand in. key_files: tried in this order, then what the
    agent holds if `agent` says so. passphrase: of encrypted key files. jump: the host to go
    through.
    """

    name: str
    address: str
    port: int = 22
    user: str = "root"
    host_keys: tuple[str, ...] = ()
    pinned_in: str = ""
    key_files: tuple[str, ...] = ()
    passphrase: str | None = field(default=None, repr=False)
    agent: bool = False
    jump: Login | None = None

    def to_value(self) -> Value:
        """Give it as JSON, for a process of our own."""
        return {
            "name": self.name,
            "address": self.address,
            "port": self.port,
            "user": self.user,
            "host_keys": list(self.host_keys),
            "pinned_in": self.pinned_in,
            "key_files": list(self.key_files),
            "passphrase": self.passphrase,
            "agent": self.agent,
            "jump": None if self.jump is None else self.jump.to_value(),
        }

    @classmethod
    def from_value(cls, value: Mapping[str, object]) -> Login:
        """Read it back."""
        fields = dict(value)
        for name in ("host_keys", "key_files"):
            fields[name] = tuple(cast("Sequence[str]", fields[name]))
        if fields["jump"] is not None:
            fields["jump"] = cls.from_value(cast("Mapping[str, object]", fields["jump"]))
        return cls(**fields)  # type: ignore[arg-type]

    def endpoint(self) -> Endpoint:
        """Read the keys.

        Raises: UsageError naming the key file that cannot be used, or saying that there is none;
        UnknownHostError when no key of the host is pinned: none is ever taken on trust.
        """
        if not self.host_keys:
            raise UnknownHostError(self)
        keys = [read_key(Path(file), self.passphrase) for file in self.key_files]
        if self.agent:
            keys += _agent_keys()
        if not keys:
            held = ": the agent holds none" if self.agent else ""
            message = f"there is no key to log in with{held}"
            raise UsageError(message, advice='give it with `key = "~/.ssh/..."`, or ssh-add one')
        pinned = [public_key(line) for line in self.host_keys]
        return Endpoint(
            node=self.name,
            address=self.address,
            port=self.port,
            user=self.user,
            host_key=pinned[0],
            other_host_keys=tuple(pinned[1:]),
            client_key=keys[0],
            other_client_keys=tuple(keys[1:]),
        )


class UnknownHostError(UsageError):
    """No key of a host is known; the message has the line that fetches it for comparison."""

    def __init__(self, login: Login) -> None:
        message = f"the key of {login.address} is not in {login.pinned_in}"
        through = None if login.jump is None else login.jump.name
        advice = advice_for_unknown(login.address, login.port, login.pinned_in, through=through)
        super().__init__(message, advice=advice)
        self.what = message


class Ways:
    """Opens hosts by their logins; those that go through one host share its connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jumps: dict[Login, JumpHost] = {}

    def host(
        self,
        login: Login,
        *,
        kind: type[H],
        sudo: Sudo | None = None,
    ) -> H:
        """Give control of a host; nothing is connected yet. Raises: UsageError as `endpoint`."""
        return kind(login.endpoint(), connect=self._connect(login), sudo=sudo)

    def close(self) -> None:
        """Let the connections to the hosts in between go."""
        with self._lock:
            for jump in self._jumps.values():
                jump.close()

    def _connect(self, login: Login) -> Connect:
        if login.jump is None:
            return connect_directly
        before = self._connect(login.jump)
        with self._lock:
            if login.jump not in self._jumps:
                self._jumps[login.jump] = JumpHost(_endpoint_of_jump(login.jump), before)
            return self._jumps[login.jump].connect


def _endpoint_of_jump(jump: Login) -> Endpoint:
    try:
        return jump.endpoint()
    except UnknownHostError:
        raise  # it names the host already
    except UsageError as error:
        message = f"the jump host {jump.name}: {error}"
        raise UsageError(message) from error


class JumpError(OSError):
    """The way through another host is closed; the message names that host."""


class JumpHost:
    """A host through which others are reached: one connection, a channel for each of theirs."""

    def __init__(self, endpoint: Endpoint, connect: Connect) -> None:
        self._endpoint = endpoint
        self._connect = connect
        self._lock = threading.Lock()
        self._transport: SharedTransport | None = None

    def connect(self, endpoint: Endpoint, timeout_s: float) -> Line:
        """Open a TCP connection from this host to an endpoint.

        Where the shared connection to this host proves dead, a fresh one is tried once: nothing was
        sent to the endpoint yet. Raises: JumpError.
        """
        deadline_s = time.monotonic() + timeout_s
        transport = self._ready(timeout_s)
        try:
            return _channel(transport, endpoint, deadline_s)
        except (OSError, EOFError, paramiko.SSHException) as error:
            if transport.is_active():
                raise self._closed(endpoint, error) from error
        try:
            fresh = self._ready(max(0.1, deadline_s - time.monotonic()))
            return _channel(fresh, endpoint, deadline_s)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._closed(endpoint, error) from error

    def close(self) -> None:
        """Let the connection go."""
        with self._lock:
            if self._transport is not None:
                self._transport.end()

    def _closed(self, endpoint: Endpoint, error: Exception) -> JumpError:
        if isinstance(error, JumpError):
            return error
        where = f"{endpoint.address}:{endpoint.port}"
        return JumpError(
            f"the jump host {self._endpoint.node} cannot reach {where}: {_text(error)}"
        )

    def _ready(self, timeout_s: float) -> SharedTransport:
        with self._lock:
            if self._transport is None or not self._transport.is_active():
                self._transport = self._enter(min(CONNECT_TIMEOUT_S, timeout_s))
            return self._transport

    def _enter(self, limit_s: float) -> SharedTransport:
        name = self._endpoint.node
        try:
            return authenticated(self._endpoint, self._connect, limit_s)
        except JumpError:
            raise
        except (OSError, EOFError, paramiko.SSHException, WrongHostKeyError) as error:
            reason = f"the jump host {name} lets nobody through: {_text(error)}"
            raise JumpError(reason) from error


def _channel(transport: paramiko.Transport, endpoint: Endpoint, deadline_s: float) -> Line:
    left_s = max(0.1, deadline_s - time.monotonic())
    target = (endpoint.address, endpoint.port)
    return transport.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=left_s)


def public_key(line: str) -> paramiko.PKey:
    """Read a public key: its type and its base64. Raises: ValueError for anything else."""
    kind, blob = line.split()[:2]
    try:
        return paramiko.PKey.from_type_string(kind, base64.b64decode(blob, validate=True))
    except (paramiko.SSHException, UnknownKeyType) as error:
        message = f"{kind} is no type of key that is known"
        raise ValueError(message) from error


def read_key(path: Path, passphrase: str | None) -> paramiko.PKey:
    """Read a private key. Raises: UsageError with the file and what is wrong with it."""
    try:
        path.read_bytes()
    except OSError as error:
        message = f"the key {path} cannot be read: {error.strerror}"
        raise UsageError(message) from error
    for kind in _KINDS:
        try:
            return kind.from_private_key_file(str(path), passphrase)
        except paramiko.PasswordRequiredException as error:
            message = f"the key {path} is encrypted"
            advice = "name the variable that holds its passphrase with passphrase_env, or use agent"
            raise UsageError(message, advice=advice) from error
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    wrong = " with this passphrase" if passphrase is not None else ""
    message = f"the key {path} cannot be used{wrong}: it is no private key of ed25519, ECDSA or RSA"
    raise UsageError(message)


def _agent_keys() -> list[paramiko.PKey]:
    try:
        return list(paramiko.Agent().get_keys())
    except (OSError, paramiko.SSHException):
        return []


def _text(error: BaseException) -> str:
    if isinstance(error, paramiko.AuthenticationException):
        return "it does not accept the key"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
