"""The checker `linearizable`: specimens, explanations, limits, what it refuses to judge."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from splitbrain.checkers.linearizable import Linearizable
from splitbrain.core.errors import UsageError
from splitbrain.core.evidence import Evidence, Need, from_history
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Status
from splitbrain.foreign import read_history

SPECIMENS = Path(__file__).parent.parent / "testdata" / "linearizable"


def operation(number, f, begin, end, argument=None, result=None, **more):
    return Operation(
        process=number,
        session=number,
        f=f,
        outcome=more.pop("outcome", Outcome.OK),
        invoke_index=begin,
        complete_index=end,
        argument=argument,
        result=result,
        **more,
    )


def check(*operations, checker=None, **facts):
    return (checker or Linearizable()).check(from_history(History.of(operations), **facts))


@pytest.mark.parametrize("path", sorted(SPECIMENS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_each_specimen_is_rejected_under_its_name(path):
    imported = read_history(path)
    verdict = Linearizable().check(from_history(imported.history, **imported.facts))
    assert verdict.status is Status.INVALID
    (anomaly,) = verdict.anomalies
    assert anomaly.name == path.name.split(".")[0], anomaly.explanation
    assert 1 <= len(anomaly.operations) <= 6
    assert all(item in list(imported.history) for item in anomaly.operations)


@pytest.mark.parametrize("path", sorted(SPECIMENS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_operations_of_each_specimen_prove_it_by_themselves(path):
    imported = read_history(path)
    verdict = Linearizable().check(from_history(imported.history, **imported.facts))
    alone = History.of(verdict.anomalies[0].operations)
    assert Linearizable().check(from_history(alone, **imported.facts)).status is Status.INVALID


def explanation(name):
    imported = read_history(SPECIMENS / f"{name}.jsonl")
    verdict = Linearizable().check(from_history(imported.history, **imported.facts))
    return verdict.anomalies[0].explanation


def test_a_stale_read_is_explained_with_processes_nodes_values_and_times():
    assert explanation("stale-read") == (
        "process 4's read of key 3 on n2 returned 7, although process 1's write of 9 to key 3 on "
        "n2 had completed 800.0 ms before the read began and nothing wrote 7 after it"
    )


def test_a_phantom_is_explained_with_the_time_in_the_run():
    assert explanation("phantom-value") == (
        "process 4's read of key 3 on n2 returned 5 at 0.200 s, but nobody ever wrote 5"
    )


def test_a_broken_chain_tells_how_an_operation_of_unknown_outcome_is_known_to_have_happened():
    assert explanation("broken-cas-chain.unknown-cas").endswith(
        "(process 2's compare-and-set from 1 to 2 to key 3 on n3 took effect, as process 3's "
        "compare-and-set from 2 to 3 to key 3 on n4 shows)"
    )


def test_what_has_no_name_is_explained_by_what_was_possible():
    assert "although the value can only have been 7" in explanation("nonlinearizable.refusal")
    assert "but only 1 was possible" in explanation("nonlinearizable.ambiguous")


def test_a_long_history_is_cut_down_to_few_operations():
    rows = []
    for number in range(150):
        at = 10 * number
        rows.append(operation(2 * number, "write", at, at + 1, number))
        seen = number if number != 120 else 90
        rows.append(operation(2 * number + 1, "read", at + 2, at + 3, result=seen))
    verdict = check(*rows)
    (anomaly,) = verdict.anomalies
    assert anomaly.name == "stale-read"
    assert len(anomaly.operations) == 3
    assert anomaly.operations[-1].result == 90


def test_an_operation_of_unknown_outcome_may_have_happened_or_not():
    unknown = operation(0, "write", 0, 1, 5, outcome=Outcome.INFO)
    for seen in (None, 5):
        assert check(unknown, operation(1, "read", 2, 3, result=seen)).valid
    back = check(
        unknown,
        operation(1, "read", 2, 3, result=5),
        operation(2, "read", 4, 5, result=None),
    )
    assert back.status is Status.INVALID


def test_a_refused_compare_and_set_says_that_the_value_was_another():
    write = operation(0, "write", 0, 1, 5)
    refused = operation(1, "cas", 2, 3, [5, 6], applied=False)
    assert check(write, refused).status is Status.INVALID
    assert check(write, operation(1, "cas", 2, 3, [4, 6], applied=False)).valid


def test_keys_are_judged_apart_and_the_initial_value_is_a_fact():
    rows = [
        operation(0, "read", 0, 1, result="x", key="a"),
        operation(1, "write", 2, 3, "y", key="b"),
        operation(2, "read", 4, 5, result="x", key="c"),
    ]
    verdict = check(*rows, initial="x")
    assert verdict.valid
    assert verdict.stats["keys"] == 3
    assert verdict.stats["model"] == "register"
    assert verdict.stats["routes"] == {"clusters": {"keys": 3, "operations": 3}}
    assert check(*rows).status is Status.INVALID


def test_values_compare_by_type_and_content():
    for value in (1, True, 1.0, "1", 2**70, [1]):
        write = operation(0, "write", 0, 1, value)
        assert check(write, operation(1, "read", 2, 3, result=value)).valid
    for value in (True, 1.0, "1"):
        write = operation(0, "write", 0, 1, 1)
        assert not check(write, operation(1, "read", 2, 3, result=value)).valid


def test_what_was_not_used_is_counted():
    verdict = check(
        operation(0, "write", 0, 1, 1),
        operation(1, "write", 2, 3, 2, outcome=Outcome.FAIL),
        operation(2, "read", 4, None, outcome=Outcome.INFO),
        operation(3, "write", 6, None, 3, outcome=Outcome.INFO),
        operation(4, "read", 8, 9, result=1),
    )
    assert verdict.valid
    assert verdict.stats["not_used"] == {
        "failed": 1,
        "reads of unknown outcome": 1,
        "unseen operations of unknown outcome": 1,
    }


def test_appended_texts_are_concatenated():
    rows = [
        operation(0, "append", 0, 1, "ab"),
        operation(1, "append", 2, 3, "c"),
        operation(2, "read", 4, 5, result="abc"),
    ]
    assert check(*rows, initial="").valid
    wrong = operation(3, "read", 6, 7, result="acb")
    assert check(*rows, wrong, initial="").status is Status.INVALID


def test_an_append_to_a_number_is_not_guessed_at():
    verdict = check(operation(0, "write", 0, 1, 5), operation(1, "append", 2, 3, 6))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == ("the history: an append to 5, which cannot be made longer",)


def test_an_operation_that_no_model_knows_is_unknown_and_named():
    verdict = check(operation(0, "frobnicate", 0, 1, 5))
    assert verdict.status is Status.UNKNOWN
    assert "frobnicate" in verdict.reasons[0]
    verdict = check(operation(0, "cas", 0, 1, [1, 2]), checker=Linearizable(model="register"))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons == ("no model of register knows the operation cas",)


def test_a_history_without_a_success_is_unknown():
    failed = operation(0, "write", 0, 1, 5, outcome=Outcome.FAIL)
    for rows in ((), (failed,)):
        verdict = check(*rows)
        assert verdict.status is Status.UNKNOWN
        assert verdict.reasons == ("no operations succeeded, 1 or more must have",)
    assert check(failed, minimum_ok=0).valid


def test_a_malformed_compare_and_set_leaves_its_key_unknown():
    verdict = check(
        operation(0, "cas", 0, 1, 5, key=1), operation(1, "read", 2, 3, result=None, key=2)
    )
    assert verdict.status is Status.UNKNOWN
    told = "key 1: operation 0: the argument of a cas is [old, new], not 5"
    assert verdict.reasons == (told,)


def test_only_ten_anomalies_are_shown_and_the_others_counted():
    verdict = check(*(operation(i, "read", 2 * i, 2 * i + 1, result=i, key=i) for i in range(25)))
    assert len(verdict.anomalies) == 10
    assert verdict.stats["keys_illegal"] == 25
    assert verdict.stats["anomalies_not_shown"] == 15


def test_it_needs_a_history():
    assert Linearizable().needs == {Need.HISTORY}
    assert Linearizable().check(Evidence()).status is Status.UNKNOWN


def test_its_parameters_build_it_again():
    made = Linearizable(model="register", time_limit_s=5, memory_mb=64)
    assert Linearizable(**made.parameters()).parameters() == made.parameters()
    assert made.name == "linearizable"


def test_parameters_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="time limit above 0"):
        Linearizable(time_limit_s=0)
    with pytest.raises(UsageError, match="there is no model 'stack'"):
        check(operation(0, "read", 0, 1), checker=Linearizable(model="stack"))


# A history that a search cannot finish: many writes at once, all of them read, then one takes a
# value that was never there. A value that was seen is written again: clusters do not decide it.


def hard(key, processes=26):
    at = 100_000 * key
    rows = [
        operation(1000 * key + i, "write", at + i, at + 1000 + i, i, key=key)
        for i in range(processes)
    ]
    rows += [
        operation(
            1000 * key + 500 + i, "read", at + 100 + i, at + 2000 + i, result=i % processes, key=key
        )
        for i in range(processes)
    ]
    last = operation(1000 * key + 900, "cas", at + 5000, at + 5001, [-1, -2], key=key)
    return [
        *rows,
        last,
        operation(1000 * key + 901, "write", at + 6000, at + 6001, -1, key=key),
        operation(1000 * key + 902, "write", at + 6002, at + 6003, 0, key=key),
    ]


def test_out_of_time_is_unknown_with_the_prefix_that_was_checked():
    verdict = check(*hard(1), checker=Linearizable(time_limit_s=0.5))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons[0].startswith("key 1: the time limit of 0.5 s ran out; the first ")
    assert verdict.reasons[0].endswith(" of 55 completed operations are linearizable")


def test_out_of_memory_is_unknown_and_nothing_is_killed():
    verdict = check(*hard(1), checker=Linearizable(time_limit_s=30, memory_mb=24))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons[0].startswith("key 1: the memory limit of 24 MB ran out; ")


def test_memory_that_is_foreseen_is_refused_at_once():
    rows = [operation(0, "write", 2 * i, 2 * i + 1, i % 9) for i in range(8000)]
    rows.append(operation(0, "read", 20_000, 20_001, result=7999 % 9))
    verdict = check(*rows, checker=Linearizable(memory_mb=6))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reasons[0].startswith(
        "the history: it needs more than the memory limit of 6 MB; the first "
    )
    assert "first 0 of" not in verdict.reasons[0]


def test_an_illegal_key_is_reported_beside_unknown_ones():
    rows = [*hard(1), *hard(2), operation(9999, "read", 1, 2, result="?", key="bad")]
    fine = operation(9998, "read", 3, 4, result=None, key="fine")
    verdict = check(*rows, fine, checker=Linearizable(time_limit_s=1))
    assert verdict.status is Status.INVALID
    assert [anomaly.name for anomaly in verdict.anomalies] == ["phantom-value"]
    assert len(verdict.reasons) == 2
    assert verdict.stats["keys_unknown"] == 2


def test_a_helper_that_dies_leaves_unknown_with_its_line(tmp_path, monkeypatch):
    program = tmp_path / "porcupine"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "sys.stdin.buffer.read()\n"
        'print(\'{"partition":0,"answer":"ok","checked":1,"culprit":-1}\', flush=True)\n'
        "print('panic: out of luck\\n\\ngoroutine 1', file=sys.stderr)\n"
        "sys.exit(2)\n"
    )
    program.chmod(0o755)
    monkeypatch.setitem(os.environ, "SPLITBRAIN_PORCUPINE", str(program))
    verdict = check(
        operation(0, "append", 0, 1, 7, key=1),
        operation(1, "append", 2, 3, 7, key=2),
    )
    assert verdict.status is Status.UNKNOWN
    (reason,) = verdict.reasons
    assert reason.startswith(
        "key 2: the Porcupine helper ended with exit status 2: panic: out of luck; the first 0 of 1"
    )


def test_a_key_may_hold_a_list_and_another_a_text():
    rows = [
        operation(0, "write", 0, 1, "ab", key=1),
        operation(1, "append", 2, 3, "c", key=1),
        operation(2, "read", 4, 5, result="abc", key=1),
        operation(3, "append", 6, 7, "x", key=2),
        operation(4, "read", 8, 9, result=["x"], key=2),
    ]
    assert check(*rows).valid
    bad = operation(5, "read", 10, 11, result=["y"], key=2)
    (anomaly,) = check(*rows, bad).anomalies
    assert anomaly.operations == (bad,)


@pytest.mark.parametrize("argument", [None, 5, [1], [1, 2, 3]])
def test_a_failed_compare_and_set_that_made_no_sense_hides_nothing(argument):
    failed = operation(0, "cas", 0, 1, argument, outcome=Outcome.FAIL)
    verdict = check(failed, operation(1, "read", 2, 3, result=9))
    assert [anomaly.name for anomaly in verdict.anomalies] == ["phantom-value"]


@pytest.mark.parametrize("route", ["clusters", "porcupine"])
def test_what_is_proved_stays_proved_when_its_explanation_fails(monkeypatch, route):
    def fail(*_arguments, **_more):
        message = "no words"
        raise RuntimeError(message)

    found = "splitbrain.checkers.linearizability.found"
    monkeypatch.setattr(f"{found}.anomaly", fail)
    monkeypatch.setattr(f"{found}.Witness.anomaly", fail)
    rows = [operation(1, "read", 2, 3, result=9)]
    if route == "porcupine":
        rows += [operation(i, "write", 2 * i, 2 * i + 1, 9) for i in (5, 6)]
    verdict = check(*rows)
    assert verdict.status is Status.INVALID
    assert verdict.stats["route"] == route
    assert "failed: RuntimeError: no words" in verdict.anomalies[0].explanation
    assert verdict.anomalies[0].operations


def test_a_refused_append_is_not_missed_in_what_was_read():
    rows = [
        operation(0, "append", 0, 1, 1, applied=False),
        operation(1, "append", 2, 3, 2),
        operation(2, "read", 4, 5, result=[]),
    ]
    (anomaly,) = check(*rows).anomalies
    assert anomaly.operations == (rows[1], rows[2])


def test_a_refused_read_saw_nothing():
    write, read = operation(0, "write", 0, 1, 1), operation(1, "read", 2, 3, result=1)
    refused = operation(2, "read", 4, 5, result=7, applied=False)
    verdict = check(write, read, refused)
    assert verdict.valid
    assert verdict.stats["not_used"] == {"refused reads": 1}


@pytest.mark.parametrize(
    "other",
    [
        operation(1, "read", 2, 3, outcome=Outcome.INFO),
        operation(1, "read", 2, 3, outcome=Outcome.FAIL),
        operation(1, "cas", 2, None, [1, 2], outcome=Outcome.INFO),
        operation(1, "append", 2, 3, 1),
    ],
)
def test_where_nothing_was_seen_nothing_is_known(other):
    write = operation(0, "write", 0, 1, [1])
    verdict = check(write, other)
    assert verdict.status is Status.UNKNOWN
    assert "nothing was seen that could be wrong" in verdict.reasons[0]
    # a foreign history is all there is: it breaks no promise, which is said to be cheap
    foreign = check(write, other, minimum_ok=0)
    assert foreign.valid
    assert foreign.reasons == verdict.reasons
    refused = operation(2, "cas", 6, 7, [3, 4], applied=False)
    assert check(write, refused).valid


@pytest.mark.slow
def test_what_proves_an_anomaly_stays_few_where_the_history_is_long_and_ambiguous():
    rows, now = [], None
    for number in range(30_000):
        at = 4 * number
        rows.append(operation(0, "write", at, at + 2, now := number % 3))
        rows.append(operation(1, "read", at + 1, at + 3, result=now))
    end = 4 * len(rows)
    rows += [
        operation(2, "cas", end, end + 1, [now, 7]),
        operation(3, "write", end + 2, end + 9, 1),
        operation(4, "write", end + 3, end + 8, 2),
        operation(5, "cas", end + 10, end + 11, [1, 5], applied=False),
        operation(6, "cas", end + 12, end + 13, [2, 5], applied=False),
    ]
    verdict = check(*rows)
    assert verdict.status is Status.INVALID
    assert 1 <= len(verdict.anomalies[0].operations) <= 50


def test_a_compare_and_set_of_unknown_outcome_may_have_been_applied_whatever_it_says():
    write = operation(0, "write", 0, 1, 1)
    unknown = operation(1, "cas", 2, 3, [1, 2], outcome=Outcome.INFO, applied=False)
    assert check(write, unknown, operation(2, "read", 4, 5, result=2)).valid
    assert check(write, unknown, operation(2, "read", 4, 5, result=1)).valid


def test_an_unseen_write_of_unknown_outcome_may_be_why_a_compare_and_set_was_refused():
    write = operation(0, "write", 0, 1, 1)
    unknown = operation(1, "write", 2, None, 9, outcome=Outcome.INFO)
    refused = operation(2, "cas", 4, 5, [1, 2], applied=False)
    assert check(write, unknown, refused).valid
    assert check(write, refused).status is Status.INVALID


def test_a_value_that_was_there_twice_may_be_taken_twice():
    rows = [
        operation(0, "cas", 0, 1, [None, 1]),
        operation(1, "write", 2, 3, None),
        operation(2, "write", 4, 5, 5),
        operation(3, "cas", 6, 7, [None, 2]),
    ]
    (anomaly,) = check(*rows).anomalies
    assert anomaly.name == "lost-update"
    assert rows[2] in anomaly.operations


def test_a_value_that_is_written_again_later_is_not_from_the_future():
    rows = [
        operation(0, "write", 0, 1, 5),
        operation(1, "write", 2, 3, 6),
        operation(2, "read", 4, 5, result=5),
        operation(3, "write", 6, 7, 5),
    ]
    (anomaly,) = check(*rows).anomalies
    assert anomaly.name == "stale-read"
    assert anomaly.operations == tuple(rows[:3])


def test_a_scalar_is_no_list_of_one():
    rows = [operation(0, "write", 0, 1, 5), operation(1, "read", 2, 3, result=[5])]
    store = Linearizable(model="keyed-store")
    assert check(*rows, checker=store).status is Status.INVALID
    assert check(rows[0], operation(1, "read", 2, 3, result=5), checker=store).valid
    grown = operation(0, "append", 0, 1, 5)
    assert check(grown, operation(1, "read", 2, 3, result=5)).status is Status.INVALID


def test_two_reads_of_other_orders_are_a_fork_and_neither_is_stale():
    rows = [
        operation(0, "append", 0, 20, 1),
        operation(1, "append", 1, 21, 2),
        operation(2, "read", 2, 3, result=[1, 2]),
        operation(3, "read", 4, 5, result=[2]),
    ]
    (anomaly,) = check(*rows).anomalies
    assert anomaly.name == "incompatible-order"
    assert anomaly.operations == tuple(rows[2:])
