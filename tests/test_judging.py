"""What judges a run as a whole: no checker hides another, and none is asked with other limits."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from splitbrain.check import Question, check_path, show_path
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence
from splitbrain.core.verdict import Anomaly, Status, figures, invalid, unknown, valid
from splitbrain.execute import judge_all, overall

BAD = invalid([Anomaly(name="lost", explanation="it is gone")])


class Fixed:
    needs = frozenset()

    def __init__(self, name, result):
        self.name, self.result = name, result

    def parameters(self):
        return {}

    def check(self, evidence):
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


class Watching(Fixed):
    """Notes whether garbage is collected while it judges; may let others judge meanwhile."""

    def __init__(self, name, result, inner=()):
        super().__init__(name, result)
        self.inner, self.seen = inner, []

    def check(self, evidence):
        self.seen.append(gc.isenabled())
        judge_all(self.inner, evidence)
        self.seen.append(gc.isenabled())
        return super().check(evidence)


@pytest.mark.parametrize("result", [valid(), ValueError("crash"), KeyboardInterrupt()])
@pytest.mark.parametrize("is_on", [True, False])
def test_garbage_is_not_collected_while_it_is_judged_and_afterwards_as_before(result, is_on):
    inner = Watching("inner", valid())
    outer = Watching("outer", result, [inner])
    try:
        if not is_on:
            gc.disable()
        judge_all([outer], Evidence())
        assert gc.isenabled() is is_on
    finally:
        gc.enable()
    assert outer.seen == inner.seen == [False, False]


def test_of_two_checkers_of_one_name_none_hides_the_other():
    verdicts = judge_all([Fixed("a", BAD), Fixed("a", valid())], Evidence())
    assert [(name, item.status.value) for name, item in verdicts.items()] == [
        ("a", "invalid"),
        ("a#2", "valid"),
    ]
    assert overall(verdicts) is Status.INVALID


def test_ctrl_c_leaves_the_rest_unknown_and_keeps_what_was_found():
    checkers = [Fixed("a", BAD), Fixed("b", KeyboardInterrupt()), Fixed("c", valid())]
    verdicts = judge_all(checkers, Evidence())
    assert [item.status.value for item in verdicts.values()] == ["invalid", "unknown", "unknown"]
    assert overall(verdicts) is Status.INVALID
    assert overall(judge_all(checkers[1:], Evidence())) is Status.UNKNOWN


@pytest.mark.parametrize(
    ("verdicts", "sound", "status"),
    [
        ([], True, Status.UNKNOWN),
        ([figures()], True, Status.UNKNOWN),
        ([figures(), valid()], True, Status.VALID),
        ([figures(), valid()], False, Status.UNKNOWN),
        ([valid(), unknown("so")], True, Status.UNKNOWN),
        ([valid(), unknown("so"), BAD], False, Status.INVALID),
    ],
)
def test_unknown_is_never_green(verdicts, sound, status):
    assert overall(dict(enumerate(verdicts)), sound=sound) is status


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([], "this is not the result of a run"),
        ({"verdicts": []}, "this is not the result of a run"),
        ({"verdicts": {}, "status": "odd"}, "this is not the result of a run"),
        ({"verdicts": {"a": 1}, "status": "valid"}, "something here is no verdict"),
    ],
)
def test_a_result_that_is_none_is_named_in_full(tmp_path: Path, result: object, said: str):
    (tmp_path / "journal").write_bytes(empty_journal(tmp_path))
    (tmp_path / "result.json").write_text(json.dumps(result))
    with pytest.raises(UsageError) as raised:
        show_path(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'result.json'}: {said}")


def test_a_checker_that_is_named_is_asked_with_the_parameters_of_the_run(tmp_path: Path):
    (tmp_path / "journal").write_bytes(empty_journal(tmp_path))
    recipes = [{"name": "faults", "parameters": {"kinds": ["partition"]}}]
    (tmp_path / "checkers.json").write_text(json.dumps(recipes))
    verdict = check_path(tmp_path, Question(checkers=("faults",))).verdicts["faults"]
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == ("no fault of the kind 'partition' ever took hold",)


def empty_journal(folder: Path) -> bytes:
    from splitbrain.runtime.journal import JournalWriter

    path = folder / "made"
    JournalWriter(path).close()
    return path.read_bytes()
