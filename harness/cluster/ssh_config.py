"""What a user's OpenSSH configuration says of a host."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from splitbrain.core.errors import UsageError

DEFAULT = Path("~/.ssh/config")
DEFAULT_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")
_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_INCLUDE_DEPTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """A host's settings.

    known_as: the name under which its key is filed. jumps: as ProxyJump lists them, the first one
    first.
    """

    address: str
    port: int
    user: str
    key_files: tuple[str, ...]
    agent: bool
    known_as: str
    known_hosts: tuple[str, ...]
    jumps: tuple[str, ...]


class SshConfigFile:
    """One configuration file, with the files that it includes."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()
        try:
            text = "\n".join(_lines(self.path, _INCLUDE_DEPTH))
            self._config = paramiko.SSHConfig.from_text(text)
        except FileNotFoundError:
            if path != DEFAULT:
                message = f"there is no file {path}"
                raise UsageError(message) from None
            self._config = paramiko.SSHConfig.from_text("")
        except (OSError, ValueError, paramiko.ConfigParseError) as error:
            raise self._refused(error) from error

    def look_up(self, alias: str) -> SshSettings:
        """Give the settings of a host.

        Raises: UsageError where the file asks for what cannot be done here.
        """
        try:
            found = self._config.lookup(alias)
        except (ImportError, ValueError, paramiko.SSHException) as error:
            raise self._refused(error) from error
        if found.get("proxycommand"):
            message = f"{self.path}: {alias} has a ProxyCommand, which is not supported"
            raise UsageError(message, advice="use ProxyJump instead")
        port = str(found.get("port", 22))
        if not port.isdigit():
            message = f"{self.path}: the port of {alias} is {port!r}"
            raise UsageError(message)
        files = [file for file in found.get("identityfile", ()) if file.lower() != "none"]
        named = files or [file for file in _DEFAULT_KEYS if Path(file).expanduser().is_file()]
        jumps = str(found.get("proxyjump", "none"))
        own = " ".join(DEFAULT_KNOWN_HOSTS[:2])
        known = f"{found.get('userknownhostsfile', own)} {DEFAULT_KNOWN_HOSTS[2]}"
        address = str(found.get("hostname", alias))
        return SshSettings(
            address=address,
            port=int(port),
            user=str(found.get("user", getpass.getuser())),
            key_files=tuple(str(Path(file).expanduser()) for file in named),
            agent=str(found.get("identitiesonly", "no")).lower() != "yes",
            known_as=str(found.get("hostkeyalias", address)),
            known_hosts=tuple(str(Path(file).expanduser()) for file in known.split()),
            jumps=() if jumps.lower() == "none" else tuple(jumps.replace(" ", "").split(",")),
        )

    def _refused(self, error: Exception) -> UsageError:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return UsageError(f"{self.path} cannot be used: {reason}")


def _lines(path: Path, depth: int) -> Iterator[str]:
    """Give a file's lines, with those of included files in their place."""
    if depth == 0:
        message = f"{path}: files are included too deeply"
        raise ValueError(message)
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() != "include":
            yield line
            continue
        for pattern in rest.split():
            for file in _matching(pattern.strip('"')):
                yield from _lines(file, depth - 1)


def _matching(pattern: str) -> list[Path]:
    whole = Path(pattern).expanduser()
    whole = whole if whole.is_absolute() else Path("~/.ssh").expanduser() / whole
    return sorted(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))
