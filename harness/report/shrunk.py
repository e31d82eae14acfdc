"""What came of shrinking a run, and the commands that go on from there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from splitbrain.core.shrunk import Shrunk
from splitbrain.core.value import Value
from splitbrain.report.alphabet import alphabet_of
from splitbrain.report.machine import result_as_json


def show_shrunk(console: Console, shrunk: Shrunk, tried: Sequence[bool] = ()) -> None:
    """Print how much smaller a run has become. tried: whether it failed on embedded hosts.

    Raises: BrokenPipeError when nobody reads it any more.
    """
    alphabet = alphabet_of(console)
    path = alphabet.text(str(shrunk.result.path))
    quoted = shlex.quote(path) if path == str(shrunk.result.path) else path
    counts = (
        _change(shrunk.faults, "fault"),
        _change(shrunk.operations, "operation"),
        _change(shrunk.nodes, "node"),
    )
    lines = [
        f"shrunk: {', '.join(counts)}; {shrunk.runs:,} runs in {shrunk.seconds:.1f} s",
        f"kept: {alphabet.text(shrunk.anomaly, 60)} by {alphabet.text(shrunk.checker, 40)}",
    ]
    if shrunk.interrupted:
        lines.append("interrupted: kept is what was found until then, and perhaps more can go")
    elif not shrunk.is_minimal:
        lines.append("time ran out: perhaps more can go (--time-limit)")
    if tried:
        lines.append(f"on embedded hosts it failed {sum(tried)} times of {len(tried)}")
    plan = shrunk.result.plan
    lines.append(f"again: splitbrain run --replay {quoted}")
    if plan is not None and plan.cluster == "sim" and shrunk.has_hosts:
        again = f"splitbrain run --replay {quoted} --cluster embedded --resolved {quoted}"
        lines.append(f"on hosts: {again}")
    console.print()
    for line in lines:
        console.print(Text(line), soft_wrap=True, highlight=False)


def shrunk_as_json(shrunk: Shrunk, tried: Sequence[bool] = ()) -> dict[str, Value]:
    """Give what `--json` prints; pairs are numbers before and after."""
    value = result_as_json(shrunk.result)
    value["shrunk"] = {
        "checker": shrunk.checker,
        "anomaly": shrunk.anomaly,
        "runs": shrunk.runs,
        "seconds": round(shrunk.seconds, 3),
        "faults": list(shrunk.faults),
        "operations": list(shrunk.operations),
        "nodes": list(shrunk.nodes),
        "is_minimal": shrunk.is_minimal,
        "interrupted": shrunk.interrupted,
        "embedded": list(tried),
    }
    return value


def _change(counts: tuple[int, int], noun: str) -> str:
    before, after = counts
    return f"{noun}s {before:,} to {after:,}" if before != after else f"{noun}s {after:,}"
