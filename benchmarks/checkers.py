"""How fast the checkers are, how much memory they take, and how both grow; Porcupine beside them.

    python benchmarks/checkers.py [--json] [--quick] [ROW ...]

Each history is made and stored by one process, then loaded and judged by another. Only the judging
is timed, and of its memory only what comes on top of the loaded history. Porcupine gets the same
history through the helper in the same run, within limits of time and memory; what it could not do
within them is said, and its ratio is a lower bound then. Growth is the exponent b of time ~ size**b
between the smallest and the largest size.

A row is a `Row` in `checker_rows/`; a new file there has its own `ROWS`, and is named in `rows`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from checker_rows import linearizable, sessions
from checker_rows.row import Case, Row

ROUNDS = 3
CHILD_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One history judged.

    seconds: of processor time, the best of some rounds. wall_s: by the clock, which other programs
    on the machine make longer. memory_mb: on top of the history.
    rival_s: Porcupine's own time, None where it was not asked. rival: its answer.
    """

    row: str
    case: Case
    operations: int
    verdict: str
    seconds: float
    wall_s: float
    load_s: float
    memory_mb: float
    rival_s: float | None = None
    rival: str | None = None


def rows() -> dict[str, Row]:
    """Give every row by its name."""
    return {row.name: row for row in (*linearizable.ROWS, *sessions.ROWS)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to measure; all of them")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--quick", action="store_true", help="no history above 1,000,000")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--judge", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.make or asked.judge:
        text, path = asked.make or asked.judge
        wanted = json.loads(text)
        row, case = rows()[wanted.pop("row")], Case(**wanted)
        (_make if asked.make else _judge)(row, case, Path(path))
        return 0
    table = rows()
    for name in asked.rows or table:
        if name not in table:
            print(f"there is no row {name}; there are {', '.join(table)}", file=sys.stderr)
            return 254
        found = []
        for measured in _measure(table[name], quick=asked.quick):
            found.append(measured)
            print(json.dumps(asdict(measured)) if asked.json else _line(measured), flush=True)
        exponent = growth(found)
        if exponent is not None and not asked.json:
            print(f"  {name}: time grows as the size to the power of {exponent:.2f}", flush=True)
    return 0


def growth(found: Sequence[Measured]) -> float | None:
    """Give the exponent of growth over the cases that differ in nothing but their size."""
    same: dict[Case, list[Measured]] = {}
    for item in found:
        same.setdefault(item.case.of_size(0), []).append(item)
    longest = max(same.values(), key=len, default=[])
    if len(longest) < 2:
        return None
    longest.sort(key=lambda item: item.operations)
    small, large = longest[0], longest[-1]
    return math.log(large.seconds / small.seconds) / math.log(large.operations / small.operations)


def _measure(row: Row, *, quick: bool) -> Iterator[Measured]:
    for case in row.cases:
        if quick and case.size > 1_000_000:
            continue
        with tempfile.TemporaryDirectory(prefix="splitbrain-bench-") as folder:
            path = Path(folder) / "history"
            _child("--make", row, case, path)
            told = json.loads(_child("--judge", row, case, path))
        yield Measured(row=row.name, case=case, **told)


def _child(what: str, row: Row, case: Case, path: Path) -> str:
    wanted = json.dumps({"row": row.name, **asdict(case)})
    done = subprocess.run(
        [sys.executable, __file__, what, wanted, str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=CHILD_LIMIT_S,
    )
    return done.stdout


def _make(row: Row, case: Case, path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump(row.make(case), file, protocol=pickle.HIGHEST_PROTOCOL)


def _judge(row: Row, case: Case, path: Path) -> None:
    began = time.perf_counter()
    with path.open("rb") as file:
        evidence = pickle.load(file)
    load_s = time.perf_counter() - began
    row.warm()
    best, wall_s, memory_mb = math.inf, math.inf, 0.0
    rounds = ROUNDS if case.size <= 1_000_000 else 1
    for number in range(rounds):
        before_kb = _forget_peak()
        began, worked = time.perf_counter(), time.process_time()
        verdict = row.check(evidence)
        best = min(best, time.process_time() - worked)
        wall_s = min(wall_s, time.perf_counter() - began)
        if number == 0:
            memory_mb = (_status_kb("VmHWM") - before_kb) / 1024
    rival_s, rival = row.rival(evidence) if case.rival and row.rival else (None, None)
    print(
        json.dumps(
            {
                "operations": len(evidence.history),
                "verdict": verdict,
                "seconds": best,
                "wall_s": wall_s,
                "load_s": load_s,
                "memory_mb": memory_mb,
                "rival_s": rival_s,
                "rival": rival,
            }
        )
    )


def _forget_peak() -> int:
    """Let the kernel forget the most memory that this process ever had; give what it has now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_kb("VmRSS")


def _status_kb(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    message = f"the kernel does not tell {name}"
    raise OSError(message)


def _line(measured: Measured) -> str:
    case = measured.case
    told = (
        f"{measured.row:<22} {measured.operations:>10,} operations  concurrency "
        f"{case.concurrency:>3}  crashed {case.crashed:>4.0%}  {measured.verdict:<8} "
        f"{measured.seconds * 1000:>9,.1f} ms  ({measured.wall_s * 1000:,.1f} by the clock)  "
        f"{measured.memory_mb:>7,.0f} MB"
    )
    if measured.rival_s is None:
        return told
    ratio = measured.rival_s / measured.seconds
    least = "" if measured.rival in ("ok", "illegal") else "at least "
    return f"{told}  Porcupine {measured.rival} {measured.rival_s:.2f} s: {least}{ratio:,.0f} times"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
