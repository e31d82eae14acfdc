"""What a row of the checkers' benchmark is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from splitbrain.core.evidence import Evidence

Rival = Callable[[Evidence], tuple[float, str]]
"""Judges the same evidence; gives its own seconds and its answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """The shape of a history. crashed: the share of writes of unknown outcome.

    sessions, keys: as the row wants them. rival: whether the rival gets this one as well.
    """

    size: int
    concurrency: int = 10
    crashed: float = 0.0
    keys: int = 1
    rival: bool = False

    def of_size(self, size: int) -> Case:
        """Give the same shape in another size, without regard to the rival."""
        return replace(self, size=size, rival=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A checker with the histories that it is measured on.

    make: gives the evidence of a case, always the same. check: judges it and gives the verdict as
    a word; must not remember anything between calls. warm: imports what is imported late.
    """

    name: str
    cases: tuple[Case, ...]
    make: Callable[[Case], Evidence]
    check: Callable[[Evidence], str]
    warm: Callable[[], object] = lambda: None
    rival: Rival | None = None
