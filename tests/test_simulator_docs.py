"""The system of docs/simulator.md works as it is printed."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain.cli import run_command
from splitbrain.core.errors import UsageError
from splitbrain.core.fault import Condition, Fault, Schedule, When
from splitbrain.core.run import Plan
from splitbrain.core.verdict import Status
from splitbrain.execute import execute, prepare
from splitbrain.exit_code import INVALID
from splitbrain.report.quiet import Quiet
from splitbrain.shrink import require_hosts
from splitbrain.simulation import simulate

BLOCK = re.compile(r"Put this into `([^`]+)`[^\n]*\n\n```python\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"^splitbrain run (--system .*)$", re.MULTILINE)


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "simulator.md").read_text()


@pytest.fixture
def system(page: str, tmp_path: Path) -> str:
    ((name, code),) = BLOCK.findall(page)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(code)
    return f"{tmp_path / name}:Copies"


def plan(system: str, seed: int, **options: bool) -> Plan:
    return Plan(
        system=system,
        workload="register",
        nemeses=("partition", "kill"),
        cluster="sim",
        time_limit_s=6.0,
        rate_hz=60.0,
        seed=seed,
        options=options,
    )


def test_the_system_is_linearizable_until_copies_answer_reads(system: str) -> None:
    for seed in range(4):
        result = simulate(plan(system, seed))
        assert result.failure is None
        assert result.status is Status.VALID, result.verdicts
    found = [simulate(plan(system, seed, read_anywhere=True)) for seed in range(4)]
    assert all(result.failure is None for result in found)
    names = {anomaly.name for r in found for anomaly in r.verdicts["linearizable"].anomalies}
    assert "stale-read" in names


def test_its_traces_start_faults_and_are_evidence_and_its_leader_is_a_target(system: str) -> None:
    condition = Condition("trace", {"event": "write", "value": {"at_least": 3}})
    kill = Fault(id="k", kind="kill", start=When(condition, 5.0), duration_s=1.0, target="leader")
    asked = replace(plan(system, 3), schedule=Schedule((kill,)), nemeses=("kill",))
    result = simulate(asked)
    assert result.failure is None
    assert result.verdicts["linearizable"].status is Status.VALID
    events = [event for _, event in result.evidence.faults or ()]
    resolved = [event.resolved for event in events if event.state == "injecting"]
    assert [one["nodes"] for one in resolved if isinstance(one, dict)] == [["n1"]]
    traces = result.evidence.traces or {}
    assert {record["event"] for record in traces["n1"].records} == {"write"}
    assert not any(traces[node].records or traces[node].gaps for node in ("n2", "n3", "n4", "n5"))


def test_a_system_without_hosts_is_refused_them_before_any_is_brought_up(system: str) -> None:
    with pytest.raises(UsageError, match="'copies' runs in the simulator alone: use --cluster sim"):
        prepare(replace(plan(system, 1), cluster="embedded"))


def test_a_workload_that_it_does_not_speak_is_refused(system: str) -> None:
    with pytest.raises(UsageError, match="copies can read and write, and nothing else"):
        prepare(replace(plan(system, 1), workload="cart"))


def test_a_minimal_case_of_it_is_not_sent_to_hosts(
    system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = plan(system, 1, read_anywhere=True)
    result = execute(failing, store=tmp_path, monitor=Quiet())
    assert result.status is Status.INVALID
    store = ["--store", str(tmp_path), "--time-limit", "1"]
    assert run_command(["shrink", str(result.path), *store]) == INVALID
    said = capsys.readouterr().out
    assert "again: splitbrain run --replay" in said
    assert "on hosts" not in said
    with pytest.raises(UsageError, match="'copies' runs in the simulator alone"):
        require_hosts(result.path)


def test_equal_seeds_give_equal_runs(system: str) -> None:
    assert simulate(plan(system, 9)).trace_hash == simulate(plan(system, 9)).trace_hash


def test_its_commands_name_that_system(page: str) -> None:
    commands = [shlex.split(line) for line in COMMANDS.findall(page)]
    assert len(commands) == 2
    assert all(words[1] == "systems/copies.py:Copies" for words in commands)
