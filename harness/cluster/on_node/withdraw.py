"""Leaves this node as it was before the harness came."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from . import belongings, claim, daemons, disks, lasting, places, watchdog

PROGRAM = Path("/usr/local/lib/splitbrain")


def withdraw(request: dict[str, Any]) -> dict[str, Any]:
    """Undo every fault, end every daemon, and remove everything of ours; give what there was.

    request: "token" of the run whose things they are, or null where nobody says. Raises: ValueError
    when another run has taken the node since.
    """
    with claim.alone():
        found = (claim.owner() or {}).get("token")
        if found is not None and found != request.get("token"):
            message = "another run has taken this node"
            raise ValueError(message)
        return _leave()


def _leave() -> dict[str, Any]:
    undone = watchdog.heal()
    names = [name for name in daemons.known() if daemons.pids(name)]
    daemons.end({"names": names})
    disks.uncover()
    lasting.stop(places.WATCHDOG)
    left = belongings.restore()
    for place in (places.LASTING, places.LOGS, PROGRAM, places.VOLATILE):
        _remove(place)
    return {"undone": undone, "ended": names, "left": left}


def _remove(place: Path) -> None:
    """Remove a folder of ours; where it is a link, what it leads to as well."""
    if place.is_symlink():
        target = place.readlink()
        place.unlink()
        shutil.rmtree(target, ignore_errors=True)
        with contextlib.suppress(OSError):
            target.parent.rmdir()
        return
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(place)
