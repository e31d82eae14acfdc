"""What to say of a name that is not known: the ones that are near, or where all of them stand."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SHORT = 200
"""A list of names that is no longer than this is given whole, though a command lists them, too."""
LONG = 400
"""No list of names is longer than about this."""


def instead(name: str, known: Iterable[str], *, listing: str = "", beside: str = "") -> str:
    """Give what follows "there is no such thing": which one was meant, or what there is.

    listing: the command that lists all; without one as many are named as a line may hold. beside:
    what else is possible where nothing is near.
    """
    names = list(known)
    near = get_close_matches(name, names)
    lists_all = f"`{listing}` lists all"
    if near:
        meant = f"did you mean {' or '.join(near)}?"
        return f"{meant} ({lists_all})" if listing else meant
    every = ", ".join(names)
    if listing and len(every) > SHORT:
        return lists_all + beside
    if len(every) > LONG and len(names) > 1:
        shown = names[: max(1, every.count(", ", 0, LONG))]
        every = f"{', '.join(shown)} and {len(names) - len(shown)} more"
    return f"there are {every}{beside}" if names else f"there are none{beside}"
