"""The sequential specifications, step by step."""

from __future__ import annotations

import pytest

from splitbrain.checkers.models import CasRegister, KeyedStore, Register, model_for, model_named
from splitbrain.core.errors import UsageError
from splitbrain.core.history import History
from splitbrain.core.operation import Operation, Outcome


def history(*rows):
    return History.of(
        Operation(
            process=0,
            session=0,
            f=f,
            outcome=Outcome.OK,
            invoke_index=2 * i,
            complete_index=2 * i + 1,
            argument=argument,
            result=result,
        )
        for i, (f, argument, result) in enumerate(rows)
    )


def replay(model, initial, *steps):
    state = model.initial(initial)
    for f, argument, result, applied in steps:
        state = model.step(state, f, argument, result, applied)
        if state is None:
            return False
    return True


def test_a_register_returns_what_was_written_last():
    for model in (Register(), CasRegister(), KeyedStore()):
        write = ("write", 5, None, True)
        assert replay(model, None, ("read", None, None, True), write, ("read", None, 5, True))
        assert not replay(model, None, write, ("read", None, None, True))
        assert not replay(model, 1, ("read", None, True, True))


@pytest.mark.parametrize("model", [CasRegister(), KeyedStore()])
def test_compare_and_set_applies_where_the_value_matches_and_only_there(model):
    assert replay(model, 1, ("cas", [1, 2], None, True), ("read", None, 2, True))
    assert not replay(model, 3, ("cas", [1, 2], None, True))
    assert replay(model, 3, ("cas", [1, 2], None, False), ("read", None, 3, True))
    assert not replay(model, 1, ("cas", [1, 2], None, False))


def test_appends_make_lists_and_texts_longer():
    lists, texts = KeyedStore(), KeyedStore(text=True)
    assert replay(
        lists, None, ("append", 1, None, True), ("append", [2], None, True),
        ("read", None, [1, [2]], True),
    )  # fmt: skip
    assert replay(
        texts, "", ("append", "a", None, True), ("append", "bc", None, True),
        ("read", None, "abc", True),
    )  # fmt: skip
    assert replay(lists, None, ("read", None, [], True))
    assert not replay(lists, 5, ("append", 1, None, True))
    assert not replay(texts, "", ("append", 1, None, True))


def test_the_model_follows_from_the_operations():
    read, write = ("read", None, None), ("write", 1, None)
    assert model_for(history(read, write)) == Register()
    assert model_for(history(read, ("cas", [1, 2], None))) == CasRegister()
    assert model_for(history(("append", 1, None))) == KeyedStore()
    assert model_for(history(("dequeue", None, 1))) is None


def test_texts_are_told_from_lists_by_what_was_read():
    append = ("append", "a", None)
    assert model_for(history(append, ("read", None, "a"))) == KeyedStore(text=True)
    assert model_for(history(append, ("read", None, ["a"]))) == KeyedStore(text=False)
    assert model_for(history(append), "") == KeyedStore(text=True)


def test_an_unknown_model_is_a_usage_error():
    with pytest.raises(UsageError, match="there is no model 'queue'; there are register"):
        model_named("queue", history(("read", None, None)))


def test_a_compare_and_set_without_a_pair_is_refused():
    with pytest.raises(ValueError, match=r"the argument of a cas is \[old, new\], not 5"):
        replay(CasRegister(), None, ("cas", 5, None, True))
