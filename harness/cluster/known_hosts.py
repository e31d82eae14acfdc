"""The keys that hosts may show, from files as OpenSSH keeps them. None is ever added here."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import paramiko
from paramiko.hostkeys import InvalidHostKey

from splitbrain.core.errors import UsageError

_PREFERRED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def known_keys(files: Sequence[Path], name: str, port: int) -> tuple[str, ...]:
    """Give what is known of a host: type and base64 of each key, ed25519 first.

    Files that do not exist are passed over; hashed names, and keys of single ports, are understood.

    Raises: UsageError when a file cannot be read.
    """
    wanted = name if port == 22 else f"[{name}]:{port}"
    found: dict[str, str] = {}
    for file in files:
        entries = _read(file).lookup(wanted)
        for kind, key in (entries or {}).items():
            found.setdefault(kind, f"{kind} {key.get_base64()}")
    order = {kind: place for place, kind in enumerate(_PREFERRED)}
    return tuple(found[kind] for kind in sorted(found, key=lambda k: order.get(k, len(order))))


def advice_for_unknown(name: str, port: int, file: str, *, through: str | None) -> str:
    """Give the line that fetches a host's key and shows its fingerprint for comparison."""
    scan = "ssh-keyscan -t ed25519" + (f" -p {port}" if port != 22 else "")
    scan += f" {shlex.quote(name)}"
    scan = scan if through is None else f"ssh {shlex.quote(through)} {shlex.quote(scan)}"
    steps = (scan, f"tee -a {shlex.quote(file)}", "ssh-keygen -lf -")
    return f"{' | '.join(steps)}   # compare with what the host itself has"


def _read(file: Path) -> paramiko.HostKeys:
    keys = paramiko.HostKeys()
    try:
        keys.load(str(file))
    except FileNotFoundError:
        return keys
    except (OSError, ValueError, InvalidHostKey) as error:
        reason = error.strerror if isinstance(error, OSError) else "a line of it is damaged"
        message = f"the known hosts {file} cannot be read: {reason}"
        raise UsageError(message) from error
    return keys
