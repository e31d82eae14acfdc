"""Runs of systems that people bring along: the one of docs/simulator.md with faults of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from splitbrain.core.errors import UsageError
from splitbrain.core.run import Plan
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.report.quiet import Quiet
from splitbrain.shrink import shrink

CODE = re.compile(r"Put this into `systems/copies\.py`[^\n]*\n\n```python\n(.*?)```", re.DOTALL)

WRITES = """
        self.values[key] = value
        copies = ["""
FORGETS = """
        self.writes = getattr(self, "writes", 0) + 1
        if self.writes % EVERY:
            self.values[key] = value
        copies = ["""
INIT = """
    def __init__(self, *, read_anywhere=False):
"""
COUNTED = """
    thresholds = {"every": 1}

    def __init__(self, *, read_anywhere=False, every=40):
        global EVERY
        EVERY = every
"""
READS = """"value": self.values.get(key)}"""
FICKLE = """"value": random.choice([None, self.values.get(key)])}"""
MENDED = """"value": self.values.get(key) if Path("mended").exists() else None}"""


@pytest.fixture
def stage(repository: Path, tmp_path: Path):
    """Give what runs the system of the page, changed, and gives the run's directory."""
    (code,) = CODE.findall((repository / "docs" / "simulator.md").read_text())

    def run(*changes: tuple[str, str]) -> Path:
        changed = code
        for before, after in changes:
            assert before in changed
            changed = changed.replace(before, after)
        (tmp_path / "copies.py").write_text(f"import random\nfrom pathlib import Path\n\n{changed}")
        plan = Plan(
            system=f"{tmp_path / 'copies.py'}:Copies", workload="register", cluster="sim",
            node_count=3, time_limit_s=6.0, rate_hz=60.0,
        )  # fmt: skip
        result = execute(plan, store=tmp_path, monitor=Quiet())
        assert result.status is Status.INVALID, result.verdicts
        return result.path

    return run


def test_what_happens_every_so_often_by_default_happens_more_often(stage, tmp_path):
    path = stage((WRITES, FORGETS), (INIT, COUNTED))
    found = shrink(path, store=tmp_path, monitor=Quiet())
    assert found.result.plan.options == {"every": 1}
    assert found.operations[1] <= 2


def test_a_system_that_is_not_deterministic_is_said_to_be(stage, tmp_path):
    path = stage((READS, FICKLE))
    with pytest.raises(UsageError, match="the system is not deterministic, or its code"):
        shrink(path, store=tmp_path, monitor=Quiet())


class Mends(Quiet):
    """Mends the system once the run begins that is to be kept."""

    def started(self, plan: Plan, path: Path) -> None:
        Path("mended").touch()


def test_a_minimal_case_that_does_not_fail_again_is_not_blamed_on_the_simulator(
    stage, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = stage((READS, MENDED))
    with pytest.raises(UsageError, match="did not fail again: this is not the same run again") as e:
        shrink(path, store=tmp_path, monitor=Mends())
    assert "the system is not deterministic" in str(e.value)
