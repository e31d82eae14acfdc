"""Secrets of the user: from the environment or the terminal, kept in memory and nowhere else."""

from __future__ import annotations

import functools
import getpass
import os

from splitbrain.core.errors import UsageError


def secret(variable: str | None, what: str, field: str) -> str:
    """Give a secret: from the environment variable, or asked for if none is named.

    what: as in "the sudo password of admin on n1"; field: of the file, where a variable is named.

    Raises: UsageError when the variable is not set, or there is no terminal to ask on.
    """
    if variable is None:
        return _asked(what, field)
    value = os.environ.get(variable)
    if not value:
        message = f"{what} is to be in the environment variable {variable}, which is not set"
        raise UsageError(message, advice=f"export {variable}")
    return _one_line(value, what)


@functools.cache
def _asked(what: str, field: str) -> str:
    """Ask once for each; answers live as long as this process."""
    try:
        with open("/dev/tty", "rb"):  # noqa: PTH123 - only whether there is one
            pass
        return _one_line(getpass.getpass(f"{what}: "), what)
    except (OSError, EOFError) as error:
        message = f"{what} is needed, and there is no terminal to ask on"
        advice = f"name the environment variable that holds it with {field}"
        raise UsageError(message, advice=advice) from error


def _one_line(value: str, what: str) -> str:
    if "\n" in value or "\0" in value:
        message = f"{what} must be one line"
        raise UsageError(message)
    return value
