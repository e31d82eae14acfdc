"""How the controller enters machines: as root, by a key of its own that it puts there once."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import paramiko

from splitbrain.cluster.escalation import Sudo
from splitbrain.cluster.keys import KeyPair
from splitbrain.cluster.login import public_key, read_key
from splitbrain.cluster.machines.place import Place
from splitbrain.cluster.ssh import Connect, Endpoint, SshHost
from splitbrain.cluster.ssh_transport import SharedTransport
from splitbrain.core.errors import SetupError

_CONNECT_LIMIT_S = 60.0
_PAUSE_S = 0.5

_ENROL = """set -e
umask 077
mkdir -p /root/.ssh
touch /root/.ssh/authorized_keys
grep -qxF "$1" /root/.ssh/authorized_keys || echo "$1" >> /root/.ssh/authorized_keys
sync
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Where one machine's sshd listens, and the key that it showed when it was new."""

    node: str
    address: str
    port: int
    host_key: str

    def endpoint(self, client_key: KeyPair) -> Endpoint:
        """Give it for the controller's own key."""
        return Endpoint(
            node=self.node,
            address=self.address,
            port=self.port,
            user="root",
            host_key=public_key(self.host_key),
            client_key=client_key.for_paramiko(),
        )


def own_key(file: Path) -> KeyPair:
    """Give the key of this state folder, made at first need. Raises: SetupError."""
    try:
        if not file.is_file():
            made = KeyPair.generate()
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as target:
                target.write(made.private)
            return made
        return KeyPair.from_private(file.read_text(encoding="utf-8"))
    except (OSError, paramiko.SSHException) as error:
        message = f"the key {file} cannot be used: {error}"
        raise SetupError(message, advice=f"remove it: rm {file}") from error


def enrol(node: str, settings: Mapping[str, str], key: KeyPair, place: Place) -> Entrance:
    """Put our key on a machine that Vagrant lets us enter, and note the key that it shows.

    The first connection trusts what it meets: the machine is one that we have just started.
    Raises: SetupError when it cannot be entered.
    """
    address, port = settings["hostname"], int(settings["port"])
    with place.inside():
        shown = _key_shown(node, address, port)
    endpoint = Endpoint(
        node=node,
        address=address,
        port=port,
        user=settings["user"],
        host_key=shown,
        client_key=read_key(Path(settings["identityfile"]), None),
    )
    host = SshHost(endpoint, connect=connector(place), sudo=Sudo())
    try:
        host.run(("sh", "-c", _ENROL, "enrol", key.public), timeout_s=_CONNECT_LIMIT_S)
    finally:
        host.close()
    line = f"{shown.get_name()} {shown.get_base64()}"
    return Entrance(node=node, address=address, port=port, host_key=line)


def connector(place: Place) -> Connect:
    """Give what connects from inside the machines' place, whatever thread asks."""

    def connect(endpoint: Endpoint, timeout_s: float) -> socket.socket:
        with place.inside():
            return socket.create_connection((endpoint.address, endpoint.port), timeout=timeout_s)

    return connect


def _key_shown(node: str, address: str, port: int) -> paramiko.PKey:
    deadline_s = time.monotonic() + _CONNECT_LIMIT_S
    while True:
        try:
            with socket.create_connection((address, port), timeout=10.0) as sock:
                transport = SharedTransport(sock)
                try:
                    transport.banner_timeout = transport.handshake_timeout = _CONNECT_LIMIT_S
                    transport.start_client(timeout=_CONNECT_LIMIT_S)
                    return transport.get_remote_server_key()
                finally:
                    transport.end()
        except (OSError, EOFError, paramiko.SSHException) as error:
            if time.monotonic() > deadline_s:
                message = f"{node} is not to be reached at {address}:{port}: {error}"
                raise SetupError(message, advice="see `splitbrain cluster status`") from error
            time.sleep(_PAUSE_S)
