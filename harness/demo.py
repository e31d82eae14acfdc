"""The story in one command: the reference Raft keeps its promise, and three planted bugs do not.

`python -m splitbrain.demo` exits 0 when all come out as expected, and says "as expected".
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from splitbrain import catalog
from splitbrain.cluster import embedded
from splitbrain.cluster.user_namespace import ensure_root
from splitbrain.core.bug import PlantedBug
from splitbrain.core.errors import HarnessError
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.exit_code import FAILED, INVALID, UNKNOWN, VALID
from splitbrain.report.live import LiveReport

SEED = 7
BUGS = ("stale-read", "forgotten-vote", "unverified-commit")
FAULTS = ("partition", "kill", "pause", "clock")
CORRECT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One run of the story. expected: what must come out, for a person to read."""

    title: str
    plan: Plan
    expected: str
    bug: PlantedBug | None = None

    def as_expected(self, result: RunResult) -> bool:
        """Tell whether the result is the one that the story is about."""
        if result.failure is not None:
            return False
        if self.bug is None:
            return result.valid
        verdict = result.verdicts.get(self.bug.checker)
        names = () if verdict is None else tuple(item.name for item in verdict.anomalies)
        return result.status is Status.INVALID and self.bug.anomaly in names


def scenes() -> Sequence[Scene]:
    """Give the runs of the story, in order."""
    correct = Plan(
        system="raft", workload="register", nemeses=FAULTS, time_limit_s=CORRECT_S, seed=SEED
    )
    told = [
        Scene(
            title=f"raft as it should be, under {', '.join(FAULTS)}", plan=correct, expected="valid"
        )
    ]
    for name in BUGS:
        bug = catalog.bug(name)
        told.append(
            Scene(
                title=f"raft with the bug {name}: {bug.origin}",
                plan=catalog.plan_of_bug(bug, seed=SEED),
                expected=f"invalid: {bug.anomaly}, found by {bug.checker}",
                bug=bug,
            )
        )
    return told


def main() -> int:
    """Tell the story and give the exit code."""
    console = Console(highlight=False, markup=False, emoji=False)
    status, missing = embedded.status()
    if status == "MISSING":
        for what, advice in missing:
            console.print(Text(f"demo: the embedded cluster needs {what}: {advice}"))
        return FAILED
    began_s = time.monotonic()
    rows: list[tuple[Scene, bool]] = []
    store = Path(tempfile.mkdtemp(prefix="splitbrain-demo-"))
    told = scenes()
    for number, scene in enumerate(told, start=1):
        console.print()
        console.print(Text(f"{number} of {len(told)}: {scene.title}", style="bold"))
        result = _play(scene, store, console)
        rows.append((scene, scene.as_expected(result)))
        if result.interrupted:
            return UNKNOWN
    console.print()
    console.print(_summary(rows))
    good = all(fine for _, fine in rows)
    seconds = time.monotonic() - began_s
    word = "as expected" if good else "not as expected"
    console.print(Text(f"all {len(rows)} runs in {seconds:.0f} s: {word}", style="bold"))
    console.print(Text(f"they lie in {store}: splitbrain show {store}/latest"), soft_wrap=True)
    return VALID if good else INVALID


def _summary(rows: Sequence[tuple[Scene, bool]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for scene, fine in rows:
        mark, style = ("as expected", "green") if fine else ("NOT AS EXPECTED", "bold red")
        name = "correct" if scene.bug is None else scene.bug.name
        table.add_row(Text(mark, style=style), Text(f"raft {name}"), Text(scene.expected))
    return table


def _play(scene: Scene, store: Path, console: Console) -> RunResult:
    report = LiveReport(console)
    try:
        return execute(scene.plan, store=store, monitor=report)
    finally:
        report.close()


if __name__ == "__main__":
    ensure_root()  # without root the program begins anew in a user namespace
    try:
        sys.exit(main())
    except HarnessError as error:
        sys.stderr.write(f"demo: {error}\n")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(UNKNOWN)
