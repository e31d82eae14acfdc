"""Judges anew what is there already: stored runs, and histories that others recorded.

A run names its checkers; only those that are built in are made again, so that looking at somebody
else's run imports nothing of theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from splitbrain import catalog
from splitbrain.checkers.causality import CAUSAL_MODELS
from splitbrain.checkers.models import MODELS
from splitbrain.core.errors import StoreError, UsageError
from splitbrain.core.evidence import Evidence, from_history
from splitbrain.core.history import History
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker, Verdict, unknown
from splitbrain.execute import judge_all, overall, result_to_value
from splitbrain.foreign import read_history, require_writable, write_history
from splitbrain.minimization import with_minimal_histories
from splitbrain.runtime.results import judged_from_value
from splitbrain.runtime.store import (
    RunDirectory,
    StoredRun,
    is_run,
    load_run,
)
from splitbrain.runtime.stored_file import named, read_json_file, readable

FOREIGN_CHECKERS = ("linearizable",)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a path.

    checkers: names; empty means those of the run, or linearizability for a foreign history. One
    that the run has is asked with the run's parameters. model, failed_cas: as `--model` and
    `--failed-cas` say, None when left open. minimize: also find the minimal histories that are
    invalid in the same way, and keep them.
    """

    checkers: tuple[str, ...] = ()
    model: str | None = None
    failed_cas: str | None = None
    minimize: bool = False


def check_path(path: Path, question: Question) -> RunResult:
    """Judge a stored run or a foreign history.

    Raises: UsageError (MalformedHistoryError with file and line among them) when it cannot be read.
    """
    with readable(path):
        if is_run(path):
            return _check_run(path, question)
        if path.is_dir():
            message = f"{path} is a directory, but not that of a run: it holds no journal"
            raise UsageError(message)
        return _check_foreign(path, question)


def judge(evidence: Evidence | History, checker: str, **parameters: Value) -> Verdict:
    """Judge a history, or other evidence, by one checker: a name, or file.py:Name.

    A bare history is taken as a foreign one is: every key held null before the first operation. One
    without any operation leaves nothing to judge, and is unknown.

    Raises: UsageError for a checker or a parameter that there is not.
    """
    if isinstance(evidence, History):
        evidence = from_history(evidence, initial=None, minimum_ok=0 if len(evidence) else 1)
    built = catalog.checker(checker, parameters)
    (verdict,) = judge_all([built], evidence).values()
    return verdict


def require_question(question: Question) -> None:
    """Find out whether a question can be asked at all, of whatever path.

    Raises: UsageError for a checker or a model that there is not, ContractError for a checker that
    breaks its contract.
    """
    models = (*MODELS, *CAUSAL_MODELS) if "causal" in question.checkers else (*MODELS,)
    if question.model is not None and question.model not in models:
        message = f"there is no model {question.model!r}; there are {', '.join(models)}"
        raise UsageError(message)
    for name in question.checkers:
        _build(name, {}, question)


def show_path(path: Path) -> RunResult:
    """Give a stored run with its verdicts; one that was never judged is unknown."""
    with readable(path):
        stored = load_run(path)
    result = stored.result
    if result is None:
        why = f"the run was not judged: do it now with `splitbrain check {path}`"
        return _result(stored, {"run": unknown(why)})
    with named(path / "result.json"):
        status, verdicts = judged_from_value(result)
    assert isinstance(result, dict)
    failure, trace_hash = result.get("failure"), result.get("trace_hash")
    return dataclasses.replace(
        _result(stored, verdicts),
        status=status,
        trace_hash=trace_hash if isinstance(trace_hash, str) else None,
        failure=failure if isinstance(failure, str) else None,
        refused=result.get("refused") is True,
        interrupted=result.get("interrupted") is True,
    )


def export_history(
    source: Path, target: Path, *, failed_cas: str | None = None
) -> tuple[int, tuple[str, ...]]:
    """Write the history of a stored run or a foreign file to another file.

    Gives how many operations there are, and a line for each thing that the format cannot say.

    Raises: UsageError when the one cannot be read or the other is of no known kind, StoreError when
    it cannot be written.
    """
    require_writable(target)
    with readable(source):
        if is_run(source):
            evidence = load_run(source).evidence
        else:
            imported = read_history(source, failed_cas=failed_cas)
            evidence = from_history(imported.history, **imported.facts)
    history = evidence.history
    assert history is not None
    return len(history), write_history(history, target, evidence.facts)


def _check_run(path: Path, question: Question) -> RunResult:
    stored = load_run(path)
    refused: dict[str, Verdict] = {}
    if question.checkers:
        own = dict(_recipes(path))
        checkers = [_build(name, own.get(name, {}), question) for name in question.checkers]
    else:
        checkers, refused = _named(_recipes(path), question)
    verdicts = {**judge_all(checkers, stored.evidence), **refused}
    result = _result(stored, verdicts)
    before = stored.result if isinstance(stored.result, dict) else {}
    failure = before.get("failure")
    result = dataclasses.replace(
        result,
        status=overall(verdicts, sound=_ended(stored)),
        failure=failure if isinstance(failure, str) else None,
        refused=before.get("refused") is True,
        interrupted=before.get("interrupted") is True,
        notes=(*result.notes, *_unfinished(stored)),
    )
    if not question.checkers and stored.result is None:
        result = _keep(RunDirectory(path), result)
    return with_minimal_histories(result, checkers) if question.minimize else result


def _keep(run: RunDirectory, result: RunResult) -> RunResult:
    """Keep the verdicts of a run that was never judged; where that cannot be, they still stand."""
    try:
        run.write_json("result.json", result_to_value(result))
    except StoreError as error:
        return dataclasses.replace(result, notes=(*result.notes, f"not kept: {error}"))
    return result


def _ended(stored: StoredRun) -> bool:
    """Tell whether a run came to its own end, instead of being interrupted or killed."""
    result = stored.result if isinstance(stored.result, dict) else {}
    is_sound = result.get("failure") is None and result.get("interrupted") is not True
    phases = _phases(stored)
    return is_sound and "final" in phases and phases[-1] == "done"


def _unfinished(stored: StoredRun) -> Iterator[str]:
    """Say where a run stands whose controller was killed, or is still at it."""
    phases = _phases(stored)
    if phases and phases[-1] != "done":
        yield f"it did not end: the last that is known of it is the phase {phases[-1]}"


def _phases(stored: StoredRun) -> Sequence[str]:
    return [phase.name for _, phase in stored.evidence.phases or ()]


def _named(
    recipes: Sequence[tuple[str, Mapping[str, Value]]], question: Question
) -> tuple[list[Checker], dict[str, Verdict]]:
    """Give the checkers that a run or a file names, and those that are not built in as unknown."""
    checkers, refused = [], {}
    for name, parameters in recipes:
        if catalog.is_builtin("checker", name):
            checkers.append(_build(name, parameters, question))
        else:
            refused[name] = unknown(
                f"{name!r} is not built in, and a run's own code is never imported: "
                "name it with --checker file.py:Name"
            )
    return checkers, refused


def _recipes(path: Path) -> Sequence[tuple[str, Mapping[str, Value]]]:
    file = path / "checkers.json"
    if not file.exists():
        return [(name, {}) for name in FOREIGN_CHECKERS]
    value = read_json_file(file)
    recipes: list[tuple[str, Mapping[str, Value]]] = []
    for item in value if isinstance(value, list) else [None]:
        parameters = item.get("parameters") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(parameters, dict):
            message = f"{file} is not a list of checkers with their parameters"
            raise UsageError(message)
        recipes.append((str(item.get("name")), parameters))
    return recipes


def _build(name: str, parameters: Mapping[str, Value], question: Question) -> Checker:
    asked: dict[str, Value] = dict(parameters)
    models = {"linearizable": (*MODELS,), "causal": CAUSAL_MODELS}.get(name, ())
    if question.model in models:
        asked["model"] = question.model
    return catalog.checker(name, asked)


def _check_foreign(path: Path, question: Question) -> RunResult:
    imported = read_history(path, failed_cas=question.failed_cas)
    own = dict(imported.checkers)
    refused: dict[str, Verdict] = {}
    if question.checkers or not own:
        names = question.checkers or FOREIGN_CHECKERS
        checkers = [_build(name, own.get(name, {}), question) for name in names]
    else:
        checkers, refused = _named(imported.checkers, question)
    evidence = from_history(imported.history, **imported.facts)
    verdicts = {**judge_all(checkers, evidence), **refused}
    result = RunResult(
        label=f"{path.name} ({imported.format})",
        path=path,
        status=overall(verdicts),
        verdicts=verdicts,
        evidence=evidence,
        notes=imported.assumptions,
    )
    return with_minimal_histories(result, checkers) if question.minimize else result


def _label(plan: Plan) -> str:
    """Give the names of system and workload; of a reference, what stands behind its colon."""
    return f"{plan.system.rpartition(':')[2]} {plan.workload.rpartition(':')[2]}"


def _result(stored: StoredRun, verdicts: Mapping[str, Verdict]) -> RunResult:
    plan = stored.plan
    return RunResult(
        label=stored.path.name if plan is None else _label(plan),
        path=stored.path,
        status=overall(verdicts),
        verdicts=verdicts,
        evidence=stored.evidence,
        plan=plan,
        schedule=stored.schedule,
        notes=stored.warnings,
    )
