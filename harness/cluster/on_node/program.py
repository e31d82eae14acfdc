"""The commands that the controller gives a node: a line of JSON each, answered by a line of JSON.

A question is {"command": name, "request": object}, an answer {"answer": object} or {"error": text}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from . import (
    belongings,
    burden,
    daemons,
    damage,
    detour,
    disks,
    firewall,
    places,
    skew,
    wall_clock,
    watchdog,
    withdraw,
)

_FAILURES = (
    burden.BurdenError,
    daemons.DaemonError,
    damage.DamageError,
    detour.DetourError,
    disks.DiskError,
    firewall.FirewallError,
    TimeoutError,
    ValueError,
    OSError,
)


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Get the node ready after it booted: heal what an earlier life left, watch, take the lease."""
    places.make_folders()
    left = watchdog.heal() if places.intents() else []
    skew.create()
    watchdog.grant(request["lease_s"])
    return {"watchdog": watchdog.ensure(), "healed": left}


def harming(act: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Make sure that somebody will undo a fault before it is injected."""

    def guarded(request: dict[str, Any]) -> dict[str, Any]:
        watchdog.ensure()
        return act(request)

    return guarded


def heal(_request: dict[str, Any]) -> dict[str, Any]:
    """Undo every fault at once."""
    return {"undone": watchdog.heal()}


_COMMANDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "prepare": prepare,
    "heal": heal,
    "expired": watchdog.expired,
    "start": daemons.start,
    "kill": daemons.kill,
    "terminate": daemons.terminate,
    "pause": harming(daemons.pause),
    "resume": daemons.resume,
    "end": daemons.end,
    "running": daemons.running,
    "cut": harming(firewall.cut),
    "mend": firewall.mend,
    "disturb-reason": detour.reason,
    "disturb": harming(detour.disturb),
    "disturb-counts": detour.counts,
    "skew": harming(skew.write),
    "disks-reason": disks.reason,
    "disks-arm": disks.arm,
    "disks": harming(disks.trouble),
    "damage": damage.damage,
    "burden": harming(burden.lay),
    "unburden": burden.take,
    "wall-now": wall_clock.now,
    "wall-step": wall_clock.step,
    "wall-bend": harming(wall_clock.bend),
    "note": belongings.note,
    "withdraw": withdraw.withdraw,
}


def serve() -> None:
    """Answer commands, one a line, until there are no more.

    Each runs in a child, so that what it starts belongs to the first process of the node, and
    none disturbs the next.
    """
    for line in sys.stdin.buffer:
        child = os.fork()
        if child == 0:
            _answer(line)
        _, status = os.waitpid(child, 0)
        if status != 0:
            _say({"error": f"the command died (status {status})"})


def _answer(line: bytes) -> NoReturn:
    """Carry out one command, answer, and end."""
    status = 1
    try:
        item = json.loads(line)
        try:
            answer: dict[str, Any] = {"answer": _COMMANDS[item["command"]](item["request"])}
        except _FAILURES as error:
            answer = {"error": _one_line(str(error) or type(error).__name__)}
        except Exception as error:  # noqa: BLE001 - the controller is to hear of it, whatever it is
            answer = {"error": _one_line(f"{type(error).__name__}: {error}")}
        _say(answer)
        status = 0
    finally:
        os._exit(status)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve; programs that it starts find everything on a sane path."""
    os.environ["PATH"] = daemons.PATH
    serve()


_START = (
    "-ISc",
    "import sys; sys.path.insert(0, {folder!r}); from on_node.program import main; main()",
)


def python_arguments(folder: str) -> list[str]:
    """Give the arguments with which Python runs this program from where it was put."""
    flags, text = _START
    return [flags, text.format(folder=folder)]
