"""The checker of carts: what it claims, what it leaves open, and a plain definition beside it."""

from __future__ import annotations

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
