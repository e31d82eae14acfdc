"""The checker of carts: what it claims, what it leaves open, and a plain definition beside it."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
from hypothesis import given

from splitbrain.checkers.cart import Cart
from splitbrain.core.evidence import Evidence
from splitbrain.core.history import History
from splitbrain.core.journal import Phase
from splitbrain.core.operation import Operation, Outcome
from splitbrain.core.verdict import Status, Verdict

FINAL = 1000


def judge(*steps, settled=True, final=True, **facts) -> Verdict:
    """Judge steps of one cart: (f, argument, outcome); a read in the end has the place FINAL."""
    operations, at = [], 0
    for f, argument, outcome in steps:
        read = f == "read"
        at = FINAL + 1 if read else at + 2
        operations.append(
            Operation(
                process=len(operations),
                session=0,
                f=f,
                key="siblings/1",
                argument=None if read else argument,
                result=argument if read else None,
                outcome=Outcome(outcome),
                invoke_index=at,
                complete_index=None if outcome == "info" else at + 1,
            )
        )
    phases = ((FINAL, Phase(name="final", time_ns=0, settled=settled)),) if final else ()
    return Cart().check(Evidence(history=History.of(operations), phases=phases, facts=facts))


def names(verdict: Verdict) -> list[str]:
    return [anomaly.name for anomaly in verdict.anomalies]


def test_an_acknowledged_item_is_there() -> None:
    assert judge(("add", 1, "ok"), ("add", 2, "ok"), ("read", [[1], [2]], "ok")).valid
    verdict = judge(("add", 1, "ok"), ("add", 2, "ok"), ("read", [[2]], "ok"))
    assert names(verdict) == ["lost-item"]
    assert len(verdict.anomalies[0].operations) == 2


def test_no_item_is_called_lost_where_reads_may_miss_it_for_good() -> None:
    steps = (("add", 1, "ok"), ("add", 2, "ok"), ("read", [[2], [3]], "ok"))
    bare = {"mends": False, "n": 3, "r": 1, "w": 2}
    assert names(judge(*steps, **bare)) == ["phantom-item"]
    verdict = judge(*steps[:2], ("read", [[2]], "ok"), **bare)
    assert verdict.valid
    assert "no item is called lost" in verdict.reasons[0]
    for more in ({"r": 2}, {"mends": True}, {"mends": True, "sloppy": True}):
        assert names(judge(*steps[:2], ("read", [[2]], "ok"), **{**bare, **more})) == ["lost-item"]
    sloppy = {**bare, "r": 2, "sloppy": True}
    assert judge(*steps[:2], ("read", [[2]], "ok"), **sloppy).valid


def test_removed_and_unknown_items_may_be_there_or_not() -> None:
    for held in ([], [1], [2], [1, 2]):
        steps = [("add", 1, "ok"), ("remove", 1, "info"), ("add", 2, "info"), ("add", 3, "ok")]
        assert judge(*steps, ("read", [*held, 3], "ok")).valid


def test_an_item_that_nobody_added() -> None:
    assert names(judge(("add", 1, "ok"), ("read", [1, 7], "ok"))) == ["phantom-item"]
    assert names(judge(("add", 1, "ok"), ("add", 2, "fail"), ("read", [1, 2], "ok"))) == [
        "phantom-item"
    ]


def test_what_was_not_read_or_has_not_settled_is_unknown() -> None:
    assert judge(("add", 1, "ok")).status is Status.UNKNOWN
    assert judge(("add", 1, "ok"), ("read", [1], "ok"), final=False).status is Status.UNKNOWN
    assert judge(("read", [], "ok")).status is Status.UNKNOWN
    loss = judge(("add", 1, "ok"), ("read", [], "ok"), settled=False)
    assert loss.status is Status.UNKNOWN, "nothing is lost before all has settled"


def at(begin, end, f, argument, outcome="ok", result=None) -> Operation:
    return Operation(
        process=begin,
        session=0,
        f=f,
        key="c",
        argument=argument,
        result=result,
        outcome=Outcome(outcome),
        invoke_index=begin,
        complete_index=None if outcome == "info" else end,
    )


def check(*operations, begun=0) -> Verdict:
    phases = ((begun, Phase(name="final", time_ns=0, settled=True)),)
    return Cart().check(Evidence(history=History.of(operations), phases=phases))


def test_an_item_that_was_added_more_than_once_is_judged_by_all_its_additions() -> None:
    ok, fail, info = (("add", 1, outcome) for outcome in ("ok", "fail", "info"))
    for steps in ((ok, fail), (fail, ok), (ok, info), (info, ok), (fail, info), (info, fail)):
        held = judge(*steps, ("add", 2, "ok"), ("read", [1, 2], "ok"))
        assert not held.anomalies, steps
        lost = judge(*steps, ("add", 2, "ok"), ("read", [2], "ok"))
        assert names(lost) == (["lost-item"] if ok in steps else []), steps
    assert names(judge(fail, fail, ("read", [1], "ok"))) == ["phantom-item"]


def test_an_addition_too_late_for_the_last_read_is_not_lost_and_not_forgotten() -> None:
    first = at(1, 2, "add", 1)
    for late in (at(11, 15, "add", 2), at(14, 15, "add", 2)):
        verdict = check(first, late, at(12, 13, "read", None, result=[1]))
        assert verdict.status is Status.UNKNOWN
        assert verdict.reasons == (
            "1 item was added too late for a last read to tell whether it is kept",
        )
    during = at(11, 15, "add", 2)
    assert check(first, during, at(12, 13, "read", None, result=[1, 2])).valid
    alone = check(at(14, 15, "add", 2), at(12, 13, "read", None, result=[]))
    assert alone.reasons == ("nothing was added to a cart that was read in the end",)


def test_an_item_that_is_read_before_anybody_added_it() -> None:
    late = (at(1, 2, "add", 1), at(14, 15, "add", 2), at(12, 13, "read", None, result=[1, 2]))
    assert names(check(*late)) == ["phantom-item"]


def test_a_removal_behind_the_last_read_excuses_nothing() -> None:
    added, read = at(1, 2, "add", 1), at(12, 15, "read", None, result=[])
    assert names(check(added, read, at(16, 17, "remove", 1))) == ["lost-item"]
    assert not check(added, read, at(13, 17, "remove", 1)).anomalies
    assert not check(added, read, at(3, 9, "remove", 1, "info")).anomalies


def allowed(operations, read, item) -> bool:
    """Try for each operation whether it took effect before the read, wherever it may or may not."""
    choices = []
    for o in operations:
        before = o.outcome is not Outcome.FAIL and o.invoke_index < read.complete_index
        sure = before and o.outcome is Outcome.OK and o.complete_index < read.invoke_index
        choices.append((True,) if sure else (True, False) if before else (False,))
    for happened in itertools.product(*choices):
        did = {o.f for o, is_done in zip(operations, happened, strict=True) if is_done}
        if (item in read.result and "add" in did) or (
            item not in read.result and ("add" not in did or "remove" in did)
        ):
            return True
    return False


@st.composite
def carts(draw):
    count = draw(st.integers(2, 7))
    places = draw(st.permutations(range(1, 2 * count + 1)))
    spans = [tuple(sorted(places[2 * n : 2 * n + 2])) for n in range(count)]
    outcomes = st.sampled_from(("ok", "ok", "fail", "info"))
    changes = [
        at(*span, draw(st.sampled_from(("add", "add", "remove"))), draw(st.integers(1, 2)),
           draw(outcomes))
        for span in spans[1:]
    ]  # fmt: skip
    held = draw(st.lists(st.integers(1, 3), unique=True))
    return changes, at(*spans[0], "read", None, result=held)


@given(carts())
def test_every_item_at_every_time_against_the_definition(cart) -> None:
    changes, read = cart
    wrong = {
        item
        for item in (1, 2, 3)
        if not allowed([o for o in changes if o.argument == item], read, item)
    }
    verdict = check(*changes, read)
    lost = {o.argument for a in verdict.anomalies for o in a.operations if o.f == "add"}
    assert (verdict.status is Status.INVALID) == bool(wrong)
    assert verdict.stats.get("found", 0) == len(wrong)
    assert lost == wrong - set(read.result)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("add", "remove")),
        st.integers(1, 3),
        st.sampled_from(("ok", "fail", "info")),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda step: step[:2],
)


@given(STEPS, st.sets(st.integers(1, 4)))
def test_it_agrees_with_the_definition(steps, held) -> None:
    def did(f: str, *outcomes: str) -> set[int]:
        return {argument for g, argument, outcome in steps if g == f and outcome in outcomes}

    lost = did("add", "ok") - did("remove", "ok", "info") - held
    strange = held - did("add", "ok", "info")
    verdict = judge(*steps, ("read", sorted(held), "ok"))
    assert ("lost-item" in names(verdict)) == bool(lost)
    assert (verdict.status is Status.INVALID) == bool(lost or strange)
