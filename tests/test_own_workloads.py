"""The workload of docs/workloads.md works as printed, and finds what it is there to find."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest

from splitbrain import catalog, generators
from splitbrain.core.run import Plan
from splitbrain.core.verdict import Status
from splitbrain.core.workload import Load
from splitbrain.simulation import simulate

BLOCK = re.compile(r"Put this into `([^`]+)`:\n\n```python\n(.*?)```", re.DOTALL)
PLAN = Plan(
    system="raft",
    workload="",
    nemeses=("partition", "kill"),
    cluster="sim",
    time_limit_s=6.0,
    rate_hz=60.0,
    seed=2,
)


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "workloads.md").read_text()


@pytest.fixture
def workload(page: str, tmp_path: Path) -> str:
    ((name, code),) = BLOCK.findall(page)
    assert ast.get_docstring(ast.parse(code))
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(code)
    return f"{tmp_path / name}:HotKey"


def test_a_correct_system_stands_it(workload: str) -> None:
    result = simulate(replace(PLAN, workload=workload))
    assert result.status is Status.VALID, result.verdicts
    history = result.evidence.history
    assert history is not None
    assert {item.key for item in history} == {"hot"}
    assert {item.f for item in history} == {"read", "write"}


def test_a_planted_bug_is_found_by_it(workload: str) -> None:
    plan = catalog.plan_of_bug(catalog.bug("stale-read"), seed=3, cluster="sim")
    result = simulate(replace(plan, workload=workload))
    names = {anomaly.name for anomaly in result.verdicts["linearizable"].anomalies}
    assert "stale-read" in names


def test_the_page_names_what_a_load_has_and_generators_that_there_are(page: str) -> None:
    for field in fields(Load):
        assert f"`{field.name}`" in page
    for name in re.search(r"puts them together: (.*?)\. ", page).group(1).split(", "):
        assert hasattr(generators, name.strip("`"))


def test_its_commands_name_that_workload(page: str, workload: str) -> None:
    name = "workloads/" + Path(workload).name
    commands = re.findall(r"^splitbrain run (.*)$", page, re.MULTILINE)
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[words.index("--workload") + 1] == name
