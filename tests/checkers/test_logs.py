from __future__ import annotations

import traceback

import pytest

from splitbrain.checkers.logs import ANOMALY_LIMIT, LINE_LIMIT, Logs
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, Log
from splitbrain.core.verdict import Status


def check(*texts, checker=None, truncated=False):
    logs = tuple(
        Log(node=f"n{number}", daemon="raft", text=text, truncated=truncated)
        for number, text in enumerate(texts, 1)
    )
    return (checker or Logs()).check(Evidence(logs=logs))


@pytest.mark.parametrize(
    "line",
    [
        "panic: runtime error: index out of range",
        "thread 'main' panicked at src/main.rs:4:5:",
        "Traceback (most recent call last):",
        "Fatal Python error: Segmentation fault",
        "raft.c:12: apply: Assertion `index > 0' failed.",
        "assertion `left == right` failed",
        "java.lang.OutOfMemoryError: Java heap space",
        "fatal error: runtime: out of memory",
        "WARNING: DATA RACE",
        "==7==ERROR: AddressSanitizer: heap-use-after-free",
        "Segmentation fault (core dumped)",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        'Exception in thread "main" java.lang.NullPointerException',
        "free(): double free or corruption (out)",
        "ENOMEM: Cannot allocate memory",
    ],
)
def test_crashes_are_found_with_their_place(line):
    verdict = check(f"all is well\n{line}\nbye")
    assert verdict.status is Status.INVALID
    (anomaly,) = verdict.anomalies
    assert anomaly.name == "crash-in-log"
    assert "raft on n1 wrote in line 2" in anomaly.explanation
    (place,) = anomaly.evidence
    assert (place["node"], place["daemon"], place["line"], place["text"]) == ("n1", "raft", 2, line)


def test_of_a_traceback_the_exception_is_told_with_its_place():
    try:
        {}["nothing"]
    except KeyError:
        text = traceback.format_exc()
    (anomaly,) = check(f"up\n{text}bye\n").anomalies
    assert "line 2" in anomaly.explanation
    assert "test_logs.py" in anomaly.explanation
    assert "KeyError: 'nothing'" in anomaly.evidence[0]["text"]
    (cut,) = check("Traceback (most recent call last):\n  File").anomalies
    assert cut.evidence[0]["text"] == "Traceback (most recent call last):"


@pytest.mark.parametrize(
    "line",
    [
        "no panic, all is well",
        "retrying after error: connection refused",
        "killed by signal 9",
        "failed to reach n2; assertion of leadership postponed",
        "memory: 12 MB out of 100 MB",
    ],
)
def test_ordinary_lines_are_no_crashes_and_no_guarantee(line):
    verdict = check(line)
    assert (verdict.status, verdict.judges) == (Status.VALID, False)
    assert verdict.stats["matches"] == 0


def test_the_first_of_a_kind_is_shown_and_the_others_counted():
    verdict = check("WARNING: DATA RACE\n" * 3, "", "WARNING: DATA RACE")
    assert [a.evidence[0]["node"] for a in verdict.anomalies] == ["n1", "n3"]
    assert "3 lines like it" in verdict.anomalies[0].explanation
    assert verdict.stats["matches"] == 4
    many = check(*["panic: x"] * 50)
    assert len(many.anomalies) == ANOMALY_LIMIT


def test_bytes_that_are_no_text_stay_visible_and_can_be_stored():
    verdict = check(b"panic: \xff\xfe\x1b[31m\r\n".decode(errors="surrogateescape"))
    text = verdict.anomalies[0].evidence[0]["text"]
    assert text.encode() == b"panic: \\udcff\\udcfe\x1b[31m"
    assert "\x1b" not in verdict.anomalies[0].explanation


def test_long_lines_are_looked_at_in_part():
    assert check("x " * LINE_LIMIT + "panic: far out").status is Status.VALID
    assert check("panic: near" + "x" * 10_000_000).status is Status.INVALID


def test_own_patterns_replace_ours():
    checker = Logs([r"\bslow\b"])
    assert check("panic: x", checker=checker).status is Status.VALID
    assert check("too slow", checker=checker).status is Status.INVALID
    assert checker.parameters() == {"patterns": [r"\bslow\b"]}
    assert Logs(**Logs().parameters()).parameters() == {"patterns": None}
    with pytest.raises(UsageError, match="no regular expression"):
        Logs(["("])


def test_no_log_is_unknown_and_a_cut_one_is_said():
    assert check().status is Status.UNKNOWN
    assert "its end was not read" in check("fine", truncated=True).reasons[0]
