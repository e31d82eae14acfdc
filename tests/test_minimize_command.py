"""`check --minimize` keeps a file that `check` judges as it judged the whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitbrain.cli import run_command
from splitbrain.core.errors import StoreError
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.foreign import Header, read_history, write_judged
from splitbrain.minimization import with_minimal_histories

SPECIMENS = Path(__file__).parent / "testdata" / "linearizable"

STALE = """\
{"process":0,"type":"invoke","f":"write","key":"x","value":1}
{"process":0,"type":"ok","f":"write","key":"x","value":1}
{"process":1,"type":"invoke","f":"write","key":"y","value":5}
{"process":1,"type":"ok","f":"write","key":"y","value":5}
{"process":0,"type":"invoke","f":"write","key":"x","value":2}
{"process":0,"type":"ok","f":"write","key":"x","value":2}
{"process":2,"type":"invoke","f":"read","key":"x","value":null}
{"process":2,"type":"ok","f":"read","key":"x","value":2}
{"process":1,"type":"invoke","f":"read","key":"x","value":null}
{"process":1,"type":"ok","f":"read","key":"x","value":1}
"""


def asked(capsys, *arguments):
    code = run_command(["check", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("specimen", sorted(SPECIMENS.glob("*.jsonl")), ids=lambda path: path.name)
def test_the_minimal_history_of_a_specimen_has_its_verdict(specimen, tmp_path, capsys):
    path = tmp_path / specimen.name
    path.write_bytes(specimen.read_bytes())
    code, found = asked(capsys, path, "--minimize")
    assert code == 1
    [minimal] = found["minimal"]
    assert minimal["is_minimal"]
    code, again = asked(capsys, minimal["path"])
    assert code == 1
    names = [item["name"] for item in again["checkers"]["linearizable"]["anomalies"]]
    assert minimal["anomaly"] in names
    assert names[0] == found["checkers"]["linearizable"]["anomalies"][0]["name"]


def test_the_report_shows_it_with_the_command_that_judges_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stale.jsonl").write_text(STALE)
    assert run_command(["check", "stale.jsonl", "--minimize"]) == 1
    said = capsys.readouterr().out
    assert "minimal history  stale-read by linearizable" in said
    assert "3 of 5 operations: without any one of them the anomaly is gone" in said
    assert "splitbrain check stale.minimal.linearizable.jsonl" in said


def test_a_valid_history_has_no_minimal_one(tmp_path, capsys):
    path = tmp_path / "fine.jsonl"
    path.write_text("\n".join(STALE.splitlines()[:-2]) + "\n")
    code, found = asked(capsys, path, "--minimize")
    assert code == 0
    assert "minimal" not in found
    assert list(tmp_path.iterdir()) == [path]


def test_the_parameters_of_the_checker_stay_with_the_file(tmp_path, capsys):
    path = tmp_path / "stale.jsonl"
    path.write_text(STALE)
    code, found = asked(capsys, path, "--minimize", "--model", "keyed-store")
    assert code == 1
    code, again = asked(capsys, found["minimal"][0]["path"])
    assert code == 1
    assert again["checkers"]["linearizable"]["stats"]["model"] == "keyed-store"


def test_where_nothing_can_be_written_the_verdict_stands(tmp_path, monkeypatch):
    from splitbrain import minimization
    from splitbrain.check import Question, check_path
    from splitbrain.checkers.linearizable import Linearizable

    def refuse(path, history, header):
        message = f"cannot write {path}: no room"
        raise StoreError(message)

    monkeypatch.setattr(minimization, "write_judged", refuse)
    path = tmp_path / "stale.jsonl"
    path.write_text(STALE)
    result = with_minimal_histories(check_path(path, Question()), [Linearizable()])
    assert result.status.value == "invalid"
    assert result.minimal == ()
    assert any("no room" in note for note in result.notes)


def test_a_history_comes_back_as_it_was_written(tmp_path):
    operations = [
        Operation(process=0, session=7, f="write", key="x", argument=2**70, outcome=Outcome.OK,
                  invoke_index=0, complete_index=2, start_ns=5, end_ns=9, version=3, node="n1"),
        Operation(process=1, session=1, f="cas", key="x", argument=[1, 2], outcome=Outcome.OK,
                  applied=False, invoke_index=1, complete_index=4, start_ns=6, end_ns=12),
        Operation(process=2, session=2, f="cas", key="x", argument=[1, 3], outcome=Outcome.FAIL,
                  invoke_index=3, complete_index=6, start_ns=10, end_ns=14, error="refused"),
        Operation(process=3, session=3, f="write", key="x", argument=None, outcome=Outcome.INFO,
                  invoke_index=5, start_ns=13),
        Operation(process=0, session=7, f="read", key="x", outcome=Outcome.OK,
                  invoke_index=7, complete_index=8, start_ns=15, end_ns=16),
    ]  # fmt: skip
    path = tmp_path / "history.jsonl"
    header = Header(facts={"initial": 4, "minimum_ok": 0}, checkers=(("linearizable", {}),))
    write_judged(path, History.of(operations), header)
    imported = read_history(path)
    places = [place for item in operations for place in (item.invoke_index, item.complete_index)]
    order = sorted(place for place in places if place is not None)
    rank = {place: number for number, place in enumerate(order, start=1)} | {None: None}
    assert [
        (item, rank[item.invoke_index], rank[item.complete_index]) for item in operations
    ] == [
        (original, item.invoke_index, item.complete_index)
        for item, original in zip(imported.history, operations, strict=True)
        if (item.process, item.session, item.f, item.key, item.argument, item.result)
        == (original.process, original.session, original.f, original.key, original.argument,
            original.result)
        and (item.outcome, item.applied, item.version, item.node, item.start_ns, item.end_ns)
        == (original.outcome, original.applied, original.version, original.node,
            original.start_ns, original.end_ns)
    ]  # fmt: skip
    assert imported.facts["initial"] == 4
    assert imported.checkers == (("linearizable", {}),)


@pytest.mark.parametrize(
    "line",
    [
        '{"splitbrain":2,"facts":{},"checkers":[]}',
        '{"splitbrain":1,"facts":3',
        '{"splitbrain":1,"checkers":[1],"facts":{}}',
    ],
)
def test_a_header_that_is_not_known_is_refused_with_its_line(line, tmp_path, capsys):
    path = tmp_path / "history.jsonl"
    path.write_text(f"{line}\n{STALE}")
    assert run_command(["check", str(path)]) == 254
    assert f"{path}:1: " in capsys.readouterr().err


def test_a_file_may_not_have_its_own_code_run(tmp_path, capsys):
    path = tmp_path / "history.jsonl"
    (tmp_path / "evil.py").write_text("raise SystemExit(99)")
    header = {
        "splitbrain": 1,
        "facts": {},
        "checkers": [{"name": f"{tmp_path}/evil.py:Evil", "parameters": {}}],
    }
    path.write_text(json.dumps(header, separators=(",", ":")) + "\n" + STALE)
    code, found = asked(capsys, path)
    assert code == 2
    [verdict] = found["checkers"].values()
    assert "never imported" in verdict["reasons"][0]
