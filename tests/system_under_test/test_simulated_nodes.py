"""What the simulator makes of a user's own nodes, who may do with their records what they like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitbrain.campaign import ANOTHER_RUN, simulate_seeds
from splitbrain.core.cluster import Topology
from splitbrain.core.errors import UsageError
from splitbrain.core.fault import At, Fault, Schedule
from splitbrain.core.operation import Outcome
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.simulated import Asked, Booted, Moment, NodeDied, OnlySimulated, Step
from splitbrain.core.verdict import Status
from splitbrain.simulation import simulate
from splitbrain.system_under_test.node.durable import read_image
from splitbrain.system_under_test.node.effects import Effect, Event, Persist, Reply, Requested, Send
from splitbrain.system_under_test.systems.raft import RaftSystem
from splitbrain.system_under_test.systems.simulated_service import LOG_PATH, SimulatedNodes
from splitbrain.system_under_test.systems.store import StoreSystem

NOW = Moment(1, 1)


class ListNode:
    """Holds a list by key, to which it adds in place; does what else a request asks for."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.lists: dict[str, Any] = dict(map(tuple, records))
        self.core = self

    def start(self) -> list[Effect]:
        return []

    def handle_batch(self, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, Requested):
                wish: Any = event.request
                if isinstance(wish, Mapping):
                    items = self.lists.setdefault(str(wish["key"]), [])
                    items.append(wish["argument"])
                    effects.append(Persist(([wish["key"], items],)))
                else:
                    effects.append(wish)
        return effects

    def encode_message(self, message: Any) -> Any:
        return message

    def decode_message(self, value: Any) -> Any:
        return value

    def decode_request(self, value: Any) -> Any:
        return value if isinstance(value, Mapping) else WISHES[value]

    def admin(self, name: str) -> dict[str, Any]:
        return {"lists": self.lists}


STRANGE = {
    "set": {"n1", "n2"},
    "bytes": b"raw",
    "infinity": math.inf,
    "NaN": math.nan,
}
WISHES: dict[str, Effect] = {}
for name, value in STRANGE.items():
    WISHES |= {
        f"{name} in the log": Persist((value,)),
        f"{name} in a message": Send("n2", value),
        f"{name} in a reply": Reply(1, {"it": value}),
    }


class Lists(OnlySimulated, SimulatedNodes):
    name = "lists"

    def make(self, node: str, topology: Topology, records: Sequence[Any], now_ns: int) -> Any:
        return ListNode(records)


class Cluster:
    def __init__(self) -> None:
        self.system = Lists()
        self.disk = b""
        self.lives = 0

    def boot(self) -> Booted:
        self.lives += 1
        topology = Topology(addresses={"n1": "10.0.0.1"})
        booted = self.system.boot("n1", topology, self.disk, NOW, self.lives)
        self.disk = booted.disk
        return booted

    def ask(self, booted: Booted, request: Any) -> Step:
        return booted.life.handle(NOW, [Asked(1, self.system.encode_request(request))])


def test_what_a_node_changed_and_never_wrote_is_gone_after_a_crash() -> None:
    cluster = Cluster()
    first = cluster.boot()
    cluster.disk += cluster.ask(first, {"key": "k", "argument": "a"}).writes
    second = cluster.boot()
    cluster.ask(second, {"key": "k", "argument": "b"})  # a crash before these are on the disk
    answer = cluster.boot().life.answer("lists")
    assert answer is not None
    assert answer["lists"] == {"k": ["a"]}


@pytest.mark.parametrize("wish", WISHES)
def test_what_is_no_json_ends_a_node_as_it_would_on_a_host(wish: str) -> None:
    cluster = Cluster()
    booted = cluster.boot()
    with pytest.raises(NodeDied, match=r"not JSON serializable|not JSON compliant"):
        cluster.ask(booted, wish)


@pytest.mark.parametrize(("system", "workload"), [("raft", "register"), ("store", "cart")])
def test_reference_nodes_change_no_record_that_they_were_given(system: str, workload: str) -> None:
    """Their records are kept over crashes as they were read."""
    made: list[Any] = []
    kinds: dict[str, Any] = {"raft": RaftSystem, "store": StoreSystem}
    boot = kinds[system].boot

    def noted(self: Any, *given: Any) -> Booted:
        made.append(self)
        return boot(self, *given)  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds[system], "boot", noted)
        result = simulate(
            Plan(
                system=system,
                workload=workload,
                nemeses=("kill",),
                cluster="sim",
                seed=5,
                rate_hz=100.0,
                interval_s=3.0,
            )
        )
    assert result.failure is None
    images = made[-1]._images
    assert len(made) > len(images) == 5
    for node, (disk, image) in images.items():
        identity = {"log": f"splitbrain-{made[-1].name}", "version": 1, "node": node}
        assert image == read_image(LOG_PATH, disk, identity)
        assert len(image.records) > 10


BROKEN = """
import random

from splitbrain.core.simulated import OnlySimulated
from splitbrain.system_under_test.node.effects import Reply, Requested, Send, SetTimer, Trace
from splitbrain.system_under_test.systems.conversation import LeaderClient
from splitbrain.system_under_test.systems.simulated_service import SimulatedNodes

EXOTIC = {
    "timer": SetTimer("soon"),
    "never": SetTimer(float("inf")),
    "receivers": Send(["n2"], {}),
    "token": Reply([1], {}),
    "unasked": Reply(77, {}),
}


class Node:
    def __init__(self, node, flaw):
        self.node, self.flaw, self.values, self.core = node, flaw, {}, self

    def start(self):
        return []

    def handle_batch(self, events):
        effects = []
        for event in events:
            if isinstance(event, Requested):
                request = event.request
                if request["f"] == "write":
                    self.values[request["key"]] = request["argument"]
                value = self.values.get(request["key"])
                effects.append(Reply(event.token, {"ok": True, "value": value}))
                effects += self.blunder(effects[-1])
        return effects

    def blunder(self, reply):
        if self.node == "n2":
            return []
        if self.flaw == "raise":
            raise ValueError("bad batch")
        if self.flaw == "exit":
            raise SystemExit(0)
        if self.flaw == "nobody":
            return [Send("n99", {})]
        if self.flaw == "deep":
            return self.blunder(reply)
        if self.flaw == "random":
            self.told, told = True, hasattr(self, "told")
            return self.nothing if told else [Trace("odd", {"number": random.random()})]
        if self.flaw == "trace":
            return [Trace("odd", {"members": {1, 2}})]
        if self.flaw == "group":
            raise ExceptionGroup("two at once", [ValueError(object())])
        if self.flaw == "half":
            return [Send("n2", {"type": "\\ud800"})]
        if self.flaw in EXOTIC:
            return [EXOTIC[self.flaw]]
        said = {"none": None, "text": ["hello"], "twice": [reply]}
        return said.get(self.flaw, [])

    def encode_message(self, message):
        return message

    decode_message = encode_message

    def decode_request(self, value):
        return value["nothing"] if self.flaw == "decode" and self.node == "n1" else value

    def admin(self, name):
        return {}


class Blunderers(OnlySimulated, SimulatedNodes):
    name = "blunderers"
    functions = frozenset({"read", "write"})
    checkers = ()
    facts = {"initial": None, "recovery_bound_s": 5.0}

    def __init__(self, *, flaw):
        self.flaw = flaw

    def make(self, node, topology, records, now_ns):
        return Node(node, self.flaw)

    def client_core(self, vocabulary, topology):
        return lambda: LeaderClient(known=topology.addresses)
"""


CLIENTS = """
from splitbrain.core.conversation import Answer, Ask, Lost
from splitbrain.system_under_test.systems.conversation import reply_of


class Client:
    def __init__(self, flaw):
        self.flaw = flaw

    def open(self, node, session):
        self.node = node

    def converse(self, f, key, argument):
        return None if self.flaw == "mute" else self.asking(f, key, argument)

    def asking(self, f, key, argument):
        while True:
            heard = yield Ask("n1", {"f": f, "key": key, "argument": argument})
            if isinstance(heard, (Answer, Lost)):
                return reply_of(heard)
            if self.flaw == "exit":
                raise SystemExit(3)


class Clients(Blunderers):
    def client_core(self, vocabulary, topology):
        return lambda: Client(self.flaw)

    def make(self, node, topology, records, now_ns):
        return Node(node, "fine")
"""

SETTLES = """
    def unsettled(self, topology):
        self.asked = getattr(self, "asked", 0) + 1
        return None if self.asked == 1 else 1 // 0
"""


def blundering(flaw: str, folder: Path) -> Plan:
    (folder / "blunder.py").write_text(BROKEN)
    return Plan(
        system=f"{folder}/blunder.py:Blunderers",
        workload="register",
        cluster="sim",
        node_count=2,
        seed=1,
        time_limit_s=3.0,
        rate_hz=20.0,
        options={"flaw": flaw},
    )


@pytest.mark.parametrize(
    ("flaw", "told"),
    [
        ("fine", None),
        ("raise", "ValueError: bad batch"),
        ("exit", None),
        ("trace", "TypeError: Object of type set is not JSON serializable"),
        ("decode", "KeyError: 'nothing'"),
        ("nobody", "a message to 'n99'; there are n1"),
        ("none", "TypeError: 'NoneType' object is not iterable"),
        ("text", "the simulator knows no effect 'hello'"),
        (
            "twice",
            "a reply to question 1, which nobody waits for: it was answered already",
        ),
        ("unasked", "a reply to question 77, which nobody waits for"),
        ("group", "ExceptionGroup: two at once (1 sub-exception)"),
        ("half", "half of a character"),
        ("timer", "SetTimer(at_ns='soon')"),
        ("never", "SetTimer(at_ns=inf)"),
        ("receivers", "Send(to=['n2']"),
        ("token", "Reply(token=[1]"),
    ],
)
def test_a_node_that_ends_by_a_mistake_of_its_own_is_invalid_and_told(
    flaw: str, told: str | None, tmp_path: Path
) -> None:
    result = simulate(blundering(flaw, tmp_path))
    assert result.failure is None
    anomalies = [*result.verdicts["logs"].anomalies]
    assert len(anomalies) == bool(told)
    assert not told or told in str(anomalies[0].evidence[0]["text"])
    assert result.trace_hash == simulate(blundering(flaw, tmp_path)).trace_hash


def test_how_deep_the_stack_was_is_no_part_of_a_run(tmp_path: Path) -> None:
    plan = blundering("deep", tmp_path)

    def deeper(depth: int) -> RunResult:
        return deeper(depth - 1) if depth else simulate(plan)

    shallow, deep = simulate(plan), deeper(40)
    assert shallow.verdicts["logs"].status is Status.INVALID
    assert shallow.evidence.logs != deep.evidence.logs
    assert shallow.trace_hash == deep.trace_hash


def test_a_failing_seed_that_does_not_replay_is_told_and_ends_no_campaign(tmp_path: Path) -> None:
    plan = blundering("random", tmp_path)
    campaign = simulate_seeds(plan, 3, store=tmp_path, watch=lambda _: None, workers=1)
    assert (campaign.failure, len(campaign.results)) == (None, 3)
    assert sorted(campaign.doubts[ANOTHER_RUN]) == [1, 2, 3]
    assert len(campaign.paths) == 3


@pytest.mark.parametrize(
    ("flaw", "told"),
    [
        ("endless", "asked again and again after its time was up"),
        ("exit", "SystemExit: 3"),
        ("mute", "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_what_a_client_does_wrong_makes_its_operation_unknown(
    flaw: str, told: str, tmp_path: Path
) -> None:
    plan = replace(
        blundering(flaw, tmp_path),
        system=f"{tmp_path}/blunder.py:Clients",
        schedule=Schedule((Fault(id="kill", kind="kill", start=At(0.5), duration_s=1.5),)),
        nemeses=("kill",),
        operation_timeout_s=0.5,
    )
    (tmp_path / "blunder.py").write_text(BROKEN + CLIENTS)
    result = simulate(plan)
    assert result.failure is None
    errors = [str(one.error) for one in result.evidence.history if one.error]
    assert any(told in error for error in errors)
    outcomes = {one.outcome for one in result.evidence.history if one.error}
    assert outcomes == {Outcome.INFO}


@pytest.mark.parametrize("missing", ["core", "service"])
def test_a_node_that_is_none_does_not_start(missing: str, tmp_path: Path) -> None:
    plan = blundering("fine", tmp_path)
    text = (tmp_path / "blunder.py").read_text()
    broken = text.replace("self.core = node, flaw, {}, self", "self.cor = node, flaw, {}, self")
    if missing == "service":
        broken = text.replace("return Node(node, self.flaw)", "Node(node, self.flaw)")
    (tmp_path / "blunder.py").write_text(broken)
    result = simulate(plan)
    assert "did not start: AttributeError: " in str(result.failure)


def test_what_was_journaled_is_judged_when_code_of_others_ends_a_run(tmp_path: Path) -> None:
    plan = blundering("fine", tmp_path)
    text = (tmp_path / "blunder.py").read_text()
    (tmp_path / "blunder.py").write_text(text + SETTLES)
    result = simulate(plan)
    assert "ZeroDivisionError: integer division or modulo by zero (blunder.py, line " in str(
        result.failure
    )
    assert len(result.evidence.history) > 20
    assert result.status is result.verdicts["linearizable"].status is Status.INVALID
    assert result.evidence.logs


@pytest.mark.parametrize(
    ("system", "options", "said"),
    [
        ("raft", {"nodes": {"n9": {}}}, "there is no node 'n9'; there are n1, n2, n3"),
        ("raft", {"voters": ["n1", "n9"]}, "there is no node 'n9'; there are n1, n2, n3"),
        ("raft", {"reads": "lease", "nodes": {"n2": {"reads": "index"}}}, "n2 must have that, too"),
        ("store", {"nodes": {"n9": {}}}, "there is no node 'n9'; there are n1, n2, n3"),
    ],
)
def test_options_that_do_not_fit_the_nodes_are_refused_before_any_of_them_starts(
    system: str, options: dict[str, Any], said: str
) -> None:
    plan = Plan(system=system, workload="register", node_count=3, time_limit_s=1.0, options=options)
    with pytest.raises(UsageError, match=said):
        simulate(plan)
