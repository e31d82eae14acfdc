"""Three virtual machines for a session, in a state folder of their own, and none afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from splitbrain.cluster import vagrant
from splitbrain.cluster.machines.fleet import Fleet
from splitbrain.cluster.machines.settings import from_environment
from splitbrain.cluster.vagrant import Vagrant

IN_CI = "SPLITBRAIN_CI" in os.environ


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what brings up machines, which takes minutes, unless somebody asks for it."""
    if "vagrant" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("vagrant"):
            item.add_marker(pytest.mark.skip(reason="`make test-vagrant` runs it"))


@pytest.fixture(scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which all state of this session's machines lies."""
    status, missing = vagrant.status()
    if status == "MISSING":
        reason = f"vagrant machines need {missing[0][0]}: {missing[0][1]}"
        (pytest.fail if IN_CI else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("machines") / "state"
    before = os.environ.get("SPLITBRAIN_VAGRANT_STATE")
    os.environ["SPLITBRAIN_VAGRANT_STATE"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["SPLITBRAIN_VAGRANT_STATE"]
        else:
            os.environ["SPLITBRAIN_VAGRANT_STATE"] = before


@pytest.fixture(scope="session")
def fleet(state_folder: Path) -> Iterator[Fleet]:
    """Three machines that are up, and removed in the end."""
    machines = Fleet(from_environment(3), print)
    try:
        with machines.held():
            machines.up()
        yield machines
    finally:
        with machines.held():
            machines.destroy()
        assert not state_folder.exists()


@pytest.fixture
def three(fleet: Fleet) -> Iterator[Vagrant]:
    """The cluster on these machines, put in order for one test."""
    cluster = Vagrant(node_count=3)
    with cluster.entered():
        try:
            cluster.up()
            yield cluster
        finally:
            cluster.down()


@pytest.fixture(scope="session")
def patiently() -> Callable[..., None]:
    """Wait for a condition, with a deadline that suits emulation."""

    def wait(condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
            time.sleep(0.1)

    return wait
