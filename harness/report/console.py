"""The final report in a terminal: the verdict and the reason first, then what they rest on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.text import Text

from splitbrain.core.evidence import Evidence
from splitbrain.core.fault import Schedule
from splitbrain.core.history import OUTCOMES
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Anomaly, Status
from splitbrain.report.alphabet import Alphabet, alphabet_of
from splitbrain.report.anomaly_card import Scene, anomaly_card
from splitbrain.report.checker_table import STATUS_STYLES, anomaly_names, checker_table
from splitbrain.report.fault_span import MAIN_PHASE, FaultSpan, fault_spans, main_start_ns
from splitbrain.report.fault_table import fault_reasons, fault_summary, fault_table
from splitbrain.report.indented import Indented
from splitbrain.report.latency_table import latency_table
from splitbrain.report.minimal_card import minimal_card
from splitbrain.report.paper import paper

CARDS_SHOWN = 4
REASONS_SHOWN = 5
NOTES_SHOWN = 5
REASON_LIMIT = 400
FAILURE_LIMIT = 4000
"""What went wrong in the harness names what mends it, of each host that lacks something."""
LABEL_LIMIT = 60
_BADGES = {Status.VALID: "white on green", Status.UNKNOWN: "black on yellow"}
_BAD = "white on red"


def show_result(console: Console, result: RunResult, *, verbose: bool = False) -> None:
    """Print the report of a run or of a checked history.

    verbose: every anomaly, reason, figure and fault, instead of the first few of each.

    Raises: BrokenPipeError when nobody reads it any more.
    """
    report = _Report(result, alphabet_of(console), console.width, verbose=verbose)
    with paper(console):
        for block in report.blocks():
            console.print()
            console.print(block, soft_wrap=isinstance(block, Text), highlight=False)


class _Report:
    """The blocks of one report, in their order."""

    def __init__(self, result: RunResult, alphabet: Alphabet, width: int, *, verbose: bool) -> None:
        self._result = result
        self._alphabet = alphabet
        self._width = width
        self._verbose = verbose
        self._spans: tuple[FaultSpan, ...] = fault_spans(result.evidence)
        self._origin_ns = main_start_ns(result.evidence)
        self._is_silent = not verbose and _never_began(result)

    def blocks(self) -> Iterator[RenderableType]:
        """Give everything that the report shows, a blank line before each."""
        yield self._headline()
        yield from self._cards()
        for minimal in self._result.minimal:
            yield minimal_card(minimal, self._scene())
        if self._result.verdicts and not self._is_silent:
            table = checker_table(
                self._result.verdicts,
                self._alphabet,
                said=self._result.status is Status.UNKNOWN,
                verbose=self._verbose,
            )
            yield self._section("checkers", "", table)
        if self._spans:
            summary = fault_summary(self._spans, self._alphabet)
            yield self._section("faults", summary, self._faults())
        latencies = latency_table(self._result.verdicts, self._alphabet)
        if latencies is not None:
            yield self._section("latency", "in ms", latencies)
        yield self._footer()

    def _headline(self) -> RenderableType:
        result, alphabet = self._result, self._alphabet
        style = _BADGES.get(result.status, _BAD)
        badge = Text(f" {result.status.value.upper()} ", style=f"bold {style}")
        label = Text(alphabet.text(result.label, LABEL_LIMIT), style="bold")
        lines = self._beside(badge, label)
        if result.plan is not None and isinstance(lines[-1], Text):
            lines = self._beside(lines[-1], Text(_names_text(result.plan, alphabet)))
        lines += self._grounds()
        about = list(
            filter(None, [_plan_text(result.plan, alphabet), _counts_text(result.evidence)])
        )
        about += [alphabet.text(note, REASON_LIMIT) for note in result.notes]
        about += [alphabet.text(note, REASON_LIMIT) for note in _of_nodes(result.evidence)]
        return Group(*lines, *(Indented(Text(text, style="dim")) for text in about))

    def _grounds(self) -> Iterator[RenderableType]:
        """Say why the verdict is what it is."""
        result, alphabet = self._result, self._alphabet
        if result.failure is not None:
            line = "" if result.refused else "the harness itself failed: "
            line += alphabet.text(result.failure, FAILURE_LIMIT)
            yield Indented(Text(line, style="bold red"))
        if result.interrupted:
            line = "interrupted: judged is what was journaled until then"
            yield Indented(Text(line, style="yellow"))
        for name, verdict in result.verdicts.items():
            if verdict.status is Status.INVALID and verdict.judges:
                names = anomaly_names(verdict, alphabet)
                yield Indented(Text(f"{alphabet.text(name, 40)}: {names}", style="red"))
        if result.status is Status.UNKNOWN and not self._is_silent:
            yield from self._reasons()

    def _reasons(self) -> Iterator[RenderableType]:
        reasons = [
            f"{self._alphabet.text(name, 40)}: {self._alphabet.text(reason, REASON_LIMIT)}"
            for name, verdict in self._result.verdicts.items()
            if verdict.status is Status.UNKNOWN and verdict.judges
            for reason in verdict.reasons
        ]
        if not reasons and self._result.failure is None:
            reasons = ["nothing was checked"]
        shown = reasons if self._verbose else reasons[:REASONS_SHOWN]
        for reason in shown:
            yield Indented(Text(reason, style="yellow"))
        if len(shown) < len(reasons):
            more = _many(len(reasons) - len(shown), "more reason")
            yield Indented(Text(f"and {more}", style="dim"))

    def _anomalies(self) -> Iterator[tuple[str, Anomaly]]:
        """Give the anomalies to show: one of each name that a checker found; all when verbose."""
        for name, verdict in self._result.verdicts.items():
            seen: set[str] = set()
            for anomaly in verdict.anomalies:
                if self._verbose or anomaly.name not in seen:
                    yield name, anomaly
                seen.add(anomaly.name)

    def _cards(self) -> Iterator[RenderableType]:
        total = sum(len(verdict.anomalies) for verdict in self._result.verdicts.values())
        shown = list(islice(self._anomalies(), None if self._verbose else CARDS_SHOWN))
        for name, anomaly in shown:
            yield anomaly_card(anomaly, name, self._scene())
        if len(shown) < total:
            more = total - len(shown)
            noun = "more anomaly" if more == 1 else "more anomalies"
            yield Text(f"and {more:,} {noun}", style="dim")

    def _scene(self) -> Scene:
        return Scene(
            evidence=self._result.evidence,
            spans=self._spans,
            alphabet=self._alphabet,
            width=self._width,
            origin_ns=self._origin_ns,
            verbose=self._verbose,
        )

    def _faults(self) -> RenderableType:
        phases = self._result.evidence.phases
        table = fault_table(
            self._spans,
            self._alphabet,
            origin_ns=self._origin_ns,
            end_ns=phases[-1][1].time_ns if phases else None,
            verbose=self._verbose,
        )
        return Group(table, *fault_reasons(self._spans, self._alphabet))

    def _section(self, name: str, summary: str, body: RenderableType) -> RenderableType:
        head = Text(name, style="bold")
        return Group(*self._beside(head, Text(summary, style="dim")), Indented(body))

    def _beside(self, left: Text, right: Text) -> list[RenderableType]:
        """Put one text beside another, or below it where the line is too short for both."""
        if left.cell_len + right.cell_len + 2 > self._width:
            return [left, Indented(right)]
        if not right:
            return [left]
        return [Text().append_text(left).append("  ").append_text(right)]

    def _footer(self) -> Text:
        """Repeat the verdict where the cursor stands, with the command that shows this again."""
        result = self._result
        path = str(result.path)
        shown = self._alphabet.text(path)
        command = shlex.quote(path) if shown == path else shown
        line = Text(result.status.value.upper(), style=f"bold {STATUS_STYLES[result.status]}")
        verb = "check" if result.path.is_file() else "show"
        return line.append(f"  splitbrain {verb} {command}", "not bold default")


def _never_began(result: RunResult) -> bool:
    """Tell whether a run ended before its load: what checkers miss then is no news."""
    ended_early = result.failure is not None or result.interrupted
    has_begun = any(phase.name == MAIN_PHASE for _, phase in result.evidence.phases or ())
    return result.status is Status.UNKNOWN and ended_early and not has_begun


def _many(number: int, noun: str) -> str:
    """Give a number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _names_text(plan: Plan, alphabet: Alphabet) -> str:
    bug = "" if plan.bug is None else f"bug {alphabet.text(plan.bug, LABEL_LIMIT)}  "
    return f"{bug}seed {plan.seed}"


def _plan_text(plan: Plan | None, alphabet: Alphabet) -> str:
    if plan is None:
        return ""
    parts = [_many(plan.node_count, f"{alphabet.text(plan.cluster, 40)} node")]
    parts += [f"{plan.time_limit_s:g} s", _many(plan.concurrency, "client")]
    parts.append(", ".join(alphabet.text(name, 40) for name in _kinds(plan)) or "no faults")
    return f" {alphabet.dot} ".join(parts)


def _of_nodes(evidence: Evidence) -> Sequence[str]:
    """Give what the harness noted of single nodes, such as a daemon that had died by itself."""
    noted = [f"{note.node}: {note.text}" for _, note in evidence.notes if note.node is not None]
    more = len(noted) - NOTES_SHOWN
    return [*noted[:NOTES_SHOWN], *([f"and {more} notes more, in run.log"] if more > 0 else [])]


def _kinds(plan: Plan) -> Sequence[str]:
    """Give the kinds of fault that may come: a schedule leaves nothing to be drawn."""
    if plan.resolved is not None:
        return Schedule(tuple(item.fault for item in plan.resolved)).kinds
    return plan.nemeses if plan.schedule is None else plan.schedule.kinds


def _counts_text(evidence: Evidence) -> str:
    """Count the operations by outcome."""
    if evidence.history is None:
        return "no history"
    counts = np.bincount(evidence.history.outcome, minlength=len(OUTCOMES))
    split = ", ".join(
        f"{count:,} {outcome.value}" for outcome, count in zip(OUTCOMES, counts, strict=True)
    )
    return f"{_many(len(evidence.history), 'operation')}: {split}"
