from __future__ import annotations

import numpy as np
import pytest

from splitbrain.checkers.compose import judge, judging
from splitbrain.core.errors import CheckerError
from splitbrain.core.evidence import Evidence, Need
from splitbrain.core.value import canonical, from_canonical
from splitbrain.core.verdict import Anomaly, Status, Verdict, invalid, valid, worst
from splitbrain.runtime.results import verdict_from_value, verdict_to_value


class Fixed:
    def __init__(self, name, result, needs=()):
        self.name, self.result, self.needs = name, result, frozenset(needs)

    def parameters(self):
        return {}

    def check(self, evidence):
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


BAD = invalid([Anomaly(name="lost", explanation="it is gone")])


def test_a_crash_is_unknown_and_hides_nothing():
    verdicts = judge(
        [Fixed("a", valid()), Fixed("b", ZeroDivisionError("ouch")), Fixed("c", BAD)], Evidence()
    )
    assert [verdict.status for verdict in verdicts.values()] == ["valid", "unknown", "invalid"]
    reasons = verdicts["b"].reasons
    assert reasons[0] == "the checker crashed: ZeroDivisionError: ouch"
    assert any("raise self.result" in line for line in reasons)
    assert worst(verdicts.values()) is Status.INVALID


def test_a_checkers_own_error_is_one_line():
    assert judge([Fixed("a", CheckerError("no go"))], Evidence())["a"].reasons == ("no go",)


def test_missing_evidence_is_named_and_the_checker_never_asked():
    checker = Fixed("a", AssertionError(), needs={Need.TRACES, Need.DUMPS})
    verdict = judge([checker], Evidence(dumps={}))["a"]
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == ("there is no evidence of the kind 'traces'",)


def test_names_that_occur_twice_are_numbered():
    verdicts = judge([Fixed("a", valid()), Fixed("a", BAD), Fixed("a", valid())], Evidence())
    assert {name: verdict.status.value for name, verdict in verdicts.items()} == {
        "a": "valid",
        "a#2": "invalid",
        "a#3": "valid",
    }


def test_what_is_no_verdict_and_what_has_no_needs():
    class Plain:
        name = "plain"

        def check(self, evidence):
            return True

    verdict = judge([Plain()], Evidence())["plain"]
    assert verdict.status is Status.UNKNOWN
    assert "returned bool instead of a verdict" in verdict.reasons[0]


def test_judging_can_be_stopped_in_between():
    done = []
    verdicts = judge(
        [Fixed("a", valid()), Fixed("b", BAD)],
        Evidence(),
        stopped=lambda: bool(done) or done.append(1),
    )
    assert verdicts["a"].status is Status.VALID
    assert verdicts["b"].status is Status.UNKNOWN
    assert "stopped" in verdicts["b"].reasons[0]
    lazily = judging([Fixed("a", BAD), Fixed("b", KeyboardInterrupt())], Evidence())
    name, decide = next(lazily)
    assert (name, decide()) == ("a", BAD)
    with pytest.raises(KeyboardInterrupt):
        next(lazily)[1]()


def test_what_ends_a_program_ends_one_checker_only():
    ends = [SystemExit(3), pytest.fail.Exception("no"), GeneratorExit(), MemoryError()]
    checkers = [Fixed(f"c{number}", error) for number, error in enumerate(ends)]
    verdicts = judge([*checkers, Fixed("bad", BAD)], Evidence())
    assert [verdict.status.value for verdict in verdicts.values()] == ["unknown"] * 4 + ["invalid"]
    assert verdicts["c0"].reasons[0] == "the checker crashed: SystemExit: 3"


def test_ctrl_c_is_not_a_crash():
    with pytest.raises(KeyboardInterrupt):
        judge([Fixed("a", KeyboardInterrupt())], Evidence())
    made_of_it = SystemError("returned a result with an exception set")
    made_of_it.__cause__ = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        judge([Fixed("a", made_of_it)], Evidence())


def test_what_cannot_be_stored_is_put_into_words_and_the_verdict_stays():
    anomaly = Anomaly(name="lost", explanation="gone \udcff", evidence=({1, 2}, {"n": 1}))
    odd = invalid(
        [anomaly], count=np.int64(7), rate=np.float64(0.5), none=float("nan"), what={3}, ok=[1]
    )
    verdict = judge([Fixed("a", odd)], Evidence())["a"]
    assert verdict.status is Status.INVALID
    assert verdict.stats == {"count": 7, "rate": 0.5, "none": "nan", "what": "{3}", "ok": [1]}
    assert verdict.anomalies[0].explanation == "gone \\udcff"
    assert verdict.anomalies[0].evidence == ("{1, 2}", {"n": 1})
    assert verdict_from_value(from_canonical(canonical(verdict_to_value(verdict)))) == verdict


@pytest.mark.parametrize("status", ["invalid", "green", None, True])
def test_a_status_of_another_type_is_refused(status):
    with pytest.raises(TypeError, match="the status of a verdict"):
        Verdict(status=status, reasons=("so",), anomalies=BAD.anomalies)
