"""The final report, held against pictures and against hostile runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from splitbrain.core.columns import IntegerColumn, build, coded
from splitbrain.core.evidence import Evidence
from splitbrain.core.fault import At, Fault, Resolved, Schedule
from splitbrain.core.history import History
from splitbrain.core.journal import FaultEvent, Note
from splitbrain.core.run import RunResult
from splitbrain.core.verdict import Anomaly, Status, figures, invalid, unknown, valid
from splitbrain.report.console import show_result

GOLDEN = Path(__file__).parent / "golden"
NASTY = "[red]x[/red]\x1b[31m\x9b2J\n\r\t\u202eevil\u2066\x00 \ud800" + "\u0301" * 9


def compare(name: str, text: str) -> None:
    """Hold a report against its picture; SPLITBRAIN_WRITE_GOLDEN=1 draws the picture anew."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("SPLITBRAIN_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def shown(samples, result: RunResult, width: int = 80, **options) -> str:
    console = samples.plain_console(width)
    show_result(console, result, **options)
    return samples.written(console)


@pytest.mark.parametrize("name", ["found_invalid", "found_valid", "found_unknown", "failed"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_reports_look_as_they_did(samples, name, width):
    text = shown(samples, getattr(samples, name)(), width)
    compare(f"{name}-{width}", text)
    assert "\x1b" not in text
    lines = text.splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert all(cell_len(line) <= width or "splitbrain show" in line for line in lines)


def test_the_kinds_of_a_given_schedule_are_named(samples):
    result = samples.found_valid()
    cut = Fault(id="a", kind="partition", start=At(1.0))
    paused = Resolved(fault=replace(cut, kind="pause"), nodes=("n1",))

    def headline(**given) -> str:
        text = shown(samples, replace(result, plan=replace(result.plan, nemeses=(), **given)), 120)
        return next(line for line in text.splitlines() if " clients " in line)

    assert headline().endswith("no faults")
    assert headline(schedule=Schedule((cut,))).endswith("clients · partition")
    assert headline(schedule=Schedule((cut,)), resolved=(paused,)).endswith("clients · pause")


def test_colours_on_a_terminal(samples):
    console = samples.terminal_console()
    show_result(console, samples.found_invalid())
    compare("found_invalid-colours", samples.written(console))


def test_no_color_is_respected(samples):
    console = samples.terminal_console(no_color=True)
    show_result(console, samples.found_invalid())
    text = samples.written(console)
    assert "INVALID" in text
    assert not any(f"\x1b[{code}m" in text for code in (31, 32, 33, 35, 36))
    assert "\x1b[1;7m INVALID" in text or "\x1b[1m INVALID" in text


@pytest.mark.parametrize("verbose", [False, True])
def test_ascii_terminals_get_ascii(samples, verbose):
    console = samples.ascii_console()
    found = samples.found_invalid()
    show_result(console, replace(found, label="grüße …"), verbose=verbose)
    text = samples.written(console)
    assert "gr\\xfc\\xdfe \\u2026" in text
    assert "|- write 7 <- 5 --" in text


def test_the_verdict_comes_first_and_last(samples):
    for make in (samples.found_invalid, samples.found_valid, samples.found_unknown):
        lines = shown(samples, make()).split("\n")
        verdict = make().status.value.upper()
        assert lines[1].startswith(f" {verdict} ")
        assert lines[-2].startswith(f"{verdict}  splitbrain show ")


def test_the_reason_is_in_the_first_lines(samples):
    assert "linearizable: stale-read ×3" in shown(samples, samples.found_invalid())[:300]  # noqa: RUF001
    unclear = shown(samples, samples.found_unknown())[:400]
    assert "interrupted" in unclear
    assert "linearizable: key 17: out of its budget" in unclear
    assert "the harness itself failed: n3 died" in shown(samples, samples.failed())[:300]


def test_one_card_of_each_name_unless_verbose(samples):
    found = samples.found_invalid()
    assert shown(samples, found).count("stale-read  linearizable") == 1
    assert "and 2 more anomalies" in shown(samples, found)
    verbose = shown(samples, found, verbose=True)
    assert verbose.count("stale-read  linearizable") == 3
    assert "more anomal" not in verbose


def test_a_fault_that_ended_before_is_named(samples):
    found = samples.found_invalid()
    history = found.evidence.history
    late = [
        replace(item, start_ns=item.start_ns + 20 * samples.S, end_ns=samples.at(28.2))
        for item in history
    ]
    anomaly = Anomaly(name="stale-read", explanation="No.", operations=tuple(late))
    events = tuple((i, e) for i, e in found.evidence.faults if e.fault != "clock-1")
    result = replace(
        found,
        evidence=replace(found.evidence, faults=events),
        verdicts={"linearizable": invalid([anomaly])},
    )
    expected = "no fault was active; kill-1 on n2 n4 was healed 14.6 s before"
    assert expected in shown(samples, result)


def test_a_result_without_anything(samples):
    bare = RunResult(
        label="x", path=Path("x"), status=Status.UNKNOWN, verdicts={}, evidence=Evidence()
    )
    text = shown(samples, bare)
    assert "nothing was checked" in text
    assert "no history" in text


def test_what_was_noted_of_nodes_is_shown_the_first_of_it(samples):
    def noted(number):
        text = f"the daemon raft had died by itself{NASTY if number == 1 else ''}"
        return number, Note(text=text, time_ns=1, level="warning", node=f"n{number}")

    valid = samples.found_valid()
    notes = (*(noted(number) for number in range(1, 9)), (9, Note(text="of no node", time_ns=1)))
    text = shown(samples, replace(valid, evidence=replace(valid.evidence, notes=notes)))
    assert "n5: the daemon raft had died by itself" in text
    assert "n6" not in text.split("checkers")[0]
    assert "and 3 notes more, in run.log" in text
    assert "of no node" not in text


def test_notes_are_shown_and_not_obeyed(samples):
    result = replace(samples.found_valid(), notes=("the journal ends in 3 torn bytes", NASTY))
    text = shown(samples, result)
    assert "  the journal ends in 3 torn bytes\n" in text
    assert "[red]x[/red]\\x1b[31m" in text
    assert "\x1b" not in text


def test_one_of_a_kind_stands_in_the_singular(samples):
    result = samples.found_valid()
    plan = replace(result.plan, node_count=1, concurrency=1)
    text = shown(samples, replace(result, plan=plan))
    assert "1 embedded node " in text
    assert " 1 client " in text


def test_a_history_without_operations(samples):
    empty = replace(samples.found_valid(), evidence=Evidence(history=History.of([]), faults=()))
    text = shown(samples, empty)
    assert "0 operations: 0 ok, 0 fail, 0 info" in text
    assert "faults" not in text.split("checkers")[1].replace("no faults", "")


def test_a_file_that_was_checked_is_checked_again(samples, tmp_path):
    path = tmp_path / "a history.edn"
    path.write_text("")
    text = shown(samples, replace(samples.found_valid(), path=path, plan=None))
    assert f"splitbrain check '{path}'" in text


def nasty_result(samples) -> RunResult:
    operation = samples.operation(
        1, NASTY, (1, 2), (0, 1), key=NASTY, argument=[NASTY], result={NASTY: 1}, node=NASTY
    )
    other = samples.operation(2, "read", (3, 4), (2, 3), key=NASTY, result="y" * 100_000)
    anomaly = Anomaly(
        name=NASTY,
        explanation=NASTY * 50,
        operations=(operation, other),
        evidence=({NASTY: NASTY, "node": NASTY}, NASTY, {"deep": [[[[[[[[NASTY]]]]]]]]}),
    )
    resolved = {"fault": {"params": {"shape": NASTY}}, "nodes": [NASTY], "detail": None}
    events = [
        FaultEvent(fault=NASTY, kind=NASTY, state=state, time_ns=samples.at(0), resolved=resolved)
        for state in ("injecting", "active")
    ]
    missed = FaultEvent(fault="m", kind=NASTY, state="missed", time_ns=samples.at(1), error=NASTY)
    return RunResult(
        label=NASTY,
        path=Path("/tmp") / NASTY.replace("\x00", ""),
        status=Status.INVALID,
        verdicts={
            NASTY: invalid([anomaly], **{NASTY: NASTY}),
            "u": unknown(NASTY, NASTY),
            "stats": valid(latency_ms={NASTY: {"p50": NASTY, "p95": True}}, odd=[NASTY]),
        },
        evidence=Evidence(faults=tuple(enumerate([*events, missed]))),
        plan=replace(samples.PLAN, nemeses=(NASTY,), cluster=NASTY, bug=NASTY),
        failure=NASTY,
    )


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@pytest.mark.parametrize("verbose", [False, True])
def test_nothing_from_nodes_is_obeyed(samples, width, verbose):
    for console in (samples.plain_console(width), samples.ascii_console(width)):
        show_result(console, nasty_result(samples), verbose=verbose)
        text = samples.written(console)
        assert not set(text) & set("\x1b\x9b\x00\r\t\u202e\u2066\ud800")
        assert "[red]x[/red]" in text.replace("\n", "").replace(" ", "")
        assert text.count("\u0301") == 0 or "\u0301" * 3 not in text


def test_the_figures_of_every_run_have_whole_names(samples):
    verdicts = {"stats": figures(availability_during_faults=0.5, operations_late_replies=1)}
    text = shown(samples, replace(samples.found_valid(), verdicts=verdicts), 120)
    assert "availability during faults 0.5" in text


def test_a_failure_that_names_every_host_is_not_cut(samples):
    failure = "; ".join(f"n{number}: the program sshd is missing" for number in range(50))
    text = shown(samples, replace(samples.failed(), failure=f"{failure}; see the doctor"))
    assert "see the doctor" in " ".join(text.split())


def test_markup_keeps_its_brackets_on_a_terminal(samples):
    console = samples.terminal_console(200, color_system=None)
    show_result(console, replace(samples.found_valid(), label="[bold]label[/bold] :smile:"))
    assert "[bold]label[/bold] :smile:" in samples.written(console)


def large_history(count: int) -> History:
    places = np.arange(count, dtype=np.int64)
    return History(
        process=places % 50,
        session=places % 50,
        f=coded("read" for _ in range(count)),
        key=build([1] * count),
        argument=build([None] * count),
        result=build([1] * count),
        version=IntegerColumn(places, np.zeros(count, np.bool_)),
        applied=np.ones(count, np.bool_),
        outcome=np.zeros(count, np.int8),
        invoke_index=places * 2,
        complete_index=places * 2 + 1,
        start_ns=places,
        end_ns=IntegerColumn(places + 1, np.ones(count, np.bool_)),
        node=coded(None for _ in range(count)),
        error=coded(None for _ in range(count)),
    )


def test_many_operations_and_faults_cost_little_more_than_a_few(samples):
    def seconds(result: RunResult) -> float:
        spent = []
        for _ in range(3):
            begun = time.perf_counter()
            shown(samples, result)
            spent.append(time.perf_counter() - begun)
        return min(spent)

    found = samples.found_invalid()
    many = tuple(
        samples.operation(n % 50, "read", (n * 2, n * 2 + 1), (n, n + 1), result=n)
        for n in range(20_000)
    )
    anomaly = Anomaly(name="stale-read", explanation="No.", operations=many)
    large = replace(
        found,
        evidence=replace(found.evidence, history=large_history(100_000)),
        verdicts={"linearizable": invalid([anomaly])},
    )
    assert seconds(large) < 20 * seconds(found)
    text = shown(samples, large)
    assert "100,000 operations" in text
    assert "and 19,988 more operations" in text


def test_of_many_faults_those_that_went_wrong_are_shown(samples):
    events = []
    for number in range(40):
        events += list(samples.fault(f"kill-{number}", "one", ["n1"], number, number + 0.5))
    events += list(samples.missed("kill-40", "nobody leads"))
    faults = tuple(enumerate(event for _, event in events))
    found = samples.found_valid()
    result = replace(found, evidence=replace(found.evidence, faults=faults))
    text = shown(samples, result)
    assert "40 took hold, 1 missed · n1 ×40" in text  # noqa: RUF001
    assert "kill-40 missed: nobody leads" in text
    assert "29 more" in text
    assert text.count("kill-") < 20
    assert shown(samples, result, verbose=True).count("kill-") > 40


def test_many_reasons_are_counted(samples):
    reasons = unknown(*(f"reason {number}" for number in range(9)))
    result = replace(samples.found_unknown(), verdicts={"x": reasons})
    assert "and 4 more reasons" in shown(samples, result)
    assert "reason 8" in shown(samples, result, verbose=True)


def test_a_lease_that_ran_out_is_no_missed_fault(samples):
    event = FaultEvent(fault="lease-n1", kind="lease", state="expired", time_ns=samples.at(4))
    found = samples.found_valid()
    result = replace(found, evidence=replace(found.evidence, faults=((1, event),)))
    text = shown(samples, result)
    assert "lease ran out" in text
    assert "missed" not in text


SHOW_TO_NOBODY = """
import os, sys
from pathlib import Path
from rich.console import Console
from splitbrain.core.evidence import Evidence
from splitbrain.core.run import RunResult
from splitbrain.core.verdict import Status
from splitbrain.report.console import show_result

read_end, write_end = os.pipe()
os.close(read_end)
os.dup2(write_end, 1)
result = RunResult(
    label="x", path=Path("x"), status=Status.VALID, verdicts={}, evidence=Evidence()
)
try:
    show_result(Console(), result)
except BrokenPipeError:
    sys.exit(77)
"""


def test_a_reader_that_has_gone_does_not_pass_for_an_invalid_verdict():
    done = subprocess.run([sys.executable, "-c", SHOW_TO_NOBODY], check=False, timeout=60)
    assert done.returncode == 77
