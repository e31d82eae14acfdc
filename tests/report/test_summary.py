"""Several results in a few lines."""

from __future__ import annotations

from dataclasses import replace

from splitbrain.report.summary import show_summary


def test_each_result_has_a_line_with_its_reason(samples):
    console = samples.plain_console()
    results = [
        samples.found_valid(),
        samples.found_invalid(),
        samples.found_unknown(),
        samples.failed(),
    ]
    show_summary(console, [replace(results[0], plan=None, label="[b]h\x1b.edn"), *results[1:]])
    assert samples.written(console).splitlines() == [
        "",
        "VALID    [b]h\\x1b.edn",
        "INVALID  raft register seed 42  stale-read ×3, two-leaders",  # noqa: RUF001
        "UNKNOWN  raft register seed 42  key 17: out of its budget of 60 s",
        "UNKNOWN  raft register seed 42  n3 died during install: its sshd does not answer",
        "                                within 10 s",
        "4 in all: 1 valid, 2 unknown, 1 invalid",
    ]


def test_a_single_result_needs_no_summary(samples):
    console = samples.plain_console()
    show_summary(console, [samples.found_valid()])
    assert samples.written(console) == ""


def test_ascii_terminals_get_ascii(samples):
    console = samples.ascii_console(60)
    show_summary(console, [samples.found_invalid()] * 2)
    assert "stale-read x3" in samples.written(console)
