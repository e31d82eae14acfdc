"""The process that renews the nodes' leases for as long as its controller lives.

It is a process apart, so that a controller too busy to think does not lose its nodes, and it ends
when the controller does. Configuration is one line of JSON on standard input, which then stays
open: its end is the controller's.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import paramiko

from splitbrain.cluster.escalation import Sudo
from splitbrain.cluster.login import Login, Ways, public_key
from splitbrain.cluster.on_node.places import LEASE
from splitbrain.cluster.ssh import Endpoint, SshHost
from splitbrain.core.errors import RemoteError

# Each line of input renews: the node reads its own boot-time clock, and starts no program for it.
_RENEW = """while read -r _; do
    read -r up _ < /proc/uptime
    echo "$((${up%.*} + $1))" > "$2"
done
"""


def keep(host: SshHost, lease_s: int, every_s: float, ended: threading.Event) -> None:
    """Renew one node's lease again and again; a node that is away is tried for ever."""
    argv = ("sh", "-c", _RENEW, "renew", str(lease_s), str(LEASE))
    while not ended.is_set():
        with contextlib.suppress(RemoteError):
            host.feed(argv, _ticks(every_s, ended))
        ended.wait(every_s)


def _ticks(every_s: float, ended: threading.Event) -> Iterator[bytes]:
    yield b"\n"
    while not ended.wait(every_s):
        yield b"\n"


def main() -> None:
    """Renew until standard input ends."""
    config = json.loads(sys.stdin.readline())
    ended = threading.Event()
    for host in _hosts(config):
        work = (host, int(config["lease_s"]), float(config["every_s"]), ended)
        threading.Thread(target=keep, args=work, name=host.node, daemon=True).start()
    sys.stdin.read()
    ended.set()


def _hosts(config: Mapping[str, Any]) -> Iterator[SshHost]:
    """Give the hosts: those of a run that all know one key, or those of the user's own."""
    for item in config.get("hosts", ()):
        endpoint = Endpoint(
            node=item["node"],
            address=item["address"],
            port=item["port"],
            user=item["user"],
            host_key=public_key(item["host_key"]),
            client_key=_key(config["client_key"]),
        )
        yield SshHost(endpoint)
    ways = Ways()
    for item in config.get("logins", ()):
        sudo = Sudo(password=item["password"]) if item["sudo"] else None
        yield ways.host(Login.from_value(item["login"]), kind=SshHost, sudo=sudo)


def _key(text: str) -> paramiko.PKey:
    return paramiko.Ed25519Key(file_obj=io.StringIO(text))


if __name__ == "__main__":
    main()
