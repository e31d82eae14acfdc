"""How values are made that come into being by the thousand: events, effects, messages.

To type checkers they are frozen. At run time nothing enforces that: a frozen dataclass takes four
times as long to make, and a named tuple three times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(kind: type[T]) -> type[T]:
    """Make a class one of values: two of one class are equal when their fields are."""
    return dataclass(slots=True, unsafe_hash=True)(kind)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def named_value(kind: type[T]) -> type[T]:
    """Make a class one of values whose fields are given by name."""
    return dataclass(slots=True, unsafe_hash=True, kw_only=True)(kind)
