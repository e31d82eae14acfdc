"""The quick route reads whatever the exact one reads, and refuses whatever that refuses."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from splitbrain.core.errors import UsageError
from splitbrain.foreign import read_history
from splitbrain.foreign.edn_events import edn_events
from splitbrain.foreign.edn_table import edn_table
from splitbrain.foreign.jepsen_log import jepsen_log_events
from splitbrain.foreign.json_lines import json_events, json_table
from splitbrain.foreign.pairing import Pairing
from splitbrain.foreign.quick import pair_quickly

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([1.0, 2**53 + 1, -(2**63), 2**70, "a", "", "1", "cas", "é", '"value":', " :"]),
)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.sampled_from([[1, None], [[2]], {}]))
pairs = st.tuples(st.integers(0, 1), st.none() | st.integers(0, 2)).map(list)
names = st.sampled_from(["read", "write", "cas", "append", "get", "put", "txn"])


@st.composite
def histories(draw, kinds=values):
    """Events that mostly belong together, with something odd here and there."""
    events, busy = [], {}
    for _ in range(draw(st.integers(0, 14))):
        process = draw(st.sampled_from([0, 1, 2, -1]))
        event = {"process": process}
        if process in busy and draw(st.integers(0, 9)):
            begun = busy.pop(process)
            event |= {"type": draw(st.sampled_from(["ok", "ok", "ok", "fail", "info"]))}
            event |= {"f": begun.get("f", "read"), "key": begun.get("key")}
            event["value"] = draw(st.one_of(st.just(begun.get("value")), kinds))
            if draw(st.booleans()):
                event["error"] = draw(st.sampled_from(["broken", None, "a: b"]))
        else:
            event |= {"type": "invoke", "f": draw(names), "value": draw(kinds)}
            event |= draw(st.sampled_from([{}, {"key": None}, {"key": "k"}, {"key": 7}]))
            busy[process] = event
        event |= draw(
            st.sampled_from([{}, {"time": 5}, {"node": "n1"}, {"node": ""}, {"index": 3}])
        )
        for name in draw(st.lists(st.sampled_from(["value", "key", "f"]), max_size=1)):
            if draw(st.integers(0, 9)) == 0:
                event.pop(name, None)
        events.append(event)
    if draw(st.integers(0, 4)) == 0:
        place = draw(st.integers(0, len(events)))
        events.insert(place, {"process": "nemesis", "type": "info", "f": "kill", "value": None})
    return events


def outcome_of(read):
    """What a way of reading gives: operations and what was done to them, or the refusal."""
    try:
        paired = read()
    except UsageError as error:
        return str(error)
    figures = asdict(paired)
    figures.pop("history")
    return figures | {"operations": list(map(repr, paired.history))}


def agree(path, table, events, observed):
    exact = outcome_of(lambda: Pairing(path, observed).run(events(path)))
    try:
        found = table(path)
    except UsageError:
        found = None
    quick = None if found is None else pair_quickly(found, path, observe_refusals=observed)
    if quick is not None:
        assert outcome_of(lambda: quick) == exact
    return quick is not None, exact


@given(histories(), st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (",", " :")]))
@example([], True, (",", ":"))
def test_json_lines(tmp_path_factory, events, observed, separators):
    path = tmp_path_factory.getbasetemp() / "quick.jsonl"
    lines = [json.dumps(e, ensure_ascii=False, separators=separators) for e in events]
    path.write_text("".join(line + "\n" for line in lines))
    agree(path, json_table, json_events, observed)


@given(histories(pairs))
def test_independent_keys(tmp_path_factory, events):
    path = tmp_path_factory.getbasetemp() / "tuples.jsonl"
    path.write_text("".join(json.dumps({**e, "key": None}) + "\n" for e in events))
    agree(path, json_table, json_events, observed=False)


def as_edn(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_edn(k)} {as_edn(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + " ".join(map(as_edn, value)) + "]"
    return "nil" if value is None else json.dumps(value, ensure_ascii=False)


@settings(max_examples=30)  # edn_format is slow
@given(histories(), st.booleans(), st.sampled_from(["", " ; done", ",", "\r"]))
def test_edn(tmp_path_factory, events, observed, tail):
    path = tmp_path_factory.getbasetemp() / "quick.edn"
    lines = []
    for event in events:
        told = {k: as_edn(v) for k, v in event.items()}
        told |= {k: f":{event[k]}" for k in ("type", "f") if k in event}
        told["process"] = ":nemesis" if event["process"] == "nemesis" else str(event["process"])
        lines.append("{" + ", ".join(f":{k} {v}" for k, v in told.items()) + "}" + tail)
    path.write_text("".join(line + "\n" for line in lines))
    agree(path, edn_table, edn_events, observed)


LINE = '{"process":%d,"type":"%s","f":"write","value":%d}\n'


def test_a_sound_file_takes_the_quick_route(tmp_path):
    path = tmp_path / "h.jsonl"
    path.write_text("".join(LINE % (i, kind, i) for i in range(9) for kind in ("invoke", "ok")))
    assert agree(path, json_table, json_events, observed=False)[0]
    edn = tmp_path / "h.edn"
    edn.write_text(
        "{:process 0, :type :invoke, :f :read, :value nil}\n"
        "{:process :nemesis, :type :info, :f :kill, :value nil}\n"
        '{:process 0, :type :ok, :f :read, :value [1 "a"], :error "no; map }"}\n'
    )
    assert agree(edn, edn_table, edn_events, observed=False)[0]


@pytest.mark.parametrize(
    "odd",
    [
        '{"process":0,"type":"invoke","f":"write","value":1,"value":2}\n',
        '{"process":0,"type":"invoke","f":"write","value":1,"v\\u0061lue":2}\n',
        '{"process":0,"type":"invoke","f":"write","value":1,"value" :2}\n',
        '{"process":0,"type":"invoke","f":"write","value":1} {}\n',
        # As many objects as lines, but not one on each.
        LINE[:-1] % (0, "invoke", 1)
        + LINE % (0, "ok", 1)
        + '{"process":0,\n"type":"fail","f":"a"}\n',
        '{"process":0,"type":"invoke","f":"write","value":1e999}\n',
        '{"process":0,"type":"invoke","f":"write","value":' + "[" * 70 + "]" * 70 + "}\n",
    ],
)
def test_what_the_exact_route_refuses_is_refused(odd, tmp_path):
    path = tmp_path / "h.jsonl"
    path.write_text(LINE % (1, "invoke", 1) + odd)
    with pytest.raises(UsageError, match=":2: "):
        read_history(path)


@pytest.mark.parametrize(
    "text",
    [
        "[1 2]",
        "[ 1, nil ,-2 ]",
        "[-0 true]",
        "[]",
        "[007 1]",
        "[12N 3]",
        "1180591620717411303424",
        "[-9223372036854775809 nil]",
        '[1 "a, b"]',
        '"nil"',
        "[:nil 1]",
        "false",
    ],
)
def test_values_of_edn_are_the_same_on_both_routes(text, tmp_path):
    path = tmp_path / "h.edn"
    path.write_text(
        f"{{:process 0, :type :invoke, :f :write, :key 1, :value {text}}}\n"
        "{:process 1, :type :invoke, :f :write, :key nil, :value [2 3]}\n"
    )
    assert agree(path, edn_table, edn_events, observed=False)[0]


def test_jepsens_logs_take_the_quick_route_too(tmp_path):
    path = tmp_path / "h.log"
    row = "INFO  jepsen.util - 0\t:{}\t:cas\t[1 2]\n"
    path.write_text(row.format("invoke") + row.format("fail"))
    exact = Pairing(path, observe_refusals=True).run(jepsen_log_events(path))
    imported = read_history(path)
    assert list(imported.history) == list(exact.history)
    assert not imported.history[0].applied


def test_lines_are_joined_over_blocks(tmp_path, monkeypatch):
    from splitbrain.foreign import lines

    monkeypatch.setattr(lines, "_BLOCK_BYTES", 50)
    path = tmp_path / "h.jsonl"
    path.write_text(
        "".join(LINE % (i, kind, i) for i in range(40) for kind in ("invoke", "ok")).rstrip("\n")
    )
    quick, exact = agree(path, json_table, json_events, observed=False)
    assert quick
    assert len(exact["operations"]) == 40
