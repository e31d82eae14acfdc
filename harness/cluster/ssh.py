"""Control of one host over SSH: commands and files, each with a deadline.

One connection a host, shared by threads through channels of their own. A connection that broke, or
on which time ran out, is replaced at the next call; a command that may have run is never repeated.
"""

from __future__ import annotations

import contextlib
import logging
import posixpath
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from splitbrain.cluster.escalation import Sudo
from splitbrain.cluster.ssh_transport import SharedTransport
from splitbrain.core.cluster import Completed
from splitbrain.core.errors import RemoteError

logger = logging.getLogger(__name__)
_PARAMIKO_LOG = "splitbrain.ssh"
logging.getLogger(_PARAMIKO_LOG).addHandler(logging.NullHandler())
# What it complains of reaches callers as a RemoteError, with the reason.
logging.getLogger(_PARAMIKO_LOG).setLevel(logging.CRITICAL)

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 5
UNACKNOWLEDGED_LIMIT_S = 8.0
LINGER_S = 1.0
SEND_PAUSE_S = 0.2
PATIENCE_TO_CEASE_S = 2.0
OBSTACLE_POLL_S = 0.2
PUT_TIMEOUT_S = 60.0
GET_TIMEOUT_S = 60.0
_AGENT = threading.Lock()
CHANNELS = 8  # sshd allows 10 sessions a connection unless told otherwise
_READ_BYTES = 1 << 20
_SEND_INLINE_BYTES = 4096
_PIECE_BYTES = 1 << 18

# Arguments: file, offset, limit. The statuses are our own, and the last is that of `tail`, which is
# cut short (141) once `head` has enough.
_GET_SCRIPT = """[ -e "$1" ] || exit 74
{ [ -f "$1" ] && [ ! -L "$1" ]; } || exit 75
exec 4>&1
read=$({ { tail -c "+$(($2 + 1))" -- "$1"; echo $? >&3; } | head -c "$3" >&4; } 3>&1)
[ "$read" -eq 0 ] || [ "$read" -eq 141 ]
"""
_GET_REFUSALS = {74: "there is no such file", 75: "it is not a regular file"}

# Arguments: folder, file, mode, size. A stream that broke off must not become a shorter file.
_PUT_SCRIPT = """set -e
mkdir -p -- "$1"
t="$2.$$.part"
trap 'rm -f -- "$t"' EXIT
umask 077
cat > "$t"
[ "$(wc -c < "$t")" -eq "$4" ]
chmod "$3" "$t"
mv -f -- "$t" "$2"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a host's sshd listens, which keys it may show, and with which keys we enter.

    other_host_keys: pinned as well as `host_key`. other_client_keys: tried after `client_key`.
    """

    node: str
    address: str
    host_key: paramiko.PKey
    client_key: paramiko.PKey = field(repr=False)
    port: int = 22
    user: str = "root"
    other_host_keys: tuple[paramiko.PKey, ...] = ()
    other_client_keys: tuple[paramiko.PKey, ...] = field(default=(), repr=False)


Line = socket.socket | paramiko.Channel
"""A connection to an sshd: of our own, or through another host."""

Connect = Callable[[Endpoint, float], Line]
"""Opens a TCP connection to an endpoint within so many seconds; raises OSError."""


def connect_directly(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    """Open a TCP connection to an endpoint from the place where the calling thread is."""
    return socket.create_connection((endpoint.address, endpoint.port), timeout=timeout_s)


class SshHost:
    """A `Host` behind an sshd.

    obstacle: says in a few words why the host cannot answer now ("the host is down"), or None; it
    is asked while a call waits, so that calls to a dead host end at once. sudo: how commands become
    root's where the endpoint's user is not root.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect: Connect = connect_directly,
        obstacle: Callable[[], str | None] = lambda: None,
        sudo: Sudo | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._sudo = sudo
        self._connect = connect
        self._obstacle = obstacle
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._talk_lock = threading.Lock()
        self._talk: _Talk | None = None

    @property
    def node(self) -> str:
        """The node's name."""
        return self._endpoint.node

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = 30.0,
        check: bool = True,
    ) -> Completed:
        """Run a command and wait for it.

        When time runs out the command itself may go on: only the wait for it ends.

        Raises: RemoteError when the node cannot be reached, when time runs out, and, unless
        `check` is off, for an exit status other than 0.
        """
        call = self._call(argv, timeout_s)
        with self._channel(call) as channel:
            exchange = _Exchange(channel, self._preamble() + stdin)
            _request(channel, "exec", self._line(argv))
            try:
                status = exchange.perform(call)
            finally:
                exchange.cease()
        completed = Completed(
            argv=call.argv,
            exit_status=status,
            stdout=bytes(exchange.stdout),
            stderr=bytes(exchange.stderr),
            duration_s=time.monotonic() - call.started_s,
        )
        if check and status != 0:
            text = completed.stderr.decode(errors="replace")
            raise RemoteError(self.node, call.argv, exit_status=status, stderr=text)
        return completed

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file, whole or not at all, and make its folders.

        Raises: RemoteError when it cannot be written.
        """
        arguments = (posixpath.dirname(path) or ".", path, f"{mode:o}", str(len(data)))
        argv = ("sh", "-c", _PUT_SCRIPT, "put", *arguments)
        try:
            self.run(argv, stdin=data, timeout_s=PUT_TIMEOUT_S)
        except RemoteError as error:
            raise error.told_of(("put", path)) from error

    def get(self, path: str, *, limit_bytes: int = 64 * 1024 * 1024, offset: int = 0) -> bytes:
        """Read a regular file from `offset`, at most `limit_bytes` of it.

        Links, devices and pipes are refused.

        Raises: RemoteError when there is no such file, or it cannot be read.
        """
        call = self._call(("get", path), GET_TIMEOUT_S)
        argv = ("sh", "-c", _GET_SCRIPT, "get", path, str(offset), str(limit_bytes))
        try:
            done = self.run(argv, timeout_s=call.timeout_s, check=False)
        except RemoteError as error:
            raise error.told_of(call.argv) from error
        if done.exit_status in _GET_REFUSALS:
            raise call.failed(_GET_REFUSALS[done.exit_status])
        if done.exit_status != 0:
            text = done.stderr.decode(errors="replace")
            raise RemoteError(self.node, call.argv, exit_status=done.exit_status, stderr=text)
        return done.stdout

    def _line(self, argv: Sequence[str]) -> str:
        """Give what the host's shell is to carry out."""
        return shlex.join(argv if self._sudo is None else self._sudo.command(argv))

    def _preamble(self) -> bytes:
        return b"" if self._sudo is None else self._sudo.preamble

    def converse(self, argv: Sequence[str], line: bytes, *, timeout_s: float) -> bytes:
        """Hand one line to a program that stays on the node, and give the line that it answers.

        The program is started at first need, and again when it or its connection is gone. A line
        that may have arrived is never handed over twice.

        Raises: RemoteError when there is no answer in time.
        """
        call = self._call(argv[:1], timeout_s)
        if not self._talk_lock.acquire(timeout=timeout_s):
            raise call.late()
        try:
            talk = self._talk
            if talk is None or not talk.usable():
                self._end_talk()
                connection, channel = self._open(call)
                talk = self._talk = _Talk(connection, channel)
                _request(channel, "exec", f"exec {self._line(argv)}")
                talk.greet(self._preamble(), call)
            try:
                return talk.exchange(line, call)
            except BaseException:
                self._end_talk()
                self._forget(talk.connection)
                raise
        finally:
            self._talk_lock.release()

    def _end_talk(self) -> None:
        talk, self._talk = self._talk, None
        if talk is not None:
            talk.close()

    def feed(self, argv: Sequence[str], pieces: Iterable[bytes]) -> None:
        """Run a command and hand it pieces of input as they come, until there are no more.

        Raises: RemoteError when the connection or the command ends before.
        """
        call = self._call(argv, CONNECT_TIMEOUT_S)
        with self._channel(call) as channel:
            _request(channel, "exec", self._line(argv))
            channel.settimeout(CONNECT_TIMEOUT_S)
            channel.sendall(self._preamble())
            for piece in pieces:
                if channel.closed or channel.exit_status != -1:
                    reason = "it ended before its input did"
                    raise call.failed(reason)
                channel.sendall(piece)

    def close(self) -> None:
        """Let the connection go; the next call opens another."""
        self._end_talk()
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _call(self, argv: Sequence[str], timeout_s: float) -> _Call:
        return _Call(self.node, tuple(argv), timeout_s, self._obstacle)

    @contextlib.contextmanager
    def _channel(self, call: _Call) -> Iterator[paramiko.Channel]:
        """Lend a channel; a call that ends without an answer retires its connection."""
        connection, channel = self._open(call)
        try:
            yield channel
        except RemoteError as error:
            if error.exit_status is None:
                self._forget(connection)
            raise
        except (OSError, EOFError, paramiko.SSHException) as error:
            self._forget(connection)
            raise call.failed(_text(error)) from error
        finally:
            connection.release(channel)

    def _open(self, call: _Call) -> tuple[_Connection, paramiko.Channel]:
        """Open a channel. Nothing was sent yet, so a broken connection may be replaced once."""
        attempts = 2
        while True:
            attempts -= 1
            connection = self._acquire(call)
            try:
                return connection, connection.open(call)
            except (OSError, EOFError, paramiko.SSHException) as error:
                self._forget(connection)
                connection.release()
                fresh = connection.fresh or attempts == 0
                if fresh or call.remaining_s() <= 0:
                    raise call.unanswered(error) from error

    def _acquire(self, call: _Call) -> _Connection:
        if not self._lock.acquire(timeout=max(0.0, call.remaining_s())):
            raise call.late()  # another thread is still trying to connect
        try:
            connection = self._connection
            if connection is None or not connection.usable():
                if connection is not None:
                    connection.retire()
                connection = self._connection = self._new_connection(call)
            connection.acquire()
            return connection
        finally:
            self._lock.release()

    def _new_connection(self, call: _Call) -> _Connection:
        reason = self._obstacle()
        if reason is not None:
            raise call.failed(reason)
        limit_s = max(0.1, min(CONNECT_TIMEOUT_S, call.remaining_s()))
        try:
            return _Connection(authenticated(self._endpoint, self._connect, limit_s))
        except WrongHostKeyError as error:
            raise call.failed(str(error)) from error
        except TimeoutError as error:
            reason = f"no connection within {limit_s:g} s"
            raise call.failed(reason) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            reason = f"cannot connect: {_text(error)}"
            raise call.failed(reason) from error

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            if self._connection is connection:
                self._connection = None
        connection.retire()


class WrongHostKeyError(Exception):
    """The host showed another key than the one that is pinned."""


class _Call:
    """One call with its deadline; makes its errors."""

    def __init__(
        self,
        node: str,
        argv: tuple[str, ...],
        timeout_s: float,
        obstacle: Callable[[], str | None],
    ) -> None:
        self.node = node
        self.argv = argv
        self.timeout_s = timeout_s
        self.obstacle = obstacle
        self.started_s = time.monotonic()

    def remaining_s(self) -> float:
        return self.started_s + self.timeout_s - time.monotonic()

    def failed(self, reason: str) -> RemoteError:
        return RemoteError(self.node, self.argv, reason=reason)

    def late(self) -> RemoteError:
        return self.failed(f"timed out after {self.timeout_s:g} s")

    def unanswered(self, error: BaseException) -> RemoteError:
        return self.late() if self.remaining_s() <= 0 else self.failed(_text(error))


class _Connection:
    """A transport with a count of its users; a retired one closes when its last user leaves."""

    def __init__(self, transport: SharedTransport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False
        self._slots = threading.BoundedSemaphore(CHANNELS)
        self.fresh = True

    def usable(self) -> bool:
        return not self._retired and self._transport.is_active()

    def acquire(self) -> None:
        with self._lock:
            self._users += 1

    def open(self, call: _Call) -> paramiko.Channel:
        if not self._slots.acquire(timeout=max(0.0, call.remaining_s())):
            message = "no free channel"
            raise paramiko.SSHException(message)
        try:
            channel = self._transport.lend(max(0.01, call.remaining_s()))
        except BaseException:
            self._slots.release()
            raise
        self.fresh = False
        return channel

    def release(self, channel: paramiko.Channel | None = None) -> None:
        """Leave, and give back the channel that was opened, if one was."""
        if channel is not None:
            self._transport.leave(channel)
            self._slots.release()
        with self._lock:
            self._users -= 1
            last = self._retired and self._users == 0
        if last:
            self.close()

    def retire(self) -> None:
        with self._lock:
            self._retired = True
            idle = self._users == 0
        if idle:
            self.close()

    def close(self) -> None:
        self._transport.end()


class _Bell(threading.Event):
    """An event that several sources ring and only its owner puts to rest."""

    def clear(self) -> None:
        """Ignore a source that has nothing more to say: another may have."""

    def rest(self) -> None:
        super().clear()


class _Relay(threading.Event):
    """An event that rings a bell when it is set."""

    def __init__(self, bell: _Bell) -> None:
        super().__init__()
        self._bell = bell

    def set(self) -> None:
        super().set()
        self._bell.set()


class _Exchange:
    """Feeds a command its input, and takes both its outputs as they come."""

    def __init__(self, channel: paramiko.Channel, stdin: bytes) -> None:
        self._channel = channel
        self._stdin = stdin
        self._sender: threading.Thread | None = None
        self._over = False
        self._bell = _Bell()
        self.stdout = bytearray()
        self.stderr = bytearray()
        channel.status_event = _Relay(self._bell)
        channel.in_buffer.set_event(self._bell)
        channel.in_stderr_buffer.set_event(self._bell)

    def perform(self, call: _Call) -> int:
        """Give the exit status. Raises: RemoteError when there is none in time."""
        self._feed(call)
        ended_s: float | None = None
        while True:
            self._bell.rest()
            moved = self._drain()
            channel = self._channel
            now = time.monotonic()
            if channel.exit_status != -1 and (moved or ended_s is None):
                ended_s = now
            if channel.closed or (channel.exit_status != -1 and channel.eof_received):
                self._drain()
                return self._status(call)
            # A child that outlives the command may hold its output open for ever.
            if ended_s is not None and now - ended_s > LINGER_S:
                return channel.exit_status
            if call.remaining_s() <= 0:
                raise call.late()
            if not self._bell.wait(min(OBSTACLE_POLL_S, call.remaining_s())):
                _look_for_obstacles(call)

    def _status(self, call: _Call) -> int:
        if self._channel.exit_status != -1:
            return self._channel.exit_status
        alive = self._channel.get_transport().is_active()
        reason = "it was killed by a signal" if alive else "the connection was lost"
        raise call.failed(call.obstacle() or reason)

    def _drain(self) -> bool:
        before = len(self.stdout) + len(self.stderr)
        while self._channel.recv_ready():
            self.stdout += self._channel.recv(_READ_BYTES)
        while self._channel.recv_stderr_ready():
            self.stderr += self._channel.recv_stderr(_READ_BYTES)
        return len(self.stdout) + len(self.stderr) > before

    def _feed(self, call: _Call) -> None:
        if len(self._stdin) <= _SEND_INLINE_BYTES:
            self._send(call)
        else:  # the command may write much before it reads all: both ways at once
            name = f"stdin of {call.node}"
            self._sender = threading.Thread(target=self._send, args=(call,), name=name, daemon=True)
            self._sender.start()

    def _send(self, call: _Call) -> None:
        # A command may end without reading its input; its exit status says what came of it.
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            place = 0
            while place < len(self._stdin):
                if self._over or call.remaining_s() <= 0:
                    return
                self._channel.settimeout(SEND_PAUSE_S)
                with contextlib.suppress(TimeoutError):
                    place += self._channel.send(self._stdin[place : place + _PIECE_BYTES])
            self._channel.shutdown_write()

    def cease(self) -> None:
        """Send no more: the channel may be closed after this."""
        self._over = True
        if self._sender is not None:
            self._sender.join(PATIENCE_TO_CEASE_S)


class _Talk:
    """A channel to a program that answers each line with a line."""

    def __init__(self, connection: _Connection, channel: paramiko.Channel) -> None:
        self.connection = connection
        self._channel = channel
        self._bell = _Bell()
        self._heard = bytearray()
        self._closed = False
        channel.in_buffer.set_event(self._bell)

    def usable(self) -> bool:
        channel = self._channel
        return self.connection.usable() and not (channel.closed or channel.eof_received)

    def greet(self, preamble: bytes, call: _Call) -> None:
        """Say what goes before the first line. Raises: RemoteError when that cannot be sent."""
        self._say(preamble, call)

    def exchange(self, line: bytes, call: _Call) -> bytes:
        """Give the answer to a line. Raises: RemoteError when there is none in time."""
        self._say(line + b"\n", call)
        while b"\n" not in self._heard:
            self._bell.rest()
            while self._channel.recv_ready():
                self._heard += self._channel.recv(_READ_BYTES)
            if b"\n" in self._heard:
                break
            if self._channel.closed or self._channel.eof_received:
                raise call.failed(call.obstacle() or "the connection was lost")
            if call.remaining_s() <= 0:
                raise call.late()
            if not self._bell.wait(min(OBSTACLE_POLL_S, call.remaining_s())):
                _look_for_obstacles(call)
        answer, _, rest = bytes(self._heard).partition(b"\n")
        self._heard = bytearray(rest)
        return answer

    def _say(self, data: bytes, call: _Call) -> None:
        try:
            self._channel.settimeout(max(0.01, call.remaining_s()))
            self._channel.sendall(data)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise call.unanswered(error) from error

    def close(self) -> None:
        """End the program by the end of its input; idempotent."""
        if not self._closed:
            self._closed = True
            self.connection.release(self._channel)


def _look_for_obstacles(call: _Call) -> None:
    reason = call.obstacle()
    if reason is not None:
        raise call.failed(reason)


def authenticated(endpoint: Endpoint, connect: Connect, limit_s: float) -> SharedTransport:
    """Connect and log in.

    Raises: OSError, EOFError or SSHException; WrongHostKeyError for a key that is not pinned.
    """
    deadline = time.monotonic() + limit_s
    sock = connect(endpoint, limit_s)
    try:
        _tune(sock)
        transport = SharedTransport(sock)
    except BaseException:
        sock.close()
        raise
    try:
        transport.set_log_channel(_PARAMIKO_LOG)
        transport.banner_timeout = transport.handshake_timeout = limit_s
        transport.auth_timeout = limit_s
        pinned = (endpoint.host_key, *endpoint.other_host_keys)
        transport.get_security_options().key_types = _algorithms(pinned)
        transport.start_client(timeout=max(0.1, deadline - time.monotonic()))
        _require_key(transport.get_remote_server_key(), pinned)
        _log_in(transport, endpoint)
        transport.set_keepalive(KEEPALIVE_S)
    except BaseException:
        transport.end()
        raise
    return transport


def _algorithms(keys: Iterable[paramiko.PKey]) -> tuple[str, ...]:
    """Give the algorithms by which keys sign; what an RSA key is named for is out of use."""
    rsa = ("rsa-sha2-512", "rsa-sha2-256")
    listed = [rsa if key.get_name() == "ssh-rsa" else (key.get_name(),) for key in keys]
    return tuple(dict.fromkeys(name for names in listed for name in names))


def _require_key(shown: paramiko.PKey, pinned: Iterable[paramiko.PKey]) -> None:
    if shown.asbytes() not in {key.asbytes() for key in pinned}:
        message = "the host shows another key than its own"
        raise WrongHostKeyError(message)


def _log_in(transport: paramiko.Transport, endpoint: Endpoint) -> None:
    """Try one key after another. Raises: AuthenticationException when none opens."""
    keys = (endpoint.client_key, *endpoint.other_client_keys)
    for place, key in enumerate(keys, start=1):
        try:
            # An agent is asked over one connection, by one thread at a time.
            with _AGENT if isinstance(key, paramiko.AgentKey) else contextlib.nullcontext():
                transport.auth_publickey(endpoint.user, key)
        except paramiko.AuthenticationException:
            if place == len(keys) or not transport.is_active():
                raise
        else:
            return


def _tune(line: Line) -> None:
    if isinstance(line, paramiko.Channel):
        return  # its host's own connection is tuned already
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    limit_ms = int(UNACKNOWLEDGED_LIMIT_S * 1000)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit_ms)


def _request(channel: paramiko.Channel, kind: str, text: str) -> None:
    """Start a command or a subsystem without waiting for a reply.

    `Channel.exec_command` waits for it without a deadline, and for ever at a paused sshd.
    """
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string(kind)
    message.add_boolean(b=False)
    message.add_string(text)
    send = channel.get_transport()._send_user_message  # type: ignore[attr-defined]  # noqa: SLF001
    send(message)


def _text(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
