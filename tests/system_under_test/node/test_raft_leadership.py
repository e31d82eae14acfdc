"""What a leader knows of its followers: counted anew each time, it comes to the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from splitbrain.system_under_test.node.raft.leadership import Leadership

NAMES = ("n2", "n3", "n4", "n5")

steps = st.one_of(
    st.tuples(st.just("hear"), st.sampled_from(NAMES)),
    st.tuples(st.just("wait"), st.integers(0, 6)),
    st.tuples(st.just("regroup"), st.sets(st.sampled_from(NAMES))),
    st.tuples(st.just("counts"), st.booleans()),
)


@given(st.lists(steps, max_size=30), st.integers(1, 4))
def test_a_majority_is_heard_when_so_many_were_heard_lately(
    moves: list[tuple[str, object]], majority: int
) -> None:
    now_ns, patience_ns = 0, 5
    leadership = Leadership.begin(0, NAMES, now_ns)
    for move, argument in moves:
        if move == "hear":
            if argument in leadership.followers:
                leadership.followers[str(argument)].heard_ns = now_ns
        elif move == "wait":
            assert isinstance(argument, int)
            now_ns += argument
        elif move == "regroup":
            assert isinstance(argument, set)
            leadership.regroup(argument, now_ns, counts_self=leadership.counts_self)
        else:
            counted = leadership.counted
            leadership.regroup(counted, now_ns, counts_self=bool(argument))
        heard = sum(
            item.heard_ns > now_ns - patience_ns
            for name, item in leadership.followers.items()
            if name in leadership.counted
        )
        expected = heard + leadership.counts_self >= majority
        assert leadership.hears_majority(now_ns - patience_ns, majority) == expected
