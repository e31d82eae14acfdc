"""Takes this node for one run, unless another run holds it.

Handed to the node's Python as text, before anything of ours is put there, so it imports nothing of
ours and knows the places by itself. Writes a line of JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VOLATILE = Path("/run/splitbrain")
OWNER = VOLATILE / "owner.json"
LEASE = VOLATILE / "lease"
LASTING = Path("/var/lib/splitbrain")
LOGS = Path("/var/log/splitbrain")
PROGRAM = Path("/usr/local/lib/splitbrain")
OURS = (VOLATILE, LASTING, LOGS, PROGRAM)
_READ_AGAIN_S = 0.2


def look() -> dict[str, Any]:
    """Tell who holds this node: "left_s" of the lease, its "owner", and what "remains" of ours."""
    return {
        "left_s": lease_left_s(),
        "owner": owner(),
        "remains": [str(path) for path in OURS if os.path.lexists(path)],
    }


def take(request: dict[str, Any]) -> dict[str, Any]:
    """Take the node, if nobody holds it and nothing remains of anybody; tell whether it is taken.

    request: "owner", with a "token" by which a run knows itself again; "lease_s"; "directory",
    where data is to lie instead of in /var, or null; "again": whether it comes back after a reboot.
    """
    found = look()
    ours = (found["owner"] or {}).get("token") == request["owner"]["token"]
    held = found["left_s"] > 0 and not ours
    if held or (found["remains"] and not (ours or request["again"])):
        return {**found, "taken": False}
    VOLATILE.mkdir(mode=0o755, parents=True, exist_ok=True)
    OWNER.write_text(json.dumps(request["owner"]), encoding="utf-8")
    OWNER.chmod(0o644)
    deadline_s = time.clock_gettime(time.CLOCK_BOOTTIME) + request["lease_s"]
    LEASE.write_text(f"{deadline_s:.3f}\n", encoding="ascii")
    if request["directory"] is not None and not os.path.lexists(LASTING):
        lay_out(Path(request["directory"]))
    return {**found, "taken": True}


def lay_out(directory: Path) -> None:
    """Let data lie elsewhere than in /var."""
    for place, name in ((LASTING, "lib"), (LOGS, "log")):
        target = directory / "splitbrain" / name
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
        place.symlink_to(target)


def lease_left_s() -> float:
    """Give how long a lease still holds; 0 or less when there is none."""
    for _ in range(2):
        try:
            deadline_s = float(LEASE.read_text(encoding="ascii"))
        except OSError:
            return 0.0
        except ValueError:
            time.sleep(_READ_AGAIN_S)  # it is being written this moment
            continue
        return deadline_s - time.clock_gettime(time.CLOCK_BOOTTIME)
    return 0.0


def owner() -> dict[str, Any] | None:
    """Give who holds or held this node; None where nobody says."""
    try:
        found = json.loads(OWNER.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let nobody else decide about this node meanwhile."""
    lock = os.open("/run", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def main() -> None:
    """Answer one request: its first argument, as JSON."""
    request = json.loads(sys.argv[1])
    with alone():
        answer = look() if request["command"] == "look" else take(request)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
