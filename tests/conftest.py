"""What all tests share: profiles of Hypothesis, who may be skipped, and what may not be left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from splitbrain.cluster.state import parent

settings.register_profile(
    "default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
# The same examples in every run of CI: what was green stays green until the code changes.
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

IN_CI = "SPLITBRAIN_CI" in os.environ
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if IN_CI else "default"))
REPOSITORY = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root and namespaces where they are missing; in CI that is a failure."""
    reason = _no_embedded_hosts()
    if reason is None or IN_CI:
        return
    for item in items:
        if item.get_closest_marker("embedded"):
            item.add_marker(pytest.mark.skip(reason=reason))


def _no_embedded_hosts() -> str | None:
    if os.geteuid() != 0:
        return "embedded hosts need root: `make test-embedded`, or run pytest by way of it"
    for program in ("sshd", "nft", "ip", "unshare"):
        if shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
            return f"embedded hosts need {program}: `splitbrain doctor --fix`"
    return None


@pytest.fixture
def repository() -> Path:
    """The top folder of the checkout."""
    return REPOSITORY


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest):
    """An embedded test leaves no state of hosts behind."""
    if not request.node.get_closest_marker("embedded"):
        yield
        return
    before = _states()
    yield
    left = sorted(name for name in _states() - before if not _another_lives(name))
    assert not left, f"left behind: {left}"


def _states() -> set[str]:
    folder = parent()
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _another_lives(name: str) -> bool:
    """Tell whether a state is that of another controller, which is at work somewhere else."""
    owner = name.removeprefix(".new-").partition("-")[0]
    return owner != str(os.getpid()) and Path(f"/proc/{owner}").exists()
