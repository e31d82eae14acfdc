"""Each import contract is seen to fail once: a gate that never closes is none."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

BROKEN = {
    "layers": [
        ("core/value.py", "import splitbrain.runtime.store"),
        ("generators/__init__.py", "import splitbrain.report"),
        ("runtime/store.py", "import splitbrain.cluster"),
        ("nemeses/partition.py", "import splitbrain.checkers"),
        ("checkers/stats.py", "import splitbrain.workloads"),
        ("report/console.py", "import splitbrain.catalog"),
        ("plugin.py", "import splitbrain.cli"),
    ],
    "node-imports-nobody": [
        ("system_under_test/node/wire.py", "import splitbrain.core.value"),
    ],
    "node-imported-by-systems": [
        ("checkers/raft.py", "import splitbrain.system_under_test.node.trace"),
    ],
}
CASES = [(contract, *case) for contract, cases in BROKEN.items() for case in cases]
FOLDERS = ("checkers", "nemeses", "system_under_test", "workloads")


def _lay_out(repository: Path, target: Path) -> Path:
    """Lay the sources out as they are imported, each file a copy of its own."""
    top = target / "splitbrain"
    for folder, place in [("harness", top), *((name, top / name) for name in FOLDERS)]:
        for file in (repository / folder).rglob("*.py"):
            copy = place / file.relative_to(repository / folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(file.read_text())
    (target / "pyproject.toml").write_text((repository / "pyproject.toml").read_text())
    return target


def _lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); "
        "from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--config", "pyproject.toml", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _lay_out(Path(__file__).parent.parent, tmp_path_factory.mktemp("tree"))


def test_the_contracts_hold(tree: Path) -> None:
    done = _lint(tree)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("contract", "file", "line"), CASES)
def test_a_forbidden_import_is_refused(tree: Path, contract: str, file: str, line: str) -> None:
    broken = tree / "splitbrain" / file
    sound = broken.read_text()
    broken.write_text(f"{sound}\n\n{line}\n")
    try:
        done = _lint(tree, "--contract", contract)
    finally:
        broken.write_text(sound)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout


def test_every_contract_is_tried(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    named = {contract["id"] for contract in project["tool"]["importlinter"]["contracts"]}
    assert named == set(BROKEN)
