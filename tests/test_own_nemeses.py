"""The nemeses of docs/nemeses.md and of the tutorial work as printed, on every cluster."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from splitbrain import catalog
from splitbrain.cluster.embedded import Embedded
from splitbrain.core.cluster import Bed
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.execute import execute
from splitbrain.nemeses import targets
from splitbrain.pytest_plugin import Quiet

BLOCK = re.compile(r"Put this into `([^`]+)`[^\n]*:\n\n```python\n(.*?)```", re.DOTALL)
PAGES = {"nemeses.md": {"nemeses/hermit.py", "nemeses/busy.py"}, "tutorial.md": set()}


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Path:
    for page, wanted in PAGES.items():
        found = dict(BLOCK.findall((repository / "docs" / page).read_text()))
        assert wanted <= set(found)
        for name, code in found.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(code)
    return tmp_path


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    """Hosts that look like somebody else's, in whose network the test runs."""
    hosts = _Bare(node_count=3)
    with hosts.entered():
        try:
            hosts.up()
            running = hosts._running
            running.lease.end()
            key = tmp_path / "key"
            key.touch(mode=0o600)
            key.write_text(running.client_key.private)
            lines = ["[defaults]", 'key = "key"', "reboot = true"]
            for node, address in hosts.topology.addresses.items():
                pinned = running.host_keys[node].public
                lines += [f"[nodes.{node}]", f'address = "{address}"', f'host_key = "{pinned}"']
            (tmp_path / "hosts.toml").write_text("\n".join(lines) + "\n")
            yield str(tmp_path / "hosts.toml")
        finally:
            hosts.down()


class _Bare(Embedded):
    """Hosts on which nothing of the harness runs."""

    def _equip(self, node: str) -> None:
        """Leave the host as it booted."""

    def _prepare(self, node: str) -> None:
        """Leave the host as it booted."""


def names(project: Path) -> tuple[str, ...]:
    files = {"hermit": "Hermit", "busy": "Busy", "reboot": "Reboot"}
    return tuple(f"{project}/nemeses/{file}.py:{name}" for file, name in files.items())


def carry_out(project: Path, cluster: str, store: Path) -> RunResult:
    plan = Plan(
        system="raft",
        workload="register",
        nemeses=names(project),
        cluster=cluster,
        node_count=3,
        time_limit_s=8.0,
        interval_s=4.0,
        seed=3,
    )
    return execute(plan, store=store, monitor=Quiet())


def require_valid(result: RunResult) -> None:
    assert result.failure is None
    reasons = {name: (v.status.value, v.reasons) for name, v in result.verdicts.items()}
    assert result.status is Status.VALID, reasons
    states = {(event.kind, event.state) for _, event in result.evidence.faults or ()}
    for kind in ("Hermit", "busy", "Reboot"):
        assert {(kind, "active"), (kind, "healed")} <= states


def test_the_nemeses_are_short_and_whole(project: Path) -> None:
    for name in names(project):
        path = Path(name.rpartition(":")[0])
        assert len(path.read_text().splitlines()) <= 27
        assert ast.get_docstring(ast.parse(path.read_text()))
        nemesis = catalog.nemesis(name)
        assert nemesis.kind in ("Hermit", "busy", "Reboot")


def test_a_facet_that_is_missing_refuses_with_the_reason(project: Path) -> None:
    bed = Bed(nodes=("n1",), host=None, daemons=None)
    hermit, busy, _ = (catalog.nemesis(name) for name in names(project))
    assert hermit.unavailable(bed) == "it needs partitions and clocks"
    assert busy.unavailable(bed) is None
    in_virtual_time = dataclasses.replace(bed, later=lambda seconds, action: None)
    assert busy.unavailable(in_virtual_time) == "it needs hosts that carry out commands"


def test_the_simulator_refuses_what_needs_commands(project: Path, tmp_path: Path) -> None:
    _, busy, _ = names(project)
    plan = Plan(
        system="raft", workload="register", nemeses=(busy,), cluster="sim", time_limit_s=1.0
    )
    result = execute(plan, store=tmp_path / "store", monitor=Quiet())
    assert result.refused
    assert "it needs hosts that carry out commands" in str(result.failure)


def test_the_page_names_every_facet_and_every_target(repository: Path) -> None:
    text = (repository / "docs" / "nemeses.md").read_text()
    optional = {field.name for field in dataclasses.fields(Bed) if field.default is None}
    for name in {*optional, "daemons"} - {"primaries"}:
        assert f"| `bed.{name}` |" in text
    for target in targets.NAMES:
        assert f'`"{target}"`' in text


@pytest.mark.embedded
@pytest.mark.slow
def test_they_work_on_embedded_hosts(project: Path, tmp_path: Path) -> None:
    require_valid(carry_out(project, "embedded", tmp_path / "store"))


@pytest.mark.embedded
@pytest.mark.slow
def test_they_work_on_hosts_of_ones_own(project: Path, inventory: str, tmp_path: Path) -> None:
    require_valid(carry_out(project, inventory, tmp_path / "store"))
