"""How an ordinary user's commands become root's: by sudo, with a password or without."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

# sudo reads the password from where the command's own input comes from, or does not ask at all.
# Whatever stands before the token is the password that nobody asked for; `read` takes no byte more.
_SKIP = 'while IFS= read -r line; do [ "$line" = "$1" ] && break; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Sudo:
    """Runs commands as root.

    password: None where sudo asks for none; it goes over standard input, never into an argument.
    """

    password: str | None = field(default=None, repr=False)
    _token: str = field(default_factory=lambda: secrets.token_hex(8), repr=False, compare=False)

    def command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Give the command that carries out `argv` as root."""
        if self.password is None:
            return ("sudo", "-n", "-H", "--", *argv)
        # -k: the password is asked for each time, so that one command is like another.
        asked = ("sudo", "-S", "-k", "-H", "-p", "")
        return (*asked, "--", "sh", "-c", _SKIP, "skip", self._token, *argv)

    @property
    def preamble(self) -> bytes:
        """What goes before a command's own input."""
        if self.password is None:
            return b""
        return f"{self.password}\n{self._token}\n".encode()
