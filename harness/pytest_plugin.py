"""The pytest fixture `splitbrain`: a run in a test, judged, with its reason when it fails.

Three lines make a test:

    def test_raft(splitbrain):
        run = splitbrain.run(system="raft", nemeses=["partition", "kill"])
        assert run.valid, run.explanation
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from splitbrain.core.errors import HarnessError
from splitbrain.core.fault import Schedule
from splitbrain.core.run import Plan, RunResult
from splitbrain.core.startable import require_startable
from splitbrain.core.value import Value
from splitbrain.core.verdict import Status, Verdict
from splitbrain.report.quiet import Quiet


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of runs in tests."""
    group = parser.getgroup("splitbrain")
    group.addoption(
        "--cluster", default="embedded", help="where the nodes of splitbrain's runs are [embedded]"
    )
    group.addoption(
        "--splitbrain-store",
        default=None,
        help="where splitbrain keeps the runs of this session [pytest's temporary folder]",
    )
    group.addoption(
        "--splitbrain-seed", type=int, default=1, help="of everything random in the runs [1]"
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """A run that was judged. explanation: the report, as it would stand in the terminal."""

    result: RunResult

    @property
    def valid(self) -> bool:
        """True when every judge said valid."""
        return self.result.valid

    @property
    def status(self) -> Status:
        """Valid, unknown or invalid."""
        return self.result.status

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """What each checker said."""
        return self.result.verdicts

    @property
    def anomalies(self) -> tuple[str, ...]:
        """The names of all anomalies that were found."""
        found = [item.name for verdict in self.verdicts.values() for item in verdict.anomalies]
        return tuple(sorted(set(found)))

    @property
    def explanation(self) -> str:
        """Why, for a person: the plain report."""
        from rich.console import Console  # noqa: PLC0415 - only a failing test needs it

        from splitbrain.report.console import show_result  # noqa: PLC0415

        text = io.StringIO()
        show_result(Console(file=text, width=100, markup=False, emoji=False), self.result)
        return f"{self.status.value}\n{text.getvalue()}"


@dataclass(frozen=True, slots=True)
class Runner:
    """What the fixture gives: `run` carries out one run on the session's cluster."""

    cluster: str
    store: Path
    seed: int

    def run(
        self,
        *,
        system: str | None = None,
        workload: str | None = None,
        nemeses: Sequence[str] | None = None,
        bug: str | None = None,
        schedule: Schedule | Path | str | None = None,
        time_limit_s: float | None = None,
        nodes: int | None = None,
        concurrency: int | None = None,
        rate_hz: float | None = None,
        interval_s: float | None = None,
        checkers: Sequence[str] = (),
        options: Mapping[str, Value] | None = None,
        parameters: Mapping[str, Value] | None = None,
        seed: int | None = None,
    ) -> Checked:
        """Carry out a run, and judge it; arguments as the options of `splitbrain run`.

        schedule: a value, a file (docs/schedules.md) or a stored run; it brings the kinds of fault
        that it needs.

        Raises: pytest's failure with one line when the harness itself failed.
        """
        from splitbrain.execute import plan_of  # noqa: PLC0415 - keeps pytest quick
        from splitbrain.runtime.store import read_schedule  # noqa: PLC0415

        chosen = self.seed if seed is None else seed
        try:
            plan = plan_of(
                system=system,
                workload=workload,
                nemeses=nemeses,
                bug=bug,
                seed=chosen,
                cluster=self.cluster,
            )
            plan = _with(
                plan,
                time_limit_s=time_limit_s,
                node_count=nodes,
                concurrency=concurrency,
                rate_hz=rate_hz,
                interval_s=interval_s,
            )
            if isinstance(schedule, Schedule):
                require_startable(schedule, plan.time_limit_s)
            elif schedule is not None:
                schedule = read_schedule(Path(schedule), time_limit_s=plan.time_limit_s)
            if schedule is not None:
                plan = replace(plan, schedule=schedule, nemeses=tuple(nemeses or ()))
            plan = replace(
                plan,
                checkers=tuple(checkers),
                options={**plan.options, **(options or {})},
                parameters={**plan.parameters, **(parameters or {})},
            )
            result = _carry_out(plan, self.store)
        except HarnessError as error:
            pytest.fail(str(error), pytrace=False)
        if result.failure is not None:
            pytest.fail(f"the harness failed: {result.failure}", pytrace=False)
        if result.interrupted:
            raise KeyboardInterrupt
        return Checked(result)


def _carry_out(plan: Plan, store: Path) -> RunResult:
    from splitbrain.apart import execute_apart, is_needed  # noqa: PLC0415 - keeps pytest quick
    from splitbrain.execute import execute  # noqa: PLC0415

    if is_needed(plan):
        return execute_apart(plan, store=store)
    return execute(plan, store=store, monitor=Quiet())


@pytest.fixture
def splitbrain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Give what runs systems under faults on the cluster that `--cluster` names."""
    store = request.config.getoption("--splitbrain-store")
    return Runner(
        cluster=request.config.getoption("--cluster"),
        store=tmp_path_factory.mktemp("store") if store is None else Path(store),
        seed=request.config.getoption("--splitbrain-seed"),
    )


def _with(plan: Plan, **given: float | None) -> Plan:
    return replace(plan, **{name: item for name, item in given.items() if item is not None})  # type: ignore[arg-type]
