"""The example of docs/schedules.md is a schedule, and a run follows it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain import catalog
from splitbrain.cli import run_command
from splitbrain.core.errors import UsageError
from splitbrain.core.fault import After, At, Fault, Resolved, Schedule, When
from splitbrain.core.run import Plan
from splitbrain.core.value import Value
from splitbrain.execute import prepare
from splitbrain.nemeses import partition, targets
from splitbrain.runtime.store import read_schedule

PLAN = Plan(system="raft", workload="register", node_count=3, time_limit_s=6.0)


@pytest.fixture
def text(repository: Path) -> str:
    return (repository / "docs" / "schedules.md").read_text()


@pytest.fixture
def example(text: str, tmp_path: Path) -> Path:
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "mine.json"
    file.write_text(block)
    return file


def test_the_example_shows_every_kind_of_start_and_is_accepted(example: Path) -> None:
    schedule = read_schedule(example)
    assert {type(fault.start) for fault in schedule} == {At, After, When}
    prepare(replace(PLAN, schedule=schedule))


def test_what_there_is_is_described(text: str) -> None:
    for name in (*targets.NAMES, *partition.SHAPES, "kill", "pause", "clock"):
        assert f"`{name}`" in text or f'`"{name}"`' in text, name
    for name in re.findall(r"^\| `(\w+)`", text, re.MULTILINE):
        assert name in {*catalog.names("nemesis"), *Fault.__annotations__}


@pytest.mark.embedded
def test_a_run_follows_the_example(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(example.parent)
    arguments = ["run", "--schedule", str(example), "--nodes", "3", "--time-limit", "6"]
    assert run_command([*arguments, "--rate", "200", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    faults = said["checkers"]["faults"]["stats"]["kinds"]
    assert {kind: row["active"] for kind, row in faults.items()} == {
        "clock": 1,
        "kill": 1,
        "partition": 1,
    }


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "kill", "target": "leadr"}, "'leadr' is no target"),
        ({"kind": "kill", "target": ["n4"]}, "there is no node 'n4'; there are n1, n2, n3"),
        ({"kind": "kill", "target": []}, "the target is an empty list"),
        ({"kind": "partition", "params": {"shape": "half"}}, "'half' is no shape of a partition"),
        ({"kind": "clock"}, 'needs "offset_s"'),
        ({"kind": "kil"}, "there is no nemesis 'kil'"),
    ],
)
def test_a_mistake_is_found_before_anything_starts(fault: dict[str, object], said: str) -> None:
    whole = {"id": "a", "start": {"at_s": 1}, **fault}
    schedule = Schedule.from_value({"version": 1, "faults": [whole]})  # type: ignore[dict-item]
    with pytest.raises(UsageError) as raised:
        prepare(replace(PLAN, schedule=schedule))
    assert said in str(raised.value)


def test_nodes_of_a_bigger_run_are_refused_with_what_to_do() -> None:
    fault = Fault(id="a", kind="kill", start=At(1.0))
    said = r"'a' involved n5, and there are only n1, n2, n3: .* --nodes"
    with pytest.raises(UsageError, match=said):
        prepare(replace(PLAN, resolved=(Resolved(fault=fault, nodes=("n1", "n5")),)))


def test_nodes_on_the_other_side_of_a_cut_must_be_there_too() -> None:
    fault = Fault(id="a", kind="partition", start=At(1.0))

    def cut_off_from(*others: str) -> Plan:
        detail: Value = {"shape": "leader", "grudge": {"n1": [*others]}}
        return replace(PLAN, resolved=(Resolved(fault=fault, nodes=("n1",), detail=detail),))

    prepare(cut_off_from("n2", "n3"))
    with pytest.raises(UsageError, match="'a' involved n4, and there are only n1, n2, n3"):
        prepare(cut_off_from("n2", "n4"))
