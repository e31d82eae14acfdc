"""What is installed: every folder, every data file, and beside a user's own checkers/ folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

SOURCES = {
    "harness": "splitbrain",
    "checkers": "splitbrain.checkers",
    "nemeses": "splitbrain.nemeses",
    "system_under_test": "splitbrain.system_under_test",
    "workloads": "splitbrain.workloads",
}
DATA = {"vagrant": "splitbrain.vagrant_files"}
CHECKER_OF_A_USER = '''
from splitbrain import Anomaly
from splitbrain.core.evidence import Need
from splitbrain.core.verdict import invalid, valid


class NoSevens:
    """Nobody may read 7."""

    name = "no-sevens"
    needs = frozenset({Need.HISTORY})

    def check(self, evidence):
        found = [op for op in evidence.history if op.f == "read" and op.result == 7]
        if found:
            why = "7 was read"
            return invalid([Anomaly(name="seven", explanation=why, operations=tuple(found))])
        return valid()
'''
HISTORY = """\
{"process":0,"type":"invoke","f":"write","key":null,"value":7,"time":1}
{"process":0,"type":"ok","f":"write","key":null,"value":7,"time":2}
{"process":1,"type":"invoke","f":"read","key":null,"value":null,"time":3}
{"process":1,"type":"ok","f":"read","key":null,"value":7,"time":4}
"""


def test_every_folder_with_modules_is_a_package_that_is_shipped(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    found = set()
    for folder, package in SOURCES.items():
        for init in (repository / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(repository / folder).parts
            found.add(".".join([package, *parts]))
    assert found == listed - set(DATA.values())


def test_no_address_stands_in_the_constraints(repository: Path) -> None:
    text = (repository / "constraints.txt").read_text()
    assert "://" not in text
    assert all("==" in line for line in text.splitlines() if line.strip())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    repository = Path(__file__).parent.parent
    copy = tmp_path_factory.mktemp("source") / "tree"
    _copy_tracked(repository, copy)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, copy],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def _copy_tracked(repository: Path, target: Path) -> None:
    """Copy the sources, without what earlier builds left beside them."""
    target.mkdir()
    for name in [*SOURCES, *DATA, "pyproject.toml", "README.md", "LICENSE"]:
        source = repository / name
        if source.is_dir():
            for file in source.rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    copy = target / file.relative_to(repository)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(file.read_bytes())
        elif source.exists():
            (target / name).write_bytes(source.read_bytes())


@pytest.mark.wheel
def test_the_wheel_holds_every_source_file(wheel: Path, repository: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
    for folder, package in SOURCES.items():
        for file in (repository / folder).rglob("*"):
            if "suites" in file.parts or "__pycache__" in file.parts or not file.is_file():
                continue
            if file.suffix in {".py", ".sh", ".c", ".go"} or file.name in {"go.mod", "go.sum"}:
                inside = file.relative_to(repository / folder).as_posix()
                assert f"{package.replace('.', '/')}/{inside}" in shipped
    for folder, package in DATA.items():
        for file in (repository / folder).rglob("*"):
            inside = file.relative_to(repository / folder).as_posix()
            assert file.is_dir() or f"{package.replace('.', '/')}/{inside}" in shipped


@pytest.mark.wheel
def test_a_project_with_its_own_checkers_folder_uses_the_installed_wheel(
    wheel: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, system_site_packages=False, symlinks=True)
    python = environment / "bin" / "python"
    site = _site_packages(python)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies are those of this environment: only splitbrain comes from the wheel.
    (site / "dependencies.pth").write_text(f"{_site_packages(Path(sys.executable))}\n")
    project = tmp_path / "project"
    (project / "checkers").mkdir(parents=True)
    (project / "checkers" / "__init__.py").write_text("")
    (project / "checkers" / "sevens.py").write_text(CHECKER_OF_A_USER)
    (project / "history.jsonl").write_text(HISTORY)
    command = [
        *(python, "-m", "splitbrain.cli", "check", "history.jsonl", "--json"),
        *("--checker", "checkers.sevens:NoSevens", "--checker", "linearizable"),
    ]
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert '"seven"' in done.stdout
    assert '"linearizable": {"verdict": "valid"' in done.stdout
    where = subprocess.run(
        [python, "-c", "import splitbrain; print(splitbrain.__file__)"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(environment))


def _site_packages(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())
