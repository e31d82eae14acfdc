"""Schedules are data: they survive JSON, every part of one is one, and errors name their place."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitbrain.core.errors import ContractError, UsageError
from splitbrain.core.fault import (
    After,
    At,
    Condition,
    Fault,
    Injection,
    Resolved,
    Schedule,
    When,
    by_kind,
)
from splitbrain.core.operation import CAS, READ, REGISTER, Vocabulary

NAMES = st.text("abc", min_size=1, max_size=3)
SECONDS = st.floats(0, 1000, allow_nan=False)
PARAMS = st.dictionaries(NAMES, st.integers() | NAMES | st.none(), max_size=3)
CONDITIONS = st.builds(
    Condition,
    st.sampled_from(["journal", "trace"]),
    PARAMS,
    st.none() | NAMES,
    st.integers(1, 9),
)
STARTS = st.one_of(
    st.builds(At, SECONDS),
    st.builds(After, NAMES, SECONDS, st.booleans()),
    st.builds(When, CONDITIONS, SECONDS, st.none() | NAMES, SECONDS),
)
FAULTS = st.builds(
    Fault,
    id=NAMES,
    kind=NAMES,
    start=STARTS,
    duration_s=st.none() | SECONDS,
    target=st.none() | NAMES | st.lists(NAMES, max_size=3),
    params=PARAMS,
)
SCHEDULES = st.lists(FAULTS, max_size=6, unique_by=lambda fault: fault.id).map(
    lambda faults: Schedule(tuple(faults))
)


@given(SCHEDULES)
def test_a_schedule_survives_json(schedule: Schedule):
    text = msgspec.json.encode(schedule.to_value())
    assert Schedule.from_value(msgspec.json.decode(text)) == schedule


@given(SCHEDULES, st.data())
def test_every_sublist_of_a_schedule_is_a_schedule(schedule: Schedule, data: st.DataObject):
    kept = [fault for fault in schedule if data.draw(st.booleans())]
    part = Schedule(tuple(kept))
    assert Schedule.from_value(part.to_value()) == part
    assert set(part.kinds) <= set(schedule.kinds)


@given(FAULTS, st.lists(NAMES, max_size=4))
def test_a_resolved_fault_survives_json(fault: Fault, nodes: list[str]):
    resolved = Resolved(fault=fault, nodes=tuple(nodes), detail={"ports": [1, 2]})
    text = msgspec.json.encode(resolved.to_value())
    assert Resolved.from_value(msgspec.json.decode(text)) == resolved
    assert Injection(resolved=resolved).layer == fault.id


def test_two_faults_of_one_id_are_refused():
    fault = Fault(id="a", kind="kill", start=At(0))
    with pytest.raises(UsageError, match="two faults with the id 'a'"):
        Schedule((fault, fault))


def one(**fields: Any) -> dict[str, Any]:
    fault = {"id": "a", "kind": "kill", "start": {"at_s": 1}, **fields}
    return {"version": 1, "faults": [fault]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, '"version": 1'),
        ([], '"version": 1'),
        ({"version": 2, "faults": []}, '"version": 1'),
        ({"version": 1}, '"faults"'),
        ({"version": 1, "fault": [], "faults": []}, "there is no 'fault' here; there are version"),
        ({"version": 1, "faults": [3]}, "fault 0 of the schedule is not an object"),
        (one(id=""), "'id' must be a name"),
        (one(kind=7), "fault 'a' of the schedule: 'kind' must be a name, not 7"),
        (one(start=3), "'start' must be an object"),
        (
            {"version": 1, "faults": [{"id": "a", "kind": "kill"}]},
            "fault 'a' of the schedule: 'start' must be an object, and is missing",
        ),
        (one(start={}), "fault 'a' of the schedule, start: needs one of \"at_s\""),
        (one(start={"at_s": -1}), "'at_s' must be a number of seconds from 0 to 1e"),
        (one(start={"at_s": 10**400}), "'at_s' must be a number of seconds"),
        (one(start={"at_s": 1, "after": "a"}), "there is no 'after' here; there are at_s"),
        (one(start={"after": "a", "delay": 1}), "there is no 'delay' here; there are after, "),
        (one(start={"after": "a", "healed": "yes"}), "'healed' must be true or false"),
        (one(duration=3), "there is no 'duration' here; there are id, kind, start, duration_s"),
        (one(duration_s=1e10), "'duration_s' must be a number of seconds"),
        (one(start={"at_s": True}), "'at_s' must be a number"),
        (one(start={"at_s": math.nan}), "'at_s' must be a number"),
        (one(start={"after": 3}), "'after' must be a name"),
        (one(start={"when": {"source": "log", "match": {}}, "within_s": 1}), "'source' must be"),
        (one(start={"when": {"source": "trace", "match": []}, "within_s": 1}), "'match' must be"),
        (one(start={"when": {"source": "trace", "match": {}}}), "'within_s' must be a number"),
        (one(duration_s="long"), "'duration_s' must be a number"),
        (one(params=[1]), "'params' must be an object"),
    ],
)
def test_a_malformed_schedule_names_the_fault_and_the_field(value: Any, message: str):
    with pytest.raises(UsageError) as raised:
        Schedule.from_value(value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [None, [], {}, {"nodes": "n1"}, {"nodes": [], "fault": None}])
def test_a_malformed_resolved_fault_is_refused(value: Any):
    with pytest.raises(UsageError):
        Resolved.from_value(value)


def test_conditions_match_by_type_and_content_and_by_least_number():
    condition = Condition("trace", {"event": "elected", "term": {"at_least": 3}})
    assert condition.holds_for({"event": "elected", "term": 3, "more": 1})
    assert condition.holds_for({"event": "elected", "term": 4})
    assert not condition.holds_for({"event": "elected", "term": 2})
    assert not condition.holds_for({"event": "elected", "term": "9"})
    assert not condition.holds_for({"event": "elected"})
    assert not Condition("trace", {"x": 1}).holds_for({"x": True})
    assert not Condition("trace", {"x": 1}).holds_for({"x": 1.0})
    assert Condition("trace", {}).holds_for({})


def test_two_nemeses_of_one_kind_are_refused():
    class Kill:
        kind = "kill"

    assert set(by_kind([Kill()])) == {"kill"}  # type: ignore[list-item]
    with pytest.raises(UsageError, match="two nemeses are named 'kill'"):
        by_kind([Kill(), Kill()])  # type: ignore[list-item]


def test_a_vocabulary_is_closed_and_names_each_function_once():
    assert "read" in REGISTER
    assert "append" not in REGISTER
    assert [function.name for function in REGISTER] == ["read", "write", "cas"]
    with pytest.raises(ContractError, match="'read' twice"):
        Vocabulary.of(READ, CAS, READ)
