"""Tells by its name whether a cluster means hosts of the user's own."""

from __future__ import annotations

FILE_SUFFIX = ".toml"
SSH_PREFIX = "ssh:"


def is_inventory(name: str) -> bool:
    """Tell whether a name is that of a TOML file, or a list as in ssh:HOST,HOST."""
    return name.endswith(FILE_SUFFIX) or name.startswith(SSH_PREFIX)
