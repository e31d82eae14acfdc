"""A workload whose operations are given one by one; all else is that of the workload it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitbrain.core.generator import Generator
from splitbrain.core.operation import Vocabulary
from splitbrain.core.planned import PlannedOperation
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker
from splitbrain.core.workload import Floor, Load, Workload
from splitbrain.generators.limits import time_limit
from splitbrain.generators.replay import replay


@dataclass(frozen=True, slots=True)
class Replayed:
    """Performs operations as planned, whatever the original would do."""

    original: Workload
    operations: tuple[PlannedOperation, ...]

    @property
    def name(self) -> str:
        """Give the name of the original."""
        return self.original.name

    @property
    def vocabulary(self) -> Vocabulary:
        """Give that of the original."""
        return self.original.vocabulary

    @property
    def floor(self) -> Floor:
        """Ask for what the original asks for."""
        return self.original.floor

    @property
    def facts(self) -> Mapping[str, Value]:
        """Give those of the original."""
        return self.original.facts

    def setup(self, load: Load) -> Generator | None:  # noqa: ARG002 - it is planned already
        """Give what was planned before the faults."""
        return replay(self._of("setup"))

    def main(self, load: Load) -> Generator:
        """Give what was planned among the faults; it lasts as long as the load."""
        return time_limit(replay(self._of("main"), lasting=True), load.time_limit_s)

    def final(self, load: Load, keys: Sequence[Value]) -> Generator | None:  # noqa: ARG002
        """Give what was planned once all is healed."""
        return replay(self._of("final"))

    def checkers(self, load: Load) -> Sequence[Checker]:
        """Give those of the original."""
        return self.original.checkers(load)

    def _of(self, phase: str) -> list[PlannedOperation]:
        return [item for item in self.operations if item.phase == phase]
