"""docs/faults.md tells of every fault on every cluster, and names tests and pages that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from splitbrain import catalog

CLUSTERS = 5


@pytest.fixture
def text(repository: Path) -> str:
    return (repository / "docs" / "faults.md").read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    part = text.split(heading, 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def kinds(found: list[list[str]]) -> set[str]:
    return {kind for row in found for kind in re.findall(r"`([\w-]+)`", row[0])}


def test_every_fault_is_told_with_its_proof_and_for_each_cluster(text: str) -> None:
    assert kinds(rows(text, "# What can be broken")) == set(catalog.NEMESES)
    table = rows(text, "## By cluster")
    assert kinds(table) == set(catalog.NEMESES)
    for row in table:
        assert len(row) == 1 + CLUSTERS
        assert all(row)


def test_what_it_names_is_there(text: str, repository: Path) -> None:
    tests = {path.name for path in (repository / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(?:tests/)?(test_\w+\.py)`", text))
    assert named
    assert named <= tests
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (repository / "docs" / link).exists(), link


def test_schedules_describe_every_kind_and_package(repository: Path) -> None:
    text = (repository / "docs" / "schedules.md").read_text()
    for name in (*catalog.NEMESES, *catalog.PACKAGES):
        assert f"`{name}`" in text, name
    for name, listed in catalog.PACKAGES.items():
        if name != "all":
            assert f"| `{name}` | {', '.join(f'`{kind}`' for kind in listed)} |" in text
