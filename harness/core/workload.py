"""A workload: what clients do, in which phases, and what is checked afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from splitbrain.core.generator import Generator
from splitbrain.core.operation import Vocabulary
from splitbrain.core.value import Value
from splitbrain.core.verdict import Checker


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """How many operations must have succeeded for a verdict to mean anything.

    during: in the main phase, while at least one fault was active (if any was). after: in the final
    phase.
    """

    during: int = 1
    after: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How hard to drive the system.

    concurrency: client workers. time_limit_s: length of the main phase. rate_hz: operations a
    second in all, None for as fast as they go. params: the workload's own, by name. functions: what
    the system can do, None for everything; a workload that can do without the rest leaves it out.
    """

    seed: int
    nodes: tuple[str, ...]
    concurrency: int
    time_limit_s: float
    rate_hz: float | None = None
    params: Mapping[str, Value] = field(default_factory=dict)
    functions: frozenset[str] | None = None


class Workload(Protocol):
    """Phases of operations over a vocabulary, and the checkers that judge them."""

    @property
    def name(self) -> str:
        """The name people call it by."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The operations it uses."""

    @property
    def floor(self) -> Floor:
        """How much must have succeeded."""

    @property
    def facts(self) -> Mapping[str, Value]:
        """What checkers must know: "initial", for instance."""

    def setup(self, load: Load) -> Generator | None:
        """Give what is done before the faults begin, or None."""

    def main(self, load: Load) -> Generator:
        """Give what is done while faults come and go; ends within the load's time limit."""

    def final(self, load: Load, keys: Sequence[Value]) -> Generator | None:
        """Give what is done once everything is healed; keys: those used, in order of first use.

        It is asked for again when the recovery bound is over, where nothing of it succeeded.
        """

    def checkers(self, load: Load) -> Sequence[Checker]:
        """Give what judges the history."""
