"""The checkers of sessions and real time as people reach them: by name, on files, on frames."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from session_histories import sessions

from splitbrain import History, catalog, judge
from splitbrain.check import Question, check_path, require_question
from splitbrain.checkers.causal import Causal
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import from_history
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Status

BROKEN = {
    "sequential": ("w x 1, r y - \n w y 1, r x -", "no-sequential-order"),
    "causal": ("w x 1, w y 2 \n r y 2, r x -", "write-co-init-read"),
    "read-your-writes": ("w x 1, r x -", "read-your-writes-violation"),
    "monotonic-reads": ("w x 1 \n r x 1, r x -", "monotonic-reads-violation"),
    "monotonic-writes": ("w x 1, w y 2 \n , , r y 2, r x -", "monotonic-writes-violation"),
    "writes-follow-reads": (
        "w x 1 \n r x 1, w y 2 \n , , , r y 2, r x -",
        "writes-follow-reads-violation",
    ),
    "regular": ("w x 1, w x 2, r x 1", "stale-read"),
}


def write_lines(history: History, path: Path) -> Path:
    """Write a history as JSON lines; the process stands for the session."""
    events = []
    for o in history:
        value = o.argument if o.f != "read" else None
        base = {"process": o.session, "f": o.f, "key": o.key}
        events.append((o.invoke_index, {**base, "type": "invoke", "value": value}))
        done = o.result if o.f == "read" else o.argument
        events.append((o.complete_index, {**base, "type": o.outcome.value, "value": done}))
    ordered = sorted(events, key=lambda item: item[0])
    path.write_text("".join(f"{json.dumps(event)}\n" for _, event in ordered))
    return path


@pytest.mark.parametrize("name", BROKEN)
def test_a_foreign_history_is_judged_by_name(name, tmp_path):
    text, anomaly = BROKEN[name]
    path = write_lines(sessions(text), tmp_path / "history.jsonl")
    result = check_path(path, Question(checkers=(name,)))
    assert result.status is Status.INVALID
    assert [item.name for item in result.verdicts[name].anomalies] == [anomaly]
    fine = write_lines(sessions("w x 1, r x 1 \n , , r x 1"), tmp_path / "fine.jsonl")
    assert check_path(fine, Question(checkers=(name,))).status is Status.VALID


def test_staleness_alone_judges_nothing(tmp_path):
    path = write_lines(sessions("w x 1, r x 1"), tmp_path / "history.jsonl")
    result = check_path(path, Question(checkers=("staleness",)))
    assert result.status is Status.UNKNOWN
    assert result.verdicts["staleness"].stats["k_at_most"] == 1


def test_the_model_of_causality_can_be_asked_for(tmp_path):
    path = write_lines(sessions("w x 1, r x 2 \n w x 2, r x 1"), tmp_path / "history.jsonl")
    for model, status in (("cc", Status.VALID), ("cm", Status.VALID), ("ccv", Status.INVALID)):
        question = Question(checkers=("causal",), model=model)
        require_question(question)
        assert check_path(path, question).status is status
    with pytest.raises(UsageError, match="there is no model 'strong'"):
        require_question(Question(checkers=("causal",), model="strong"))


@pytest.mark.parametrize("name", [*BROKEN, "staleness"])
def test_each_is_listed_with_a_sentence_and_its_source(name):
    summary = catalog.names("checker")[name]
    assert summary.rstrip(")")[-4:].isdigit()
    made = catalog.checker(name, {})
    assert catalog.checker(name, made.parameters()).parameters() == made.parameters()
    assert made.name == name


@pytest.mark.parametrize("name", [*BROKEN, "staleness"])
def test_three_lines_of_python_judge_a_frame(name):
    frame = sessions("w x 1, r x 1 \n , , r x 1").frame()
    verdict = judge(History.from_frame(frame), name)
    assert verdict.status is Status.VALID
    assert verdict.judges is (name != "staleness")


DATA = Path(os.environ.get("SPLITBRAIN_DATA") or Path(__file__).parents[3] / "shared" / "data")
AWDIT = DATA / "awdit"
needs_data = pytest.mark.skipif(
    not AWDIT.is_dir(), reason=f"there are no histories at {AWDIT}: set SPLITBRAIN_DATA"
)


def transactions(path: Path) -> tuple[History, bool]:
    """Read a history of transactions, as if each operation were one; tell whether each is."""
    rows: list[Operation] = []
    session, size, single = 0, 0, True
    for line in path.read_text().splitlines():
        if line.startswith(("=", "-")):
            session += line.startswith("=")
            size = 0
            continue
        word, key, value = line.split()
        size += 1
        single &= size == 1
        rows.append(
            Operation(
                process=session,
                session=session,
                f="write" if word == "w" else "read",
                key=int(key),
                argument=int(value) if word == "w" else None,
                result=int(value) if word == "r" else None,
                outcome=Outcome.OK,
                invoke_index=2 * len(rows),
                complete_index=2 * len(rows) + 1,
            )
        )
    return History.of(rows), single


@needs_data
def test_transactions_of_one_operation_get_their_known_verdict():
    """Of larger ones only this is known: what is causal as a whole is so step by step."""
    judged = {}
    for path in sorted(AWDIT.glob("*/*.txt")):
        history, single = transactions(path)
        is_causal = path.parent.name == "causal"
        if single or is_causal:
            judged[path.stem] = single
            assert Causal().check(from_history(history)).valid is is_causal, path
    assert judged == {"fully-ser": False, "hb-cycle": True, "long-fork": False}
