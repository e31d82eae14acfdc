"""Packages of faults: what the cluster cannot have is left out and said, the rest takes turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitbrain import catalog
from splitbrain.core.errors import UsageError
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.verdict import Status
from splitbrain.execute import execute, prepare
from splitbrain.plugin import load_reference
from splitbrain.pytest_plugin import Quiet

MEMORY = Path(__file__).parent / "testdata" / "plugins" / "memory.py"
PLAN = Plan(
    system=f"{MEMORY}:MemorySystem",
    workload="register",
    nemeses=("all",),
    cluster=f"{MEMORY}:MemoryCluster",
    node_count=3,
    concurrency=6,
    time_limit_s=2.0,
    interval_s=0.6,
    seed=3,
)


@pytest.fixture(autouse=True)
def control() -> Iterator[Any]:
    found: Any = load_reference(f"{MEMORY}:CONTROL")
    found.reset()
    yield found
    found.reset()


def carry_out(plan: Plan, store: Path) -> RunResult:
    return execute(plan, store=store, monitor=Quiet())


def test_packages_hold_what_there_is_and_only_what_is_safe() -> None:
    for name, kinds in catalog.PACKAGES.items():
        assert name not in catalog.NEMESES
        assert set(kinds) <= set(catalog.NEMESES)
        assert "damage" not in kinds
        assert name in catalog.names("nemesis")
    assert set(catalog.PACKAGES["all"]) == set(catalog.NEMESES) - {"damage"}
    with pytest.raises(UsageError, match="'network' is a package of nemeses, no kind: partition"):
        catalog.nemesis("network")


def test_names_and_packages_are_put_together() -> None:
    names, optional = catalog.expanded(["kill", "network", "process"])
    assert names == ("kill", "partition", "packets", "stop", "pause", "restart")
    assert optional == {"partition", "packets", "stop", "pause", "restart"}
    assert catalog.expanded(["all", "damage"])[1] == set(catalog.PACKAGES["all"])


def test_what_a_cluster_cannot_have_is_left_out_of_a_package_and_noted(tmp_path: Path) -> None:
    result = carry_out(PLAN, tmp_path)
    assert result.failure is None
    assert result.status is Status.VALID, {k: v.reasons for k, v in result.verdicts.items()}
    assert result.schedule is not None
    assert set(result.schedule.kinds) == {"kill", "stop", "pause", "restart"}
    left_out = (result.path / "journal").read_bytes()
    for kind in ("partition", "packets", "reboot", "power", "stress", "disk", "clock"):
        assert f"the nemesis '{kind}' is left out: ".encode() in left_out


def test_what_was_named_must_be_possible(tmp_path: Path) -> None:
    result = carry_out(replace(PLAN, nemeses=("process", "reboot")), tmp_path)
    assert result.failure == (
        "the nemesis 'reboot' cannot work here: this cluster cannot restart its hosts"
    )
    result = carry_out(replace(PLAN, nemeses=("machine",)), tmp_path)
    assert result.failure is not None
    assert result.failure.startswith("none of the nemeses can work here: ")


def test_many_kinds_take_turns_and_few_are_all_at_work() -> None:
    few = prepare(replace(PLAN, nemeses=("process",))).experiment
    assert few.optional == {"kill", "stop", "pause", "restart"}
    many = prepare(PLAN).experiment
    assert set(many.nemeses) == set(catalog.PACKAGES["all"])


def test_a_nemesis_prepares_before_the_daemons_start(tmp_path: Path, control: Any) -> None:
    file = tmp_path / "ready.py"
    file.write_text(
        "STEPS = []\n"
        "class Ready:\n"
        "    kind = 'ready'\n"
        "    def prepare(self, bed): STEPS.append('prepare')\n"
        "    def inject(self, bed, resolved): STEPS.append('inject')\n"
        "    def heal(self, bed, injection): pass\n"
    )
    steps = load_reference(f"{file}:STEPS")
    control.at["start"] = lambda: steps.append("start")
    result = carry_out(replace(PLAN, nemeses=(f"{file}:Ready",)), tmp_path / "store")
    assert result.failure is None
    assert steps[:3] == ["prepare", "start", "inject"]


def test_a_lease_that_ran_out_is_recorded_once_and_makes_the_run_unknown(
    tmp_path: Path, control: Any
) -> None:
    control.expired["n2"] = [{"undone": ["packets"], "boot_time_s": 1.0}]
    result = carry_out(replace(PLAN, nemeses=("kill",)), tmp_path)
    events = [event for _, event in result.evidence.faults or () if event.state == "expired"]
    assert [(event.fault, event.proof) for event in events] == [
        ("lease-n2", [{"undone": ["packets"], "boot_time_s": 1.0}])
    ]
    assert result.status is Status.UNKNOWN
