"""The tutorial's code works as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from splitbrain.cli import run_command

BLOCK = re.compile(r"Put this into `([^`]+)`[^\n]*:\n\n```python\n(.*?)```", re.DOTALL)
SUITE = re.compile(r"## 6\..*?```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Path:
    text = (repository / "docs" / "tutorial.md").read_text()
    files = dict(BLOCK.findall(text))
    assert set(files) == {"checkers/rising.py", "nemeses/reboot.py"}
    for name, code in files.items():
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text(code)
    (suite,) = SUITE.findall(text)
    (tmp_path / "test_suite.py").write_text(suite)
    return tmp_path


def test_the_commands_of_the_tutorial_exist(repository: Path) -> None:
    text = (repository / "docs" / "tutorial.md").read_text() + (
        repository / "README.md"
    ).read_text()
    said = set(re.findall(r"^splitbrain (\w+)", text, re.MULTILINE))
    assert said >= {"run", "check", "show", "list", "doctor", "cleanup"}
    for command in said:
        assert run_command([command, "--help"]) == 0


@pytest.mark.embedded
def test_the_checker_and_the_nemesis_of_the_tutorial_work_in_a_suite(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_suite.py"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.embedded
def test_the_checker_of_the_tutorial_judges_a_new_and_a_stored_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    arguments = ["run", "--nodes", "3", "--nemesis", "none", "--time-limit", "3", "--seed", "1"]
    checker = ["--checker", "checkers/rising.py:RisingIndex"]
    assert run_command([*arguments, *checker]) == 0
    assert run_command(["check", "store/latest", *checker]) == 0
