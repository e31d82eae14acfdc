"""Raft on virtual machines that lose their network, their clocks and their power, and then go away.

`python -m splitbrain.vagrant_demo` exits 0 when Raft kept its promise, every fault took hold and
was healed, and nothing is left of the machines.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from splitbrain.cluster import vagrant
from splitbrain.cluster.machines.fleet import Fleet
from splitbrain.cluster.machines.settings import from_environment
from splitbrain.core.errors import HarnessError
from splitbrain.core.fault import After, At, Fault, Schedule
from splitbrain.core.run import Plan, RunResult
from splitbrain.execute import execute
from splitbrain.exit_code import FAILED, INVALID, UNKNOWN, VALID
from splitbrain.report.live import LiveReport

NODES = 3
SEED = 11
LOAD_S = 90.0
FAULTS = Schedule(
    (
        Fault(
            id="cut",
            kind="partition",
            start=At(4.0),
            duration_s=10.0,
            params={"shape": "leader"},
        ),
        Fault(
            id="future",
            kind="clock",
            start=After("cut", 3.0, healed=True),
            duration_s=8.0,
            target="one",
            params={"shape": "jump", "offset_s": 3600},
        ),
        Fault(
            id="dark",
            kind="power",
            start=After("future", 3.0, healed=True),
            duration_s=5.0,
            target="leader",
        ),
    )
)


def main() -> int:
    """Tell the story and give the exit code."""
    console = Console(highlight=False, markup=False, emoji=False)
    status, missing = vagrant.status(NODES)
    if status == "MISSING":
        for what, advice in missing:
            console.print(Text(f"vagrant-demo: this needs {what}: {advice}"))
        return FAILED
    began_s = time.monotonic()
    fleet = Fleet(from_environment(NODES), lambda line: console.print(Text(line)))
    folder = fleet.settings.folder
    if fleet.roster() is not None:
        console.print(Text("there are machines already; they are used, and kept in the end"))
        return _verdict(console, _run(console), began_s)
    try:
        with fleet.held():
            fleet.up()
        result = _run(console)
    finally:
        with fleet.held():
            fleet.destroy()
    if folder.exists():
        console.print(Text(f"something is left of the machines: {folder}"))
        return FAILED
    console.print(Text("the machines are removed, and nothing is left of them"))
    return _verdict(console, result, began_s)


def _run(console: Console) -> RunResult:
    plan = Plan(
        system="raft",
        workload="register",
        cluster="vagrant",
        node_count=NODES,
        nemeses=FAULTS.kinds,
        schedule=FAULTS,
        time_limit_s=LOAD_S,
        concurrency=2 * NODES,
        seed=SEED,
    )
    report = LiveReport(console)
    try:
        return execute(plan, store=Path(tempfile.mkdtemp(prefix="splitbrain-")), monitor=report)
    finally:
        report.close()


def _verdict(console: Console, result: RunResult, began_s: float) -> int:
    events = result.evidence.faults or ()
    held = {event.fault for _, event in events if event.state == "active"}
    missed = sorted({fault.id for fault in FAULTS} - held)
    good = result.valid and not missed
    word = "as expected" if good else "not as expected"
    lack = f", and {', '.join(missed)} did not take hold" if missed else ""
    seconds = time.monotonic() - began_s
    line = f"{word}: raft is {result.status.value}{lack}; {seconds:.0f} s in all"
    console.print(Text(line, style="bold"))
    if result.interrupted:
        return UNKNOWN
    return VALID if good else INVALID


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HarnessError as error:
        sys.stderr.write(f"vagrant-demo: {error}\n")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(UNKNOWN)
