"""How fast histories are loaded, as ratios against a rival measured in the same run.

JSON lines against Python's json on the same lines, EDN against edn_format (on a sample, since it
takes 0.4 ms a line), Parquet against json. Prints a row for each format and size: microseconds an
event, the ratio, peak memory beyond what was there before, and how time grows with size.

    python benchmarks/loading.py [EVENTS ...]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import edn_format

from splitbrain.core.history import History
from splitbrain.foreign import read_history, write_history

SAMPLE_LINES = 300
SIZES = (10_000, 100_000)


def main() -> None:
    """Measure all formats at all sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "events", nargs="*", type=_size, default=SIZES, help="sizes of the histories"
    )
    sizes = tuple(sorted(set(parser.parse_args().events)))
    before: dict[str, float] = {}
    print(f"{'format':8} {'events':>9} {'us/event':>9} {'rival':>22} {'memory':>9} {'growth':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for events in sizes:
            source = Path(folder) / f"{events}.jsonl"
            _write_events(source, events)
            history = read_history(source).history
            for suffix in (".jsonl", ".edn", ".parquet"):
                path = source.with_suffix(suffix)
                if suffix != ".jsonl":
                    write_history(history, path, {})
                _measure(path, events, history, before, sizes)


def _size(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    message = f"{text!r} is no number of events"
    raise argparse.ArgumentTypeError(message)


def _measure(
    path: Path, events: int, history: History, before: dict[str, float], sizes: tuple[int, ...]
) -> None:
    spent = _seconds(lambda: read_history(path)) / events
    if len(read_history(path).history) != len(history):
        message = f"{path} was not read whole"
        raise AssertionError(message)
    rival, name = _rival(path, events)
    growth = ""
    if path.suffix in before:
        step = math.log(events / sizes[sizes.index(events) - 1])
        growth = f"{1 + math.log(spent / before[path.suffix]) / step:.2f}"
    before[path.suffix] = spent
    print(
        f"{path.suffix[1:]:8} {events:9,} {spent * 1e6:9.2f} "
        f"{rival / spent:8.1f} x {name:11} {_peak_mb(path):6.0f} MB {growth:>7}"
    )


def _rival(path: Path, events: int) -> tuple[float, str]:
    """Give the seconds that a rival takes for an event."""
    if path.suffix == ".edn":
        lines = path.read_text().splitlines()[:SAMPLE_LINES]
        return _seconds(lambda: [edn_format.loads(line) for line in lines]) / len(lines), (
            "edn_format"
        )
    lines = path.with_suffix(".jsonl").read_text().splitlines()
    return _seconds(lambda: [json.loads(line) for line in lines]) / events, "json"


def _seconds(work: Callable[[], object]) -> float:
    """Give the processor's time that the quickest of three took."""
    best = math.inf
    for _ in range(3):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def _peak_mb(path: Path) -> float:
    tracemalloc.start()
    read_history(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def _write_events(path: Path, events: int) -> None:
    """Write events of 20 processes on 100 keys: half reads, unique values."""
    rng = random.Random(1)
    busy: dict[int, dict[str, object]] = {}
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for at in range(events):
            process = rng.randrange(20)
            event = busy.pop(process, None)
            if event is None:
                f = rng.choice(("read", "write"))
                written += f == "write"
                value = written if f == "write" else None
                event = {"process": process, "type": "invoke", "f": f, "key": rng.randrange(100)}
                event["value"] = value
                busy[process] = event
            else:
                value = event["value"] if event["f"] == "write" else rng.randrange(written + 1)
                event = {**event, "type": "ok", "value": value}
            file.write(json.dumps({**event, "time": at * 1000}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
