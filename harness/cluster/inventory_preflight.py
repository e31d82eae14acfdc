"""What the hosts of an inventory lack, all looked at side by side, and the line that mends each.

Looks, and changes nothing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from splitbrain.cluster.inventory_file import HostList, NodeEntry
from splitbrain.cluster.login import JumpError, Login, UnknownHostError, Ways
from splitbrain.cluster.parallel import on_nodes
from splitbrain.cluster.ssh import SshHost, WrongHostKeyError
from splitbrain.core.errors import RemoteError, SetupError, UsageError

_LIMIT_S = 30.0
_ROOM_KB = {"/run": 8 * 1024, "/usr/local/lib": 8 * 1024, "/var": 256 * 1024}
_OFFSET_LIMIT_S = 1.0
_PYTHON = (3, 11)
_LINUX = "Linux"

_WHO = """echo "user $(id -un)"
echo "from ${SSH_CONNECTION%% *}"
command -v sudo >/dev/null && echo "sudo yes"
"""

# Arguments: where data will lie. Prints a word and what there is to say about it a line.
_WHAT = """PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
echo "uid $(id -u)"
echo "kernel $(uname -s)"
echo "machine $(uname -m)"
python=$(/usr/bin/python3 -ISc 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
echo "python $python"
command -v tar >/dev/null && echo "tar yes"
if command -v nft >/dev/null; then
    said=$(nft -c add table inet splitbrain_preflight 2>&1) && echo "nft yes" || echo "nft $said"
fi
for place in "$@"; do
    near=$place
    while [ ! -e "$near" ]; do near=$(dirname "$near"); done
    df -Pk "$near" | { read -r _; read -r _ _ _ free _; echo "room:$place $free"; }
done
"""

_PACKAGES = "on Debian: apt-get install"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """One thing that a host lacks. essential: whether no run is possible without it."""

    node: str
    what: str
    advice: str = ""
    essential: bool = True


@dataclass(slots=True, kw_only=True)
class Condition:
    """What was found on one host. address: of the host as its peers see it. machine: its kind."""

    node: str
    address: str | None = None
    came_from: str = ""
    machine: str = ""
    nft: bool = False
    lacks: list[Lack] = field(default_factory=list)

    def lack(self, what: str, advice: str = "", *, essential: bool = True) -> None:
        """Note something that is missing."""
        self.lacks.append(Lack(node=self.node, what=what, advice=advice, essential=essential))


def look_at(hosts: HostList, ways: Ways) -> Mapping[str, Condition]:
    """Look at all hosts side by side; never raises for what is wrong with one of them."""
    entries = {entry.name: entry for entry in hosts.nodes}
    found = on_nodes(entries, lambda node: _condition(entries[node], ways))
    _find_clashes(found.values())
    return found


def require_ready(conditions: Iterable[Condition], source: str) -> None:
    """Refuse hosts that lack something essential. Raises: SetupError with everything, by host."""
    lacks = [lack for item in conditions for lack in item.lacks if lack.essential]
    if lacks:
        advice = f"see `splitbrain doctor --cluster {source}`" if len(lacks) > 1 else None
        raise SetupError(told(lacks), advice=advice)


def told(lacks: Sequence[Lack]) -> str:
    """Give lacks in one line, hosts that lack the same together."""
    together: dict[tuple[str, str], list[str]] = {}
    for lack in lacks:
        together.setdefault((lack.what, lack.advice), []).append(lack.node)
    return "; ".join(
        f"{', '.join(nodes)}: {what}{f' ({advice})' if advice else ''}"
        for (what, advice), nodes in together.items()
    )


def _condition(entry: NodeEntry, ways: Ways) -> Condition:
    condition = Condition(node=entry.name, address=entry.peer_address)
    try:
        plain = ways.host(entry.login, kind=SshHost)
    except UnknownHostError as error:
        condition.lack(error.what, str(error.advice))
        return condition
    except UsageError as error:
        advice = error.advice or ""
        condition.lack(str(error).removesuffix(f"; {advice}"), advice)
        return condition
    try:
        _enter(entry, plain, condition)
    except RemoteError as error:
        condition.lack(*_why_not_reached(entry.login, error))
        return condition
    finally:
        plain.close()
    _resolve(entry, condition)
    if not any(lack.essential for lack in condition.lacks):
        _look_as_root(entry, ways, condition)
    return condition


def _enter(entry: NodeEntry, plain: SshHost, condition: Condition) -> None:
    """Look at what needs no rights."""
    said = _words(plain.run(("sh", "-c", _WHO), timeout_s=_LIMIT_S, check=False).stdout)
    condition.came_from = said.get("from", "")
    if entry.sudo is not None and "sudo" not in said:
        advice = f"as root: {_PACKAGES.removeprefix('on Debian: ')} sudo; or log in as root"
        condition.lack(f"sudo is missing, which {entry.login.user} needs", advice)
    began_ns = time.time_ns()
    shown = plain.run(("date", "+%s%N"), timeout_s=_LIMIT_S, check=False).stdout.strip()
    ended_ns = time.time_ns()
    if shown.isdigit():
        middle_ns, half_ns = (began_ns + ended_ns) // 2, (ended_ns - began_ns) // 2
        offset_s = (int(shown) - middle_ns) / 1e9
        if abs(offset_s) > _OFFSET_LIMIT_S + half_ns / 1e9:
            way = "ahead of" if offset_s > 0 else "behind"
            what = f"its clock is {abs(offset_s):.1f} s {way} the controller's"
            condition.lack(what, "let it synchronise its clock", essential=False)


def _look_as_root(entry: NodeEntry, ways: Ways, condition: Condition) -> None:
    host = ways.host(entry.login, kind=SshHost, sudo=entry.sudo)
    data = "/var" if entry.directory is None else entry.directory
    places = [data if place == "/var" else place for place in _ROOM_KB]
    try:
        argv = ("sh", "-c", _WHAT, "look", *places)
        done = host.run(argv, timeout_s=_LIMIT_S, check=False)
    except RemoteError as error:
        condition.lack(*_why_not_reached(entry.login, error))
        return
    finally:
        host.close()
    said = _words(done.stdout)
    if said.get("uid") != "0":
        complaint = done.stderr.decode(errors="replace").strip().splitlines()
        condition.lack(*_why_not_root(entry, complaint[-1] if complaint else ""))
        return
    _judge(said, condition)
    for place, needed_kb in zip(places, _ROOM_KB.values(), strict=True):
        free = said.get(f"room:{place}", "")
        if free.isdigit() and int(free) < needed_kb:
            what = f"{place} has {int(free) // 1024} MB free, and {needed_kb // 1024} are needed"
            condition.lack(what, "make room there")


def _judge(said: Mapping[str, str], condition: Condition) -> None:
    condition.machine = said.get("machine", "")
    if said.get("kernel") != _LINUX:
        condition.lack(f"it runs {said.get('kernel') or 'something else'}, not Linux")
        return
    version = said.get("python", "")
    if not version:
        condition.lack("/usr/bin/python3 is missing", f"{_PACKAGES} python3-minimal")
    elif tuple(map(int, version.split("."))) < _PYTHON:
        what = f"/usr/bin/python3 is {version}, and 3.11 is needed"
        condition.lack(what, "install a newer distribution, or Python 3.11 in its place")
    if "tar" not in said:
        condition.lack("tar is missing", f"{_PACKAGES} tar")
    nft = said.get("nft", "")
    condition.nft = nft == "yes"
    if not nft:
        condition.lack("nft, for partitions", f"{_PACKAGES} nftables", essential=False)
    elif not condition.nft:
        what = f"nftables in the kernel, for partitions: {nft}"
        condition.lack(what, "modprobe nf_tables", essential=False)


def _resolve(entry: NodeEntry, condition: Condition) -> None:
    """Find the address that peers use, where the file leaves it open."""
    if condition.address is not None:
        return
    wanted = f"say how peers reach it: peer_address of nodes.{entry.name}"
    if entry.login.jump is not None:
        condition.lack(f"{entry.login.address} is a name that only the jump host knows", wanted)
        return
    try:
        found = socket.getaddrinfo(entry.login.address, None, socket.AF_INET, socket.SOCK_STREAM)
        condition.address = str(found[0][4][0])
    except OSError:
        condition.lack(f"{entry.login.address} has no IPv4 address", wanted)


def _find_clashes(conditions: Iterable[Condition]) -> None:
    """Find addresses that are not one host's alone: a cut must never hit the controller."""
    owners: dict[str, str] = {}
    for item in conditions:
        if item.address is None:
            continue
        other = owners.setdefault(item.address, item.node)
        if other != item.node:
            item.lack(f"{other} has the address {item.address} as well", "give each its own")
    for item in conditions:
        clash = owners.get(item.came_from)
        if clash is not None and clash != item.node:
            what = f"the controller comes from {item.came_from}, which is the address of {clash}"
            advice = "a partition would cut it off: use another machine, or another jump host"
            item.lack(what, advice)


def _why_not_reached(login: Login, error: RemoteError) -> tuple[str, str]:
    """Give what is wrong, and what mends it."""
    cause = error.__cause__
    where = f"{login.address}:{login.port}"
    if isinstance(cause, JumpError):
        return str(cause), "try it by hand with ssh -J"
    if isinstance(cause, WrongHostKeyError | IncompatiblePeer):
        what = f"{where} shows another host key than the one in {login.pinned_in}"
        advice = "if the host was installed anew, remove the old key with ssh-keygen -R; "
        return what, advice + "if not, somebody stands between"
    if isinstance(cause, paramiko.AuthenticationException):
        keys = [*login.key_files, *(["the agent's"] if login.agent else [])]
        what = f"{login.user} is not let in at {where} with the key {' or '.join(keys)}"
        first = login.key_files[0] if login.key_files else "~/.ssh/id_ed25519"
        return what, f"ssh-copy-id -i {first} -p {login.port} {login.user}@{login.address}"
    reason = str(error).rpartition(": ")[2]
    return f"it cannot be reached at {where}: {reason}", "check address, port and firewall"


def _why_not_root(entry: NodeEntry, complaint: str) -> tuple[str, str]:
    user = entry.login.user
    if entry.sudo is None:
        return f"{user} is not root", 'set `sudo = "nopasswd"` or `sudo = "password"`'
    if "password is required" in complaint or "terminal is required" in complaint:
        return f"sudo asks {user} for a password", 'set `sudo = "password"` and sudo_password_env'
    if entry.sudo.password is not None and "incorrect password" in complaint:
        return f"sudo does not accept the password of {user}", "check sudo_password_env"
    reason = complaint.removeprefix("sudo: ") or "no reason given"
    return f"{user} does not become root by sudo: {reason}", f"allow {user} everything in sudoers"


def _words(output: bytes) -> dict[str, str]:
    """Read lines of a word and what is said about it."""
    pairs = [line.partition(" ") for line in output.decode(errors="replace").splitlines()]
    return {word: rest.strip() for word, _, rest in pairs if rest.strip()}
