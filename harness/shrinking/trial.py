"""Tries a smaller case: does it fail in the same way?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from splitbrain.core.errors import HarnessError
from splitbrain.core.run import Plan, RunResult
from splitbrain.execute import Prepared, execute, prepare
from splitbrain.report.quiet import Quiet
from splitbrain.runtime.control import Control
from splitbrain.shrinking.target import Target
from splitbrain.simulation import simulate


class Trial(Protocol):
    """Carries out plans and says which of them fail as the target does."""

    runs: int

    def may_go_on(self) -> bool:
        """Tell whether there is time for another."""

    def fails(self, plan: Plan) -> RunResult | None:
        """Give the result if it has the anomaly; None if not, or if it cannot be carried out.

        Raises: KeyboardInterrupt when a Ctrl-C ended the run, which says nothing then.
        """


@dataclass(slots=True)
class UntilPressed(Control):
    """Stops a run in virtual time once Ctrl-C was pressed."""

    pressed: Sequence[int] = ()

    @property
    def stopped(self) -> bool:
        """True once it was."""
        return bool(self.pressed)


@dataclass(slots=True)
class SimulatedTrial:
    """Runs in virtual time; one says it for good. pressed: grows by each Ctrl-C."""

    target: Target
    has_time: Callable[[], bool]
    limit: int
    pressed: Sequence[int] = ()
    runs: int = 0

    def may_go_on(self) -> bool:
        """Tell whether there is time, and whether runs are left."""
        return self.runs < self.limit and self.has_time()

    def fails(self, plan: Plan) -> RunResult | None:
        """Run once, and let the one checker judge."""
        try:
            result = self.run(plan)
        except HarnessError:
            return None
        return _failed(result, self.target)

    def run(self, plan: Plan) -> RunResult:
        """Run once, whatever comes of it.

        Raises: UsageError for a plan that cannot be carried out; KeyboardInterrupt when a Ctrl-C
        ended the run.
        """
        self.runs += 1
        ready = _of_one(prepare(plan), self.target.checker)
        result = simulate(plan, prepared=ready, control=UntilPressed(pressed=self.pressed))
        if result.interrupted:
            raise KeyboardInterrupt
        return result


@dataclass(slots=True)
class RealTrial:
    """Runs on real nodes, up to `repeats` times: one failure says enough, and none little."""

    target: Target
    has_time: Callable[[], bool]
    repeats: int
    runs: int = 0

    def may_go_on(self) -> bool:
        """Tell whether there is time."""
        return self.has_time()

    def fails(self, plan: Plan) -> RunResult | None:
        """Run until it fails, with another seed each time, since nothing repeats exactly here."""
        with tempfile.TemporaryDirectory(prefix="splitbrain-shrink-") as folder:
            for number in range(self.repeats):
                if not self.may_go_on():
                    return None
                self.runs += 1
                result = self._once(replace(plan, seed=plan.seed + number), Path(folder))
                if result is not None:
                    return result
        return None

    def _once(self, plan: Plan, store: Path) -> RunResult | None:
        ready = _of_one(prepare(plan), self.target.checker)
        try:
            result = execute(plan, store=store, monitor=Quiet(), prepared=ready)
        except HarnessError:
            return None
        return _failed(result, self.target)


def _of_one(ready: Prepared, checker: str) -> Prepared:
    kept = [
        (judge, recipe)
        for judge, recipe in zip(ready.checkers, ready.recipes, strict=True)
        if judge.name == checker
    ]
    checkers, recipes = zip(*kept, strict=True) if kept else ((), ())
    return replace(ready, checkers=checkers, recipes=recipes)


def _failed(result: RunResult, target: Target) -> RunResult | None:
    if result.interrupted:
        raise KeyboardInterrupt
    found = result.failure is None and target.found(result.verdicts) is not None
    return result if found else None
