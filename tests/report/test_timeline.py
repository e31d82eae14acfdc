"""Operations drawn on a line of time, held against pictures."""

from __future__ import annotations

import textwrap
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from splitbrain.core.operation import Operation, Outcome
from splitbrain.report.alphabet import ASCII, UNICODE
from splitbrain.report.fault_span import FaultSpan
from splitbrain.report.timeline import draw


def picture(lines) -> str:
    return "\n".join(line.plain.rstrip() for line in lines)


def drawing(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


@pytest.fixture
def stale(samples):
    op = samples.operation
    return [
        op(1, "write", (10, 20), (0, 3.1), key=7, argument=4, node="n1"),
        op(4, "write", (15, 40), (2, 9), key=7, argument=5, node="n2"),
        op(1, "read", (45, 50), (12, 13.5), key=7, result=5, node="n1"),
        op(3, "read", (55, 60), (15, 16.2), key=7, result=4, node="n3"),
    ]


@pytest.fixture
def faults(samples):
    at = samples.at
    return [
        FaultSpan(
            id="partition-1",
            kind="partition",
            state="healed",
            shape="majority",
            nodes=("n1", "n2"),
            begun_ns=at(-1),
            active_ns=at(-0.9),
            healed_ns=at(0.010),
        ),
        FaultSpan(
            id="kill-2",
            kind="kill",
            state="active",
            shape="one",
            nodes=("n3",),
            begun_ns=at(0.011),
            active_ns=at(0.011),
        ),
        FaultSpan(
            id="kill-9", kind="kill", state="active", begun_ns=at(9), active_ns=at(9), nodes=("n1",)
        ),
        FaultSpan(id="missed", kind="kill", state="missed", begun_ns=at(0.001)),
    ]


def test_a_stale_read(samples, stale, faults):
    assert picture(draw(stale, faults, 78, origin_ns=samples.at(-12.3))) == drawing(
        """
        partition-1  ░ majority n1 n2 ░░░░░░░░░░░░░░░░░░░░░
        kill-2                                               ░ one n3 ░░░░░░░░░░░░░░░░
        p1 n1        ├─────────────┤ write 7 ← 4                 ├──────┤ read 7 → 5
        p4 n2                ├─ write 7 ← 5 ──────────┤
        p3 n3                                                       read 7 → 4 ├─────┤
                     at 12.3 s     +3.1 ms            +9 ms      +12 ms       +16.2 ms
        """
    )


def test_the_same_in_ascii_on_a_narrow_terminal(samples, stale, faults):
    lines = draw(stale, faults, 58, alphabet=ASCII, origin_ns=samples.at(-12.3))
    assert picture(lines).isascii()
    assert picture(lines) == drawing(
        """
        partition-1  : majority n1 n2 ::::::::
        kill-2                                  : one n3 :::::::::
                                                  read 7 -> 5
        p1 n1        |----------| write 7 <- 4    |----|
        p4 n2              |---------------| write 7 <- 5
        p3 n3                                   read 7 -> 4 |----|
                     at 12.3 s  +3.1 ms    +9 ms  +12 ms  +16.2 ms
        """
    )


def test_open_unknown_and_failed_operations_and_a_gap_cut_short(samples):
    op = samples.operation
    operations = [
        op(1, "write", (10, 20), (0, 3), key="x", argument="a"),
        op(
            9,
            "cas",
            (12, 70),
            (1, 5001),
            key="x",
            argument=["a", "b"],
            outcome=Outcome.INFO,
            error="timeout",
        ),
        op(2, "write", (30, 31), (5, 6), outcome=Outcome.FAIL, error="not leader", argument=1),
        op(5, "read", (80, 81), (5010, 5012), key="x", result="b"),
        op(7, "write", (85, None), (5011, None), key="x", argument="c", outcome=Outcome.INFO),
    ]
    assert picture(draw(operations, [], 80)) == drawing(
        """
        p1  ├────────┤ write x ← "a"
                cas x ← ["a", "b"] → timeout
        p9      ├──────────────────────────────≈─────────────────?╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌→
        p2               ├───✗ write ← 1 → not leader
        p5                                                    read x → "b" ├───┤
        p7                                                write x ← "c" → unknown ├╌╌╌╌→
            0   +1 ms    +5 ms                 ≈                 +5.001 s       +5.012 s
        """
    )


def test_a_process_that_changes_its_node_says_so_at_each_operation(samples):
    op = samples.operation
    operations = [
        op(1, "read", (1, 2), (0, 1), result=1, node="n1"),
        op(1, "read", (3, 4), (2, 3), result=2, node="n2", version=9),
    ]
    assert picture(draw(operations, [], 70)) == drawing(
        """
        p1  ├─ read → 1 @n1 ──────┤                     ├─ read → 2 @n2 ─────┤
            0                     +1 ms                 +2 ms            +3 ms
        """
    )


def test_one_operation_without_times(samples):
    operations = [samples.operation(1, "write", (1, 2), (0, 0), argument=1)]
    assert picture(draw(operations, [], 40)) == drawing(
        """
        p1  ├─ write ← 1 ──────────────────────┤
            in this order; the history has no ti
        """
    )


def test_nothing_to_draw():
    assert draw([], [], 80) == []


def test_foreign_text_stays_on_its_line(samples):
    operation = samples.operation(
        1,
        "re\nad",
        (1, 2),
        (0, 1),
        key="[red]k[/red]",
        argument="\x1b[31m\u202e" + "x" * 10_000,
        node="n\x1b[2J",
    )
    text = picture(draw([operation], [], 80))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "re\\nad" in text
    assert "[red]" in text
    assert len(text.splitlines()) <= 3


@st.composite
def histories(draw_from) -> list[Operation]:
    """Draw operations in a valid order of the journal, with any times."""
    count = draw_from(st.integers(1, 9))
    places = draw_from(st.permutations(range(2 * count)))
    operations = []
    for process in range(count):
        first, second = sorted(places[2 * process : 2 * process + 2])
        outcome = draw_from(st.sampled_from(list(Outcome)))
        still_open = outcome is Outcome.INFO and draw_from(st.booleans())
        start_ns = first * draw_from(st.sampled_from([0, 1, 1000, 10**9]))
        operations.append(
            Operation(
                process=process,
                session=process,
                f="read",
                outcome=outcome,
                invoke_index=first,
                complete_index=None if still_open else second,
                start_ns=start_ns,
                end_ns=None if still_open else start_ns + second,
                result=process,
                error="timeout" if outcome is Outcome.INFO else None,
            )
        )
    return operations


@given(histories(), st.sampled_from([60, 80, 100, 160]))
def test_overlap_is_true_and_lines_fit(operations, width):
    lines = [line.plain for line in draw(operations, [], width)]
    assert all(cell_len(line) <= width for line in lines)
    spans = {}
    for operation in operations:
        row = next(line for line in lines if line.startswith(f"p{operation.process}"))
        bars = [
            at for at, char in enumerate(row) if char in "├┤✗→" and row[at - 1 : at + 2] != " → "
        ]
        spans[operation.process] = (bars[0], bars[-1])
    for first in operations:
        for second in operations:
            if first.complete_index is None or first.complete_index > second.invoke_index:
                continue
            left, right = spans[first.process], spans[second.process]
            if first.outcome is not Outcome.INFO:
                assert left[1] < right[0]
    for first, second in pairwise(sorted(operations, key=lambda item: item.invoke_index)):
        end = first.complete_index
        if end is None or end > second.invoke_index:
            assert spans[first.process][1] > spans[second.process][0]


@given(histories(), st.sampled_from([30, 60, 100]))
def test_ascii_drawings_are_ascii(operations, width):
    for alphabet in (ASCII, UNICODE):
        lines = draw(operations, [], width, alphabet=alphabet)
        assert all(line.plain.isascii() for line in lines) or alphabet is UNICODE


def test_a_history_without_times_says_so(samples):
    op = samples.operation
    operations = [
        op(1, "write", (1, 2), (0, 0), argument=1),
        op(1, "write", (3, 4), (0, 0), argument=2),
        op(2, "read", (5, 6), (0, 0), result=1),
    ]
    assert picture(draw(operations, [], 70)) == drawing(
        """
        p1  ├────────────┤ write ← 1  ├────────────┤ write ← 2
        p2                                                      ├─ read → 1 ─┤
            in this order; the history has no times
        """
    )
